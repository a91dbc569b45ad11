"""What the site sends that is no answer of one meaning: the browser gets a 502 that says so, and nothing of it."""

from __future__ import annotations

import pytest

from tests.sidecar.raw import CLOSE, LAST_OK, Origin, ask, plain

GET = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
DONE = b"HTTP/1.1 200 OK\r\n"
SIZED = b"Content-Length: 2\r\n\r\nok"
CHUNKED = b"Transfer-Encoding: chunked\r\n"

BROKEN = {
    # no HTTP
    "nothing": b"",
    "a page without a head": b"<html>hello</html>\r\n\r\n",
    "another protocol": b"SSH-2.0-x\r\n\r\n",
    "radio": b"ICY 200 OK\r\n" + SIZED,
    "bytes of TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "bytes of HTTP/2": b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0",
    "random bytes": bytes(range(256)),
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n" + SIZED,
    "a status below all classes": b"HTTP/1.1 099 Odd\r\n" + SIZED,
    "status nought": b"HTTP/1.1 000 Odd\r\n" + SIZED,
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n" + SIZED,
    "an octal length": DONE + b"Content-Length: 02\r\n\r\nok",
    "an empty line first": b"\r\n" + DONE + SIZED,
    "half a status line": b"HTTP/1.1 20",
    "half a head": DONE + b"Content-Length: 2\r\n",
    "two digits of status": b"HTTP/1.1 20 OK\r\n" + SIZED,
    "four digits of status": b"HTTP/1.1 2000 OK\r\n" + SIZED,
    "no status": b"HTTP/1.1 OK\r\n" + SIZED,
    # fields
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "one bare line feed": DONE + b"X: 1\n" + SIZED,
    "a carriage return in a value": DONE + b"X: a\rb\r\n" + SIZED,
    "a null in a value": DONE + b"X: \0\r\n" + SIZED,
    "a control character in a value": DONE + b"X: \x01\r\n" + SIZED,
    "a folded first field": DONE + b" X: a\r\n" + SIZED,
    "a folded length": DONE + b"Content-Length: 2\r\n 0\r\n\r\nok",
    "a space before a colon": DONE + b"X : 1\r\n" + SIZED,
    "a space before the length's colon": DONE + b"Content-Length : 2\r\n\r\nok",
    "a high byte in a name": DONE + b"X\xe4: 1\r\n" + SIZED,
    "no name": DONE + b": 1\r\n" + SIZED,
    "no colon": DONE + b"X\r\n" + SIZED,
    "a head without end": DONE + b"X: " + b"a" * 300_000 + b"\r\n" + SIZED,
    "fields without end": DONE + b"X: 1\r\n" * 50_000 + SIZED,
    # framing
    "two lengths": DONE + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a list of lengths": DONE + b"Content-Length: 2, 3\r\n\r\nok",
    "a signed length": DONE + b"Content-Length: +2\r\n\r\nok",
    "a negative length": DONE + b"Content-Length: -2\r\n\r\nok",
    "an empty length": DONE + b"Content-Length:\r\n\r\nok",
    "a hexadecimal length": DONE + b"Content-Length: 0x2\r\n\r\nok",
    "a word for a length": DONE + b"Content-Length: two\r\n\r\nok",
    "a length beyond 64 bits": DONE + b"Content-Length: 18446744073709551618\r\n\r\nok",
    "a length and chunks": DONE + b"Content-Length: 2\r\n" + CHUNKED + b"\r\n2\r\nok\r\n0\r\n\r\n",
    "chunks and a length": DONE + CHUNKED + b"Content-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n2\r\nok\r\n0\r\n\r\n",
    "identity": DONE + b"Transfer-Encoding: identity\r\n\r\nok",
    "gzip": DONE + b"Transfer-Encoding: gzip\r\n\r\nok",
    "gzip, chunked": DONE + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked, chunked": DONE + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked twice": DONE + CHUNKED + CHUNKED + b"\r\n2\r\nok\r\n0\r\n\r\n",
    "a vertical tab before chunked": DONE + b"Transfer-Encoding: \x0bchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a space before the coding's colon": DONE + b"Transfer-Encoding : chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    # upgrades
    "a protocol that nobody asked for": b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "a protocol without a name": b"HTTP/1.1 101 Switching\r\n\r\n",
}
"""Answers that no browser must see as they are."""


def assert_failed(got: bytes) -> None:
    """Hold that this is our 502, and all of it."""
    head, _, body = plain(got).partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 502 Bad Gateway", b"Content-Type: text/plain; charset=utf-8", b"Content-Length: %d" % len(body),
        b"Cache-Control: no-store", b"Connection: close",
    ]  # fmt: skip
    assert body.startswith(b"the ")
    assert b"the site behind this proxy" in body
    assert body.count(b"\n") == 1


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_what_is_no_answer_of_one_meaning_becomes_a_502(port: int, origin: Origin, raw: bytes) -> None:
    origin.say(raw, close=True)
    assert_failed(ask(port, b"POST / HTTP/1.1\r\n" + CLOSE + b"Content-Length: 0\r\n\r\n"))
    assert len(origin.requests) == 1
    origin.reset()
    assert plain(ask(port, GET)) == LAST_OK


def test_an_interim_answer_has_no_body(port: int, origin: Origin) -> None:
    origin.say(b"HTTP/1.1 103 Hints\r\nLink: <x>\r\n" + SIZED, close=True)
    got = ask(port, b"POST / HTTP/1.1\r\n" + CLOSE + b"Content-Length: 0\r\n\r\n")
    assert_failed(got.removeprefix(b"HTTP/1.1 103 Hints\r\nLink: <x>\r\n\r\n"))


def test_a_length_that_is_said_twice_is_passed_on_once(port: int, origin: Origin) -> None:
    origin.say(DONE + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok")
    got = ask(port, GET)
    assert got.count(b"Content-Length") == 1
