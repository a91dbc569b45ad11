"""The listening sockets: opened by the first process, before any worker, so that none is lost when a worker dies.

Rule: what cannot be opened is a sentence that names the option.
Rule: a unix socket that nobody listens on any more is replaced, one that somebody does is not.
Rule: no connection that was made is reset: before a port is closed, none is begun for a while.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import stat
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from consent_mw.errors import ServeError
from consent_mw.sidecar.settings import Settings
from consent_mw.world.systemd import HandedSocket

BACKLOG = 1024

HANDSHAKES_WITHIN = 0.1
"""Seconds for the handshakes that are under way when no more may begin."""

_SO_ATTACH_FILTER = 26
_ONLY_BEGUN = struct.Struct("=" + "HBBI" * 4).pack(
    *(0x30, 0, 0, 13),  # the flags of the TCP header
    *(0x45, 0, 1, 0x02),  # SYN?
    *(0x06, 0, 0, 0),  # then nothing of it,
    *(0x06, 0, 0, 0xFFFFFFFF),  # else all
)
"""What the system is to let through to a port, in its classic filter language (linux/filter.h)."""


@dataclass(slots=True)
class Sockets:
    """What to listen on, for browsers and for the operator; `made` is the path of a unix socket that we remove."""

    browsers: list[socket.socket] = field(default_factory=list)
    admin: list[socket.socket] = field(default_factory=list)
    made: str = ""

    def close(self) -> None:
        """Close them all."""
        for one in (*self.browsers, *self.admin):
            one.close()
        if self.made:
            with contextlib.suppress(OSError):
                Path(self.made).unlink()


def open_sockets(settings: Settings, handed: Sequence[HandedSocket]) -> Sockets:
    """The sockets that these settings name, or that systemd handed over in their place. Raises ServeError."""
    named = {one.name: one.socket for one in reversed(handed)}
    others = [one.socket for one in handed if one.name != "admin"]
    browsers = named.get("http") or (others[0] if others else None)
    sockets = Sockets()
    try:
        if browsers is not None:
            sockets.browsers.append(browsers)
        elif settings.uds:
            sockets.browsers.append(_unix(settings.uds))
            sockets.made = settings.uds
        else:
            sockets.browsers.extend(_tcp(settings.listen, "--listen"))
        if "admin" in named:
            sockets.admin.append(named["admin"])
        elif settings.admin is not None:
            sockets.admin.extend(_tcp(settings.admin, "--admin"))
    except ServeError:
        sockets.close()
        raise
    for one in (*sockets.browsers, *sockets.admin):
        one.setblocking(False)
    return sockets


def begin_no_more(listening: socket.socket) -> bool:
    """Have the system ignore whoever begins to connect to this port from now on, until it is closed: they ask again
    after a second and are refused then. Whether it can."""
    if listening.family not in (socket.AF_INET, socket.AF_INET6) or not sys.platform.startswith("linux"):
        return False
    program = ctypes.create_string_buffer(_ONLY_BEGUN, len(_ONLY_BEGUN))
    filled = struct.pack("@HP", len(_ONLY_BEGUN) // 8, ctypes.addressof(program))
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filled)
    except OSError:
        return False
    return True


def address_of(listening: socket.socket, scheme: str = "http") -> str:
    """Where this socket listens, as a URL."""
    where = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        path = where.decode("utf-8", "replace") if isinstance(where, bytes) else str(where)
        return f"unix:{path}".replace("\0", "@")
    host, port = where[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _tcp(where: tuple[str, int], option: str) -> list[socket.socket]:
    host, port = where
    opened: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            opened.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        for one in opened:
            one.close()
        raise _unopened(option, f"{host}:{port}", error) from None
    return opened


def _unix(path: str) -> socket.socket:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode) and not _answered(path):  # noqa: PTH116  one call at the start
            Path(path).unlink()
    except OSError:
        pass
    try:
        one.bind(path)
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        raise _unopened("--uds", path, error) from None
    return one


def _answered(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def _unopened(option: str, where: str, error: OSError | OverflowError) -> ServeError:
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return ServeError(f"{option} {where} cannot be opened: {reason}")
