"""The guard: a raw request head is either one thing to every reader, or refused (SPEC 10).

Rule: what two readers could frame differently is refused, never repaired and never forwarded.
Rule: a head is split at CR LF alone, so that any other line end, and a null, stands in a line that is then refused.
Source: RFC 9110 7.6, RFC 9112 2 to 7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consent_mw.wire.fields import Fields, Read, read_request_fields, request_field, request_reader

LONGEST_HEAD: Final = 65_536
MOST_FIELDS: Final = 200
LONGEST_TARGET: Final = 16_384
LINES_KEPT: Final = 1024
LONGEST_LINE_KEPT: Final = 128

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[\x21\x22\x24-\x7e]+")
_VERSION = re.compile(rb"HTTP/[0-9](?:\.[0-9])?")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)

_request_lines: dict[bytes, tuple[bytes, bytes, bool]] = {}
_hosts: set[bytes] = set()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not forwarded: its status and the sentence that it gets."""

    status: int
    sentence: str


@dataclass(slots=True)
class RequestHead:
    """A request head that reads one way only. `target` is in origin form (or `*`); `fields` are as they came, white
    space around values aside; `seen` has the first value of each field that somebody looks at, `repeated` all values
    of those that came more than once; `length` is None for a chunked body, 0 for none; `options` are what Connection
    names; `block` are the bytes after the request line, where the target was in origin form."""

    method: bytes
    target: bytes
    fields: Fields
    seen: dict[bytes, bytes]
    repeated: dict[bytes, list[bytes]]
    host: bytes
    length: int | None
    http10: bool
    keep_alive: bool
    upgrade: bytes
    continues: bool
    options: frozenset[bytes]
    block: bytes = b""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The fields as pairs of name and value."""
        return [(line[: len(lower)], value) for lower, value, line, _ in self.fields]


def read_head(raw: bytes) -> RequestHead | Refusal:
    """The head that these bytes are (the empty line at the end included), or why it is refused."""
    read = (request_reader and request_reader.request(raw)) or _read(raw)
    if isinstance(read, Refusal):
        return read
    head = assemble(*read)
    if isinstance(head, RequestHead) and head.target is read[0][1]:
        head.block = raw[raw.index(b"\r\n") + 2 :]
    return head


def target_of(line: bytes, method: bytes) -> bytes | None:
    """The target, in origin form, of a request line of HTTP/1.1 that is sound and has this method; else None."""
    parts = line.split(b" ")
    if len(parts) != 3 or parts[0] != method or parts[2] != b"HTTP/1.1":
        return None
    target = parts[1]
    sound = target.startswith(b"/") and len(target) <= LONGEST_TARGET and _TARGET.fullmatch(target)
    return target if sound else None


def read_request_line(line: bytes) -> tuple[bytes, bytes, bool] | Refusal:
    """Method, target and whether it is HTTP/1.0, or why the line is refused."""
    return _request_lines.get(line) or _request_line(line)


def assemble(line: tuple[bytes, bytes, bool], read: Read) -> RequestHead | Refusal:
    """The head of a request line (method, target, whether HTTP/1.0) and fields that are sound one by one."""
    method, target, http10 = line
    fields, seen, repeated = read
    host = seen.get(b"host")
    if host is None or b"host" in repeated or host not in _hosts or not target.startswith(b"/"):
        located = _locate(method, target, fields, seen, repeated, http10)
        if isinstance(located, Refusal):
            return located
        host, target = located
    length: int | None = 0
    if b"content-length" in seen or b"transfer-encoding" in seen:
        framed = _length(seen, repeated, http10)
        if isinstance(framed, Refusal):
            return framed
        length = framed
    said = seen.get(b"connection")
    options = _NO_OPTIONS if said is None else _OPTIONS.get(said) or _options([said])
    if b"connection" in repeated:
        options = _options(repeated[b"connection"])
    expect = seen.get(b"expect")
    if expect is not None and (b"expect" in repeated or expect.lower() != b"100-continue"):
        return Refusal(417, "this expectation cannot be met")
    keep_alive = b"keep-alive" in options if http10 else b"close" not in options
    upgrade = b""
    if b"upgrade" in options and not http10 and length == 0:
        upgrade = _upgrade(repeated.get(b"upgrade", [seen.get(b"upgrade", b"")]))
    return RequestHead(
        method, target, fields, seen, repeated, host, length, http10, keep_alive, upgrade,
        expect is not None and not http10, options,
    )  # fmt: skip


_NO_OPTIONS: Final[frozenset[bytes]] = frozenset()
_OPTIONS: Final = {
    b"keep-alive": frozenset({b"keep-alive"}),
    b"close": frozenset({b"close"}),
    b"Keep-Alive": frozenset({b"keep-alive"}),
}


def _options(values: Sequence[bytes]) -> frozenset[bytes]:
    return frozenset(one.strip(b" \t").lower() for value in values for one in value.split(b","))


def _read(raw: bytes) -> tuple[tuple[bytes, bytes, bool], Read] | Refusal:
    if not raw.endswith(b"\r\n\r\n"):
        return Refusal(400, "the request has a bare line feed, carriage return or null")
    lines = raw[:-4].split(b"\r\n")
    if len(lines) > MOST_FIELDS + 1:
        return Refusal(431, f"the request has more than {MOST_FIELDS} header fields")
    first = read_request_line(lines[0])
    if isinstance(first, Refusal):
        return first
    del lines[0]
    read = read_request_fields(lines)
    if read is None:
        return Refusal(400, "a header field is malformed or holds a control character")
    return first, read


def _request_line(line: bytes) -> tuple[bytes, bytes, bool] | Refusal:
    parts = line.split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not _VERSION.fullmatch(parts[2]):
        return Refusal(400, "the request line is malformed")
    if parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        return Refusal(505, "the versions of HTTP here are 1.0 and 1.1")
    method, target, version = parts
    if len(target) > LONGEST_TARGET:
        return Refusal(414, f"the request target is longer than {LONGEST_TARGET} bytes")
    if method in (b"CONNECT", b"TRACE"):
        return Refusal(405, "this method is not served here")
    if not _TARGET.fullmatch(target):
        return Refusal(400, "the request target is malformed")
    found = (method, target, version == b"HTTP/1.0")
    # A query can be personal; what has one is read anew.
    if len(line) <= LONGEST_LINE_KEPT and b"?" not in target:
        if len(_request_lines) >= LINES_KEPT:
            _request_lines.clear()
        _request_lines[line] = found
    return found


def _upgrade(values: Sequence[bytes]) -> bytes:
    """The protocol that is asked for; never HTTP/2, whose tunnel would carry requests past the gate."""
    upgrade = b", ".join(values)
    protocols = {one.strip(b" \t").lower() for one in upgrade.split(b",")}
    return upgrade if b"h2c" not in protocols else b""


def _locate(
    method: bytes,
    target: bytes,
    fields: Fields,
    seen: dict[bytes, bytes],
    repeated: dict[bytes, list[bytes]],
    http10: bool,
) -> tuple[bytes, bytes] | Refusal:
    """The host and the origin-form target, with which `fields` and `seen` are made to agree (RFC 9112 3.2)."""
    host = seen.get(b"host")
    if b"host" in repeated or (host is None and not http10):
        return Refusal(400, "the request must have exactly one Host")
    absolute = _ABSOLUTE.fullmatch(target)
    if (host is not None and not _HOST.fullmatch(host)) or (absolute and not _HOST.fullmatch(absolute[1])):
        return Refusal(400, "the Host is malformed")
    if absolute is not None:
        # An OPTIONS for a whole server has no path of its own (RFC 9112 3.2.4).
        named, target = absolute[1], absolute[2] or (b"*" if method == b"OPTIONS" else b"/")
        target = b"/" + target if target.startswith(b"?") else target
        stands = request_field(b"Host", named)
        places = [index for index, field in enumerate(fields) if field[0] == b"host"]
        if places:
            line = fields[places[0]][2]
            fields[places[0]] = request_field(line[:4], named)
        else:
            fields.insert(0, stands)
        host = seen[b"host"] = named
    if not target.startswith(b"/") and not (target == b"*" and method == b"OPTIONS"):
        return Refusal(400, "the request target is malformed")
    if host is not None and len(_hosts) < LINES_KEPT and len(host) <= LONGEST_LINE_KEPT:
        _hosts.add(host)
    return host or b"", target


def _length(seen: dict[bytes, bytes], repeated: dict[bytes, list[bytes]], http10: bool) -> int | Refusal | None:
    """How the body is framed; whatever leaves room for two answers is refused (RFC 9112 6.3)."""
    coding, length = seen.get(b"transfer-encoding"), seen.get(b"content-length")
    if coding is not None:
        if length is not None:
            return Refusal(400, "the request has both Transfer-Encoding and Content-Length")
        if http10:
            return Refusal(400, "HTTP/1.0 has no Transfer-Encoding")
        if b"transfer-encoding" in repeated or coding.lower() != b"chunked":
            return Refusal(501, "the only transfer coding here is chunked")
        return None
    if length is None:
        return 0
    if b"content-length" in repeated or not _LENGTH.fullmatch(length):
        return Refusal(400, "the Content-Length is malformed")
    return int(length)
