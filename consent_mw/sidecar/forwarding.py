"""What a proxy does to headers, whatever the policy: hop-by-hop fields go, the forwarding fields come.

Rule: hop-by-hop fields go first, so that nobody can nominate a field of ours for removal.
Rule: forwarding fields of a peer that is not trusted are replaced, never continued.
Source: RFC 9110 7.6.
"""

from __future__ import annotations

from collections.abc import Sequence

from consent_mw.asgi.ruleset import OUTBOUND_RESERVED
from consent_mw.wire.address import Trust, read_address
from consent_mw.wire.request_head import RequestHead

Headers = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te",
        b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
_NEVER_NOMINATED = frozenset(
    {
        b"host", b"content-length", b"cookie", b"set-cookie", b"authorization", b"content-type", b"content-encoding",
        b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"cache-control", b"vary",
        b"consent-jurisdiction", b"consent-allows", b"consent-features", b"consent-visitor", b"dnt", b"sec-gpc",
    }
)  # fmt: skip
_FORWARDING = frozenset(
    {
        b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix",
        b"x-forwarded-uri", b"x-real-ip", b"forwarded",
    }
)  # fmt: skip
_NEVER_SPELT_OTHERWISE = _FORWARDING | {b"host", b"content-length", b"content-type", b"cookie"}
_NEVER_INTERIM = frozenset({b"set-cookie", b"content-length"}) | OUTBOUND_RESERVED
VIA = b"1.1 consent_mw"


def nominated(headers: Sequence[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The fields that Connection names for removal, but those that nobody may name."""
    named = (one.strip(b" \t").lower() for key, value in headers if key.lower() == b"connection"
             for one in value.split(b","))  # fmt: skip
    return frozenset(named) - _NEVER_NOMINATED


def towards_upstream(
    headers: Headers, head: RequestHead, dropped: frozenset[bytes], peer: str, trust: Trust, *, secure: bool
) -> Headers:
    """The request's headers as the upstream gets them, framing included. `dropped` are the nominated fields."""
    address = read_address(peer)
    trusted = bool(trust) and (not peer or address in trust)
    sent: Headers = []
    chain: list[bytes] = []
    for name, value in headers:
        # An upstream that reads headers by CGI's rules takes `_` for `-` (RFC 3875 4.1.18).
        lower = name.lower().replace(b"_", b"-")
        if lower in HOP_BY_HOP or lower in dropped or (b"_" in name and lower in _NEVER_SPELT_OTHERWISE):
            continue
        if lower == b"x-forwarded-for":
            chain.append(value)
            continue
        if lower in _FORWARDING and not trusted:
            continue
        sent.append((name, value))
    if not trusted:
        chain = []
    if peer:
        chain.append(peer.encode("latin-1"))
    names = {name.lower() for name, _ in sent}
    if chain:
        sent.append((b"X-Forwarded-For", b", ".join(chain)))
    if b"x-forwarded-proto" not in names:
        sent.append((b"X-Forwarded-Proto", b"https" if secure else b"http"))
    if b"x-forwarded-host" not in names and head.host:
        sent.append((b"X-Forwarded-Host", head.host))
    sent.append((b"Via", VIA))
    if head.length is None:
        sent.append((b"Transfer-Encoding", b"chunked"))
    if head.upgrade:
        sent += [(b"Connection", b"Upgrade"), (b"Upgrade", head.upgrade)]
    return sent


def towards_browser(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    """The response's headers without what was meant for this hop alone."""
    dropped = nominated(headers)
    return [pair for pair in headers if pair[0].lower() not in HOP_BY_HOP and pair[0].lower() not in dropped]


def interim(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    """The headers of an interim response; it passes no gate, so that it sets no cookie either."""
    return [pair for pair in towards_browser(headers) if pair[0].lower() not in _NEVER_INTERIM]


def loops(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether this request has been through here already, too often to be a chain (RFC 9110 7.6.3)."""
    seen = sum(value.count(b"consent_mw") for name, value in headers if name.lower() == b"via")
    return seen >= 3


def render(first_line: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A message head as bytes."""
    return b"\r\n".join([first_line, *(name + b": " + value for name, value in headers), b"", b""])
