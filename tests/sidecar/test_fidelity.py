"""Requests as the site gets them: what no rule changes arrives byte for byte, what is no request does not arrive."""

from __future__ import annotations

import pytest

from consent_mw.wire.request_head import LONGEST_HEAD, LONGEST_TARGET, MOST_FIELDS
from tests.sidecar.raw import CLOSE, LAST, LAST_OK, SMUGGLED, Origin, ask, assert_refused, plain, trickle

GET = b"GET / HTTP/1.1\r\n"
HOST = b"Host: a\r\n"

TARGETS = {
    "dots": b"/a/../b/./c",
    "encoded slashes": b"/a%2fb%2Fc",
    "two slashes": b"//evil.example//x",
    "empty parameters": b"/?&&a=&=b&",
    "encoded space": b"/a%20b?c=%20+d",
    "encoded null": b"/%00",
    "broken encodings": b"/%?%zz&%2",
    "bytes that a browser may leave": b"/a|b\"c<d>e^f`g{h}i\\j'k[l]",
    "semicolons": b"/a;b=c/..;/d",
    "a star in a path": b"/*",
    "a question mark twice": b"/a?b?c",
    "a target in a query": b"/?http://b/",
    "colons and at signs": b"/:@a:b",
    "capital and small": b"/A%c3%A4",
    "as long as may be": b"/" + b"a" * (LONGEST_TARGET - 1),
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_target_arrives_as_it_came(port: int, origin: Origin, target: bytes) -> None:
    assert plain(ask(port, b"GET " + target + b" HTTP/1.1\r\n" + CLOSE + b"\r\n")) == LAST_OK
    assert origin.requests == [b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"]


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "PURGE", "QUERY", "get",
           "M-SEARCH", "!#$%&'*+-.^_`|~09"]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_method_arrives_as_it_came(port: int, origin: Origin, method: str) -> None:
    line = method.encode() + b" /x HTTP/1.1\r\n"
    ask(port, line + CLOSE + b"\r\n")
    assert origin.requests == [line + HOST + b"\r\n"]


FIELDS = {
    "order, case and duplicates": b"X-B: 1\r\nx-a: 2\r\nX-B: 3\r\nX-b: 1\r\n",
    "an empty value": b"X-Empty: \r\nX-After: 1\r\n",
    "high bytes": b"X-High: " + bytes(range(0x80, 0x100)) + b"\r\n",
    "white space within": b"X: a \t  b\r\n",
    "quotes, commas and colons": b'X: "a, b": c;d=e, "\\"\r\n',
    "a name of all token characters": b"!#$%&'*+-.^_`|~0aZ: 1\r\n",
    "underscores": b"X_Odd_Name: 1\r\n",
    "a value that looks like a field": b"X: Content-Length: 5\r\n",
    "a long value": b"X: " + b"a" * 60_000 + b"\r\n",
    "as many as may be": b"X: 1\r\n" * (MOST_FIELDS - 2),
    "preferences": b"DNT: 1\r\nSec-GPC: 1\r\n",
    "what browsers send": (
        b'User-Agent: Mozilla/5.0 (X11)\r\nAccept: text/css,*/*;q=0.1\r\nAccept-Language: de,en;q=0.5\r\n'
        b'Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: http://a/\r\nOrigin: http://a\r\nRange: bytes=0-1\r\n'
        b'If-Range: "x"\r\nIf-None-Match: W/"x", "y"\r\nIf-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT\r\n'
        b'sec-ch-ua: "Chromium";v="126"\r\nSec-Fetch-Dest: style\r\nSec-Fetch-Mode: no-cors\r\nPriority: u=0, i\r\n'
        b'Authorization: Basic YTpi\r\ntraceparent: 00-0-0-01\r\nUpgrade-Insecure-Requests: 1\r\nPragma: no-cache\r\n'
    ),
}  # fmt: skip


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def test_fields_arrive_as_they_came(port: int, origin: Origin, fields: bytes) -> None:
    ask(port, GET + HOST + fields + LAST + b"\r\n")
    assert origin.requests == [GET + HOST + fields + b"\r\n"]


@pytest.mark.parametrize("case", ["order, case and duplicates", "high bytes", "what browsers send"])
def test_fields_that_travel_byte_by_byte_arrive_as_they_came(port: int, origin: Origin, case: str) -> None:
    trickle(port, GET + HOST + FIELDS[case] + LAST + b"\r\n")
    assert origin.requests == [GET + HOST + FIELDS[case] + b"\r\n"]


def test_white_space_around_a_value_is_no_part_of_it(port: int, origin: Origin) -> None:
    ask(port, GET + HOST + b"A:1\r\nB: \t 2\t \r\nC:\t\r\n" + LAST + b"\r\n")
    assert origin.requests == [GET + HOST + b"A: 1\r\nB: 2\r\nC: \r\n\r\n"]


def test_every_byte_of_a_body_arrives(port: int, origin: Origin) -> None:
    body = bytes(range(256)) * 300
    head = b"PUT /b HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\nContent-Encoding: gzip\r\n" % len(body)
    assert plain(ask(port, head + LAST + b"\r\n" + body)) == LAST_OK
    assert origin.requests == [head + b"\r\n" + body]


HOSTS = {
    "name": b"a",
    "capital letters": b"Shop.EXAMPLE",
    "port": b"a:8080",
    "empty port": b"a:",
    "trailing dot": b"a.example.",
    "address": b"192.0.2.1:80",
    "address of IPv6": b"[2001:db8::1]:80",
    "punycode": b"xn--bcher-kva.example",
    "underscore": b"a_b.example",
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_host_arrives_as_it_came(port: int, origin: Origin, host: bytes) -> None:
    ask(port, GET + b"host: " + host + b"\r\n" + LAST + b"\r\n")
    assert origin.requests == [GET + b"host: " + host + b"\r\n\r\n"]
    assert b"\r\nX-Forwarded-Host: " + host + b"\r\n" in origin.heads[0]


ABSOLUTE = {
    "with a path": (b"GET http://b/c?d HTTP/1.1", b"GET /c?d HTTP/1.1", b"b"),
    "without a path": (b"GET http://b HTTP/1.1", b"GET / HTTP/1.1", b"b"),
    "with a query only": (b"GET http://b?c HTTP/1.1", b"GET /?c HTTP/1.1", b"b"),
    "with a port": (b"GET http://b:81/ HTTP/1.1", b"GET / HTTP/1.1", b"b:81"),
    "in capital letters": (b"GET HTTP://B/ HTTP/1.1", b"GET / HTTP/1.1", b"B"),
    "secure": (b"GET https://b/ HTTP/1.1", b"GET / HTTP/1.1", b"b"),
    "of a whole server": (b"OPTIONS http://b HTTP/1.1", b"OPTIONS * HTTP/1.1", b"b"),
    "with IPv6": (b"GET http://[::1]:81/ HTTP/1.1", b"GET / HTTP/1.1", b"[::1]:81"),
}


@pytest.mark.parametrize(("line", "expected", "host"), ABSOLUTE.values(), ids=ABSOLUTE)
def test_an_absolute_target_beats_the_host(
    port: int, origin: Origin, line: bytes, expected: bytes, host: bytes
) -> None:
    ask(port, line + b"\r\nX: 1\r\nHost: evil.example\r\n" + LAST + b"\r\n")
    assert origin.requests == [expected + b"\r\nX: 1\r\nHost: " + host + b"\r\n\r\n"]
    assert b"evil" not in origin.heads[0]


def test_a_whole_server_is_asked_for_with_a_star(port: int, origin: Origin) -> None:
    ask(port, b"OPTIONS * HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert origin.requests == [b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"]


OLD = {
    "without a host": (b"GET /a HTTP/1.0\r\nX: 1\r\n\r\n", b""),
    "with a host": (b"GET /a HTTP/1.0\r\nHost: b\r\nX: 1\r\n\r\n", b"b"),
}


@pytest.mark.parametrize(("raw", "host"), OLD.values(), ids=OLD)
def test_a_request_of_http_1_0_is_asked_as_one_of_1_1(port: int, origin: Origin, raw: bytes, host: bytes) -> None:
    assert plain(ask(port, raw)) == LAST_OK
    expected = b"GET /a HTTP/1.1\r\nHost: %b\r\nX: 1\r\n\r\n" % (host or b"127.0.0.1:%d" % origin.port)
    assert origin.requests == [expected]


REFUSED = {
    # the request line
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/0.9 by name": (505, b"GET / HTTP/0.9\r\n" + HOST + b"\r\n"),
    "HTTP/1.2": (505, b"GET / HTTP/1.2\r\n" + HOST + b"\r\n"),
    "HTTP/2.0": (505, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    "HTTP/3": (505, b"GET / HTTP/3\r\n" + HOST + b"\r\n"),
    "HTTP/1.10": (400, b"GET / HTTP/1.10\r\n" + HOST + b"\r\n"),
    "HTTP/01.1": (400, b"GET / HTTP/01.1\r\n" + HOST + b"\r\n"),
    "HTTP/1.": (400, b"GET / HTTP/1.\r\n" + HOST + b"\r\n"),
    "HTTP/1,1": (400, b"GET / HTTP/1,1\r\n" + HOST + b"\r\n"),
    "HTTP /1.1": (400, b"GET / HTTP /1.1\r\n" + HOST + b"\r\n"),
    "small letters": (400, b"GET / http/1.1\r\n" + HOST + b"\r\n"),
    "another protocol": (400, b"GET / ICY/1.1\r\n" + HOST + b"\r\n"),
    "an answer": (400, b"HTTP/1.1 200 OK\r\n" + HOST + b"\r\n"),
    "two spaces before the target": (400, b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two spaces after the target": (400, b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a space before the method": (400, b" GET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a space at the end": (400, b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    "a tab before the target": (400, b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a tab after the target": (400, b"GET /\tHTTP/1.1\r\n" + HOST + b"\r\n"),
    "a vertical tab": (400, b"GET /\x0bHTTP/1.1\r\n" + HOST + b"\r\n"),
    "a space in the target": (400, b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no target": (400, b"GET HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an empty target": (400, b"GET  HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no method": (400, b" / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no token for a method": (400, b"G@T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a high byte in the method": (400, b"G\xcbT / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two empty lines first": (400, b"\r\n\r\n" + GET + HOST + b"\r\n"),
    "bytes of TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "connect": (405, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    "trace": (405, b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    # the target
    "a relative target": (400, b"GET a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a query alone": (400, b"GET ?a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an authority": (400, b"GET a:80 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a star under GET": (400, b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two stars": (400, b"OPTIONS ** HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a fragment": (400, b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a high byte": (400, b"GET /\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a delete": (400, b"GET /\x7f HTTP/1.1\r\n" + HOST + b"\r\n"),
    "another scheme": (400, b"GET ftp://a/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a scheme without slashes": (400, b"GET http:a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an absolute target without a host": (400, b"GET http:///a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a user in an absolute target": (400, b"GET http://b@a/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a host in a user": (400, b"GET http://a:80@evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a backslash in an authority": (400, b"GET http://a\\b/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an absolute target and no Host": (400, b"GET http://a/ HTTP/1.1\r\nX: 1\r\n\r\n"),
    "an absolute target and two Hosts": (400, b"GET http://a/ HTTP/1.1\r\n" + HOST + HOST + b"\r\n"),
    "an absolute target and a bad Host": (400, b"GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "a target one byte too long": (414, b"GET /" + b"a" * LONGEST_TARGET + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a target without end": (414, b"GET /" + b"a" * 200_000),
    # the host
    "no Host": (400, GET + b"X: 1\r\n\r\n"),
    "no field at all": (400, GET + b"\r\n"),
    "two Hosts": (400, GET + HOST + b"Host: b\r\n\r\n"),
    "the same Host twice": (400, GET + HOST + HOST + b"\r\n"),
    "two Hosts in other case": (400, GET + HOST + b"hOST: b\r\n\r\n"),
    "two Hosts in HTTP/1.0": (400, b"GET / HTTP/1.0\r\n" + HOST + b"Host: b\r\n\r\n"),
    "a Host with a space before its colon": (400, GET + HOST + b"Host : b\r\n\r\n"),
    "a Host behind a space": (400, GET + b" Host: b\r\n" + HOST + b"\r\n"),
    "a folded Host": (400, GET + b"Host:\r\n a\r\n\r\n"),
    "an empty Host": (400, GET + b"Host:\r\n\r\n"),
    "a port alone": (400, GET + b"Host: :80\r\n\r\n"),
    "a word for a port": (400, GET + b"Host: a:b\r\n\r\n"),
    "a long port": (400, GET + b"Host: a:123456\r\n\r\n"),
    "two ports": (400, GET + b"Host: a:80:80\r\n\r\n"),
    "a signed port": (400, GET + b"Host: a:+80\r\n\r\n"),
    "a user in Host": (400, GET + b"Host: b@a\r\n\r\n"),
    "a path in Host": (400, GET + b"Host: a/b\r\n\r\n"),
    "a query in Host": (400, GET + b"Host: a?b\r\n\r\n"),
    "a fragment in Host": (400, GET + b"Host: a#b\r\n\r\n"),
    "a backslash in Host": (400, GET + b"Host: a\\b\r\n\r\n"),
    "a space in Host": (400, GET + b"Host: a b\r\n\r\n"),
    "a tab in Host": (400, GET + b"Host: a\tb\r\n\r\n"),
    "a list in Host": (400, GET + b"Host: a, b\r\n\r\n"),
    "a URL in Host": (400, GET + b"Host: http://a\r\n\r\n"),
    "a high byte in Host": (400, GET + b"Host: \xe4\r\n\r\n"),
    "a quote in Host": (400, GET + b'Host: "a"\r\n\r\n'),
    "half a bracket in Host": (400, GET + b"Host: [::1\r\n\r\n"),
    "no brackets in Host": (400, GET + b"Host: ::1\r\n\r\n"),
    "a zone in Host": (400, GET + b"Host: [fe80::1%25eth0]\r\n\r\n"),
    # the fields
    "a space before the colon": (400, GET + HOST + b"X : 1\r\n\r\n"),
    "no colon": (400, GET + HOST + b"X\r\n\r\n"),
    "no name": (400, GET + HOST + b": 1\r\n\r\n"),
    "a space in a name": (400, GET + HOST + b"X Y: 1\r\n\r\n"),
    "a slash in a name": (400, GET + HOST + b"X/Y: 1\r\n\r\n"),
    "a bracket in a name": (400, GET + HOST + b"X(Y): 1\r\n\r\n"),
    "a high byte in a name": (400, GET + HOST + b"X\xe4: 1\r\n\r\n"),
    "a delete in a name": (400, GET + HOST + b"X\x7f: 1\r\n\r\n"),
    "a delete in a value": (400, GET + HOST + b"X: \x7f\r\n\r\n"),
    "an escape in a value": (400, GET + HOST + b"X: \x1b[2J\r\n\r\n"),
    "a bell in a value": (400, GET + HOST + b"X: \x07\r\n\r\n"),
    "a carriage return in a value": (400, GET + HOST + b"X: 1\r2\r\n\r\n"),
    "a folded field": (400, GET + HOST + b"X: 1\r\n 2\r\n\r\n"),
    "a fold with nothing in it": (400, GET + HOST + b"X: 1\r\n \r\n\r\n"),
    "one field too many": (431, GET + HOST + b"X: 1\r\n" * MOST_FIELDS + b"\r\n"),
    "a head too long": (431, GET + HOST + b"X: " + b"a" * (LONGEST_HEAD - 26) + b"\r\n\r\n"),
    "a head without end": (431, GET + HOST + b"X: 1\r\n" * 40_000),
}  # fmt: skip


@pytest.mark.parametrize(("status", "raw"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_request_of_one_meaning_is_refused_and_nothing_follows(
    port: int, origin: Origin, status: int, raw: bytes
) -> None:
    assert_refused(ask(port, raw + SMUGGLED), status)
    assert origin.heads == []


SPLIT = ("HTTP/1.2", "a delete in a value", "the same Host twice", "two spaces before the target", "no Host")


@pytest.mark.parametrize("case", SPLIT)
def test_how_the_bytes_travel_refuses_the_same(port: int, origin: Origin, case: str) -> None:
    assert_refused(trickle(port, REFUSED[case][1] + SMUGGLED), REFUSED[case][0])
    assert origin.heads == []


def test_a_head_as_long_as_may_be_is_forwarded(port: int, origin: Origin) -> None:
    lines = GET + HOST + LAST
    raw = lines + b"X: " + b"a" * (LONGEST_HEAD - len(lines) - 7) + b"\r\n\r\n"
    assert len(raw) == LONGEST_HEAD
    assert plain(ask(port, raw)) == LAST_OK
    assert origin.requests == [raw.replace(LAST, b"")]


def test_a_refusal_names_the_methods_where_it_is_one_of_method(port: int) -> None:
    got = ask(port, b"TRACE / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert b"\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" in got
