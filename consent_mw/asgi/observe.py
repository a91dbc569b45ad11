"""Observe: what one request's raw headers say, read in one pass.

Rule: reads, never decides; a visitor's garbage is absence.
Rule: nothing here outlives the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from consent_mw.wire.signals import read_dnt, read_gpc

_ONE_OF_MANY = frozenset(
    {
        b"cookie",
        b"dnt",
        b"sec-gpc",
        b"sec-fetch-dest",
        b"sec-purpose",
        b"purpose",
        b"x-moz",
        b"accept",
        b"user-agent",
        b"accept-language",
        b"referer",
        b"host",
        b"if-none-match",
    }
)

_FRAMES = frozenset({b"iframe", b"frame", b"embed", b"object", b"fencedframe"})


@dataclass(slots=True)
class Observation:
    """The values of the request headers that we look at, by lower-case name, in order. `document`: a GET (or its
    HEAD) for a page (SPEC 4); `frame`: for the document of a frame, which is gated like a page but is no visit."""

    method: bytes
    path: bytes
    query: bytes
    seen: dict[bytes, list[bytes]] = field(default_factory=dict)
    document: bool = field(default=False, init=False)
    frame: bool = field(default=False, init=False)

    def first(self, name: bytes) -> bytes:
        """The first value of this header, or nothing."""
        values = self.seen.get(name)
        return values[0] if values else b""

    def all(self, name: bytes) -> list[bytes]:
        """Every value of this header, in order."""
        return self.seen.get(name, [])

    @property
    def dnt(self) -> bool | None:
        """The DNT preference (W3C TPE 5.2)."""
        return read_dnt(self.all(b"dnt"))

    @property
    def gpc(self) -> bool:
        """Whether Global Privacy Control is on."""
        return read_gpc(self.all(b"sec-gpc"))

    @property
    def host(self) -> str:
        """The host asked for, without its port, in lower case."""
        host = self.first(b"host").decode("latin-1").lower()
        if host.startswith("["):
            return host.partition("]")[0] + "]"
        return host.partition(":")[0]

    def __post_init__(self) -> None:
        if self.method not in (b"GET", b"HEAD"):
            return
        dest = self.first(b"sec-fetch-dest").lower()
        self.document = dest == b"document" if dest else _accepts_html(self.all(b"accept"))
        self.frame = dest in _FRAMES

    @property
    def speculative(self) -> bool:
        """Whether the browser fetches ahead of a visit that may never come."""
        said = b",".join(self.all(b"sec-purpose") + self.all(b"purpose") + self.all(b"x-moz")).lower()
        return b"prefetch" in said or b"prerender" in said or b"preview" in said


def observe(method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Observation:
    """What the raw headers of one request say."""
    path, _, query = target.partition(b"?")
    seen: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _ONE_OF_MANY:
            seen.setdefault(lower, []).append(value)
    return Observation(method, path, query, seen)


def _accepts_html(values: Sequence[bytes]) -> bool:
    return any(b"text/html" in value.lower() or b"application/xhtml+xml" in value.lower() for value in values)
