"""What a visitor may say of a connection or of a proxy, and what becomes of it on the way to the site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.site import POLICY
from tests.sidecar.raw import CLOSE, LAST, OK, Origin, a_sidecar, ask, plain

GET = b"GET / HTTP/1.1\r\n"
HOST = b"Host: a\r\n"
DECIDED = [b"consent-jurisdiction: eea_uk", b"consent-allows: essential", b"consent-features: "]
ADDED = [
    *DECIDED, b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Proto: http", b"X-Forwarded-Host: a",
    b"Via: 1.1 consent_mw",
]  # fmt: skip


def lines(head: bytes) -> list[bytes]:
    """The fields of a head, in order of their names, so that where ours stand is free."""
    return sorted(head.split(b"\r\n")[1:-2])


def as_sent(port: int, origin: Origin, fields: bytes) -> list[bytes]:
    """The fields that the site gets where a browser sends these."""
    assert ask(port, GET + HOST + fields + b"\r\n" + LAST + b"\r\n").endswith(b"ok")
    return lines(origin.heads[0])


REMOVED = {
    # of this connection alone
    "connection": b"Connection: x",
    "connection in odd case": b"cOnNeCtIoN: keep-alive",
    "keep-alive": b"Keep-Alive: timeout=5, max=9",
    "proxy-connection": b"Proxy-Connection: keep-alive",
    "proxy-authenticate": b"Proxy-Authenticate: Basic",
    "proxy-authorization": b"Proxy-Authorization: Basic YTpi",
    "te of codings": b"TE: gzip;q=0.5, deflate",
    "trailer": b"Trailer: X",
    "upgrade that no connection option asks for": b"Upgrade: websocket",
    "http/2 settings": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
    "hop by hop as CGI spells it": b"Keep_Alive: 1\r\nProxy_Authorization: x",
    # nominated
    "nominated": b"X-Hop: 1\r\nConnection: x-hop",
    "nominated in odd case": b"x-HOP: 1\r\nConnection: X-Hop",
    "nominated after a comma": b"X-Hop: 1\r\nConnection: close,,\t x-hop ,",
    "nominated by another field": b"X-Hop: 1\r\nConnection: close\r\nConnection: x-hop",
    "nominated twice": b"X-Hop: 1\r\nX-Hop: 2\r\nConnection: x-hop, x-hop",
    # spoofed
    "address": b"X-Forwarded-For: 8.8.8.8",
    "addresses": b"X-Forwarded-For: 8.8.8.8, 127.0.0.1\r\nx-forwarded-for: 10.0.0.1",
    "scheme": b"X-Forwarded-Proto: https",
    "host": b"X-Forwarded-Host: evil.example",
    "port": b"X-Forwarded-Port: 443",
    "prefix": b"X-Forwarded-Prefix: /admin",
    "uri": b"X-Forwarded-Uri: /admin",
    "real address": b"X-Real-IP: 10.0.0.1",
    "the standard field": b"Forwarded: for=10.0.0.1;proto=https;host=evil.example",
    "address in odd case": b"x-fORWARDED-fOR: 8.8.8.8",
    "address as CGI spells it": b"X_Forwarded_For: 8.8.8.8",
    "address half as CGI spells it": b"X-Forwarded_For: 8.8.8.8",
    "scheme as CGI spells it": b"X_FORWARDED_PROTO: https",
    "host as CGI spells it": b"X_Forwarded_Host: evil.example",
    "real address as CGI spells it": b"X_Real_IP: 10.0.0.1",
    "uri as CGI spells it": b"X_Forwarded_Uri: /admin",
    "port as CGI spells it": b"X_Forwarded_Port: 1",
    # ours
    "decision": b"Consent-Allows: essential, analytics, cross_site",
    "every one of ours": b"consent-jurisdiction: elsewhere\r\nconsent-features: x\r\nconsent-visitor: v",
    "ours in odd case": b"CONSENT-ALLOWS: analytics",
    "ours as CGI spells it": b"Consent_Allows: analytics\r\nCONSENT_VISITOR: v\r\nconsent_jurisdiction: x",
    "ours as others read it": b"consent.allows: analytics\r\nConsent+Visitor: v\r\nconsent~jurisdiction: x",
    "ours, nominated": b"Connection: consent-allows, consent-jurisdiction, consent-features",
    "ours, sent and nominated": b"consent-allows: analytics\r\nConnection: consent-allows",
    # nominations that would take away what the site needs
    "forwarding fields, nominated": b"Connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host, via",
    "the host, nominated": b"Connection: host",
    "the length, nominated": b"Connection: content-length, transfer-encoding",
}  # fmt: skip


@pytest.mark.parametrize("fields", REMOVED.values(), ids=REMOVED)
def test_what_is_not_the_visitors_to_say_does_not_reach_the_site(port: int, origin: Origin, fields: bytes) -> None:
    assert as_sent(port, origin, fields) == sorted([b"Host: a", *ADDED])


KEPT = {
    "cookie, nominated": (b"Cookie: session=1\r\nConnection: cookie", [b"Cookie: session=1"]),
    "credentials, nominated": (b"Authorization: x\r\nConnection: authorization", [b"Authorization: x"]),
    "type, nominated": (b"Content-Type: a/b\r\nConnection: content-type", [b"Content-Type: a/b"]),
    "preferences, nominated": (
        b"DNT: 1\r\nSec-GPC: 1\r\nConnection: dnt, sec-gpc",
        [b"DNT: 1", b"Sec-GPC: 1"],
    ),
    "freshness, nominated": (
        b"Cache-Control: no-cache\r\nConnection: cache-control",
        [b"Cache-Control: no-cache"],
    ),
    "names like ours": (b"consent: 1\r\nconsent-x: 1\r\nx-consent-allows: 1",
                        [b"consent: 1", b"consent-x: 1", b"x-consent-allows: 1"]),
    "names like those of forwarding": (b"X-Forwarded: 1\r\nX-Forwarded-Forx: 1",
                                       [b"X-Forwarded: 1", b"X-Forwarded-Forx: 1"]),
    "trailers, which we ask for ourselves": (b"TE: trailers", [b"Connection: TE", b"TE: trailers"]),
    "trailers among codings": (b"te: gzip;q=0.5, Trailers", [b"Connection: TE", b"TE: trailers"]),
    "a chain of proxies": (b"Via: 1.0 a, 1.1 b (c)\r\nvia: 2 d", [b"Via: 1.0 a, 1.1 b (c)", b"via: 2 d"]),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "kept"), KEPT.values(), ids=KEPT)
def test_what_is_the_visitors_to_say_does(port: int, origin: Origin, fields: bytes, kept: list[bytes]) -> None:
    assert as_sent(port, origin, fields) == sorted([b"Host: a", *kept, *ADDED])


def test_a_nominated_length_still_frames_the_body(port: int, origin: Origin) -> None:
    raw = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nConnection: content-length, close\r\n\r\nhello"
    assert ask(port, raw).endswith(b"ok")
    assert origin.requests == [b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello"]


@pytest.fixture(scope="module")
def behind_a_proxy(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A sidecar that believes what its peer says of the visitor."""
    folder: Path = tmp_path_factory.mktemp("trusting")
    with a_sidecar(folder, origin.port, policy=POLICY) as (_, port, _admin):
        yield port


