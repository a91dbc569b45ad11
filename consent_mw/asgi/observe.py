"""Observe: what one request's raw headers say, read in one pass.

Rule: reads, never decides; a visitor's garbage is absence.
Rule: nothing here outlives the request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from consent_mw.wire.fields import observed
from consent_mw.wire.signals import read_dnt, read_gpc

_REFERRER: Final = re.compile(rb"https?://([^/?#@\\]+)(/[^?#]*)(?:[?#].*)?")
_FRAMES: Final = frozenset({b"iframe", b"frame", b"embed", b"object", b"fencedframe"})
_NO_VALUES: Final[list[bytes]] = []


class Observation:
    """What one request says. `seen` has the first value of each header that somebody looks at, by lower-case name;
    `repeated` all values of those that came more than once. `document`: a GET (or its HEAD) for a page (SPEC 4), or
    the POST of a form, which may be answered with one; `frame`: for the document of a frame, which is gated like a
    page but is no visit; `fetched`: by a script, or by somebody who does not say, so that what comes may become a
    part of a page. `changed`: the places and names of the headers that may be changed, where they came as a
    list."""

    __slots__ = ("changed", "document", "fetched", "frame", "method", "path", "query", "repeated", "seen")

    def __init__(
        self, method: bytes, target: bytes, seen: dict[bytes, bytes], repeated: dict[bytes, list[bytes]]
    ) -> None:
        self.changed: Sequence[tuple[int, bytes]] = ()
        self.method = method
        self.path, _, self.query = target.partition(b"?")
        self.seen = seen
        self.repeated = repeated
        self.document = self.frame = False
        dest = seen.get(b"sec-fetch-dest")
        if method == b"GET" or method == b"HEAD" or method == b"POST":
            if dest:
                self.document = dest == b"document" or dest.lower() == b"document"
                self.frame = not self.document and dest.lower() in _FRAMES
            else:
                self.document = _accepts_html(self.all(b"accept"))
        self.fetched = dest.lower() == b"empty" if dest else not self.document

    def elsewhere(self, target: bytes) -> Observation:
        """The same headers, asked with for another target."""
        other = Observation.__new__(Observation)
        other.path, _, other.query = target.partition(b"?")
        other.changed = ()
        other.method, other.seen, other.repeated = self.method, self.seen, self.repeated
        other.document, other.frame, other.fetched = self.document, self.frame, self.fetched
        return other

    def first(self, name: bytes) -> bytes:
        """The first value of this header, or nothing."""
        return self.seen.get(name, b"")

    def all(self, name: bytes) -> list[bytes]:
        """Every value of this header, in order."""
        value = self.seen.get(name)
        if value is None:
            return _NO_VALUES
        return self.repeated.get(name) or [value]

    @property
    def dnt(self) -> bool | None:
        """The DNT preference (W3C TPE 5.2)."""
        return read_dnt(self.all(b"dnt")) if b"dnt" in self.seen else None

    @property
    def gpc(self) -> bool:
        """Whether Global Privacy Control is on."""
        return b"sec-gpc" in self.seen and read_gpc(self.all(b"sec-gpc"))

    @property
    def cookies(self) -> bytes:
        """All Cookie fields, joined (RFC 9113 8.2.3)."""
        values = self.repeated.get(b"cookie")
        return self.seen.get(b"cookie", b"") if values is None else b"; ".join(values)

    @property
    def asked_in(self) -> str:
        """The languages that the browser asks for, as one field (RFC 9110 12.5.4)."""
        return b",".join(self.all(b"accept-language")).decode("latin-1")

    @property
    def host(self) -> str:
        """The host asked for, without its port, in lower case."""
        host = self.first(b"host").decode("latin-1").lower()
        if host.startswith("["):
            return host.partition("]")[0] + "]"
        return host.partition(":")[0]

    @property
    def back(self) -> str:
        """The path that shows this page again: of what was posted, or is a part of one, where it was asked for from,
        if that is here."""
        if self.method != b"POST" and not self.fetched:
            return self.path.decode("latin-1")
        found = _REFERRER.fullmatch(self.first(b"referer"))
        here = found is not None and found[1].lower() == self.first(b"host").lower()
        return found[2].decode("latin-1") if found is not None and here else "/"

    @property
    def speculative(self) -> bool:
        """Whether the browser fetches ahead of a visit that may never come."""
        seen = self.seen
        if not (b"sec-purpose" in seen or b"purpose" in seen or b"x-moz" in seen):
            return False
        said = b",".join(self.all(b"sec-purpose") + self.all(b"purpose") + self.all(b"x-moz")).lower()
        return b"prefetch" in said or b"prerender" in said or b"preview" in said


def observe(method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Observation:
    """What the raw headers of one request say."""
    seen, repeated, changed = observed(headers)
    observation = Observation(method, target, seen, repeated)
    observation.changed = changed
    return observation


def _accepts_html(values: Sequence[bytes]) -> bool:
    return any(b"text/html" in value.lower() or b"application/xhtml+xml" in value.lower() for value in values)
