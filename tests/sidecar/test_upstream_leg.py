"""The sidecar's way to the site: its connections, when they are used again, and when a request is sent again."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from consent_mw.errors import ServeError
from consent_mw.world.upstream import read_upstream
from tests.sidecar.raw import (
    CLOSE,
    LAST,
    LAST_OK,
    OK,
    STRANGERS,
    Origin,
    a_sidecar,
    ask,
    connect,
    counted,
    drop,
    plain,
    read_until,
)

GET = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
FAILURES = "consent_mw_upstream_failures_total"


def paths(origin: Origin) -> list[bytes]:
    """What the site was asked for, in order."""
    return [head.split(b" ")[1] for head in origin.heads]


# connections


def test_one_connection_serves_one_browser_after_the_other(port: int, origin: Origin) -> None:
    before = origin.accepted
    for number in range(20):
        assert plain(ask(port, b"GET /%d HTTP/1.1\r\n" % number + CLOSE + b"\r\n")) == LAST_OK
    assert origin.accepted - before <= 1
    assert paths(origin) == [b"/%d" % number for number in range(20)]


def test_nobody_gets_the_answer_to_anothers_request(port: int, origin: Origin) -> None:
    def echo(peer: socket.socket, head: bytes) -> None:
        path = head.split(b" ")[1]
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    def visit(browser: int) -> list[bytes]:
        wrong = []
        with connect(port) as peer:
            for number in range(20):
                path = b"/%d/%d" % (browser, number)
                peer.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                read_until(peer, b"\r\n\r\n")
                got = peer.recv(100)
                wrong += [got] if got != path else []
        return wrong

    origin.answer = echo
    with ThreadPoolExecutor(16) as browsers:
        assert list(browsers.map(visit, range(16))) == [[]] * 16
    assert sorted(paths(origin)) == sorted(b"/%d/%d" % (a, b) for a in range(16) for b in range(20))


# requests that are sent again


@pytest.fixture
def stale(port: int, origin: Origin) -> int:
    """The sidecar's port, with one pooled connection that ends with the request sent next; later ones answer."""
    answered = threading.Event()

    def answer(peer: socket.socket, head: bytes) -> None:
        if b" /first " in head:
            peer.sendall(OK)
        elif not answered.is_set():
            answered.set()
            drop(peer)
        else:
            origin.take(peer, head)

    origin.answer = origin.take
    accepted = origin.accepted
    while origin.accepted == accepted:  # a fresh connection, so that there is exactly one
        origin.say(OK.replace(b"\r\n\r\n", b"\r\n" + LAST + b"\r\n"), close=True)
        ask(port, GET)
        origin.answer = origin.take
        ask(port, GET)
    origin.reset()
    origin.answer = answer
    assert plain(ask(port, b"GET /first HTTP/1.1\r\n" + CLOSE + b"\r\n")) == LAST_OK
    origin.heads.clear()
    return port


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
def test_a_request_that_may_be_repeated_is_sent_once_more(stale: int, origin: Origin, method: bytes) -> None:
    got = plain(ask(stale, method + b" /second HTTP/1.1\r\n" + CLOSE + b"\r\n"))
    assert got == (LAST_OK if method != b"HEAD" else LAST_OK.removesuffix(b"ok"))
    assert paths(origin) == [b"/second", b"/second"]


