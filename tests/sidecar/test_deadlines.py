"""Whoever is slow, browser or site, is waited for so long and no longer, and holds nobody else meanwhile."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sidecar.raw import (
    CLOSE,
    LAST,
    LAST_OK,
    OK,
    STRANGERS,
    Origin,
    a_sidecar,
    ask,
    assert_refused,
    connect,
    plain,
    read_all,
    read_until,
)
from tests.sidecar.raw import counted as counted_at

SHORT = 0.6
"""Seconds that everything is given here."""

STEP = 0.04
"""Seconds between bytes of what drips: often enough, and far more than SHORT in all."""

CONSTANTS = {
    "consent_mw.sidecar.front": {"SWEPT_EVERY": 0.02},
    "consent_mw.sidecar.downstream": {
        "HEAD_WITHIN": SHORT,
        "KEPT_ALIVE": SHORT,
        "BODY_IDLE": SHORT,
        "LINGERS": SHORT,
    },
    "consent_mw.sidecar.uplink": {"FIRST_BYTE_WITHIN": SHORT},
    "consent_mw.sidecar.answer": {"FIRST_BYTE_WITHIN": SHORT, "ANSWER_IDLE": SHORT, "TUNNEL_IDLE": SHORT},
    "consent_mw.sidecar.relay": {"FIRST_BYTE_WITHIN": SHORT, "ANSWER_IDLE": SHORT},
    "consent_mw.world.upstream.pool": {"CONNECT_WITHIN": SHORT, "IDLE_KEPT": SHORT},
}
GET = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
DONE = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
FAILURES = "consent_mw_upstream_failures_total"


@pytest.fixture(scope="module")
def ports(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A sidecar that waits for nobody."""
    folder: Path = tmp_path_factory.mktemp("impatient")
    with a_sidecar(folder, origin.port, policy=STRANGERS, constants=CONSTANTS) as (_, port, admin):
        yield port, admin


def drip(peer: socket.socket, raw: bytes) -> bool:
    """Send one byte at a time; whether all was sent before the other side had enough."""
    try:
        for place in range(len(raw)):
            peer.sendall(raw[place : place + 1])
            time.sleep(STEP)
    except OSError:
        return False
    return True


def wait_for_the_end(peer: socket.socket) -> None:
    """Take what comes, and nothing of it, until the other side ends the connection."""
    with contextlib.suppress(OSError):
        while peer.recv(65_536):
            pass


# the browser


def test_a_head_that_drips_is_given_up(port: int, origin: Origin) -> None:
    with connect(port) as peer:
        assert not drip(peer, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200)
        assert_refused(read_all(peer), 408)
    assert origin.heads == []


def test_a_head_that_stops_is_given_up(port: int, origin: Origin) -> None:
    with connect(port) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        assert_refused(read_all(peer), 408)
    assert origin.heads == []


@pytest.mark.parametrize("before", [b"", b"\r\n"], ids=["nothing", "an empty line"])
def test_a_connection_without_a_request_is_closed_without_an_answer(port: int, before: bytes) -> None:
    with connect(port) as peer:
        peer.sendall(before)
        assert read_all(peer) == b""


def test_a_connection_kept_alive_is_closed_without_another_answer(port: int) -> None:
    with connect(port) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert plain(read_all(peer)) == OK


def test_half_a_second_request_is_given_up(port: int, origin: Origin) -> None:
    with connect(port) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\n")
        got = plain(read_all(peer))
    assert got.startswith(OK)
    assert_refused(got.removeprefix(OK), 408)
    assert len(origin.heads) == 1


@pytest.mark.parametrize(
    "raw", [b"Content-Length: 9\r\n\r\npart", CHUNKED + b"\r\n4\r\npart\r\n"], ids=["by length", "in chunks"]
)
def test_a_body_that_stops_is_given_up_and_never_whole_at_the_site(port: int, origin: Origin, raw: bytes) -> None:
    with connect(port) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + raw)
        assert_refused(read_all(peer), 408)
    assert origin.gone.wait(5)
    assert origin.requests == []


