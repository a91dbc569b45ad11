"""Header fields as ordered pairs of bytes: reading, merging, and keeping what must stay private out of shared caches.

Rule: names are compared without case; order, case and repeats of what is kept stay.
Rule: a list is parsed as a list, never searched as text.
Source: RFC 9110, RFC 9111.
"""

from __future__ import annotations

from collections.abc import Sequence

Headers = list[tuple[bytes, bytes]]

_SHARED_CACHES = frozenset(
    {b"cdn-cache-control", b"surrogate-control", b"cloudflare-cdn-cache-control", b"expires", b"age"}
)
_LOOSENS = frozenset(
    {
        b"public", b"private", b"no-cache", b"max-age", b"s-maxage", b"immutable", b"stale-while-revalidate",
        b"stale-if-error", b"proxy-revalidate",
    }
)  # fmt: skip
_MARK = b"-cmw"


def values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Every value of the fields of this name, in order."""
    wanted = name.lower()
    return [value for key, value in headers if key.lower() == wanted]


def first(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first field of this name, or None."""
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), None)


def without(headers: Sequence[tuple[bytes, bytes]], names: frozenset[bytes]) -> Headers:
    """The headers without the fields of these (lower-case) names."""
    return [pair for pair in headers if pair[0].lower() not in names]


def members(fields: Sequence[bytes]) -> list[bytes]:
    """The members of comma lists, quoted strings respected, empty ones dropped (RFC 9110 5.6.1)."""
    found: list[bytes] = []
    for field in fields:
        if b'"' not in field:
            found.extend(part for part in (one.strip(b" \t") for one in field.split(b",")) if part)
            continue
        found.extend(_quoted_members(field))
    return found


def tokens(fields: Sequence[bytes]) -> list[bytes]:
    """The members of comma lists in lower case, each up to its `=` or `;`."""
    return [one.partition(b";")[0].partition(b"=")[0].strip(b" \t").lower() for one in members(fields)]


def merge_vary(headers: Sequence[tuple[bytes, bytes]], names: Sequence[bytes]) -> Headers:
    """The headers with one Vary that names what it named and these too; `*` stays alone (RFC 9110 12.5.5)."""
    named = members(values(headers, b"vary"))
    if b"*" in named:
        return list(headers)
    have = {one.lower() for one in named}
    merged = b", ".join([*named, *(one for one in names if one.lower() not in have)])
    edited: Headers = []
    placed = False
    for key, value in headers:
        if key.lower() != b"vary":
            edited.append((key, value))
        elif not placed:
            edited.append((key, merged))
            placed = True
    return edited if placed else [*edited, (b"vary", merged)]


def make_private(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    """The headers so that no shared cache keeps this and no cache uses it unasked (RFC 9111 5.2.2).

    What the site said that is stricter stays (`no-store`, `must-revalidate`, `no-transform`, …); what would let a
    shared cache store it, by whatever field, goes.
    """
    said = members(values(headers, b"cache-control"))
    kept = [one for one in said if tokens([one])[0] not in _LOOSENS]
    line = b", ".join([b"private", b"no-cache", *kept])
    edited: Headers = []
    placed = False
    for key, value in headers:
        lower = key.lower()
        if lower == b"cache-control":
            if not placed:
                edited.append((key, line))
                placed = True
        elif lower not in _SHARED_CACHES:
            edited.append((key, value))
    return edited if placed else [*edited, (b"cache-control", line)]


def tag_etag(etag: bytes, digest: str) -> bytes:
    """The entity tag with the decision's digest in it, always weak since the body may be edited (RFC 9110 8.8.3)."""
    opaque = etag.strip(b" \t").removeprefix(b"W/")
    if len(opaque) < 2 or not (opaque.startswith(b'"') and opaque.endswith(b'"')):
        return etag
    strength = b"w" if etag.strip(b" \t").startswith(b"W/") else b"s"
    return b'W/"' + opaque[1:-1] + _MARK + strength + digest.encode() + b'"'


def untag_etag(field: bytes, digest: str) -> bytes:
    """The site's own tags behind those of ours with this digest; empty where none is of this decision."""
    end = digest.encode() + b'"'
    found: list[bytes] = []
    for member in members([field]):
        opaque = member.removeprefix(b"W/")
        if not opaque.endswith(end):
            continue
        body, mark, strength = opaque[: -len(end)].rpartition(_MARK)
        if mark and strength in (b"w", b"s"):
            found.append((b"W/" if strength == b"w" else b"") + body + b'"')
    return b", ".join(found)


def _quoted_members(field: bytes) -> list[bytes]:
    found: list[bytes] = []
    start, quoted, index = 0, False, 0
    while index < len(field):
        char = field[index : index + 1]
        if quoted and char == b"\\":
            index += 1
        elif char == b'"':
            quoted = not quoted
        elif char == b"," and not quoted:
            found.append(field[start:index])
            start = index + 1
        index += 1
    found.append(field[start:])
    return [part for part in (one.strip(b" \t") for one in found) if part]
