"""The end of a sidecar: readiness first, then nothing new, then what is under way, then the outbox."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consent_mw.sidecar.sockets import begin_no_more
from tests.journeys.site import FIREFOX, NEW_YORK, POLICY, VENDOR, receiving
from tests.sidecar.raw import OK, Origin, a_sidecar, connect, operate, read_all, read_until, refuses, until

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])
CLOSING = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
ASKED = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()
    yield made
    made.close()


@contextmanager
def draining(
    folder: Path, origin: Origin, workers: str, *, drain: str, policy: str = POLICY
) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A sidecar of so many workers that ends with 0 within the block."""
    with a_sidecar(folder, origin.port, "--workers", workers, drain=drain, policy=policy) as sidecar:
        yield sidecar
        assert sidecar[0].wait(20) == 0


def held(answer: Callable[[socket.socket], None]) -> tuple[threading.Event, threading.Event, Callable[..., None]]:
    """An answer of the site that begins when it is told to; whether it was asked for."""
    asked, go = threading.Event(), threading.Event()

    def slow(peer: socket.socket, head: bytes) -> None:
        asked.set()
        assert go.wait(15)
        answer(peer)

    return asked, go, slow


@WORKERS
def test_readiness_fails_while_connections_are_still_taken(tmp_path: Path, origin: Origin, workers: str) -> None:
    """For a tenth of the drain (here half a second) a load balancer that has not looked yet meets no closed door."""
    asked, go, origin.answer = held(lambda peer: peer.sendall(OK))
    with draining(tmp_path, origin, workers, drain="5s") as (process, port, admin), connect(port) as idle:
        with connect(port) as first:
            first.sendall(ASKED)
            assert asked.wait(5)
            process.terminate()
            until(lambda: operate(admin, "GET", "/ready")[0] == 503)
            assert operate(admin, "GET", "/ready")[1]["draining"] is True
            go.set()
            with connect(port) as late:
                late.sendall(ASKED)
                # It says so where its worker knew of the drain when the answer began; it closes in any case.
                assert read_all(late) in (OK, CLOSING)
            assert read_all(first) in (OK, CLOSING)
        assert read_all(idle) == b""
        until(lambda: refuses(port))


@WORKERS
def test_what_is_under_way_ends_whole(tmp_path: Path, origin: Origin, workers: str) -> None:
    asked, go, origin.answer = held(lambda peer: peer.sendall(OK))
    with draining(tmp_path, origin, workers, drain="10s") as (process, port, _admin), connect(port) as peer:
        peer.sendall(ASKED)
        assert asked.wait(5)
        process.terminate()
        until(lambda: refuses(port))
        go.set()
        assert read_all(peer) == CLOSING


@WORKERS
def test_an_endless_stream_is_cut_at_the_deadline(tmp_path: Path, origin: Origin, workers: str) -> None:
    origin.answer = lambda peer, head: peer.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\n\n\r\n"
    )
    with draining(tmp_path, origin, workers, drain="1s") as (process, port, _admin), connect(port) as peer:
        peer.sendall(ASKED)
        assert read_until(peer, b"a\n\n\r\n")
        process.terminate()
        assert b"0\r\n\r\n" not in read_all(peer)


@WORKERS
def test_what_was_accepted_is_delivered_before_the_end(tmp_path: Path, origin: Origin, workers: str) -> None:
    origin.answer = lambda peer, head: peer.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"
    )
    visit = f"GET / HTTP/1.1\r\nHost: a\r\nSec-Fetch-Dest: document\r\nUser-Agent: {FIREFOX}\r\n"
    visit += f"X-Forwarded-For: {NEW_YORK}\r\n\r\n"
    with receiving() as vendor:
        policy = POLICY + VENDOR.format(port=vendor.server_address[1])
        with draining(tmp_path, origin, workers, drain="5s", policy=policy) as (process, port, _admin):
            with connect(port) as peer:
                for _ in range(30):
                    peer.sendall(visit.encode())
                    assert read_until(peer, b"\r\n0\r\n\r\n")  # edited, so that it is chunked
            process.terminate()
        assert len(vendor.wait_for(30, seconds=0)) == 30


@WORKERS
def test_a_second_signal_ends_it_at_once(tmp_path: Path, origin: Origin, workers: str) -> None:
    asked, go, origin.answer = held(lambda peer: peer.sendall(OK))
    with draining(tmp_path, origin, workers, drain="100s") as (process, port, admin), connect(port) as peer:
        peer.sendall(ASKED)
        assert asked.wait(5)
        process.terminate()
        until(lambda: operate(admin, "GET", "/ready")[0] == 503)
        process.send_signal(signal.SIGINT)
        assert read_all(peer) == b""
    go.set()


@WORKERS
def test_no_connection_that_was_made_is_lost(tmp_path: Path, origin: Origin, workers: str) -> None:
    """Under a stream of new connections each is either refused or answered."""
    with draining(tmp_path, origin, workers, drain="2s") as (process, port, _admin):
        outcomes: list[bytes] = []

        def visit() -> None:
            while True:
                try:
                    peer = connect(port)
                except ConnectionRefusedError:
                    return
                with peer:
                    try:
                        peer.sendall(ASKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                        outcomes.append(read_all(peer))
                    except OSError:
                        outcomes.append(b"")

        loads = [threading.Thread(target=visit) for _ in range(4)]
        for one in loads:
            one.start()
        time.sleep(0.3)
        process.terminate()
        for one in loads:
            one.join(10)
        assert set(outcomes) == {CLOSING}


def test_a_closing_port_still_ends_the_handshakes_that_began() -> None:
    """What the system is told is true: who was connected is accepted, and who begins then is neither."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as listening, socket.socket(family) as late:
            where = listening.getsockname()
            with socket.create_connection(where[:2]) as early:
                assert begin_no_more(listening)
                late.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    late.connect(where)
                early.sendall(b"a")
                peer, _ = listening.accept()
                with peer:
                    assert peer.recv(1) == b"a"
            listening.setblocking(False)
            with pytest.raises(BlockingIOError):
                listening.accept()
