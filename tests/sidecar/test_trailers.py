"""Fields after a body: those that say something of the body pass, those that could pass for a header's do not."""

from __future__ import annotations

import re
import socket

import pytest

from tests.sidecar.raw import CLOSE, OK, Origin, ask, read_until

CHUNKED = b"Transfer-Encoding: chunked\r\n"
UPLOAD = b"POST / HTTP/1.1\r\n" + CLOSE + b"TE: trailers\r\n" + CHUNKED + b"\r\n2\r\nok\r\n0\r\n"

PASSED = ["X-Checksum", "grpc-status", "Server-Timing"]
DROPPED = [
    # how a message is framed or routed
    "Content-Length", "Transfer-Encoding", "Trailer", "TE", "Connection",
    "Keep-Alive", "Upgrade", "Host", "Max-Forwards", "Expect", "Content-Encoding", "Content-Type", "Content-Range",
    # who sends it, and with which right
    "Authorization", "Proxy-Authorization", "Proxy-Authenticate", "WWW-Authenticate", "Via",
    # what is decided about, and what we say
    "Consent-Allows", "consent_allows", "Consent-Visitor", "Consent-Event", "DNT", "Sec-GPC", "Tk",
    # what changes how it is understood
    "If-Match", "Sec-Fetch-Site", "Location", "Retry-After", "Warning", "Date",
]  # fmt: skip
DROPPED_FROM_REQUESTS = ["Cookie", "content_length", "Transfer_Encoding", "X-Forwarded-For", "X_Forwarded_For",
                         "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Range"]  # fmt: skip
DROPPED_FROM_ANSWERS = ["Set-Cookie", "Cache-Control", "Vary", "ETag", "Expires", "Age", "Last-Modified",
                        "CDN-Cache-Control", "Surrogate-Control", "Clear-Site-Data", "Content-Security-Policy",
                        "Link", "Refresh", "Strict-Transport-Security", "Access-Control-Allow-Origin"]  # fmt: skip


def passed_on(port: int, origin: Origin, name: str) -> tuple[bytes, bytes]:
    """What comes after the last chunk at the site, and in the browser, where both sides send this trailer."""
    after: list[bytes] = []
    trailer = name.encode() + b": 1\r\n"

    def answer(peer: socket.socket, head: bytes) -> None:
        read_until(peer, b"\r\n0\r\n")
        line = b""
        while (line := read_until(peer, b"\r\n")) != b"\r\n":
            after.append(line)
        peer.sendall(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n2\r\nok\r\n0\r\n" + trailer + b"\r\n")

    origin.answer = answer
    got = ask(port, UPLOAD + trailer + b"\r\n")
    head, body = got.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body.startswith(b"2\r\nok\r\n0\r\n")
    return b"".join(after), body.removeprefix(b"2\r\nok\r\n0\r\n").removesuffix(b"\r\n")


@pytest.mark.parametrize("name", PASSED)
def test_what_speaks_of_the_body_passes_both_ways(port: int, origin: Origin, name: str) -> None:
    trailer = name.encode() + b": 1\r\n"
    assert passed_on(port, origin, name) == (trailer, trailer)


@pytest.mark.parametrize("name", DROPPED)
def test_what_would_be_taken_for_a_header_passes_neither_way(port: int, origin: Origin, name: str) -> None:
    at_site, in_browser = passed_on(port, origin, name)
    assert (at_site, in_browser) == (b"", b"")


@pytest.mark.parametrize("name", DROPPED_FROM_REQUESTS)
def test_what_would_be_taken_for_a_requests_header_does_not_reach_the_site(
    port: int, origin: Origin, name: str
) -> None:
    assert passed_on(port, origin, name)[0] == b""


@pytest.mark.parametrize("name", DROPPED_FROM_ANSWERS)
def test_what_would_be_taken_for_an_answers_header_does_not_reach_the_browser(
    port: int, origin: Origin, name: str
) -> None:
    assert passed_on(port, origin, name)[1] == b""


@pytest.mark.parametrize("name", ["Origin", "Referer"])
def test_where_a_request_came_from_is_not_said_after_it(port: int, origin: Origin, name: str) -> None:
    assert passed_on(port, origin, name)[0] == b""


def test_who_does_not_ask_for_trailers_gets_none(port: int, origin: Origin) -> None:
    origin.say(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n2\r\nok\r\n0\r\nX-Checksum: 1\r\n\r\n")
    assert ask(port, b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n").endswith(b"\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    assert ask(port, b"GET / HTTP/1.0\r\nTE: trailers\r\n\r\n").endswith(b"\r\n\r\nok")


def test_the_announcement_of_trailers_ends_at_this_hop(port: int, origin: Origin) -> None:
    got = ask(port, b"POST / HTTP/1.1\r\n" + CLOSE + b"Trailer: X\r\n" + CHUNKED + b"\r\n0\r\nX: 1\r\n\r\n")
    assert got.endswith(OK[-2:])
    assert re.search(rb"^trailer:", origin.heads[0], re.IGNORECASE | re.MULTILINE) is None


# how far a request goes


FAR = {"ten": (b"10", b"9"), "one": (b"1", b"0"), "leading noughts": (b"003", b"2")}


@pytest.mark.parametrize(("said", "left"), FAR.values(), ids=FAR)
def test_an_options_that_may_go_on_is_counted(port: int, origin: Origin, said: bytes, left: bytes) -> None:
    ask(port, b"OPTIONS * HTTP/1.1\r\nMax-Forwards: " + said + b"\r\n" + CLOSE + b"\r\n")
    assert origin.requests == [b"OPTIONS * HTTP/1.1\r\nMax-Forwards: " + left + b"\r\nHost: a\r\n\r\n"]


def test_an_options_that_may_go_no_further_is_answered_here(port: int, origin: Origin) -> None:
    got = ask(port, b"OPTIONS /x HTTP/1.1\r\nMax-Forwards: 0\r\n" + CLOSE + b"\r\n")
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" in got
    assert origin.heads == []


@pytest.mark.parametrize("said", [b"", b"-1", b"x", b"9999999999"])
def test_a_count_that_is_none_is_left_as_it_is(port: int, origin: Origin, said: bytes) -> None:
    ask(port, b"OPTIONS / HTTP/1.1\r\nMax-Forwards: " + said + b"\r\n" + CLOSE + b"\r\n")
    assert origin.requests == [b"OPTIONS / HTTP/1.1\r\nMax-Forwards: " + said + b"\r\nHost: a\r\n\r\n"]


def test_a_count_under_another_method_is_left_as_it_is(port: int, origin: Origin) -> None:
    ask(port, b"GET / HTTP/1.1\r\nMax-Forwards: 0\r\n" + CLOSE + b"\r\n")
    assert origin.requests == [b"GET / HTTP/1.1\r\nMax-Forwards: 0\r\nHost: a\r\n\r\n"]
