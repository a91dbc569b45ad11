"""Header fields as they came: read strictly, and remembered line by line, since most lines come again.

Rule: a line is a field to every reader, or it is none.
Rule: what is remembered has a bound, is short, and is nothing that one visitor alone would send.
Source: RFC 9110 5, RFC 9112 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from consent_mw.wire.native import native

Field = tuple[bytes, bytes, bytes, int]
"""One field: its name in lower case, its value without white space around it, its whole line, and its Level."""

Fields = list[Field]

Read = tuple[Fields, dict[bytes, bytes], dict[bytes, list[bytes]]]
"""Fields in order; the first value of each that somebody looks at; all values of those that came more than once."""

PLAIN: Final = 0
"""Nobody looks at it; it goes on as it came."""
SEEN: Final = 1
"""Somebody looks at it; it goes on as it came."""
CHANGED: Final = 2
"""It may be changed or taken away."""
TARGETED: Final = 3
"""It tells some CDN to keep an answer (RFC 9213); it is taken from what is for one visitor alone."""

LINES_KEPT: Final = 4096
LONGEST_LINE_KEPT: Final = 256

HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te",
        b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
"""Fields that are for this hop alone (RFC 9110 7.6.1)."""

FORWARDING: Final = frozenset(
    {
        b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix",
        b"x-forwarded-uri", b"x-real-ip", b"forwarded",
    }
)  # fmt: skip
"""Fields by which proxies tell what they saw."""

CONDITIONS: Final = frozenset({b"if-modified-since", b"if-unmodified-since", b"range", b"if-range"})
"""Conditions that a page which may be edited cannot be asked under."""

INBOUND_RESERVED: Final = frozenset(
    {b"consent-jurisdiction", b"consent-allows", b"consent-features", b"consent-visitor"}
)
"""Request headers that only we may set; any copy from outside is removed."""

OUTBOUND_RESERVED: Final = frozenset({b"consent-identify", b"consent-event", b"consent-minor", b"consent-erase"})
"""Response headers that the app talks to us with; the browser never sees them."""

SHARED_CACHES: Final = frozenset(
    {b"surrogate-control", b"expires", b"age", b"x-accel-expires", b"edge-control", b"x-litespeed-cache-control"}
)
"""Fields by which shared caches are told to keep an answer."""

_ENDS_TARGETED: Final = b"cdn-cache-control"
"""The end of the names of targeted fields: a CDN's own begin with its name."""

VALIDATORS: Final = frozenset(
    {b"last-modified", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"unencoded-digest"}
)
"""What says something of a body that is no longer true once the body may be edited."""

_REQUEST_SEEN = frozenset(
    {
        b"host", b"dnt", b"sec-gpc", b"sec-fetch-dest", b"sec-purpose", b"purpose", b"x-moz", b"accept",
        b"user-agent", b"accept-language", b"referer", b"content-length", b"expect", b"max-forwards",
        b"cf-connecting-ip", b"true-client-ip", b"x-client-ip", b"fly-client-ip", b"fastly-client-ip",
    }
)  # fmt: skip
_REQUEST_CHANGED = (
    HOP_BY_HOP
    | FORWARDING
    | CONDITIONS
    | INBOUND_RESERVED
    | {b"cookie", b"if-none-match", b"if-match", b"accept-encoding", b"via"}
)
_RESPONSE_SEEN = frozenset({b"content-type", b"content-language"})
_RESPONSE_CHANGED = (
    HOP_BY_HOP
    | OUTBOUND_RESERVED
    | SHARED_CACHES
    | VALIDATORS
    | {
        b"set-cookie",
        b"cache-control",
        b"vary",
        b"etag",
        b"accept-ranges",
        b"content-length",
        b"content-encoding",
        b"link",
        b"refresh",
        b"via",
        b"content-security-policy",
        b"permissions-policy",
        b"reporting-endpoints",
        b"content-security-policy-report-only",
        b"report-to",
    }
)
_NEVER_KEPT = FORWARDING | {
    b"cookie", b"set-cookie", b"authorization", b"proxy-authorization", b"referer", b"if-none-match",
    b"traceparent", b"tracestate", b"x-request-id", b"cf-connecting-ip", b"true-client-ip", b"x-client-ip",
    b"fly-client-ip", b"fastly-client-ip",
}  # fmt: skip
_IN_NAMES = b"!#$%&'*+-.^_`|~" + bytes([*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B)])
_AS_DASHES = bytes.maketrans(b"!#$%&'*+.^_`|~", b"-" * 14)
_IN_VALUES = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])

