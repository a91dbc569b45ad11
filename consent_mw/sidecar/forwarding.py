"""What a proxy does to headers, whatever the policy: hop-by-hop fields go, the forwarding fields come.

Rule: hop-by-hop fields go first, so that nobody can nominate a field of ours for removal.
Rule: forwarding fields of a peer that is not trusted are replaced, never continued.
Source: RFC 9110 7.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from consent_mw.wire.fields import (
    CHANGED,
    FORWARDING,
    HOP_BY_HOP,
    OUTBOUND_RESERVED,
    Field,
    Fields,
    render,
    request_field,
)
from consent_mw.wire.native import native
from consent_mw.wire.request_head import RequestHead

_NEVER_NOMINATED: Final = frozenset(
    {
        b"host", b"content-length", b"cookie", b"set-cookie", b"authorization", b"content-type", b"content-encoding",
        b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"cache-control", b"vary",
        b"consent-jurisdiction", b"consent-allows", b"consent-features", b"consent-visitor", b"dnt", b"sec-gpc",
    }
)  # fmt: skip
_SPOKEN_FOR: Final = frozenset({b"close", b"keep-alive", b"upgrade", b"te", b""})
_NEVER_SPELT_OTHERWISE: Final = FORWARDING | HOP_BY_HOP | {b"host", b"content-length", b"content-type", b"cookie"}
_GONE: Final = {False: HOP_BY_HOP | FORWARDING, True: HOP_BY_HOP | {b"x-forwarded-for"}}
"""What never goes on as it came, by whether the peer is trusted."""

_NOBODY: Final[frozenset[bytes]] = frozenset()
_NEVER_INTERIM: Final = HOP_BY_HOP | OUTBOUND_RESERVED | {b"set-cookie", b"content-length"}
_VIA: Final = request_field(b"Via", b"1.1 consent_mw")
_PROTO: Final = {
    False: request_field(b"X-Forwarded-Proto", b"http"),
    True: request_field(b"X-Forwarded-Proto", b"https"),
}
_CHUNKED: Final = request_field(b"Transfer-Encoding", b"chunked")
_TRAILERS: Final = [request_field(b"Connection", b"TE"), request_field(b"TE", b"trailers")]


class Edits(Protocol):
    """What the policy does to a request's fields."""

    def remaining_cookies(self) -> bytes | None:
        """The one Cookie field that stays, or None."""

    def changed_field(self, lower: bytes, value: bytes) -> bytes | None:
        """What becomes of a field that may be changed: its value, or None."""

    def announced(self) -> tuple[Field, ...]:
        """The fields that are added."""


def nominated(options: frozenset[bytes]) -> frozenset[bytes]:
    """The fields that these options of Connection name for removal, but those that nobody may name."""
    return _NOBODY if options <= _SPOKEN_FOR else options - _SPOKEN_FOR - _NEVER_NOMINATED


def forwarded(head: RequestHead, edits: Edits, peer: str, named: bytes, *, trusted: bool, secure: bool) -> bytes:
    """The head of the request that the upstream gets; `named` is the Host for a request that names none."""
    line = head.method + b" " + head.target + b" HTTP/1.1"
    if native is not None and head.host and not nominated(head.options):
        added = [*_forwarding(head, peer, trusted=trusted, secure=secure), *edits.announced()]
        sent = native.forward(line, head.fields, _GONE[trusted], edits.remaining_cookies, edits.changed_field, added)
        if sent is not None:
            return sent
    fields = towards_upstream(head, edits, peer, trusted=trusted, secure=secure)
    if not head.host:
        fields.insert(0, request_field(b"Host", named))
    return render(line, fields)


