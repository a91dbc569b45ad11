"""What systemd hands over and is told, without systemd: its protocols are sockets and variables."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consent_mw.world.systemd import Notifier, take_sockets


def heard(listener: socket.socket) -> list[str]:
    """The lines of one datagram."""
    listener.settimeout(5)
    return listener.recv(4096).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@consent-mw-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(name if request.param == "path" else "\0" + name[1:])
        yield made, name


TOLD: dict[str, tuple[Callable[[Notifier], None], list[str]]] = {
    "ready": (lambda one: one.ready("serving"), ["READY=1", "STATUS=serving"]),
    "stopping": (lambda one: one.stopping(), ["STOPPING=1", "STATUS=draining"]),
    "alive": (lambda one: one.alive(), ["WATCHDOG=1"]),
}


@pytest.mark.parametrize(("tell", "lines"), TOLD.values(), ids=TOLD)
def test_each_state_is_told(
    listener: tuple[socket.socket, str], tell: Callable[[Notifier], None], lines: list[str]
) -> None:
    tell(Notifier.take({"NOTIFY_SOCKET": listener[1]}))
    assert heard(listener[0]) == lines


def test_a_reload_is_told_with_its_time(listener: tuple[socket.socket, str]) -> None:
    Notifier(listener[1]).reloading()
    first, second = heard(listener[0])
    name, _, value = second.partition("=")
    assert (first, name, value.isdigit()) == ("RELOADING=1", "MONOTONIC_USEC", True)


def test_nobody_is_told_outside_systemd_or_where_nobody_listens(tmp_path: Path) -> None:
    Notifier.take({}).ready("serving")
    Notifier(str(tmp_path / "gone")).ready("serving")


WATCHDOGS = {
    "ours": ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
    "anyone's": ({"WATCHDOG_USEC": "500000"}, 0.5),
    "another's": ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, 0.0),
    "none": ({}, 0.0),
    "garbage": ({"WATCHDOG_USEC": "soon"}, 0.0),
}


@pytest.mark.parametrize(("environment", "seconds"), WATCHDOGS.values(), ids=WATCHDOGS)
def test_the_watchdog_is_for_the_process_it_names(environment: dict[str, str], seconds: float) -> None:
    assert Notifier.take(environment).watchdog == seconds
    assert environment == {}


def test_sockets_for_another_process_are_not_taken() -> None:
    environment = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "http"}
    assert take_sockets(environment) == ()
    assert environment == {}


HANDED = """
import os, socket
from consent_mw.world.systemd import take_sockets
made = [
    socket.create_server(("127.0.0.1", 0)),
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    socket.create_server(("127.0.0.1", 0)),
]
for index, one in enumerate(made):
    os.dup2(one.fileno(), 100 + index)
for index in range(3):
    os.dup2(100 + index, 3 + index)
environment = {"LISTEN_FDS": "3", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "http:udp"}
print([(one.name, one.socket.fileno(), os.get_inheritable(one.socket.fileno())) for one in take_sockets(environment)])
os._exit(0 if environment == {} else 1)
"""


def test_sockets_are_taken_by_name_and_only_those_that_listen() -> None:
    """In a process of its own, whose descriptors from 3 on can be arranged."""
    ran = subprocess.run([sys.executable, "-u", "-c", HANDED], capture_output=True, text=True, timeout=20)
    assert (ran.returncode, ran.stdout) == (0, "[('http', 3, False), ('', 5, False)]\n")
