"""Answers that break off: the browser can always tell that what it has is not the whole."""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import time

import pytest

from tests.sidecar.raw import CLOSE, LAST, LAST_OK, OK, Origin, ask, assert_refused, connect, counted, plain
from tests.sidecar.test_chunks import BROKEN_CHUNKS

GET = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
OLD = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
DONE = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def finish(peer: socket.socket) -> None:
    """End a connection as if all were said."""
    peer.shutdown(socket.SHUT_RDWR)


def reset(peer: socket.socket) -> None:
    """End a connection by a reset, once what was sent has been read."""
    time.sleep(0.05)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


ENDS = {"closed": finish, "reset": reset}
PARTS = {
    # said by the site, got by a browser of HTTP/1.1, and by one of HTTP/1.0
    "by length": (
        DONE + b"Content-Length: 100\r\n\r\npart",
        DONE + b"Content-Length: 100\r\n" + LAST + b"\r\npart",
        DONE + b"Content-Length: 100\r\n" + LAST + b"\r\npart",
    ),
    "by length, before its body": (
        DONE + b"Content-Length: 100\r\n\r\n",
        DONE + b"Content-Length: 100\r\n" + LAST + b"\r\n",
        DONE + b"Content-Length: 100\r\n" + LAST + b"\r\n",
    ),
    "by length, one byte before its end": (
        DONE + b"Content-Length: 5\r\n\r\npart",
        DONE + b"Content-Length: 5\r\n" + LAST + b"\r\npart",
        DONE + b"Content-Length: 5\r\n" + LAST + b"\r\npart",
    ),
    "between chunks": (
        DONE + CHUNKED + b"\r\n4\r\npart\r\n",
        DONE + CHUNKED + LAST + b"\r\n4\r\npart\r\n",
        DONE + LAST + b"\r\npart",
    ),
    "within a chunk": (
        DONE + CHUNKED + b"\r\n9\r\npart",
        DONE + CHUNKED + LAST + b"\r\n4\r\npart\r\n",
        DONE + LAST + b"\r\npart",
    ),
    "within a size": (
        DONE + CHUNKED + b"\r\n4\r\npart\r\n1",
        DONE + CHUNKED + LAST + b"\r\n4\r\npart\r\n",
        DONE + LAST + b"\r\npart",
    ),
    "before the last line": (
        DONE + CHUNKED + b"\r\n4\r\npart\r\n0\r\n",
        DONE + CHUNKED + LAST + b"\r\n4\r\npart\r\n",
        DONE + LAST + b"\r\npart",
    ),
    "within a trailer": (
        DONE + CHUNKED + b"\r\n4\r\npart\r\n0\r\nX: 1\r\n",
        DONE + CHUNKED + LAST + b"\r\n4\r\npart\r\n",
        DONE + LAST + b"\r\npart",
    ),
    "before any chunk": (DONE + CHUNKED + b"\r\n", DONE + CHUNKED + LAST + b"\r\n", DONE + LAST + b"\r\n"),
}


def received(port: int, raw: bytes) -> tuple[bytes, bool]:
    """What came back, and whether its end was a reset."""
    got = b""
    with connect(port) as peer:
        peer.sendall(raw)
        try:
            while chunk := peer.recv(65_536):
                got += chunk
        except ConnectionResetError:
            return plain(got), True
    return plain(got), False


@pytest.mark.parametrize(("said", "got"), [(said, got) for said, got, _ in PARTS.values()], ids=PARTS)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_part_never_looks_whole(
    port: int, admin: int, origin: Origin, said: bytes, got: bytes, end: object
) -> None:
    before = counted(admin, "consent_mw_upstream_failures_total")

    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(said)
        (finish if end is finish else reset)(peer)

    origin.answer = answer
    assert received(port, GET)[0] == got
    assert counted(admin, "consent_mw_upstream_failures_total") == before + 1
    assert len(origin.heads) == 1


@pytest.mark.parametrize(("said", "got"), [(said, got) for said, _, got in PARTS.values()], ids=PARTS)
def test_a_part_never_looks_whole_in_http_1_0_either(port: int, origin: Origin, said: bytes, got: bytes) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(said)
        reset(peer)

    origin.answer = answer
    answered, broken = received(port, OLD)
    # The kernel may drop what it has not handed over when a connection is reset: the start of it is still no whole.
    assert got.startswith(answered)
    assert broken or b"Content-Length" in got


