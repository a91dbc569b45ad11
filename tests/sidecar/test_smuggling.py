"""Requests that two servers could end at different places: each is refused, or forwarded so that no two can."""

from __future__ import annotations

import socket
import time

import pytest

from tests.sidecar.raw import CLOSE, LAST, LAST_OK, OK, SMUGGLED, Origin, ask, assert_refused, connect, plain, trickle

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
LENGTH = b"Content-Length: 5\r\n"
CODING = b"Transfer-Encoding: chunked\r\n"


def coded(line: bytes) -> bytes:
    """A request with this for a coding, and a length for whoever does not see one."""
    return POST + LENGTH + line + b"\r\n" + CHUNKS


def framed(line: bytes) -> bytes:
    """A request with this line alone for its framing."""
    return POST + line + b"\r\n" + b"hello"


REFUSED = {
    # a length and chunks
    "length, then chunks": (400, POST + LENGTH + CODING + b"\r\n" + CHUNKS),
    "chunks, then length": (400, POST + CODING + LENGTH + b"\r\n" + CHUNKS),
    "length nought and chunks": (400, POST + b"Content-Length: 0\r\n" + CODING + b"\r\n" + CHUNKS),
    "chunks and an empty length": (400, POST + CODING + b"Content-Length:\r\n\r\n" + CHUNKS),
    "length and an unknown coding": (400, coded(b"Transfer-Encoding: x\r\n")),
    "length and an empty coding": (400, coded(b"Transfer-Encoding:\r\n")),
    "length and chunks in lower case": (400, coded(b"transfer-encoding: chunked\r\n")),
    "length and chunks in odd case": (400, coded(b"tRANSFER-eNCODING: cHUNKED\r\n")),
    "length and chunks behind a tab": (400, coded(b"Transfer-Encoding:\tchunked\r\n")),
    # a coding that some see
    "space before the colon": (400, coded(b"Transfer-Encoding : chunked\r\n")),
    "tab before the colon": (400, coded(b"Transfer-Encoding\t: chunked\r\n")),
    "vertical tab before the coding": (400, coded(b"Transfer-Encoding: \x0bchunked\r\n")),
    "vertical tab after the coding": (400, coded(b"Transfer-Encoding: chunked\x0b\r\n")),
    "form feed after the coding": (400, coded(b"Transfer-Encoding: chunked\x0c\r\n")),
    "null after the coding": (400, coded(b"Transfer-Encoding: chunked\0\r\n")),
    "null in the name": (400, coded(b"Transfer-Encoding\0: chunked\r\n")),
    "carriage return after the coding": (400, coded(b"Transfer-Encoding: chunked\r\r\n")),
    "carriage return before the name": (400, coded(b"X: y\rTransfer-Encoding: chunked\r\n")),
    "line feed before the name": (400, coded(b"X: y\nTransfer-Encoding: chunked\r\n")),
    "line feed after the coding": (400, coded(b"Transfer-Encoding: chunked\n")),
    "space before the name": (400, coded(b" Transfer-Encoding: chunked\r\n")),
    "tab before the name": (400, coded(b"\tTransfer-Encoding: chunked\r\n")),
    "folded under another field": (400, coded(b"X: y\r\n Transfer-Encoding: chunked\r\n")),
    "folded value": (400, coded(b"Transfer-Encoding:\r\n chunked\r\n")),
    "value folded by a tab": (400, coded(b"Transfer-Encoding:\r\n\tchunked\r\n")),
    "first line is folded": (400, b"POST / HTTP/1.1\r\n Host: a\r\n" + CODING + b"\r\n" + CHUNKS),
    "high byte before the name": (400, coded(b"\xffTransfer-Encoding: chunked\r\n")),
    "no colon": (400, coded(b"Transfer-Encoding chunked\r\n")),
    "no name": (400, coded(b": chunked\r\n")),
    # codings that are not exactly chunked
    "chunked, identity": (501, framed(b"Transfer-Encoding: chunked, identity\r\n")),
    "identity, chunked": (501, framed(b"Transfer-Encoding: identity, chunked\r\n")),
    "identity": (501, framed(b"Transfer-Encoding: identity\r\n")),
    "chunked, chunked": (501, framed(b"Transfer-Encoding: chunked, chunked\r\n")),
    "chunked twice": (501, POST + CODING + CODING + b"\r\n" + CHUNKS),
    "chunked, then a cow": (501, POST + CODING + b"Transfer-Encoding: cow\r\n\r\n" + CHUNKS),
    "a cow, then chunked": (501, POST + b"Transfer-Encoding: cow\r\n" + CODING + b"\r\n" + CHUNKS),
    "gzip, chunked": (501, framed(b"Transfer-Encoding: gzip, chunked\r\n")),
    "xchunked": (501, framed(b"Transfer-Encoding: xchunked\r\n")),
    "chunked with a parameter": (501, framed(b"Transfer-Encoding: chunked;q=1\r\n")),
    "chunked in quotes": (501, framed(b'Transfer-Encoding: "chunked"\r\n')),
    "chunked and a comma": (501, framed(b"Transfer-Encoding: chunked,\r\n")),
    "a comma and chunked": (501, framed(b"Transfer-Encoding: ,chunked\r\n")),
    "no coding": (501, framed(b"Transfer-Encoding:\r\n")),
    "chunked with a Kelvin sign": (501, framed("Transfer-Encoding: chun\u212aed\r\n".encode())),
    "chunked with a no-break space": (501, framed(b"Transfer-Encoding: chunked\xa0\r\n")),
    "chunks in HTTP/1.0": (400, b"POST / HTTP/1.0\r\nHost: a\r\n" + CODING + b"\r\n" + CHUNKS),
    "chunks kept alive in HTTP/1.0": (
        400,
        b"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n" + CODING + b"\r\n" + CHUNKS,
    ),
    # lengths
    "plus": (400, framed(b"Content-Length: +5\r\n")),
    "minus": (400, framed(b"Content-Length: -5\r\n")),
    "minus nought": (400, framed(b"Content-Length: -0\r\n")),
    "empty": (400, framed(b"Content-Length:\r\n")),
    "word": (400, framed(b"Content-Length: five\r\n")),
    "hexadecimal": (400, framed(b"Content-Length: 0x5\r\n")),
    "exponent": (400, framed(b"Content-Length: 5e0\r\n")),
    "point": (400, framed(b"Content-Length: 5.0\r\n")),
    "underscore": (400, framed(b"Content-Length: 1_0\r\n")),
    "leading nought": (400, framed(b"Content-Length: 05\r\n")),
    "noughts": (400, framed(b"Content-Length: 00\r\n")),
    "space within": (400, framed(b"Content-Length: 5 5\r\n")),
    "list of equals": (400, framed(b"Content-Length: 5, 5\r\n")),
    "list of others": (400, framed(b"Content-Length: 5, 6\r\n")),
    "trailing comma": (400, framed(b"Content-Length: 5,\r\n")),
    "semicolon": (400, framed(b"Content-Length: 5;\r\n")),
    "quotes": (400, framed(b'Content-Length: "5"\r\n')),
    "other digits": (400, framed("Content-Length: \u0665\r\n".encode())),
    "no-break space": (400, framed(b"Content-Length: 5\xa0\r\n")),
    "vertical tab": (400, framed(b"Content-Length: \x0b5\r\n")),
    "null": (400, framed(b"Content-Length: 5\0\r\n")),
    "space before its colon": (400, framed(b"Content-Length : 5\r\n")),
    "folded": (400, framed(b"Content-Length: 5\r\n 6\r\n")),
    "same twice": (400, framed(LENGTH + LENGTH)),
    "same twice in other case": (400, framed(LENGTH + b"content-length: 5\r\n")),
    "others twice": (400, framed(LENGTH + b"Content-Length: 6\r\n")),
    "beyond 63 bits": (400, framed(b"Content-Length: 9223372036854775808\r\n")),
    "wrapped around 64 bits": (400, framed(b"Content-Length: 18446744073709551621\r\n")),
    # heads that end elsewhere
    "bare line feeds": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "bare line feed at the end of the head": (400, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    "bare line feed before the end of the head": (400, b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
    "carriage returns only": (400, b"GET / HTTP/1.1\rHost: a\r\r\n\r\n"),
    "two carriage returns": (400, b"GET / HTTP/1.1\r\r\nHost: a\r\r\n\r\r\n\r\n"),
    "null in the head": (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"),
    # expectations
    "unknown expectation": (417, POST + b"Expect: x\r\n" + LENGTH + b"\r\nhello"),
    "expectations, one unknown": (417, POST + b"Expect: 100-continue, x\r\n" + LENGTH + b"\r\nhello"),
    "two expectations, the first unknown": (
        417,
        POST + b"Expect: x\r\nExpect: 100-continue\r\n" + LENGTH + b"\r\nhello",
    ),
    "two expectations, the second unknown": (
        417,
        POST + b"Expect: 100-continue\r\nExpect: x\r\n" + LENGTH + b"\r\nhello",
    ),
    "two expectations, the first empty": (
        417,
        POST + b"Expect:\r\nExpect: x\r\n" + LENGTH + b"\r\nhello",
    ),
    "expectation behind a letter": (417, POST + b"Expect: y 100-continue\r\n" + LENGTH + b"\r\nhello"),
    "folded expectation": (400, POST + b"Expect:\r\n 100-continue\r\n" + LENGTH + b"\r\nhello"),
}


@pytest.mark.parametrize(("status", "raw"), REFUSED.values(), ids=REFUSED)
def test_what_could_be_framed_two_ways_is_refused_and_nothing_follows(
    port: int, origin: Origin, status: int, raw: bytes
) -> None:
    assert_refused(ask(port, raw + SMUGGLED), status)
    assert origin.heads == []


SPLIT = ("length, then chunks", "space before the colon", "leading nought", "bare line feed at the end of the head")


@pytest.mark.parametrize("case", SPLIT)
def test_how_the_bytes_travel_refuses_the_same(port: int, origin: Origin, case: str) -> None:
    status, raw = REFUSED[case]
    assert_refused(trickle(port, raw + SMUGGLED), status)
    assert origin.heads == []


def passed(head: bytes, body: bytes = b"") -> bytes:
    return head + b"\r\n" + body


FORWARDED = {
    "length": (
        POST + LAST + LENGTH + b"\r\nhello",
        [passed(POST + LENGTH, b"hello")],
    ),
    "length behind white space": (
        POST + LAST + b"Content-Length: \t 5 \t\r\n\r\nhello",
        [passed(POST + LENGTH, b"hello")],
    ),
    "length without white space": (
        POST + LAST + b"Content-Length:5\r\n\r\nhello",
        [passed(POST + LENGTH, b"hello")],
    ),
    "length as CGI spells it": (
        POST + LAST + b"Content_Length: 99\r\n" + LENGTH + b"\r\nhello",
        [passed(POST + LENGTH, b"hello")],
    ),
    "coding as CGI spells it": (
        POST + LAST + b"Transfer_Encoding: chunked\r\n" + LENGTH + b"\r\nhello",
        [passed(POST + LENGTH, b"hello")],
    ),
    "chunks": (POST + LAST + CODING + b"\r\n" + CHUNKS, [passed(POST + CODING, b"hello")]),
    "chunks in odd case": (
        POST + LAST + b"transfer-ENCODING: cHuNkEd\r\n\r\n" + CHUNKS,
        [passed(POST + CODING, b"hello")],
    ),
    "chunks behind a tab": (
        POST + LAST + b"Transfer-Encoding:\tchunked \r\n\r\n" + CHUNKS,
        [passed(POST + CODING, b"hello")],
    ),
    "a body under GET": (
        b"GET / HTTP/1.1\r\n" + CLOSE + LENGTH + b"\r\nhello",
        [passed(b"GET / HTTP/1.1\r\nHost: a\r\n" + LENGTH, b"hello")],
    ),
    "chunks under GET": (
        b"GET / HTTP/1.1\r\n" + CLOSE + CODING + b"\r\n" + CHUNKS,
        [passed(b"GET / HTTP/1.1\r\nHost: a\r\n" + CODING, b"hello")],
    ),
    "no length under POST": (POST + LAST + b"\r\n", [passed(POST)]),
    "length nought under POST": (
        POST + LAST + b"Content-Length: 0\r\n\r\n",
        [passed(POST + b"Content-Length: 0\r\n")],
    ),
    "length in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nHost: a\r\n" + LENGTH + b"\r\nhello",
        [passed(POST + LENGTH, b"hello")],
    ),
    "an expectation in odd case": (
        POST + LAST + b"Expect: 100-Continue\r\n" + LENGTH + b"\r\nhello",
        [passed(POST + b"Expect: 100-Continue\r\n" + LENGTH, b"hello")],
    ),
}


@pytest.mark.parametrize(("raw", "expected"), FORWARDED.values(), ids=FORWARDED)
def test_what_is_framed_one_way_is_forwarded_so_and_what_follows_the_last_request_is_not(
    port: int, origin: Origin, raw: bytes, expected: list[bytes]
) -> None:
    assert plain(ask(port, raw + SMUGGLED)) == LAST_OK
    assert origin.requests == expected


@pytest.mark.parametrize("case", ["chunks", "length", "an expectation in odd case"])
def test_how_the_bytes_travel_forwards_the_same(port: int, origin: Origin, case: str) -> None:
    raw, expected = FORWARDED[case]
    assert plain(trickle(port, raw)) == LAST_OK
    assert origin.requests == expected


PIPELINED = {
    "after a length": (POST + LENGTH + b"\r\nhello", passed(POST + LENGTH, b"hello")),
    "after length nought": (POST + b"Content-Length: 0\r\n\r\n", passed(POST + b"Content-Length: 0\r\n")),
    "after chunks": (POST + CODING + b"\r\n" + CHUNKS, passed(POST + CODING, b"hello")),
    "after trailers": (
        POST + CODING + b"\r\n0\r\nX: 1\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\n\r\n",
        passed(POST + CODING),
    ),
    "after a GET with a body": (
        b"GET / HTTP/1.1\r\nHost: a\r\n" + LENGTH + b"\r\nhello",
        passed(b"GET / HTTP/1.1\r\nHost: a\r\n" + LENGTH, b"hello"),
    ),
    "after an empty line": (b"\r\n" + POST + b"\r\n", passed(POST)),
}


@pytest.mark.parametrize(("raw", "first"), PIPELINED.values(), ids=PIPELINED)
def test_the_next_request_begins_where_the_one_before_ends(
    port: int, origin: Origin, raw: bytes, first: bytes
) -> None:
    last = b"GET /next HTTP/1.1\r\n" + CLOSE + b"\r\n"
    assert plain(ask(port, raw + last)) == OK + LAST_OK
    assert origin.requests == [first, b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"]


def test_bytes_after_a_request_without_a_length_are_no_body_of_it(port: int, origin: Origin) -> None:
    got = plain(ask(port, POST + b"\r\nhello\r\n\r\n"))
    assert got.startswith(OK)
    assert_refused(got.removeprefix(OK), 400)
    assert origin.requests == [passed(POST)]


def test_an_answer_before_the_expected_body_ends_both_connections(port: int, origin: Origin) -> None:
    origin.answer = lambda peer, head: peer.sendall(OK)  # an answer instead of 100, the body unread
    raw = POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)
    with connect(port) as peer:
        peer.sendall(raw)
        got = peer.recv(65_536)
        peer.sendall(SMUGGLED + SMUGGLED)  # what was held back, and what pretends to be another request
        while chunk := _rest(peer):
            got += chunk
    assert plain(got) == LAST_OK
    accepted = origin.accepted
    assert plain(ask(port, b"GET /other HTTP/1.1\r\n" + CLOSE + b"\r\n")) == LAST_OK
    assert origin.accepted == accepted + 1
    assert [head.split(b" ")[1] for head in origin.heads] == [b"/", b"/other"]


def _rest(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65_536)
    except ConnectionResetError:
        return b""


def test_an_expectation_without_a_body_forwards_nothing_of_what_follows_as_one(port: int, origin: Origin) -> None:
    raw = b"GET /404 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"
    assert plain(ask(port, raw + b"GET /next HTTP/1.1\r\n" + CLOSE + b"\r\n")) == OK + LAST_OK
    assert [one.split(b"\r\n")[0] for one in origin.requests] == [b"GET /404 HTTP/1.1", b"GET /next HTTP/1.1"]


UNFINISHED = {
    "half a head": POST + CODING,
    "half a length": POST + LENGTH + b"\r\nhel",
    "half a chunk": POST + CODING + b"\r\n5\r\nhel",
    "half a size": POST + CODING + b"\r\n5",
    "no last chunk": POST + CODING + b"\r\n5\r\nhello\r\n",
    "no last line": POST + CODING + b"\r\n5\r\nhello\r\n0\r\n",
    "half the last line": POST + CODING + b"\r\n5\r\nhello\r\n0\r\n\r",
    "half a trailer": POST + CODING + b"\r\n5\r\nhello\r\n0\r\nX: 1\r\n",
}


@pytest.mark.parametrize("raw", UNFINISHED.values(), ids=UNFINISHED)
def test_a_request_that_never_ends_is_never_whole_at_the_site(port: int, origin: Origin, raw: bytes) -> None:
    with connect(port) as peer:
        peer.sendall(raw)
        peer.shutdown(socket.SHUT_WR)
        while _rest(peer):
            pass
    time.sleep(0.02)  # what could still travel to the site has done so
    assert origin.requests == []
