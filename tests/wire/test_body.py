"""Request bodies: measured one way only."""

from __future__ import annotations

import pytest

from consent_mw.wire.body import ChunkedBody, MalformedBodyError, body_of

BODIES = {
    "length": (5, b"hello", b"hello"),
    "chunks": (None, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
    "upper-case size": (None, b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "leading zeros": (None, b"0003\r\nabc\r\n000\r\n\r\n", b"abc"),
    "extension": (None, b'3;a="b;c"\r\nabc\r\n0;x\r\n\r\n', b"abc"),
    "trailers": (None, b"0\r\nX-A: 1\r\nX-B:\r\n\r\n", b""),
    "line ends as data": (None, b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    "a chunk's end as data": (None, b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
}


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
@pytest.mark.parametrize(("length", "raw", "data"), BODIES.values(), ids=BODIES)
def test_a_body_takes_its_own_bytes_and_leaves_the_next_request(
    length: int | None, raw: bytes, data: bytes, step: int
) -> None:
    body, buffer, got, whole = body_of(length), bytearray(), b"", raw + b"GET /"
    for start in range(0, len(whole), step):
        buffer += whole[start : start + step]
        got += b"" if body.done else body.take(buffer)
    assert (got, body.done, bytes(buffer)) == (data, True, b"GET /")


MALFORMED = {
    "no size": b"\r\n",
    "hexadecimal prefix": b"0x3\r\nabc\r\n",
    "sign": b"+3\r\nabc\r\n",
    "negative": b"-1\r\n",
    "space before": b" 3\r\nabc\r\n",
    "space after": b"3 \r\nabc\r\n",
    "underscore": b"1_0\r\n",
    "too many digits": b"0" * 15 + b"3\r\nabc\r\n",
    "line feed alone": b"3\nabc\r\n0\r\n\r\n",
    "carriage return alone": b"3\rabc\r\n0\r\n\r\n",
    "line feed in an extension": b"3;a\nb\r\nabc\r\n",
    "carriage return in an extension": b"3;a\rb\r\nabc\r\n",
    "null in an extension": b"3;\0\r\nabc\r\n",
    "longer than it says": b"3\r\nabcd\r\n0\r\n\r\n",
    "line feed alone after the data": b"3\r\nabc\n0\r\n\r\n",
    "endless size line": b"3;" + b"a" * 5000,
    "trailer without a name": b"0\r\n: x\r\n\r\n",
    "folded trailer": b"0\r\nX: 1\r\n 2\r\n\r\n",
    "request as a trailer": b"0\r\nGET / HTTP/1.1\r\n\r\n",
    "endless trailers": b"0\r\n" + b"X: 1\r\n" * 20_000,
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_a_chunk_that_can_be_measured_two_ways_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        ChunkedBody().take(bytearray(raw))