NOTHING_REPEATED: Final[dict[bytes, list[bytes]]] = {}

_request_lines: dict[bytes, Field] = {}
_response_lines: dict[bytes, Field] = {}
_request_names: dict[bytes, tuple[bytes, int]] = {}
_response_names: dict[bytes, tuple[bytes, int]] = {}
_also_seen: set[bytes] = set()


def look_at(name: bytes) -> None:
    """From now on somebody looks at request fields of this (lower-case) name."""
    if _level_in_request(name) == PLAIN:
        _also_seen.add(name)
        forget_lines()


def forget_lines() -> None:
    """Forget what request lines were read as: somebody may look at other names now."""
    _request_lines.clear()
    _request_names.clear()
    if request_reader is not None:
        request_reader.forget()


def request_level(name: bytes) -> tuple[bytes, int]:
    """This name in lower case, and the level of its request fields."""
    return _request_names.get(name) or _classify(_request_names, name, _level_in_request)


def response_level(name: bytes) -> tuple[bytes, int]:
    """This name in lower case, and the level of its response fields."""
    return _response_names.get(name) or _classify(_response_names, name, _level_in_response)


def read_request_fields(lines: list[bytes]) -> Read | None:
    """The fields of these lines of a request; None where one is malformed (RFC 9112 5)."""
    known = _request_lines.get
    try:
        fields = [known(line) or _request_field(line) for line in lines]
    except ValueError:
        return None
    return fields, *notice(fields)


def read_response_fields(lines: list[bytes]) -> Read | None:
    """The fields of these lines of a response; None where one is malformed."""
    known = _response_lines.get
    try:
        fields = [known(line) or _response_field(line) for line in lines]
    except ValueError:
        return None
    return fields, *notice(fields)


def request_field(name: bytes, value: bytes) -> Field:
    """A field of a request, from its parts, which must be sound."""
    lower, level = request_level(name)
    return lower, value, name + b": " + value, level


def response_field(name: bytes, value: bytes) -> Field:
    """A field of a response, from its parts, which must be sound."""
    lower, level = response_level(name)
    return lower, value, name + b": " + value, level


def notice(fields: Fields) -> tuple[dict[bytes, bytes], dict[bytes, list[bytes]]]:
    """The first value of each field that somebody looks at, and all values of those that came more than once."""
    seen: dict[bytes, bytes] = {}
    repeated = NOTHING_REPEATED
    for lower, value, _, level in fields:
        if level:
            if lower not in seen:
                seen[lower] = value
                continue
            if repeated is NOTHING_REPEATED:
                repeated = {}
            repeated.setdefault(lower, [seen[lower]]).append(value)
    return seen, repeated


def observed(
    headers: Sequence[tuple[bytes, bytes]],
) -> tuple[dict[bytes, bytes], dict[bytes, list[bytes]], list[tuple[int, bytes]]]:
    """What `notice` says of these headers, and the places and (lower-case) names of those that may be changed."""
    if native is not None:
        read = native.observe(headers, _request_names, request_level, NOTHING_REPEATED)
        if read is not None:
            return read
    seen: dict[bytes, bytes] = {}
    repeated = NOTHING_REPEATED
    changed: list[tuple[int, bytes]] = []
    for index, (name, value) in enumerate(headers):
        lower, level = request_level(name)
        if level == PLAIN:
            continue
        if level >= CHANGED:
            changed.append((index, lower))
        if lower not in seen:
            seen[lower] = value
            continue
        if repeated is NOTHING_REPEATED:
            repeated = {}
        repeated.setdefault(lower, [seen[lower]]).append(value)
    return seen, repeated, changed


