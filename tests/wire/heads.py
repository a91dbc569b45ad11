"""Heads as they come: ordinary ones, hostile ones, and ones that hypothesis makes up."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.sidecar import (
    test_broken_answers,
    test_edges,
    test_fidelity,
    test_forwarding,
    test_hop_by_hop,
    test_smuggling,
)

BROWSER = (
    b"Host: example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\nSec-Fetch-Dest: document\r\n"
    b"X-Forwarded-For: 192.0.2.1\r\nCookie: session=s1; _ga=GA1.1.1; theme=dark; lang=en-GB\r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 24 Nov 2026 10:04:06 GMT\r\nContent-Type: text/html\r\n"
    b'Content-Length: 2051\r\nETag: "6b0560f5-803"\r\nSet-Cookie: session=abc; Path=/; HttpOnly\r\n'
    b"Set-Cookie: _ga=GA1.2.3; Path=/\r\nAccept-Ranges: bytes\r\nConnection: keep-alive"
)

ORDINARY_REQUESTS = {
    "a page": b"GET /page HTTP/1.1\r\n" + BROWSER,
    "a query": b"GET /page?a=b&c=%20 HTTP/1.1\r\n" + BROWSER,
    "an old version": b"GET / HTTP/1.0\r\n\r\n",
    "every server": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "another's words": b"GET http://a.example/b HTTP/1.1\r\nHost: b\r\n\r\n",
    "a length": b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n",
    "crumbs": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\ncookie: c=3\r\n\r\n",
    "space around values": b"GET / HTTP/1.1\r\nHost:a\r\nX-A: \t b \t\r\nX-B:\r\nX-C: \r\nX-D:\td\r\nX-E:e \r\n\r\n",
    "octets that are no text": b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\x80\tcaf\xe9 and a tab\t, and more\r\n\r\n",
    "underscores": b"GET / HTTP/1.1\r\nHost: a\r\nX_Odd: 1\r\nContent_Length: 5\r\n\r\n",
    "a long line": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 5000 + b"\r\n\r\n",
    "as many fields as may be": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 199 + b"\r\n",
    "the longest target": b"GET /" + b"a" * 16_383 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    **{
        name: b"GET / HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n"
        for table in (test_forwarding, test_hop_by_hop)
        for name, field in {**table.REMOVED, **{name: kept[0] for name, kept in table.KEPT.items()}}.items()
    },
}

ODD_REQUESTS = {
    "connect": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "trace": b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a folded field": b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "nothing": b"",
    "an empty line": b"\r\n\r\n",
    "two empty lines": b"\r\n\r\n\r\n",
    "no end": b"GET / HTTP/1.1\r\nHost: a\r\n",
    "one more line end": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
    "an empty line within": b"GET / HTTP/1.1\r\n\r\nHost: a\r\n\r\n",
    "a carriage return alone": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "a carriage return before the end": b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
    "a line feed alone": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nHost: b\r\n\r\n",
    "a null at the end": b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
    "a null in a name": b"GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n",
    "a DEL among eight": b"GET / HTTP/1.1\r\nHost: a\r\nX: abcdefg\x7fabcdefgh\r\n\r\n",
    "a control beyond eight": b"GET / HTTP/1.1\r\nHost: a\r\nX: abcdefghij\x01\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost a\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\n: a\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space behind": b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "no version": b"GET /\r\nHost: a\r\n\r\n",
    "another version": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "a fragment": b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target too long": b"GET /" + b"a" * 16_384 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "one field too many": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
}

ORDINARY_ANSWERS = {
    "a page": ANSWER,
    "an old version": b"HTTP/1.0 200 OK\r\nContent-Length: 1",
    "no field": b"HTTP/1.1 204 No Content",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 0",
    "a reason that is no text": b"HTTP/1.1 299 caf\xe9\tx\r\nX: y",
    "told for CDNs": b"HTTP/1.1 200 OK\r\nCDN-Cache-Control: x\r\nX-CDN-Cache-Control: a\r\nVary: a\r\nvary: b",
    **{name: raw.partition(b"\r\n\r\n")[0] for name, (_, raw) in test_edges.BODILESS.items()},
}

UNUSUAL_ANSWERS = {
    "a folded line": b"HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\nContent-Length: 0",
    "a status without more": b"HTTP/1.1 200\r\nContent-Length: 0",
    "a status of its own": b"HTTP/1.1 999 Denied\r\nContent-Length: 0",
    "very many fields": b"HTTP/1.1 200 OK" + b"\r\nX: 1" * 201,
}
"""What is read, though not natively: folded lines, status lines without a reason's space, statuses from 600 on, more
than 200 fields."""

ODD_ANSWERS = {
    "nothing": b"",
    "not HTTP": b"SSH-2.0-x",
    "a control": b"HTTP/1.1 200 OK\r\nX: \x01",
    "a null": b"HTTP/1.1 200 OK\r\nX: a\0b",
    "a null in the reason": b"HTTP/1.1 200 O\0K\r\nX: a",
    "a carriage return": b"HTTP/1.1 200 OK\r\nX: a\rb",
    "a line feed": b"HTTP/1.1 200 OK\nX: a",
    "no colon": b"HTTP/1.1 200 OK\r\nX",
    "another version": b"HTTP/2 200 OK\r\nX: a",
    "half a status": b"HTTP/1.1 20",
    "a letter in it": b"HTTP/1.1 2o0 OK",
}

MORE_REQUESTS = {
    name: raw[: raw.find(b"\r\n\r\n") + 4]
    for table in (test_smuggling.REFUSED, test_fidelity.REFUSED)
    for name, (_, raw) in table.items()
}
MORE_ANSWERS = {name: raw.partition(b"\r\n\r\n")[0] for name, raw in test_broken_answers.BROKEN.items()}
"""What the sidecar refuses, for the form of it or for what its fields say together."""

_NAMES = st.one_of(
    st.sampled_from(
        [
            b"Host", b"host", b"COOKIE", b"Cookie", b"Set-Cookie", b"set-cookie", b"X-Forwarded-For", b"Connection",
            b"Content-Length", b"Transfer-Encoding", b"ETag", b"Vary", b"Accept", b"DNT", b"Sec-GPC", b"X_Real_IP",
            b"CDN-Cache-Control", b"Consent-Visitor", b"consent_visitor", b"X", b"X-Custom", b"Via", b"TE", b"",
            b"X:", b"X ", b" X", b"\tX", b"X\0", b"\xff",
        ]
    ),
    st.binary(max_size=6),
)  # fmt: skip
_VALUES = st.one_of(
    st.sampled_from(
        [
            b"a", b"", b" ", b"example.com", b"close", b"chunked", b"5", b"a\tb", b"x" * 300, b"\xff\x80",
            b"a=1; _ga=2", b"a\x00", b"a\x7f", b"\x1f", b"a\nb", b"a\rb",
        ]
    ),
    st.binary(max_size=40),
    st.text("abc ;=,\t", max_size=30).map(str.encode),
)  # fmt: skip
_LINES = st.builds(
    lambda name, between, value, after: name + between + value + after,
    _NAMES,
    st.sampled_from([b": ", b": ", b": ", b":", b":\t", b":  ", b" : ", b""]),
    _VALUES,
    st.sampled_from([b"", b"", b"", b" ", b"\t", b"\r", b"\0"]),
)
_ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b"\r\n\r\n"])
_FIELDS = st.lists(st.tuples(_LINES, _ENDS), max_size=8).map(lambda lines: b"".join(one + end for one, end in lines))


def _spoilt(raw: bytes, places: list[tuple[int, int]]) -> bytes:
    mutable = bytearray(raw)
    for place, octet in places:
        if mutable:
            mutable[place % len(mutable)] = octet
    return bytes(mutable)


def _mixed(ordinary: dict[str, bytes], first_lines: list[bytes], tail: bytes) -> st.SearchStrategy[bytes]:
    made = st.builds(
        lambda line, end, fields: line + end + fields + tail,
        st.one_of(st.sampled_from(first_lines), st.binary(max_size=20)),
        _ENDS,
        _FIELDS,
    )
    spoilt = st.builds(
        _spoilt,
        st.sampled_from([raw for raw in ordinary.values() if len(raw) < 2000]),
        st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=3),
    )
    return st.one_of(made, spoilt, st.binary(max_size=60).map(lambda raw: raw + tail))


REQUESTS = _mixed(
    ORDINARY_REQUESTS,
    [
        b"GET / HTTP/1.1",
        b"GET /a?b HTTP/1.0",
        b"POST http://a/b HTTP/1.1",
        b"CONNECT a:1 HTTP/1.1",
        b"GET /\xff HTTP/1.1",
    ],
    b"\r\n\r\n",
)
ANSWERS = _mixed(
    ORDINARY_ANSWERS,
    [b"HTTP/1.1 200 OK", b"HTTP/1.0 304 Not Modified", b"HTTP/1.1 200", b"HTTP/1.1 600 x", b"HTTP/1.1 200 a\x7f"],
    b"",
)
COOKIES = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(
            [b"a=1", b"_ga=2", b"=", b"=x", b"x", b"", b" ", b"\t_ga =3", b"a", b"__Host-vid=v", b"a==b"]
        ),
        max_size=8,
    ).flatmap(lambda raw: st.sampled_from([b"; ".join(raw), b";".join(raw), b" ;\t".join(raw)])),
)
