"""The guard of HTTP/2: the fields of a request become the same RequestHead that HTTP/1 makes, or are refused.

Rule: a request that HTTP/1 could not carry one way only is refused here, whatever the engine let through.
Rule: Cookie crumbs are one Cookie before anything sees them (RFC 9113 8.2.3).
Rule: :authority and Host name one host, or the request is refused (RFC 9113 8.3.1).
Source: RFC 9113 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consent_mw.wire.fields import Fields, notice, read_request_fields, request_field
from consent_mw.wire.request_head import (
    LONGEST_HEAD,
    MOST_FIELDS,
    Refusal,
    RequestHead,
    assemble,
    read_request_line,
)

Pairs = Sequence[tuple[bytes, bytes]]

_PSEUDO: Final = frozenset({b":method", b":scheme", b":authority", b":path"})
_SCHEMES: Final = frozenset({b"http", b"https"})
_OF_THE_CONNECTION: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"http2-settings"}
)
_COUNTED_BESIDE: Final = 4
"""Bytes that each field would take in HTTP/1 beside its name and value."""


def read_pairs(pairs: Pairs, *, ended: bool) -> RequestHead | Refusal:
    """The request that these pairs of name and value are, pseudo-header fields first, or why it is refused.
    `ended`: no body follows."""
    pseudo = _pseudo(pairs)
    if isinstance(pseudo, Refusal):
        return pseudo
    regular = pairs[len(pseudo) :]
    fields = _fields(regular)
    if isinstance(fields, Refusal):
        return fields
    target = pseudo.get(b":path", b"")
    line = read_request_line(pseudo.get(b":method", b"") + b" " + target + b" HTTP/1.1")
    if isinstance(line, Refusal):
        return line
    # An absolute target would name a second authority.
    if pseudo.get(b":scheme") not in _SCHEMES or not target.startswith((b"/", b"*")):
        return Refusal(400, "the request's scheme or target is malformed")
    authority = pseudo.get(b":authority")
    if authority is not None:
        hosts = [value for lower, value, _, _ in fields if lower == b"host"]
        if any(host.lower() != authority.lower() for host in hosts) or len(hosts) > 1:
            return Refusal(400, "the request's Host and :authority differ")
        if hosts:
            fields = [field for field in fields if field[0] != b"host"]
        fields.insert(0, request_field(b"Host", authority))
    if len(fields) > MOST_FIELDS:
        return Refusal(431, f"the request has more than {MOST_FIELDS} header fields")
    return _framed(assemble(line, (fields, *notice(fields))), ended=ended)


def trailer_lines(pairs: Pairs) -> list[bytes]:
    """The lines of these trailers; a malformed one spoils them all."""
    fields = _fields(pairs)
    return [] if isinstance(fields, Refusal) else [line for _, _, line, _ in fields]


def _pseudo(pairs: Pairs) -> dict[bytes, bytes] | Refusal:
    """The pseudo-header fields, each once and before all others."""
    found: dict[bytes, bytes] = {}
    size = 0
    for name, value in pairs:
        size += len(name) + len(value) + _COUNTED_BESIDE
        if not name.startswith(b":"):
            continue
        if name in found or name not in _PSEUDO:
            return Refusal(400, "a pseudo-header field is unknown or doubled")
        found[name] = value
    if size > LONGEST_HEAD:
        return Refusal(431, f"the request's head is longer than {LONGEST_HEAD} bytes")
    if any(not name.startswith(b":") for name, _ in pairs[: len(found)]):
        return Refusal(400, "a pseudo-header field comes after another field")
    return found


def _fields(pairs: Pairs) -> Fields | Refusal:
    """The regular fields, cookies joined in the place of the first."""
    read = read_request_fields([name + b": " + value for name, value in pairs])
    if read is None:
        return Refusal(400, "a header field is malformed or holds a control character")
    fields: Fields = []
    crumbs: list[bytes] = []
    place = 0
    for (name, value), field in zip(pairs, read[0], strict=True):
        # What is not read back as it was written has an upper-case or parted name, or white space around its value.
        if field[0] != name or field[1] != value:
            return Refusal(400, "a header field is malformed")
        if name in _OF_THE_CONNECTION or (name == b"te" and value.lower() != b"trailers"):
            return Refusal(400, "a header field is meant for a connection, which HTTP/2 has no room for")
        if name != b"cookie":
            fields.append(field)
            continue
        if not crumbs:
            place = len(fields)
        crumbs.append(value)
    if crumbs:
        fields.insert(place, request_field(b"cookie", b"; ".join(crumbs)))
    return fields


def _framed(head: RequestHead | Refusal, *, ended: bool) -> RequestHead | Refusal:
    """The head with the length of its body: frames end it, so that Content-Length only has to agree."""
    if isinstance(head, Refusal):
        return head
    if ended and head.length:
        return Refusal(400, "the Content-Length does not match the body")
    if not ended and b"content-length" not in head.seen:
        head.length = None
    return head