@pytest.mark.parametrize("chunks", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
def test_an_answer_in_broken_chunks_never_looks_whole(port: int, origin: Origin, chunks: bytes) -> None:
    origin.say(DONE + CHUNKED + b"\r\n" + chunks + OK)
    assert received(port, GET)[0] in (
        DONE + CHUNKED + LAST + b"\r\n" + one for one in (b"", b"5\r\nhello\r\n", b"4\r\nhell\r\n")
    )
    origin.reset()
    assert plain(ask(port, GET)) == LAST_OK


WITHOUT_END = DONE + b"\r\npart"


def test_what_ends_with_its_connection_is_whole_where_that_is_closed(port: int, origin: Origin) -> None:
    origin.say(WITHOUT_END, close=True)
    assert plain(ask(port, GET)) == DONE + CHUNKED + LAST + b"\r\n4\r\npart\r\n0\r\n\r\n"
    assert plain(ask(port, OLD)) == DONE + LAST + b"\r\npart"


def test_what_ends_with_its_connection_is_a_part_where_that_is_reset(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(WITHOUT_END)
        reset(peer)

    origin.answer = answer
    assert received(port, GET)[0] == DONE + CHUNKED + LAST + b"\r\n4\r\npart\r\n"
    assert received(port, OLD)[1]


def test_a_coded_part_is_not_finished_either(port: int, origin: Origin) -> None:
    body = gzip.compress(bytes(1000))[:20]
    origin.say(DONE + b"Content-Encoding: gzip\r\n" + CHUNKED + b"\r\n14\r\n" + body + b"\r\n", close=True)
    expected = DONE + b"Content-Encoding: gzip\r\n" + CHUNKED + LAST + b"\r\n14\r\n" + body + b"\r\n"
    assert plain(ask(port, GET)) == expected


def test_a_page_that_breaks_off_while_it_is_edited_is_not_finished_either(port: int, origin: Origin) -> None:
    page = b"<html><head><title>x</title></head><body><h1>begun"
    origin.say(DONE + b"Content-Type: text/html\r\nContent-Length: 5000\r\n\r\n" + page, close=True)
    got = ask(port, b"GET / HTTP/1.1\r\nSec-Fetch-Dest: document\r\n" + CLOSE + b"\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"Content-Length" not in head
    assert b"Transfer-Encoding: chunked" in head
    assert b"<title>x</title>" in body
    assert not body.endswith(b"0\r\n\r\n")


def test_nothing_of_an_answer_that_broke_off_reaches_the_next_visitor(port: int, origin: Origin) -> None:
    origin.say(DONE + b"Content-Length: 100\r\n\r\npart", close=True)
    ask(port, GET)
    origin.reset()
    assert plain(ask(port, GET)) == LAST_OK


def test_an_upload_that_breaks_off_breaks_off_at_the_site(port: int, origin: Origin) -> None:
    got: list[bytes] = []

    def answer(peer: socket.socket, head: bytes) -> None:
        while chunk := peer.recv(65_536):
            got.append(chunk)

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart")
        while not got:
            time.sleep(0.01)
    assert origin.gone.wait(5)
    assert b"".join(got) == b"part"


def test_an_upload_that_turns_malformed_after_the_answer_began_ends_both(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(DONE + CHUNKED + b"\r\n4\r\npart\r\n")
        while peer.recv(65_536):
            pass

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + CHUNKED + b"\r\n1\r\nx\r\n")
        got = b""
        while not got.endswith(b"part\r\n"):
            got += peer.recv(65_536)
        peer.sendall(b"XX\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(65_536) == b""
    assert origin.gone.wait(5)


def test_a_refusal_is_counted_and_is_no_failure_of_the_site(port: int, admin: int, origin: Origin) -> None:
    names = ("consent_mw_requests_refused_total", "consent_mw_upstream_failures_total")
    before = [counted(admin, name) for name in names]
    assert_refused(ask(port, b"GET / HTTP/1.1\r\n\r\n"), 400)
    assert plain(ask(port, GET)) == LAST_OK
    assert [counted(admin, name) for name in names] == [before[0] + 1, before[1]]
