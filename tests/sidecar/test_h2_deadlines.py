"""HTTP/2 and those who make it wait: each deadline ends its stream, or its connection, and says why."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consent_mw.asgi.gate import Gate
from consent_mw.sidecar import h2_connection, h2_stream, uplink
from consent_mw.sidecar.downstream import Client
from consent_mw.sidecar.plane import Plane
from consent_mw.wire.token import parse_keys
from consent_mw.world.access_log import AccessLog
from consent_mw.world.metrics import Meters
from consent_mw.world.policy_file import load_policy
from consent_mw.world.upstream import Pool, read_upstream
from tests.journeys.site import KEY, POLICY
from tests.sidecar.h2_browser import Browser, asking, frame
from tests.sidecar.raw import OK, Origin, connect, read_all

NO_ERROR, SETTINGS_TIMEOUT, CANCEL = 0, 4, 8
SOON = 0.2


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()
    yield made
    made.close()


def visited(folder: Path, origin: Origin, visit: Callable[[int], None]) -> None:
    """Run this visit (in a thread, with a port) before a plane of this process, which is swept all the time."""
    (folder / "policy.toml").write_text(POLICY)
    upstream = read_upstream(f"http://127.0.0.1:{origin.port}")

    async def run() -> None:
        gate = Gate(load_policy(folder / "policy.toml"), parse_keys(KEY), f"sqlite:///{folder / 'c.db'}")
        plane = Plane(gate, Pool(upstream), Meters(), AccessLog(None))
        await gate.start(strict=True)
        server = await asyncio.get_running_loop().create_server(lambda: Client(plane), "127.0.0.1", 0)
        visiting = asyncio.create_task(asyncio.to_thread(visit, server.sockets[0].getsockname()[1]))
        try:
            async with asyncio.timeout(15):
                while not visiting.done():
                    plane.sweep()
                    await asyncio.sleep(0.02)
                await visiting
        finally:
            server.close()
            for connection in list(plane.connections):
                connection.abort()
            plane.pool.close()
            await gate.stop(1.0)

    asyncio.run(run())


def test_settings_that_are_never_acknowledged_end_the_connection(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(h2_connection, "SETTLED_WITHIN", SOON)

    def visit(port: int) -> None:
        with connect(port) as peer:
            peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
            assert read_all(peer).endswith(frame(7, 0, 0, b"\0\0\0\0\0\0\0\x04"))

    visited(tmp_path, origin, visit)


def test_a_connection_without_requests_ends_in_peace(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(h2_connection, "KEPT_ALIVE", SOON)

    def visit(port: int) -> None:
        with Browser(port) as browser:
            assert browser.get().status == 200
            assert browser.wait_for_end() == NO_ERROR

    visited(tmp_path, origin, visit)


def test_a_body_that_does_not_come_is_told_and_costs_only_its_stream(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(h2_stream, "BODY_IDLE", SOON)

    def answer(peer: socket.socket, head: bytes) -> None:
        if head.startswith(b"POST"):
            read_all(peer)
        else:
            peer.sendall(OK)

    origin.answer = answer

    def visit(port: int) -> None:
        with Browser(port) as browser:
            number = browser.ask(asking(method=b"POST"), b"part", ended=False)
            assert browser.answer(number).status == 408
            while browser.answers[number].reset is None:
                browser.read()
            assert browser.answers[number].reset == NO_ERROR
            assert origin.gone.wait(5)
            assert browser.get().status == 200

    visited(tmp_path, origin, visit)


def test_a_site_that_does_not_answer_costs_only_its_stream(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "FIRST_BYTE_WITHIN", SOON)
    go = threading.Event()

    def answer(peer: socket.socket, head: bytes) -> None:
        if head.startswith(b"GET /slow"):
            go.wait(8)
        else:
            peer.sendall(OK)

    origin.answer = answer

    def visit(port: int) -> None:
        with Browser(port) as browser:
            assert browser.get(b"/slow").status == 504
            assert browser.get().status == 200
        go.set()

    visited(tmp_path, origin, visit)


def test_an_answer_that_nobody_takes_is_given_up(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(h2_stream, "SENT_WITHIN", SOON)
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 80000\r\n\r\n" + b"x" * 80_000
    origin.answer = lambda peer, head: peer.sendall(whole if head.startswith(b"GET /large") else OK)

    def visit(port: int) -> None:
        with Browser(port) as browser:
            browser.h2.increment_flow_control_window(1_000_000)
            number = browser.ask(asking(b"/large"))
            browser.held.add(number)
            got = browser.answer(number)
            assert (len(got.body), got.ended, got.reset) == (65_535, False, CANCEL)
            assert browser.get().status == 200

    visited(tmp_path, origin, visit)
