"""Requests of HTTP/2: the same head as HTTP/1 would have, or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consent_mw.wire.h2_request import line_and_block, read_pairs
from consent_mw.wire.request_head import Refusal, RequestHead, read_head

Pairs = list[tuple[bytes, bytes]]

GET: Pairs = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"shop.example"), (b":path", b"/a?b=c")]


def swapped(name: bytes, value: bytes | None) -> Pairs:
    """The request with another value in this pseudo-header field, or without it."""
    return [(key, value if key == name and value is not None else old) for key, old in GET if value or key != name]


def test_a_request_is_the_head_that_http_1_would_have_made() -> None:
    fields = [*GET, (b"accept", b"*/*"), (b"x-dup", b"1"), (b"x-dup", b"2"), (b"cookie", b"a=1; b=2")]
    lines = b"accept: */*\r\nx-dup: 1\r\nx-dup: 2\r\ncookie: a=1; b=2\r\n\r\n"
    raw = b"GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\n" + lines
    expected = read_head(raw)
    assert isinstance(expected, RequestHead)
    assert read_pairs(fields, ended=True) == replace(expected, block=b"")


@pytest.mark.parametrize(
    ("more", "ended", "length"),
    [
        ([], True, 0),
        ([], False, None),
        ([(b"content-length", b"5")], False, 5),
        ([(b"content-length", b"0")], True, 0),
    ],
    ids=["no body", "a body of any length", "a length", "a length of nothing"],
)
def test_the_frames_say_whether_a_body_follows(more: Pairs, ended: bool, length: int | None) -> None:
    head = read_pairs([*GET, *more], ended=ended)
    assert isinstance(head, RequestHead)
    assert head.length == length


def test_crumbs_are_one_cookie_in_the_place_of_the_first() -> None:
    fields = [*GET, (b"a", b"1"), (b"cookie", b"x=1"), (b"b", b"2"), (b"cookie", b"y=2; z=3"), (b"cookie", b"")]
    head = read_pairs(fields, ended=True)
    assert isinstance(head, RequestHead)
    assert head.headers == [(b"Host", b"shop.example"), (b"a", b"1"), (b"cookie", b"x=1; y=2; z=3; "), (b"b", b"2")]


def test_a_host_that_agrees_is_said_once() -> None:
    head = read_pairs([*GET, (b"a", b"1"), (b"host", b"Shop.Example")], ended=True)
    assert isinstance(head, RequestHead)
    assert (head.host, head.headers) == (b"shop.example", [(b"Host", b"shop.example"), (b"a", b"1")])


def test_a_host_may_stand_for_the_authority() -> None:
    head = read_pairs([*swapped(b":authority", None), (b"host", b"shop.example")], ended=True)
    assert isinstance(head, RequestHead)
    assert head.host == b"shop.example"


def test_all_of_a_server_may_be_asked_about() -> None:
    asked = [(b":method", b"OPTIONS"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"*")]
    head = read_pairs(asked, ended=True)
    assert isinstance(head, RequestHead)
    assert (head.method, head.target) == (b"OPTIONS", b"*")


REFUSED: dict[str, tuple[int, Pairs]] = {
    "no method": (400, swapped(b":method", None)),
    "no path": (400, swapped(b":path", None)),
    "no scheme": (400, swapped(b":scheme", None)),
    "neither authority nor host": (400, swapped(b":authority", None)),
    "doubled path": (400, [*GET, (b":path", b"/b")]),
    "pseudo-header field of an answer": (400, [*GET, (b":status", b"200")]),
    "unknown pseudo-header field": (400, [*GET, (b":protocol", b"websocket")]),
    "pseudo-header field at the end": (400, [*GET[:3], (b"a", b"1"), GET[3]]),
    "empty method": (400, [(b":method", b""), *GET[1:]]),
    "space in the method": (400, swapped(b":method", b"GET /x")),
    "other scheme": (400, swapped(b":scheme", b"ftp")),
    "space in the path": (400, swapped(b":path", b"/a b")),
    "line in the path": (400, swapped(b":path", b"/a HTTP/1.1\r\nx: y")),
    "fragment": (400, swapped(b":path", b"/a#b")),
    "absolute path": (400, swapped(b":path", b"https://other.example/")),
    "path without a slash": (400, swapped(b":path", b"a")),
    "star": (400, swapped(b":path", b"*")),
    "letters outside ASCII in the path": (400, swapped(b":path", "/ä".encode())),
    "user in the authority": (400, swapped(b":authority", b"me@shop.example")),
    "path in the authority": (400, swapped(b":authority", b"shop.example/x")),
    "two ports": (400, swapped(b":authority", b"shop.example:1:2")),
    "empty authority": (400, [*GET[:2], (b":authority", b""), GET[3]]),
    "other host": (400, [*GET, (b"host", b"evil.example")]),
    "other port in the host": (400, [*GET, (b"host", b"shop.example:443")]),
    "two hosts": (400, [*GET, (b"host", b"shop.example"), (b"host", b"shop.example")]),
    "upper case": (400, [*GET, (b"X-A", b"1")]),
    "empty name": (400, [*GET, (b"", b"1")]),
    "colon in a name": (400, [*GET, (b"a:b", b"1")]),
    "space in a name": (400, [*GET, (b"a b", b"1")]),
    "line in a name": (400, [*GET, (b"a\r\nb", b"1")]),
    "line in a value": (400, [*GET, (b"a", b"1\r\nb: 2")]),
    "line feed in a value": (400, [*GET, (b"a", b"1\n2")]),
    "null in a value": (400, [*GET, (b"a", b"1\0")]),
    "space before a value": (400, [*GET, (b"a", b" 1")]),
    "tab after a value": (400, [*GET, (b"a", b"1\t")]),
    "connection": (400, [*GET, (b"connection", b"close")]),
    "keep-alive": (400, [*GET, (b"keep-alive", b"5")]),
    "proxy-connection": (400, [*GET, (b"proxy-connection", b"x")]),
    "transfer-encoding": (400, [*GET, (b"transfer-encoding", b"chunked")]),
    "upgrade": (400, [*GET, (b"upgrade", b"websocket")]),
    "te": (400, [*GET, (b"te", b"gzip")]),
    "te and more": (400, [*GET, (b"te", b"trailers, gzip")]),
    "two lengths": (400, [*GET, (b"content-length", b"0"), (b"content-length", b"0")]),
    "odd length": (400, [*GET, (b"content-length", b"+0")]),
    "length of a body that never comes": (400, [*GET, (b"content-length", b"5")]),
    "unknown expectation": (417, [*GET, (b"expect", b"200-ok")]),
    "tunnel": (405, [(b":method", b"CONNECT"), (b":authority", b"shop.example:443")]),
    "trace": (405, swapped(b":method", b"TRACE")),
    "long target": (414, swapped(b":path", b"/" + b"a" * 16_384)),
    "large head": (431, [*GET, (b"a", b"a" * 65_536)]),
    "large head of small fields": (431, [*GET, *[(b"cookie", b"a" * 1000)] * 66]),
    "many fields": (431, [*GET, *[(b"a", b"1")] * 200]),
}


@pytest.mark.parametrize(("status", "fields"), REFUSED.values(), ids=REFUSED)
def test_what_two_readers_could_read_two_ways_is_refused(status: int, fields: Pairs) -> None:
    refusal = read_pairs(fields, ended=True)
    assert isinstance(refusal, Refusal)
    assert refusal.status == status


def test_as_many_crumbs_as_a_browser_has_are_few_fields() -> None:
    crumbs = [(b"cookie", b"c%d=1" % number) for number in range(500)]
    assert isinstance(read_pairs([*GET, *crumbs], ended=True), RequestHead)


def test_the_very_same_pairs_have_the_very_same_block() -> None:
    block = line_and_block([*GET, (b"a", b"1"), (b"cookie", b"b=2")])
    assert block == (b"GET /a?b=c HTTP/1.1", b"\0:scheme\0https\0:authority\0shop.example\0a\x001\0cookie\0b=2")


UNLIKE: dict[str, Pairs] = {
    "null in a value": [*GET, (b"a", b"1\0b\x002")],
    "null in a name": [*GET, (b"a\x001\0b", b"2")],
    "null in the authority": swapped(b":authority", b"a\0b\0c"),
    "pseudo-header field at the end": [*GET[:3], (b"a", b"1"), GET[3]],
    "no path": swapped(b":path", None),
    "no method": swapped(b":method", None),
    "unknown pseudo-header field": [*GET[:3], (b":status", b"200"), GET[3]],
}


@pytest.mark.parametrize("pairs", UNLIKE.values(), ids=UNLIKE)
def test_pairs_that_others_could_be_taken_for_have_none(pairs: Pairs) -> None:
    assert line_and_block(pairs)[1] == b""