def test_a_body_that_drips_is_waited_for(port: int, origin: Origin) -> None:
    with connect(port) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n" + LAST + b"\r\n")
        assert drip(peer, b"a" * 30)
        assert plain(read_all(peer)) == LAST_OK
    assert origin.requests == [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n" + b"a" * 30]


def test_a_browser_that_takes_nothing_is_given_up(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(DONE + b"Content-Length: %d\r\n\r\n" % (64 << 20) + bytes(64 << 20))

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(GET)
        assert origin.gone.wait(5)
        assert len(read_all(peer)) < 64 << 20


def test_a_browser_that_does_not_take_its_refusal_is_given_up(port: int) -> None:
    with connect(port) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert not drip(peer, b"a" * 200)  # it never looks, it only sends
        with contextlib.suppress(ConnectionResetError):
            assert_refused(read_all(peer), 400)


# the site


def test_a_site_that_says_nothing_is_given_up(port: int, admin: int, origin: Origin) -> None:
    before = counted_at(admin, FAILURES)
    origin.answer = lambda peer, head: wait_for_the_end(peer)
    got = ask(port, GET)
    assert got.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert got.endswith(b"the site behind this proxy did not answer in time\n")
    assert origin.gone.wait(5)
    assert counted_at(admin, FAILURES) == before + 1
    assert len(origin.heads) == 1


def test_a_site_that_says_half_a_head_is_given_up(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        if drip(peer, DONE + b"X: " + b"a" * 200):
            peer.shutdown(socket.SHUT_RDWR)

    origin.answer = answer
    assert ask(port, GET).startswith(b"HTTP/1.1 504 ")
    assert origin.gone.wait(5)


def test_a_site_that_says_only_hints_is_given_up(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        with contextlib.suppress(OSError):
            for _ in range(200):
                peer.sendall(b"HTTP/1.1 103 Hints\r\n\r\n")
                time.sleep(STEP)

    origin.answer = answer
    got = ask(port, GET).rpartition(b"HTTP/1.1 103 Hints\r\n\r\n")[2]
    assert got.startswith(b"HTTP/1.1 504 ")


PARTS = {
    "by length": DONE + b"Content-Length: 100\r\n\r\npart",
    "in chunks": DONE + CHUNKED + b"\r\n4\r\npart\r\n",
    "without an end": DONE + b"\r\npart",
}


@pytest.mark.parametrize("raw", PARTS.values(), ids=PARTS)
def test_an_answer_that_stops_is_broken_off(port: int, origin: Origin, raw: bytes) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(raw)
        wait_for_the_end(peer)

    origin.answer = answer
    got = plain(ask(port, GET))
    assert got.endswith((b"\r\n\r\npart", b"\r\n\r\n4\r\npart\r\n"))
    assert origin.gone.wait(5)


def test_an_answer_that_drips_is_waited_for(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(DONE + b"Content-Length: 30\r\n\r\n")
        assert drip(peer, b"a" * 30)

    origin.answer = answer
    assert plain(ask(port, GET)) == DONE + b"Content-Length: 30\r\n" + LAST + b"\r\n" + b"a" * 30


def test_a_tunnel_without_a_word_is_ended_on_both_sides(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        wait_for_the_end(peer)

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        assert read_until(peer, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert read_all(peer) == b""
    assert origin.gone.wait(5)


def test_an_idle_connection_to_the_site_is_closed(port: int, origin: Origin) -> None:
    assert plain(ask(port, GET)) == LAST_OK
    assert origin.gone.wait(5)


def test_a_site_that_takes_no_connection_is_given_up(tmp_path: Path) -> None:
    # Only the connection is short of time: two equal deadlines would race.
    connecting = {"consent_mw.world.upstream.pool": {"CONNECT_WITHIN": SHORT}}
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # what its queue has no room for hears nothing at all
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        time.sleep(0.05)
        with a_sidecar(tmp_path, full.getsockname()[1], constants=connecting) as (_, port, admin):
            got = ask(port, b"POST / HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5\r\n\r\nhello")
            assert got.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
            assert got.endswith(b"the site behind this proxy did not take the connection in time\n")
            assert counted_at(admin, FAILURES) == 1


# the others


def test_the_time_for_a_head_is_not_the_sites_time(tmp_path: Path) -> None:
    origin = Origin()
    taken, free = threading.Event(), threading.Event()

    def answer(peer: socket.socket, head: bytes) -> None:
        taken.set()
        free.wait(10)
        peer.sendall(OK)

    origin.answer = answer
    constants = {
        "consent_mw.sidecar.front": {"SWEPT_EVERY": 0.02},
        "consent_mw.sidecar.downstream": {"HEAD_WITHIN": SHORT},
        "consent_mw.world.upstream.pool": {"MOST_OPEN": 1},
    }
    with a_sidecar(tmp_path, origin.port, constants=constants) as (_, port, _admin), contextlib.ExitStack() as stack:
        first, second = stack.enter_context(connect(port)), stack.enter_context(connect(port))
        first.sendall(GET)
        assert taken.wait(5)
        second.sendall(GET)
        second.settimeout(3 * SHORT)
        with pytest.raises(TimeoutError):
            second.recv(1)
        free.set()
        second.settimeout(8)
        assert [read_all(one)[: len(DONE)] for one in (first, second)] == [DONE, DONE]
    origin.close()


def test_a_hundred_slow_browsers_hold_nobody(tmp_path: Path) -> None:
    origin = Origin()
    with a_sidecar(tmp_path, origin.port) as (_, port, admin), contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(port)) for _ in range(100)]
        for number, peer in enumerate(slow):
            peer.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\nX: 1"[: 1 + number % 32])
        for _ in range(20):
            assert plain(ask(port, GET)) == LAST_OK
            slow[0].sendall(b"a")
        assert counted_at(admin, "consent_mw_connections") == 100
        assert len(origin.heads) == 20
    origin.close()


def test_a_browser_that_takes_its_time_holds_nobody(tmp_path: Path) -> None:
    origin, size = Origin(), 16 << 20
    begun = threading.Event()

    def answer(peer: socket.socket, head: bytes) -> None:
        if b" /large " not in head:
            peer.sendall(OK)
            return
        begun.set()
        peer.sendall(DONE + b"Content-Length: %d\r\n\r\n" % size + bytes(size))

    origin.answer = answer
    with a_sidecar(tmp_path, origin.port) as (_, port, _admin), contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(port)) for _ in range(4)]
        for peer in slow:
            peer.sendall(GET.replace(b" / ", b" /large "))
        assert begun.wait(5)
        for _ in range(20):
            assert plain(ask(port, GET)) == LAST_OK
        for peer in slow:
            assert len(read_all(peer).partition(b"\r\n\r\n")[2]) == size
    origin.close()


def test_who_comes_when_all_places_are_taken_is_told_so_and_not_kept(tmp_path: Path) -> None:
    origin = Origin()
    constants = {**CONSTANTS, "consent_mw.sidecar.downstream": {"MOST_CONNECTIONS": 2, "LINGERS": SHORT}}
    with a_sidecar(tmp_path, origin.port, constants=constants) as (_, port, _admin), contextlib.ExitStack() as stack:
        for _ in range(2):
            peer = stack.enter_context(connect(port))
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_until(peer, b"ok").startswith(b"HTTP/1.1 200 ")
        with connect(port) as late:
            assert_refused(read_all(late), 503)
        peer.close()
        assert plain(ask_until(port, GET)) == LAST_OK
    origin.close()


def ask_until(port: int, raw: bytes) -> bytes:
    """The answer to this once there is a place."""
    end = time.monotonic() + 5
    while (got := ask(port, raw)).startswith(b"HTTP/1.1 503 ") and time.monotonic() < end:
        time.sleep(0.02)
    return got


def test_who_stays_when_all_places_are_taken_is_put_out(tmp_path: Path) -> None:
    constants = {**CONSTANTS, "consent_mw.sidecar.downstream": {"MOST_CONNECTIONS": 0, "LINGERS": SHORT}}
    with a_sidecar(tmp_path, 1, constants=constants) as (_, port, _admin), connect(port) as late:
        assert_refused(read_all(late), 503)
        assert not drip(late, b"a" * 100)
