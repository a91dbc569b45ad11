"""The guard: a raw request head is either one thing to every reader, or refused (SPEC 10).

Rule: what two readers could frame differently is refused, never repaired and never forwarded.
Rule: checks look at the raw bytes; the parser comes after them.
Source: RFC 9110 7.6, RFC 9112 2 to 7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LONGEST_HEAD: Final = 65_536
MOST_FIELDS: Final = 200
LONGEST_TARGET: Final = 16_384

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not forwarded: its status and the sentence that it gets."""

    status: int
    sentence: str


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request head that reads one way only. `length` is None for a chunked body, 0 for none; `target` is in
    origin form (or `*`); header names and values are as they came, white space around values aside."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    host: bytes
    length: int | None
    http10: bool
    keep_alive: bool
    upgrade: bytes
    continues: bool


def read_head(raw: bytes) -> RequestHead | Refusal:
    """The head that these bytes are (the empty line at the end included), or why it is refused."""
    if b"\0" in raw or raw.count(b"\n") != raw.count(b"\r\n") or raw.count(b"\r") != raw.count(b"\r\n"):
        return Refusal(400, "the request has a bare line feed, carriage return or null")
    lines = raw[:-4].split(b"\r\n")
    if len(lines) > MOST_FIELDS + 1:
        return Refusal(431, f"the request has more than {MOST_FIELDS} header fields")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        return Refusal(400, "the request line is malformed")
    if len(parts[1]) > LONGEST_TARGET:
        return Refusal(414, f"the request target is longer than {LONGEST_TARGET} bytes")
    headers = _fields(lines[1:])
    if isinstance(headers, Refusal):
        return headers
    return _assemble(parts[0], parts[1], parts[2] == b"HTTP/1.0", headers)


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]] | Refusal:
    headers: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        # A line that begins with white space folds the one before it (RFC 9112 5.2); its name is no token.
        if not colon or not _TOKEN.fullmatch(name):
            return Refusal(400, "a header field is malformed")
        value = value.strip(b" \t")
        if not _VALUE.fullmatch(value):
            return Refusal(400, "a header field holds a control character")
        headers.append((name, value))
    return headers


def _assemble(
    method: bytes, target: bytes, http10: bool, headers: list[tuple[bytes, bytes]]
) -> RequestHead | Refusal:
    if method in (b"CONNECT", b"TRACE"):
        return Refusal(405, "this method is not served here")
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    options: set[bytes] = set()
    upgrade = expect = b""
    for name, value in headers:
        lower = name.lower()
        if lower == b"host":
            hosts.append(value)
        elif lower == b"content-length":
            lengths.append(value)
        elif lower == b"transfer-encoding":
            codings.append(value)
        elif lower == b"connection":
            options.update(one.strip(b" \t").lower() for one in value.split(b","))
        elif lower == b"upgrade":
            upgrade = value
        elif lower == b"expect":
            expect = value.lower()
    located = _locate(method, target, hosts, http10, headers)
    if isinstance(located, Refusal):
        return located
    length = _length(lengths, codings, http10)
    if isinstance(length, Refusal):
        return length
    if expect not in (b"", b"100-continue"):
        return Refusal(417, "this expectation cannot be met")
    keep_alive = b"keep-alive" in options if http10 else b"close" not in options
    asked = _upgrade(upgrade, options) if not http10 and length == 0 else b""
    host, plain, fields = located
    return RequestHead(method, plain, fields, host, length, http10, keep_alive, asked, bool(expect) and not http10)


def _upgrade(upgrade: bytes, options: set[bytes]) -> bytes:
    """The protocol that is asked for; never HTTP/2, whose tunnel would carry requests past the gate."""
    protocols = {one.strip(b" \t").lower() for one in upgrade.split(b",")}
    return upgrade if b"upgrade" in options and b"h2c" not in protocols else b""


def _locate(
    method: bytes, target: bytes, hosts: list[bytes], http10: bool, headers: list[tuple[bytes, bytes]]
) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]] | Refusal:
    """The host, the origin-form target and the headers that agree with them (RFC 9112 3.2)."""
    if len(hosts) > 1 or (not hosts and not http10):
        return Refusal(400, "the request must have exactly one Host")
    if not _TARGET.fullmatch(target) or b"#" in target:
        return Refusal(400, "the request target is malformed")
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        host, target = absolute[1], absolute[2] or b"/"
        target = target if target.startswith(b"/") else b"/" + target
        headers = [(name, host if name.lower() == b"host" else value) for name, value in headers]
        headers = headers if hosts else [(b"Host", host), *headers]
    else:
        host = hosts[0] if hosts else b""
    if not all(_HOST.fullmatch(one) for one in (*hosts, *([host] if absolute else []))):
        return Refusal(400, "the Host is malformed")
    if not target.startswith(b"/") and not (target == b"*" and method == b"OPTIONS"):
        return Refusal(400, "the request target is malformed")
    return host, target, headers


def _length(lengths: list[bytes], codings: list[bytes], http10: bool) -> int | Refusal | None:
    """How the body is framed; whatever leaves room for two answers is refused (RFC 9112 6.3)."""
    if codings:
        if lengths:
            return Refusal(400, "the request has both Transfer-Encoding and Content-Length")
        if http10:
            return Refusal(400, "HTTP/1.0 has no Transfer-Encoding")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            return Refusal(501, "the only transfer coding here is chunked")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        return Refusal(400, "the Content-Length is malformed")
    return int(lengths[0])
