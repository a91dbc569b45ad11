"""The guard of HTTP/2: the fields of a request become the same RequestHead that HTTP/1 makes, or are refused.

Rule: a request that HTTP/1 could not carry one way only is refused here, whatever the engine let through.
Rule: Cookie crumbs are one Cookie before anything sees them (RFC 9113 8.2.3).
Rule: :authority and Host name one host, or the request is refused (RFC 9113 8.3.1).
Source: RFC 9113 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consent_mw.wire.fields import Read, read_request_fields, request_field
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
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_PSEUDO_FIELDS: Final = 4
_ENDS_A_LINE: Final = 2


def line_and_block(pairs: Pairs) -> tuple[bytes, bytes]:
    """The request line, and bytes that no other pairs have, nor any head of HTTP/1 (they hold nulls); nothing where
    the pairs are none such. Nothing else is checked: they serve to find what became of the very same pairs."""
    method = target = b""
    rest: list[bytes] = []
    for name, value in pairs[:_PSEUDO_FIELDS]:
        if name == b":method":
            method = value
        elif name == b":path":
            target = value
        elif name in _PSEUDO:
            rest += (name, value)
        else:
            return b"", b""
    for pair in pairs[_PSEUDO_FIELDS:]:
        rest += pair
    block = b"\0" + b"\0".join(rest)
    unlike_any = method and target and block.count(b"\0") == len(rest)
    return method + b" " + target + b" HTTP/1.1", block if unlike_any else b""


def read_pairs(pairs: Pairs, *, ended: bool) -> RequestHead | Refusal:
    """The request that these pairs of name and value are, pseudo-header fields first, or why it is refused.
    `ended`: no body follows."""
    pseudo: dict[bytes, bytes] = {}
    for name, value in pairs:
        if not name.startswith(b":"):
            break
        if name in pseudo or name not in _PSEUDO:
            return Refusal(400, "a pseudo-header field is unknown or doubled")
        pseudo[name] = value
    target = pseudo.get(b":path", b"")
    line = read_request_line(pseudo.get(b":method", b"") + b" " + target + b" HTTP/1.1")
    if isinstance(line, Refusal):
        return line
    # An absolute target would name a second authority.
    if pseudo.get(b":scheme") not in _SCHEMES or not target.startswith((b"/", b"*")):
        return Refusal(400, "the request's scheme or target is malformed")
    read = _read(pairs[len(pseudo) :], LONGEST_HEAD - len(target))
    if isinstance(read, Refusal):
        return read
    if b":authority" in pseudo:
        read = _located(read, pseudo[b":authority"])
        if isinstance(read, Refusal):
            return read
    if len(read[0]) > MOST_FIELDS:
        return Refusal(431, f"the request has more than {MOST_FIELDS} header fields")
    return _framed(assemble(line, read), ended=ended)


def trailer_lines(pairs: Pairs) -> list[bytes]:
    """The lines of these trailers; a malformed one spoils them all."""
    read = _read(pairs, LONGEST_HEAD)
    return [] if isinstance(read, Refusal) else [line for _, _, line, _ in read[0]]


def _read(pairs: Pairs, most: int) -> Read | Refusal:
    """The regular fields, of so many bytes at most, cookies joined in the place of the first."""
    lines = [name + b": " + value for name, value in pairs]
    if sum(map(len, lines)) + _ENDS_A_LINE * len(lines) > most:
        return Refusal(431, f"the request's head is longer than {LONGEST_HEAD} bytes")
    read = read_request_fields(lines)
    if read is None:
        return Refusal(400, "a header field is malformed or holds a control character")
    fields, seen, repeated = read
    # What is not read back as it was written has an upper-case or parted name, or white space around its value.
    if [(field[0], field[1]) for field in fields] != list(pairs):
        return Refusal(400, "a header field is malformed")
    if not _OF_THE_CONNECTION.isdisjoint(seen) or seen.get(b"te", b"trailers") != b"trailers" or b"te" in repeated:
        return Refusal(400, "a header field is meant for a connection, which HTTP/2 has no room for")
    if b"cookie" in repeated:
        joined = request_field(b"cookie", b"; ".join(repeated[b"cookie"]))
        place = next(index for index, field in enumerate(fields) if field[0] == b"cookie")
        fields = [field for field in fields if field[0] != b"cookie"]
        fields.insert(place, joined)
        seen[b"cookie"] = joined[1]
        del repeated[b"cookie"]
    return fields, seen, repeated


def _located(read: Read, authority: bytes) -> Read | Refusal:
    """The fields with one Host, where HTTP/1 has it."""
    fields, seen, repeated = read
    host = seen.get(b"host")
    if host is not None:
        if b"host" in repeated or host.lower() != authority.lower():
            return Refusal(400, "the request's Host and :authority differ")
        fields = [field for field in fields if field[0] != b"host"]
    seen[b"host"] = authority
    return [request_field(b"Host", authority), *fields], seen, repeated


def _framed(head: RequestHead | Refusal, *, ended: bool) -> RequestHead | Refusal:
    """The head with the length of its body: frames end it, so that Content-Length only has to agree."""
    if isinstance(head, Refusal):
        return head
    if ended and head.length:
        return Refusal(400, "the Content-Length does not match the body")
    if not ended and b"content-length" not in head.seen:
        head.length = None
    return head