def reserved(lower: bytes) -> bool:
    """Whether a request header of this name claims to be one of ours: servers may read `_` for `-` (RFC 3875 4.1.18),
    and some read `_` for whatever is no letter and no digit."""
    return lower.startswith(b"consent") and lower.translate(_AS_DASHES) in INBOUND_RESERVED


def _request_field(line: bytes) -> Field:
    name, value, whole = _read(line)
    lower, level = _request_names.get(name) or _classify(_request_names, name, _level_in_request)
    return _remember(_request_lines, line, (lower, value, whole, level))


def _response_field(line: bytes) -> Field:
    name, value, whole = _read(line)
    lower, level = _response_names.get(name) or _classify(_response_names, name, _level_in_response)
    return _remember(_response_lines, line, (lower, value, whole, level))


def _read(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Name, value and line without surplus white space. Raises ValueError for what is no field."""
    name, colon, value = line.partition(b":")
    # A line that begins with white space folds the one before it (RFC 9112 5.2); its name is no token.
    if not colon or not name or name.translate(None, _IN_NAMES):
        raise ValueError("a header field is malformed")
    plain = value.strip(b" \t")
    if plain.translate(None, _IN_VALUES):
        raise ValueError("a header field holds a control character")
    whole = len(plain) == len(value) - 1 and value[0] == 32
    return name, plain, line if whole else name + b": " + plain


def _remember(known: dict[bytes, Field], line: bytes, field: Field) -> Field:
    if len(line) <= LONGEST_LINE_KEPT and field[0] not in _NEVER_KEPT:
        if len(known) >= LINES_KEPT:
            known.clear()
        known[line] = field
    return field


def _classify(known: dict[bytes, tuple[bytes, int]], name: bytes, level: Callable[[bytes], int]) -> tuple[bytes, int]:
    lower = name.lower()
    found = (lower, level(lower))
    if len(name) <= LONGEST_LINE_KEPT:
        if len(known) >= LINES_KEPT:
            known.clear()
        known[name] = found
    return found


def _level_in_request(lower: bytes) -> int:
    # An upstream that reads headers by CGI's rules takes `_` for `-` (RFC 3875 4.1.18).
    if lower in _REQUEST_CHANGED or b"_" in lower or reserved(lower):
        return CHANGED
    return SEEN if lower in _REQUEST_SEEN or lower in _also_seen else PLAIN


def _level_in_response(lower: bytes) -> int:
    if lower.endswith(_ENDS_TARGETED):
        return TARGETED
    if lower in _RESPONSE_CHANGED:
        return CHANGED
    return SEEN if lower in _RESPONSE_SEEN else PLAIN


def _render(first_line: bytes, fields: Fields) -> bytes:
    return b"\r\n".join([first_line, *[field[2] for field in fields], b"", b""])


def _named(fields: Fields, name: bytes) -> Fields:
    return [field for field in fields if field[0] == name]


render: Final = _render if native is None else native.render
"""A message head as bytes, of its first line and its fields."""

named: Final = _named if native is None else native.named
"""The fields of this (lower-case) name."""

request_reader: Final = (
    None if native is None else native.Reader(_request_names, request_level, _NEVER_KEPT, NOTHING_REPEATED)
)
response_reader: Final = (
    None if native is None else native.Reader(_response_names, response_level, _NEVER_KEPT, NOTHING_REPEATED)
)
"""What reads whole heads natively, by the same names and levels; None where that is not built."""