def towards_upstream(head: RequestHead, edits: Edits, peer: str, *, trusted: bool, secure: bool) -> Fields:
    """The request's fields as the upstream gets them, framing included. `trusted`: the peer's forwarding fields are
    believed and continued."""
    dropped = nominated(head.options)
    sent: Fields = []
    gone = _GONE[trusted]
    cookies = b"cookie" in head.seen
    for field in head.fields:
        if dropped and field[0].replace(b"_", b"-") in dropped:
            continue
        if field[3] < CHANGED:
            sent.append(field)
            continue
        lower = field[0]
        if lower == b"cookie":
            kept = edits.remaining_cookies() if cookies else None
            cookies = False
            if kept is not None:
                sent.append(field if kept is field[1] else (lower, kept, field[2][:6] + b": " + kept, CHANGED))
        elif lower in gone:
            continue
        elif b"_" in lower and lower.replace(b"_", b"-") in _NEVER_SPELT_OTHERWISE:
            # An upstream that reads headers by CGI's rules takes `_` for `-` (RFC 3875 4.1.18).
            continue
        else:
            value = edits.changed_field(lower, field[1])
            if value is not None:
                sent.append(field if value is field[1] else request_field(field[2][: len(lower)], value))
    sent += _forwarding(head, peer, trusted=trusted, secure=secure)
    sent += edits.announced()
    return sent


def _forwarding(head: RequestHead, peer: str, *, trusted: bool, secure: bool) -> Fields:
    """The fields that this hop adds."""
    added: Fields = []
    seen, host = head.seen, head.host
    said = peer.encode("latin-1")
    if trusted and b"x-forwarded-for" in seen:
        came = head.repeated.get(b"x-forwarded-for")
        before = seen[b"x-forwarded-for"] if came is None else b", ".join(came)
        said = before + b", " + said if said else before
    if said:
        added.append((b"x-forwarded-for", said, b"X-Forwarded-For: " + said, CHANGED))
    if not (trusted and b"x-forwarded-proto" in seen):
        added.append(_PROTO[secure])
    if host and not (trusted and b"x-forwarded-host" in seen):
        added.append((b"x-forwarded-host", host, b"X-Forwarded-Host: " + host, CHANGED))
    added.append(_VIA)
    if head.length is None:
        added.append(_CHUNKED)
    if head.upgrade:
        added += [request_field(b"Connection", b"Upgrade"), request_field(b"Upgrade", head.upgrade)]
    elif wants_trailers(head):
        added += _TRAILERS
    return added


def wants_trailers(head: RequestHead) -> bool:
    """Whether trailers of the answer are understood (RFC 9110 10.1.4)."""
    said = head.seen.get(b"te")
    return said is not None and not head.http10 and b"trailers" in _members(head.repeated.get(b"te") or [said])


def _members(values: Sequence[bytes]) -> set[bytes]:
    return {one.strip(b" \t").lower() for value in values for one in value.split(b",")}


def for_this_hop(seen: dict[bytes, bytes], repeated: dict[bytes, list[bytes]]) -> frozenset[bytes]:
    """The fields of an answer that were meant for this hop alone."""
    said = seen.get(b"connection")
    if said is None:
        return HOP_BY_HOP
    options = _members(repeated.get(b"connection") or [said])
    return HOP_BY_HOP if options <= _SPOKEN_FOR else HOP_BY_HOP | (options - _NEVER_NOMINATED)


def interim(fields: Fields) -> Fields:
    """The fields of an interim response; it passes no gate, so that it sets no cookie either."""
    return [field for field in fields if field[0] not in _NEVER_INTERIM]


def loops(seen: dict[bytes, bytes], repeated: dict[bytes, list[bytes]]) -> bool:
    """Whether this request has been through here already, too often to be a chain (RFC 9110 7.6.3)."""
    via = seen.get(b"via")
    return via is not None and b",".join(repeated.get(b"via") or [via]).count(b"consent_mw") >= 3


def last_hop(head: RequestHead) -> bool:
    """Whether this request shall go no further than here; if it may, this hop is counted (RFC 9110 7.6.2)."""
    said = head.seen[b"max-forwards"]
    if not said.isdigit() or len(said) > 9:
        return False
    if int(said) == 0:
        return True
    counted = b"%d" % (int(said) - 1)
    head.fields = [
        request_field(line[: len(lower)], counted) if lower == b"max-forwards" else (lower, value, line, level)
        for lower, value, line, level in head.fields
    ]
    return False