ONCE = {
    "a post": b"POST /second HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "a post with a body": b"POST /second HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5\r\n\r\nhello",
    "a patch": b"PATCH /second HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "an unknown method": b"PAY /second HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "a get in small letters": b"get /second HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "a put with a body": b"PUT /second HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5\r\n\r\nhello",
    "a put in chunks": b"PUT /second HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a get with a body": b"GET /second HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("raw", ONCE.values(), ids=ONCE)
def test_a_request_that_may_have_been_acted_on_is_sent_once(stale: int, origin: Origin, raw: bytes) -> None:
    assert ask(stale, raw).startswith(b"HTTP/1.1 502 ")
    assert paths(origin) == [b"/second"]


def test_a_request_is_sent_twice_and_no_more(port: int, admin: int, origin: Origin) -> None:
    origin.answer = lambda peer, head: peer.sendall(OK) if b"first" in head else drop(peer)
    assert plain(ask(port, b"GET /first HTTP/1.1\r\n" + CLOSE + b"\r\n")) == LAST_OK
    before = counted(admin, FAILURES)
    assert ask(port, b"GET /second HTTP/1.1\r\n" + CLOSE + b"\r\n").startswith(b"HTTP/1.1 502 ")
    assert paths(origin) == [b"/first", b"/second", b"/second"]
    assert counted(admin, FAILURES) == before + 1


def test_a_request_whose_answer_began_is_not_sent_again(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(OK if b"first" in head else b"HTTP/1.1 2")
        if b"first" not in head:
            drop(peer)

    origin.answer = answer
    assert plain(ask(port, b"GET /first HTTP/1.1\r\n" + CLOSE + b"\r\n")) == LAST_OK
    assert ask(port, b"GET /second HTTP/1.1\r\n" + CLOSE + b"\r\n").startswith(b"HTTP/1.1 502 ")
    assert paths(origin) == [b"/first", b"/second"]


def test_a_fresh_connection_that_ends_is_not_tried_again(tmp_path: Path) -> None:
    origin = Origin()
    origin.answer = lambda peer, head: drop(peer)
    with a_sidecar(tmp_path, origin.port) as (_, port, _admin):
        assert ask(port, GET).startswith(b"HTTP/1.1 502 ")
    assert len(origin.heads) == 1
    origin.close()


def test_a_connection_that_the_site_closed_meanwhile_is_not_used_even_for_a_post(port: int, origin: Origin) -> None:
    origin.say(OK, close=True)  # it closes without having said so
    assert plain(ask(port, GET)) == LAST_OK
    assert origin.gone.wait(5)
    time.sleep(0.05)
    origin.reset()
    raw = b"POST / HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5\r\n\r\nhello"
    assert plain(ask(port, raw)) == LAST_OK
    assert len(origin.requests) == 1


# where the site is


def answered_at(folder: Path, upstream: str, **env: str) -> bytes:
    """What a browser gets where the site is said to be there."""
    with a_sidecar(folder, 0, policy=STRANGERS, upstream=upstream, env=env) as (_, port, admin):
        got = plain(ask(port, GET))
        assert counted(admin, FAILURES) == (0 if got == LAST_OK else 1)
    return got


def test_a_site_on_a_unix_socket(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "site"))
    listener.listen()
    origin = Origin(listener)
    origin.reset()
    assert answered_at(tmp_path, f"unix:{tmp_path / 'site'}") == LAST_OK
    assert origin.requests == [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]
    origin.close()


@pytest.fixture
def origin_of_ipv6() -> Iterator[Origin]:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("there is no IPv6 here")
    made = Origin(listener)
    made.reset()
    yield made
    made.close()


def test_a_site_on_ipv6(tmp_path: Path, origin_of_ipv6: Origin) -> None:
    assert answered_at(tmp_path, f"http://[::1]:{origin_of_ipv6.port}") == LAST_OK


def test_a_site_by_its_name(tmp_path: Path, origin: Origin) -> None:
    origin.reset()
    assert answered_at(tmp_path, f"http://localhost:{origin.port}/") == LAST_OK
    assert origin.requests == [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]


NOWHERE = {
    "no socket": "unix:/nonexistent/site",
    "a file for a socket": f"unix:{__file__}",
}


@pytest.mark.parametrize("upstream", NOWHERE.values(), ids=NOWHERE)
def test_a_site_that_is_not_there_is_a_502_in_a_sentence(tmp_path: Path, upstream: str) -> None:
    got = answered_at(tmp_path, upstream)
    assert got.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert got.endswith(b"\r\n\r\nthe site behind this proxy cannot be reached\n")


NO_NAMES = {
    "too long a label": f"http://{'a' * 64}.invalid",
    "an empty label": "http://a..invalid",
}


@pytest.mark.parametrize("upstream", NO_NAMES.values(), ids=NO_NAMES)
def test_what_cannot_be_a_name_is_told_before_it_is_served(upstream: str) -> None:
    with pytest.raises(ServeError):
        read_upstream(upstream)


# much


@contextlib.contextmanager
def at_most(process_id: int, more: int) -> Iterator[None]:
    """Hold that a process never grows by more than these bytes while the block runs."""
    seen: list[int] = []
    done = threading.Event()

    def sample() -> None:
        while not done.is_set():
            pages = Path(f"/proc/{process_id}/statm").read_text().split()[1]
            seen.append(int(pages) * os.sysconf("SC_PAGE_SIZE"))
            done.wait(0.01)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert max(seen) - seen[0] < more


BLOCK = bytes(1 << 20)
BLOCKS = 256
FRAMES = {
    "by length": (b"Content-Length: %d\r\n\r\n" % (BLOCKS << 20), BLOCK, b""),
    "in chunks": (b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n" % (1 << 20, BLOCK), b"0\r\n\r\n"),
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize(("fields", "block", "end"), FRAMES.values(), ids=FRAMES)
def test_a_quarter_of_a_gigabyte_passes_both_ways_in_constant_memory(
    tmp_path: Path, fields: bytes, block: bytes, end: bytes
) -> None:
    origin = Origin()
    took: list[int] = []

    def answer(peer: socket.socket, head: bytes) -> None:
        if head.startswith(b"GET /warm "):
            peer.sendall(OK)
        elif head.startswith(b"GET"):
            peer.sendall(b"HTTP/1.1 200 OK\r\n" + fields)
            for _ in range(BLOCKS):
                peer.sendall(block)
            peer.sendall(end)
        else:
            took.append(swallow(peer, end))
            peer.sendall(OK)

    origin.answer = answer
    with a_sidecar(tmp_path, origin.port, policy=STRANGERS) as (process, port, _):
        ask(port, b"GET /warm HTTP/1.1\r\n" + CLOSE + b"\r\n")
        with at_most(process.pid, 32 << 20), connect(port) as peer:
            peer.sendall(GET)
            assert swallow(peer, end) >= BLOCKS << 20
        with at_most(process.pid, 32 << 20), connect(port) as peer:
            peer.sendall(b"POST / HTTP/1.1\r\n" + CLOSE + fields)
            for _ in range(BLOCKS):
                peer.sendall(block)
            peer.sendall(end)
            assert plain(read_until(peer, b"ok")) == LAST_OK
    assert took[0] >= BLOCKS << 20
    origin.close()


def swallow(peer: socket.socket, end: bytes) -> int:
    """Take a body of this many blocks; how many bytes came up to its end."""
    total, tail, room = 0, b"", bytearray(1 << 20)
    while total < BLOCKS << 20 or not tail.endswith(end):
        size = peer.recv_into(room)
        if not size:
            return total
        total += size
        tail = (tail + bytes(room[max(0, size - 5) : size]))[-5:]
    return total
