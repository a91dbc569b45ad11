"""The header fields that a proxy takes away and adds."""

from __future__ import annotations

import pytest

from consent_mw.sidecar.forwarding import for_this_hop, nominated, towards_upstream
from consent_mw.wire.address import Trust, read_address
from consent_mw.wire.fields import Field, read_response_fields
from consent_mw.wire.request_head import RequestHead, read_head

Headers = list[tuple[bytes, bytes]]

TRUSTED = Trust(("10.0.0.0/8",))
OURS = [(b"X-Forwarded-Proto", b"http"), (b"X-Forwarded-Host", b"a"), (b"Via", b"1.1 consent_mw")]
FROM_A_STRANGER = [(b"X-Forwarded-For", b"192.0.2.1"), *OURS]


class Unedited:
    """A policy that changes nothing."""

    def __init__(self, head: RequestHead) -> None:
        self.head = head

    def remaining_cookies(self) -> bytes | None:
        return b"; ".join(value for name, value in self.head.headers if name == b"Cookie") or None

    def changed_field(self, lower: bytes, value: bytes) -> bytes | None:
        return value

    def announced(self) -> tuple[Field, ...]:
        return ()


def sent(field: bytes, peer: str, trust: Trust) -> Headers:
    head = read_head(b"GET / HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n")
    assert isinstance(head, RequestHead)
    trusted = read_address(peer) in trust
    fields = towards_upstream(head, Unedited(head), peer, trusted=trusted, secure=False)
    got = [(line[: len(lower)], line[len(lower) + 2 :]) for lower, _, line, _ in fields]
    assert [value for _, value in got] == [value for _, value, _, _ in fields]
    assert got[0] == (b"Host", b"a")
    return got[1:]


REMOVED = {
    "forged address": b"X-Forwarded-For: 1.2.3.4",
    "forged scheme": b"X-Forwarded-Proto: https",
    "forged host": b"x-forwarded-host: evil.example",
    "forged real address": b"X-Real-IP: 1.2.3.4",
    "forged standard field": b"Forwarded: for=1.2.3.4",
    "forged port": b"X-Forwarded-Port: 1",
    "forged address as CGI spells it": b"X_Forwarded_For: 1.2.3.4",
    "length as CGI spells it": b"Content_Length: 5",
    "coding as CGI spells it": b"Transfer_Encoding: chunked",
    "keep-alive": b"Keep-Alive: timeout=5",
    "te": b"TE: gzip",
    "upgrade alone": b"Upgrade: websocket",
    "http/2 in a tunnel": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x",
    "proxy credentials": b"Proxy-Authorization: x",
    "nominated": b"X-Hop: 1\r\nConnection: close, X-Hop, x-forwarded-for, host",
}


@pytest.mark.parametrize("field", REMOVED.values(), ids=REMOVED)
@pytest.mark.parametrize("trust", [Trust(), TRUSTED], ids=["nobody trusted", "others trusted"])
def test_a_field_of_a_stranger_is_not_passed_on(field: bytes, trust: Trust) -> None:
    assert sent(field, "192.0.2.1", trust) == FROM_A_STRANGER


KEPT = {
    "nominated cookie": (b"Cookie: a=b\r\nConnection: cookie", [(b"Cookie", b"a=b")]),
    "underscores": (b"X_Odd: 1", [(b"X_Odd", b"1")]),
    "expectation": (b"Expect: 100-continue", [(b"Expect", b"100-continue")]),
    "twice": (b"x-a: 1\r\nX-A: 2", [(b"x-a", b"1"), (b"X-A", b"2")]),
}


@pytest.mark.parametrize(("field", "kept"), KEPT.values(), ids=KEPT)
def test_another_field_is_passed_on_as_it_came(field: bytes, kept: Headers) -> None:
    assert sent(field, "192.0.2.1", TRUSTED) == [*kept, *FROM_A_STRANGER]


def test_a_trusted_peer_continues_its_chain() -> None:
    field = (
        b"X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 1.1.1.1"
    )
    assert sent(field, "10.0.0.1", TRUSTED) == [
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Real-IP", b"1.1.1.1"),
        (b"X-Forwarded-For", b"192.0.2.9, 10.0.0.2, 10.0.0.1"),
        (b"X-Forwarded-Host", b"a"),
        (b"Via", b"1.1 consent_mw"),
    ]


def test_a_websocket_asks_for_its_upgrade_again() -> None:
    field = b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket"
    upgrade = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    assert sent(field, "192.0.2.1", Trust()) == [*FROM_A_STRANGER, *upgrade]


def test_who_understands_trailers_says_so_to_the_next_hop() -> None:
    understands = [(b"Connection", b"TE"), (b"TE", b"trailers")]
    assert sent(b"TE: gzip, trailers", "192.0.2.1", Trust()) == [*FROM_A_STRANGER, *understands]


def test_an_answer_loses_what_was_meant_for_this_hop() -> None:
    read = read_response_fields([b"Connection: x-hop, set-cookie", b"X-Hop: 1", b"Set-Cookie: a=b", b"trailer: x"])
    assert read is not None
    fields, seen, repeated = read
    hop = for_this_hop(seen, repeated)
    assert [line for lower, _, line, _ in fields if lower not in hop] == [b"Set-Cookie: a=b"]


def test_nobody_nominates_what_others_rely_on() -> None:
    assert nominated(frozenset({b"close", b"x-hop", b"cookie", b"x-forwarded-for"})) == {b"x-hop"}