BELIEVED = {
    "address": (b"X-Forwarded-For: 85.214.132.117", [b"X-Forwarded-For: 85.214.132.117, 127.0.0.1"], b"eea_uk"),
    "address elsewhere": (b"X-Forwarded-For: 74.125.224.72", [b"X-Forwarded-For: 74.125.224.72, 127.0.0.1"],
                          b"elsewhere"),
    "the last that is not trusted": (
        b"X-Forwarded-For: 74.125.224.72, 85.214.132.117\r\nX-Forwarded-For: 127.0.0.9",
        [b"X-Forwarded-For: 74.125.224.72, 85.214.132.117, 127.0.0.9, 127.0.0.1"], b"eea_uk",
    ),
    "scheme and host": (
        b"X-Forwarded-For: 85.214.132.117\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example",
        [b"X-Forwarded-For: 85.214.132.117, 127.0.0.1", b"X-Forwarded-Proto: https",
         b"X-Forwarded-Host: shop.example"], b"eea_uk",
    ),
    "garbage": (b"X-Forwarded-For: x, ;,", [b"X-Forwarded-For: x, ;,, 127.0.0.1"], b"eea_uk"),
    "address as CGI spells it is not": (b"X_Forwarded_For: 74.125.224.72", [b"X-Forwarded-For: 127.0.0.1"],
                                        b"eea_uk"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "expected", "place"), BELIEVED.values(), ids=BELIEVED)
