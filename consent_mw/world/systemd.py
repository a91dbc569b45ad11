"""Systemd: what it hands to a service (sockets), and what a service tells it (sd_notify(3), sd_listen_fds(3)).

Rule: outside systemd nothing is there and telling does nothing; a supervisor that does not listen fails no request.
Rule: what systemd meant for this process is taken out of the environment, so that no child takes it for its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass

FIRST_DESCRIPTOR = 3
"""Where handed sockets begin (SD_LISTEN_FDS_START)."""


@dataclass(frozen=True, slots=True)
class HandedSocket:
    """A listening socket that systemd opened, and its FileDescriptorName (empty where it has none)."""

    name: str
    socket: socket.socket


class Notifier:
    """Tells systemd of each state. `watchdog` is how often it wants to hear of us in seconds, 0 where it does not."""

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog = watchdog

    @classmethod
    def take(cls, environment: MutableMapping[str, str] = os.environ) -> Notifier:
        """The notifier that this process was given; its variables are removed from the environment."""
        address = environment.pop("NOTIFY_SOCKET", "")
        period, whose = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        ours = whose in ("", str(os.getpid()))
        seconds = int(period) / 1e6 if ours and period.isascii() and period.isdigit() else 0.0
        return cls(address, seconds)

    def ready(self, status: str) -> None:
        """The service is up, or up again after a reload."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The service drains."""
        self._tell("STOPPING=1", "STATUS=draining")

    def alive(self) -> None:
        """The service still answers."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), self._address)


def take_sockets(environment: MutableMapping[str, str] = os.environ) -> tuple[HandedSocket, ...]:
    """The listening stream sockets that systemd handed to this process; its variables are removed."""
    number, whose = environment.pop("LISTEN_FDS", ""), environment.pop("LISTEN_PID", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if whose != str(os.getpid()) or not (number.isascii() and number.isdigit()):
        return ()
    found = []
    for index in range(min(int(number), 64)):
        descriptor = FIRST_DESCRIPTOR + index
        with contextlib.suppress(OSError):
            os.set_inheritable(descriptor, False)
            one = socket.socket(fileno=descriptor)
            if one.type == socket.SOCK_STREAM and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                found.append(HandedSocket(names[index] if index < len(names) else "", one))
            else:
                one.detach()
    return tuple(found)
