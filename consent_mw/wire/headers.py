"""Header fields as ordered pairs of bytes: reading, merging, and keeping what must stay private out of shared caches.

Rule: names are compared without case; order, case and repeats of what is kept stay.
Rule: a list is parsed as a list, never searched as text.
Source: RFC 9110, RFC 9111.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LOOSENS = frozenset(
    {
        b"public", b"private", b"no-cache", b"max-age", b"s-maxage", b"immutable", b"stale-while-revalidate",
        b"stale-if-error", b"proxy-revalidate",
    }
)  # fmt: skip
_DIRECTIVE = re.compile(rb"""[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[^"\\]|\\.)*"))?""")
_ETAG = re.compile(rb'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LISTED_ETAG = re.compile(rb'(?:^|,)[ \t]*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?=,|$)')
_NOT_IN_ETAG = re.compile(rb"[^\x21\x23-\x7e\x80-\xff]")
_MARK = b"-cmw"
_TAGGED = re.compile(_MARK + rb"([ws])([0-9A-Za-z-]+)\Z")


def values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Every value of the fields of this name, in order."""
    wanted = name.lower()
    return [value for key, value in headers if key.lower() == wanted]


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


def vary_line(said: tuple[bytes, ...], names: tuple[bytes, ...]) -> bytes:
    """The one Vary that names what these fields named and these names too; `*` stays alone (RFC 9110 12.5.5)."""
    # Names hold no quotes: a stray one must not swallow the names behind it.
    named = [one for one in (part.strip(b" \t") for part in b",".join(said).split(b",")) if one]
    if b"*" in named:
        return b"*"
    have = {one.lower() for one in named}
    return b", ".join([*named, *(one for one in names if one.lower() not in have)])


def varies_by(said: Sequence[bytes], names: frozenset[bytes]) -> bool:
    """Whether these Vary fields name one of these (lower-case) request headers."""
    return any(one.strip(b" \t") in names for value in said for one in value.lower().split(b","))


def private_line(said: tuple[bytes, ...]) -> bytes:
    """The Cache-Control by which no shared cache keeps an answer and no cache uses it unasked (RFC 9111 5.2.2).

    What these fields said that is stricter stays (`no-store`, `must-revalidate`, `no-transform`, …).
    """
    return b", ".join([b"private", b"no-cache", *_kept_directives(said)])


def tag_etag(etag: bytes, digest: str) -> bytes:
    """The entity tag with the decision's digest in it, always weak since the body may be edited (RFC 9110 8.8.3).

    What is no entity tag becomes one all the same, so that no validator of the site's own stays on an edited body.
    """
    plain = etag.strip(b" \t")
    found = _ETAG.fullmatch(plain)
    if found is None:
        strength, opaque = b"s", _NOT_IN_ETAG.sub(b"", plain)
    else:
        strength, opaque = (b"w" if found[1] else b"s"), found[2]
    return b'W/"' + opaque + _MARK + strength + digest.encode() + b'"'


def untag_etag(field: bytes, digest: str) -> bytes:
    """The site's own tags behind those of ours with this digest; empty where none is of this decision.

    `*` and every other tag is dropped, so that the request they came with goes on unconditionally.
    """
    end = digest.encode()
    found: list[bytes] = []
    # An entity tag has no escapes: a backslash is one of its characters, so this is no list of quoted strings.
    for match in _LISTED_ETAG.finditer(field):
        opaque = match[2]
        if not opaque.endswith(end):
            continue
        body, mark, strength = opaque[: len(opaque) - len(end)].rpartition(_MARK)
        if mark and strength in (b"w", b"s"):
            found.append((b'W/"' if strength == b"w" else b'"') + body + b'"')
    return b", ".join(found)


def own_etags(field: bytes, digest: str) -> bytes:
    """The entity tags of an If-None-Match for who may have asked for anything: the site's own behind those of ours
    with this digest, and all that are not ours. Empty where none is left."""
    end = digest.encode()
    found: list[bytes] = []
    for match in _LISTED_ETAG.finditer(field):
        opaque = match[2]
        ours = _TAGGED.search(opaque)
        if ours is None:
            found.append((match[1] or b"") + b'"' + opaque + b'"')
        elif ours[2] == end:
            found.append((b'W/"' if ours[1] == b"w" else b'"') + opaque[: ours.start()] + b'"')
    return b", ".join(found) if found else b"*" if field.strip(b" \t") == b"*" else b""


def _kept_directives(fields: Sequence[bytes]) -> list[bytes]:
    """What the site said that is as strict as we are or stricter, each once.

    A directive that is none is dropped: its stray quote would swallow what is written after it. A `no-store` in it
    is heard all the same.
    """
    kept: dict[bytes, bytes] = {}
    for one in members(fields):
        name = tokens([one])[0]
        if _DIRECTIVE.fullmatch(one):
            if name not in _LOOSENS:
                kept.setdefault(one.lower(), one)
        elif b"no-store" in one.lower():
            kept.setdefault(b"no-store", b"no-store")
    return list(kept.values())


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
