"""HTTP/2 and those who only want to keep it busy: each flood ends its own connection, and nobody else's."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from hpack import Encoder

from tests.sidecar.h2_browser import PREFACE, Browser, Fields, asking, frame
from tests.sidecar.raw import OK, Origin, a_sidecar, connect

DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
ENDED, WHOLE = 1, 4
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, CALM = 1, 3, 11


@pytest.fixture(scope="module")
def ports(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    with a_sidecar(tmp_path_factory.mktemp("floods"), origin.port, "--access-log", "off") as (_, port, admin):
        yield port, admin


def goaway_after(port: int, flood: bytes) -> int | None:
    """The code with which the connection was ended after these frames; None if it was not."""
    got = bytearray()
    with connect(port) as peer:

        def push() -> None:
            with contextlib.suppress(OSError):
                peer.sendall(PREFACE + frame(SETTINGS, 0, 0) + flood)

        pushing = threading.Thread(target=push)
        pushing.start()
        try:
            while chunk := peer.recv(65_536):
                got += chunk
        except (ConnectionResetError, TimeoutError):
            pass
        pushing.join(8)
    code = None
    while len(got) >= 9:
        length = int.from_bytes(got[:3], "big")
        if got[3] == GOAWAY:
            code = int.from_bytes(got[13:17], "big")
        del got[: 9 + length]
    return code


def heads(fields: Fields, number: int, flags: int = ENDED | WHOLE) -> Callable[[int], bytes]:
    """So many requests, each on a stream of its own."""
    encoder = Encoder()
    return lambda count: b"".join(
        frame(HEADERS, flags, number + 2 * turn, encoder.encode(fields)) for turn in range(count)
    )


def taken_back() -> bytes:
    encoder = Encoder()
    return b"".join(
        frame(HEADERS, ENDED | WHOLE, 1 + 2 * turn, encoder.encode(asking()))
        + frame(RST, 0, 1 + 2 * turn, b"\0\0\0\x08")
        for turn in range(2000)
    )


def a_bomb() -> bytes:
    encoder = Encoder()
    first = frame(HEADERS, ENDED | WHOLE, 1, encoder.encode(asking(b"/", (b"x-bomb", b"b" * 4000))))
    known = encoder.encode([(b"x-bomb", b"b" * 4000)])
    assert len(known) == 1
    return first + frame(HEADERS, ENDED | WHOLE, 3, encoder.encode(asking()) + known * 16_000)


def endless() -> bytes:
    encoded = Encoder().encode(asking())
    return frame(HEADERS, ENDED, 1, encoded) + b"".join(frame(CONTINUATION, 0, 1, b"") for _ in range(5000))


FLOODS: dict[str, tuple[int, Callable[[], bytes]]] = {
    "rapid reset": (CALM, taken_back),
    "pings": (CALM, lambda: frame(PING, 0, 0, b"12345678") * 5000),
    "settings": (CALM, lambda: frame(SETTINGS, 0, 0) * 5000),
    "empty parts": (
        CALM,
        lambda: heads(asking(method=b"POST"), 1, WHOLE)(1) + frame(DATA, 0, 1) * 5000,
    ),
    "endless head": (CALM, endless),
    "a head that unfolds": (CALM, a_bomb),
    "a window that overflows": (
        FLOW_CONTROL_ERROR,
        lambda: heads(asking(), 1)(1) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1)) * 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "flood"), FLOODS.values(), ids=FLOODS)
def test_a_flood_ends_its_connection(port: int, origin: Origin, code: int, flood: Callable[[], bytes]) -> None:
    assert goaway_after(port, flood()) == code
    assert len(origin.heads) <= 1
    with Browser(port) as browser:
        assert browser.get().status == 200


def test_requests_that_are_taken_back_one_by_one_are_given_up(port: int, origin: Origin) -> None:
    asked, gone = threading.Semaphore(0), threading.Semaphore(0)

    def answer(peer: socket.socket, _: bytes) -> None:
        asked.release()
        assert peer.recv(1) == b""
        gone.release()

    origin.answer = answer
    with Browser(port) as browser:
        for _ in range(5):
            number = browser.ask(asking())
            # What is asked and taken back in one read never reaches the site: here each is a read of its own.
            assert asked.acquire(timeout=5)
            browser.h2.reset_stream(number, 8)
            browser.flush()
            assert gone.acquire(timeout=5)
        origin.answer = lambda peer, head: peer.sendall(OK)
        assert browser.get().status == 200


def test_a_peer_that_makes_us_reset_its_streams_is_told_to_go(port: int, origin: Origin) -> None:
    with Browser(port) as browser:
        answers = []
        while browser.goaway is None and len(answers) < 1000:
            answers.append(browser.answer(browser.ask(asking(b"/", (b"content-length", b"1")))))
        assert browser.wait_for_end() == CALM
    assert 400 < len(answers) < 700
    assert not origin.heads


def test_a_peer_that_knows_the_limit_of_streams_and_ignores_it_is_told_to_go(port: int, origin: Origin) -> None:
    go = threading.Event()

    def answer(peer: socket.socket, _: bytes) -> None:
        assert go.wait(8)
        peer.sendall(OK)

    origin.answer = answer
    with Browser(port) as browser:
        while browser.h2.remote_settings.max_concurrent_streams != 100:
            browser.read()
        browser.h2.remote_settings.update({3: 1000})
        browser.h2.remote_settings.acknowledge()
        for _ in range(101):
            browser.ask(asking())
        assert browser.wait_for_end() == PROTOCOL_ERROR
        go.set()