def test_a_trusted_peer_is_believed_and_its_chain_continued(
    behind_a_proxy: int, origin: Origin, fields: bytes, expected: list[bytes], place: bytes
) -> None:
    origin.reset()
    got = as_sent(behind_a_proxy, origin, fields)
    assert [line for line in got if line.lower().startswith(b"x-forwarded-for")] == expected[:1]
    assert [line for line in expected if line not in got] == []
    assert len([line for line in got if line.lower().startswith(b"x-forwarded-")]) == 3
    assert b"consent-jurisdiction: " + place in got


def test_a_request_that_went_in_circles_is_told_so(port: int, origin: Origin) -> None:
    twice = b"Via: 1.1 consent_mw, 1.1 consent_mw\r\n"
    assert ask(port, GET + CLOSE + twice + b"\r\n").endswith(b"ok")
    got = ask(port, GET + CLOSE + twice + b"Via: 1.1 consent_mw\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 508 Loop Detected\r\n")
    assert len(origin.heads) == 1


# answers


ANSWERED = {
    "connection": b"Connection: x",
    "keep-alive": b"Keep-Alive: timeout=5\r\nConnection: keep-alive",
    "proxy-connection": b"Proxy-Connection: keep-alive",
    "proxy-authenticate": b"Proxy-Authenticate: Basic",
    "te": b"TE: trailers",
    "trailer": b"Trailer: X",
    "upgrade": b"Upgrade: h2c",
    "nominated": b"X-Hop: 1\r\nConnection: x-hop",
    "nominated by another field": b"X-Hop: 1\r\nConnection: a\r\nconnection:x-HOP",
    "what the site tells us": b"Consent-Event: signup\r\nconsent-identify: user_id=u",
}


@pytest.mark.parametrize("fields", ANSWERED.values(), ids=ANSWERED)
def test_what_an_answer_says_to_this_hop_alone_goes_no_further(port: int, origin: Origin, fields: bytes) -> None:
    origin.say(OK.replace(b"\r\n\r\n", b"\r\n" + fields + b"\r\n\r\n"))
    assert plain(ask(port, GET + CLOSE + b"\r\n")) == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


NOT_NOMINATED = {
    "set-cookie": b"Set-Cookie: session=1\r\nConnection: set-cookie",
    "length": b"Connection: content-length, transfer-encoding",
    "type": b"Content-Type: a/b\r\nConnection: content-type",
    "freshness": b"Cache-Control: no-store\r\nVary: *\r\nConnection: cache-control, vary",
}


@pytest.mark.parametrize("fields", NOT_NOMINATED.values(), ids=NOT_NOMINATED)
def test_an_answer_cannot_take_away_what_a_browser_or_cache_needs(port: int, origin: Origin, fields: bytes) -> None:
    origin.say(OK.replace(b"\r\n\r\n", b"\r\n" + fields + b"\r\n\r\n"))
    got = plain(ask(port, GET + CLOSE + b"\r\n")).split(b"\r\n")
    kept = [line for line in fields.split(b"\r\n") if not line.startswith(b"Connection")]
    assert [line for line in (*kept, b"Content-Length: 2") if line not in got] == []


def test_an_answer_says_no_more_of_proxies_than_the_site_said(port: int, origin: Origin) -> None:
    origin.say(OK.replace(b"\r\n\r\n", b"\r\nVia: 1.0 b\r\n\r\n"))
    got = ask(port, GET + CLOSE + b"\r\n").split(b"\r\n")
    assert [line for line in got if line.lower().startswith(b"via:")] == [b"Via: 1.0 b"]
