"""Request bodies in chunks: read one way only, or refused and never whole at the site."""

from __future__ import annotations

import pytest

from tests.sidecar.raw import LAST, LAST_OK, SMUGGLED, Origin, ask, assert_refused, plain, trickle

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


BROKEN_CHUNKS = {
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "no hexadecimal": b"g\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "an extension without a size": b";x\r\nhello\r\n0\r\n\r\n",
    "space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "space after": b"5 \r\nhello\r\n0\r\n\r\n",
    "tab after": b"5\t\r\nhello\r\n0\r\n\r\n",
    "null after": b"5\0\r\nhello\r\n0\r\n\r\n",
    "list": b"5,5\r\nhello\r\n0\r\n\r\n",
    "wrapped around 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "wrapped around 32 bits thrice": b"1000000000000000000000005\r\nhello\r\n0\r\n\r\n",
    "noughts without end": b"0" * 5000 + b"5\r\nhello\r\n0\r\n\r\n",
    "line feed after the size": b"5\nhello\r\n0\r\n\r\n",
    "carriage return after the size": b"5\rhello\r\n0\r\n\r\n",
    "two carriage returns after the size": b"5\r\r\nhello\r\n0\r\n\r\n",
    "line feed in an extension": b"5;x\nhello\r\n0\r\n\r\n",
    "line feed in a quoted extension": b'5;x="\n"\r\nhello\r\n0\r\n\r\n',
    "carriage return in an extension": b"5;x\ry\r\nhello\r\n0\r\n\r\n",
    "null in an extension": b"5;\0\r\nhello\r\n0\r\n\r\n",
    "an extension without end": b"5;" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
    "line feed after the data": b"5\r\nhello\n0\r\n\r\n",
    "carriage return after the data": b"5\r\nhello\r0\r\n\r\n",
    "two other bytes after the data": b"5\r\nhelloXX0\r\n\r\n",
    "nothing after the data": b"5\r\nhello0\r\n\r\n",
    "longer than it says": b"5\r\nhello!\r\n0\r\n\r\n",
    "shorter than it says": b"5\r\nhell\r\n0\r\n\r\n",
    "line feed after the last": b"5\r\nhello\r\n0\n\n",
    "line feed at the very end": b"5\r\nhello\r\n0\r\n\n",
    "carriage return at the very end": b"5\r\nhello\r\n0\r\n\rX",
    "trailer with a space before its colon": b"5\r\nhello\r\n0\r\nX : 1\r\n\r\n",
    "trailer that is folded": b"5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n",
    "trailer without a colon": b"5\r\nhello\r\n0\r\nX\r\n\r\n",
    "trailer with a line feed": b"5\r\nhello\r\n0\r\nX: 1\nY: 2\r\n\r\n",
    "trailer with a null": b"5\r\nhello\r\n0\r\nX: \0\r\n\r\n",
    "trailers without end": b"5\r\nhello\r\n0\r\n" + b"X: " + b"a" * 4000 + b"\r\n" + b"Y: 1\r\n" * 12_000,
    "a request instead of a trailer": b"5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("chunks", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
def test_a_body_in_broken_chunks_is_refused_and_never_whole_at_the_site(
    port: int, origin: Origin, chunks: bytes
) -> None:
    assert_refused(ask(port, POST + CODING + b"\r\n" + chunks + SMUGGLED), 400)
    assert [head for head in origin.heads if b"smuggled" in head] == []
    assert origin.requests == []


@pytest.mark.parametrize("case", ["longer than it says", "line feed at the very end", "space after", "no size"])
def test_how_broken_chunks_travel_refuses_them_the_same(port: int, origin: Origin, case: str) -> None:
    assert_refused(trickle(port, POST + CODING + b"\r\n" + BROKEN_CHUNKS[case]), 400)
    assert origin.requests == []


WHOLE_CHUNKS = {
    "one": b"5\r\nhello\r\n0\r\n\r\n",
    "several": b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
    "capital digits": b"A\r\nhellohello\r\n0\r\n\r\n",
    "leading noughts": b"00005\r\nhello\r\n0\r\n\r\n",
    "several noughts at the end": b"5\r\nhello\r\n0000\r\n\r\n",
    "an extension": b"5;a=b\r\nhello\r\n0;c\r\n\r\n",
    "a quoted extension": b'5;a="b;c"\r\nhello\r\n0\r\n\r\n',
    "white space before an extension": b"5 \t;a\r\nhello\r\n0\r\n\r\n",
    "no data": b"0\r\n\r\n",
    "data that looks like an end": b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
    "data that looks like a request": b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
}
CARRIED = {"capital digits": b"hellohello", "no data": b"", "data that looks like an end": b"\r\n0\r\n\r\n",
           "data that looks like a request": SMUGGLED}  # fmt: skip


@pytest.mark.parametrize("case", WHOLE_CHUNKS)
@pytest.mark.parametrize("send", [ask, trickle], ids=["at once", "byte by byte"])
def test_chunks_arrive_as_their_data_without_extensions(port: int, origin: Origin, case: str, send: object) -> None:
    raw = POST + LAST + CODING + b"\r\n" + WHOLE_CHUNKS[case]
    assert plain((ask if send is ask else trickle)(port, raw)) == LAST_OK
    assert origin.requests == [POST + CODING + b"\r\n" + CARRIED.get(case, b"hello")]
