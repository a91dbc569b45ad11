"""The head of an answer: what it says and how its body is framed, one way only, or why it cannot be passed on.

Rule: what two readers could frame differently is a failure, never a guess.
Rule: a folded line is unfolded, as a gateway may (RFC 9112 5.2); any other malformed line fails the answer.
Source: RFC 9110 15, RFC 9112 4 to 6.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from consent_mw.wire.fields import Fields, Read, notice, read_response_fields, response_field, response_reader

LONGEST_HEAD: Final = 262_144
LINES_KEPT: Final = 256

UNTIL_END: Final = -1
CHUNKED: Final = -2
"""Lengths of a body that ends with its connection, and of one in chunks."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_status_lines: dict[bytes, tuple[int, bytes, bool]] = {}


@dataclass(slots=True)
class ResponseHead:
    """The head of an answer. `seen` has the first value of each field that somebody looks at, `repeated` all values
    of those that came more than once; `length` counts the body's bytes, or is UNTIL_END or CHUNKED; `bodiless`: by
    its status or its request's method there is no body; `keeps`: the connection may serve another request; `replies`
    remembers what was made of a head that came again, and is None where this one has not."""

    status: int
    reason: bytes
    fields: Fields
    seen: dict[bytes, bytes]
    repeated: dict[bytes, list[bytes]]
    length: int
    bodiless: bool
    keeps: bool
    replies: dict[Hashable, Any] | None = None

    def all(self, name: bytes) -> tuple[bytes, ...]:
        """Every value of this field, in order."""
        value = self.seen.get(name)
        return () if value is None else tuple(self.repeated.get(name) or (value,))


def read_response_head(raw: bytes, *, head: bool) -> ResponseHead | str:
    """The head that these bytes are (without the empty line at its end), or what is wrong with it. `head`: it answers
    a HEAD."""
    read = (response_reader and response_reader.response(raw)) or _read(raw)
    if isinstance(read, str):
        return read
    (status, reason, http10), (fields, seen, repeated) = read
    if status < 200 and status != 101:
        return ResponseHead(status, reason, fields, seen, repeated, 0, True, True)
    length = _length(seen, repeated, http10)
    if length is None:
        return "its framing is ambiguous"
    if b"content-length" in repeated:
        fields = _said_once(fields)
    bodiless = head or status == 204 or status == 304
    said = seen.get(b"connection")
    keeps = not http10
    if said is not None:
        lower = said.lower() if b"connection" not in repeated else b",".join(repeated[b"connection"]).lower()
        options = {one.strip(b" \t") for one in lower.split(b",")} if b"," in lower else (lower,)
        keeps = b"keep-alive" in options and b"close" not in options if http10 else b"close" not in options
    if length == UNTIL_END and not bodiless and status != 101:
        keeps = False
    return ResponseHead(status, reason, fields, seen, repeated, length, bodiless, keeps)


def head_of(status: int, headers: Iterable[tuple[bytes, bytes]]) -> ResponseHead:
    """The head of an answer that came otherwise than as HTTP/1 text."""
    fields = [response_field(bytes(name), bytes(value)) for name, value in headers]
    seen, repeated = notice(fields)
    return ResponseHead(status, b"", fields, seen, repeated, UNTIL_END, False, True)


def _read(raw: bytes) -> tuple[tuple[int, bytes, bool], Read] | str:
    lines = raw.split(b"\r\n")
    first = _status_lines.get(lines[0]) or _status_line(lines[0])
    if first is None:
        return "its answer is not HTTP"
    del lines[0]
    read = read_response_fields(lines) or read_response_fields(_unfolded(lines))
    return (first, read) if read is not None else "its head is malformed"


def _status_line(line: bytes) -> tuple[int, bytes, bool] | None:
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        return None
    read = (int(found[2]), found[3] or b"", found[1] == b"0")
    if len(_status_lines) < LINES_KEPT and len(line) <= LINES_KEPT:
        _status_lines[line] = read
    return read


def _unfolded(lines: list[bytes]) -> list[bytes]:
    whole: list[bytes] = []
    for line in lines:
        if line.startswith((b" ", b"\t")) and whole:
            whole[-1] = whole[-1].rstrip(b" \t") + b" " + line.lstrip(b" \t")
        else:
            whole.append(line)
    return whole


def _said_once(fields: Fields) -> Fields:
    """The fields with one Content-Length, where each says the same."""
    first = next(index for index, field in enumerate(fields) if field[0] == b"content-length")
    return [field for index, field in enumerate(fields) if index == first or field[0] != b"content-length"]


def _length(seen: dict[bytes, bytes], repeated: dict[bytes, list[bytes]], http10: bool) -> int | None:
    """How many bytes the body has; None where that can be read in two ways (RFC 9112 6.3)."""
    length, coding = seen.get(b"content-length"), seen.get(b"transfer-encoding")
    if coding is not None:
        alone = length is None and b"transfer-encoding" not in repeated and not http10
        return CHUNKED if alone and coding.lower() == b"chunked" else None
    if length is None:
        return UNTIL_END
    same = b"content-length" not in repeated or len(set(repeated[b"content-length"])) == 1
    return int(length) if same and _LENGTH.fullmatch(length) else None
