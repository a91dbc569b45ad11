"""Gating: what one decision does to a tag. Edits put in and take away; the page around them stays.

Rule: what a decision denies is renamed (`src` to `data-consent-src`), so that a browser does not act on it and a
    script can put it back; a script also becomes `type="text/plain"`, so that what is written in it does not run.
Rule: what is marked with one purpose and leads to a host that another one denies is marked with both: a script puts
    it back for both alone.
Rule: what an author marked (`data-consent="analytics"`, `data-src`) becomes live only where each purpose it names is
    allowed and no host that it leads to is denied.
Rule: what only a click follows (a link, a form) is left alone; what a click also tells others (`ping`) is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from consent_mw.wire.html import stylesheets
from consent_mw.wire.html.hosts import Hosts
from consent_mw.wire.html.tags import Attribute, Tag

Ask = Callable[[tuple[str, ...], bytes | None], bytes]
"""Makes the page that a frame shows in place of what these purposes are needed for, on a page in this language (None
where it says none)."""

Edit = tuple[int, int, bytes]
"""Where, how many bytes are taken away, and what comes in their place."""

MARK: Final = b"data-consent"
RENAMED: Final = b"data-consent-"
DEEPEST: Final = 4
"""How many pages within pages (`srcdoc`) are looked into; deeper ones are not shown where something is denied."""

_SOURCES: Final = frozenset(
    {
        b"img", b"image", b"script", b"iframe", b"frame", b"embed", b"video", b"audio", b"source", b"track", b"input",
        b"bgsound", b"portal", b"fencedframe",
    }
)  # fmt: skip
_REFERRING: Final = frozenset(
    {
        b"link", b"base", b"script", b"image", b"use", b"feimage", b"pattern", b"lineargradient", b"radialgradient",
        b"textpath", b"mpath", b"filter", b"cursor", b"tref", b"set", b"animate", b"animatemotion",
        b"animatetransform", b"animatecolor",
    }
)  # fmt: skip
_ANIMATED: Final = frozenset({b"set", b"animate", b"animatemotion", b"animatetransform", b"animatecolor"})
_LISTS: Final = frozenset({b"srcset", b"imagesrcset", b"ping", b"attributionsrc", b"to", b"from", b"by", b"values"})
_STYLES: Final = frozenset(
    {
        b"style", b"fill", b"stroke", b"filter", b"mask", b"clip-path", b"cursor", b"marker", b"marker-start",
        b"marker-mid", b"marker-end",
    }
)  # fmt: skip
_HOLDS_PAGES: Final = frozenset({b"iframe", b"frame", b"embed", b"object", b"script", b"link"})
_ANYWHERE: Final = frozenset({b"background", b"ping", b"attributionsrc", b"srcset", b"imagesrcset", b"poster"})
_RESTORED: Final = (b"src", b"srcset", b"href", b"poster", b"data")
HARMLESS: Final = frozenset(
    {
        "alternate", "author", "bookmark", "canonical", "external", "help", "license", "me", "next", "nofollow",
        "noopener", "noreferrer", "pingback", "prev", "privacy-policy", "shortlink", "tag",
        "terms-of-service", "amphtml", "publisher", "profile", "self", "webmention", "edituri", "wlwmanifest",
    }
)  # fmt: skip
"""Relations of a link that make no browser fetch anything."""

_REFRESH = re.compile(r"[\s\d.]*[;,\s]*(?:url\s*=\s*)?[\"']?\s*", re.IGNORECASE)
_PIECES = re.compile(r"[\s,;]+")


@dataclass(frozen=True, slots=True)
class Gating:
    """What one decision lets run on a page: the hosts that it denies, the purposes that it allows, and `ask`, where
    frames say why they are empty. `settled`: the page is in a coding that keeps ASCII, whatever it says itself; it
    is a `part` of one, that a script puts somewhere."""

    hosts: Hosts
    allowed: frozenset[str]
    ask: Ask | None = None
    settled: bool = False
    part: bool = False

    def edits(
        self,
        tag: Tag,
        within: Callable[[bytes], bytes],
        *,
        language: bytes | None = None,
        replace: bool = True,
    ) -> list[Edit]:
        """What is done to this tag of a page in this language, in the order of its places. `within` gates a page that
        it holds (`srcdoc`); not to `replace` leaves room for edits of what overlaps with it."""
        mark = tag.first(MARK)
        change = _Change(tag, language)
        if mark is not None:
            self._marked(tag, mark, change)
        denied = dict.fromkeys(self._renamed(tag, change))
        if denied and mark is None:
            self._held_back(tag, tuple(denied), change, mark=True)
        for attribute in change.live():
            if attribute.name == b"srcdoc" and tag.name == b"iframe":
                self._page_within(attribute, within, change, replace=replace)
            elif attribute.name in _STYLES and self.hosts:
                self._styled(attribute, change, replace=replace)
        return change.edits()

    def _marked(self, tag: Tag, mark: Attribute, change: _Change) -> None:
        purposes = purposes_of(mark.value)
        kept = [one for one in tag.attributes if one.name[:5] == b"data-" and one.name[5:] in _RESTORED]
        leads = [(one.name[5:], one) for one in kept] + [(one.name, one) for one in change.live()]
        denied = dict.fromkeys(purpose for name, one in leads for purpose in self._deniers(tag, name, one))
        if purposes and self.allowed.issuperset(purposes) and not denied:
            change.revive(kept)
            return
        change.rename(one for one in _RESTORED if b"data-" + one not in {attribute.name for attribute in kept})
        if purposes:
            change.require(mark, [one for one in denied if one not in purposes])
        missing = tuple(one for one in purposes if one not in self.allowed)
        self._held_back(tag, (*missing, *denied), change, mark=False)

    def _held_back(self, tag: Tag, purposes: tuple[str, ...], change: _Change, *, mark: bool) -> None:
        """Keep a script from running what is written in it, and let a frame say why it is empty."""
        named = b' data-consent="' + escape(" ".join(purposes)).encode() + b'"' if mark else b""
        if tag.name == b"script":
            kind = tag.first(b"type")
            if kind is None or kind.value.strip().lower() != "text/plain":
                change.rename((b"type",))
                named += b' type="text/plain"'
        elif tag.name == b"iframe" and self.ask is not None and change.shows_nothing():
            change.rename((b"sandbox",))
            named += b' srcdoc="' + quoted(self.ask(purposes, change.language)) + b'"'
        elif tag.name != b"iframe":
            named = b""
        change.insert(named)

    def _renamed(self, tag: Tag, change: _Change) -> Iterator[str]:
        """Rename what leads to a denied host; the purposes that deny it."""
        if not self.hosts:
            return
        for attribute in change.live():
            for purpose in self._deniers(tag, attribute.name, attribute):
                change.rename((attribute.name,))
                yield purpose

    def _deniers(self, tag: Tag, name: bytes, attribute: Attribute) -> list[str]:
        """The purposes that deny where this attribute leads, if it were called this."""
        if not self.hosts or not _leads(tag, name):
            return []
        value = attribute.value
        if name in _LISTS:
            return [found for one in _pieces(value) if (found := self.hosts.denier(one))]
        if name == b"content":
            value = refreshes_to(value)
        found = self.hosts.denier(value)
        if not found and tag.name in _HOLDS_PAGES:
            found = self.hosts.named_in(value)
        return [found] if found else []

    def _page_within(
        self, attribute: Attribute, within: Callable[[bytes], bytes], change: _Change, *, replace: bool
    ) -> None:
        page = attribute.value.encode("utf-8", "surrogateescape")
        gated = within(page)
        if gated != page and replace:
            change.replace(attribute, gated)
        elif gated != page:
            change.rename((b"srcdoc",))

    def _styled(self, attribute: Attribute, change: _Change, *, replace: bool) -> None:
        """Addresses in a style: led nowhere where they stand, or without the style where they cannot be placed."""
        raw = attribute.raw
        if b"&" not in raw:
            places = stylesheets.denied_at(raw, self.hosts, 0, len(raw))
            change.add(*((attribute.start + one, 0, stylesheets.NOWHERE) for one in places))
            return
        css = attribute.value.encode("utf-8", "surrogateescape")
        if any(True for _ in stylesheets.denied_at(css, self.hosts, 0, len(css))):
            change.rename((attribute.name,))


class _Change:
    """What is done to one tag, as it is worked out."""

    def __init__(self, tag: Tag, language: bytes | None) -> None:
        self._tag = tag
        self.language = language
        self._renamed: set[bytes] = set()
        self._revived: set[bytes] = set()
        self._inserted = b""
        self._edits: list[Edit] = []

    def rename(self, names: Iterable[bytes]) -> None:
        """Attributes of these names do nothing any more."""
        self._renamed.update(names)

    def insert(self, attributes: bytes) -> None:
        """These attributes come first."""
        self._inserted += attributes

    def add(self, *edits: Edit) -> None:
        """Do this, too."""
        self._edits += edits

    def replace(self, attribute: Attribute, value: bytes) -> None:
        """The attribute has this value instead."""
        quotes = 1 if attribute.quoted else 0
        start, end = attribute.start - quotes, attribute.end + quotes
        self._edits.append((start, end - start, b'"' + quoted(value) + b'"'))

    def require(self, mark: Attribute, purposes: Iterable[str]) -> None:
        """The mark of an author names these purposes, too."""
        more = "".join(escape(one) + "," for one in purposes)
        if more:
            self._edits.append((mark.start, 0, more.encode()))

    def revive(self, kept: Iterable[Attribute]) -> None:
        """What was kept back becomes live, in place of what stood there meanwhile."""
        names = {one.name[5:] for one in kept}
        kind = self._tag.first(b"type")
        if self._tag.name == b"script" and kind is not None and kind.value.strip().lower() == "text/plain":
            self._renamed.add(b"type")
            names |= {b"type"} & {one.name[5:] for one in self._tag.attributes if one.name[:5] == b"data-"}
        self._renamed |= names
        self._revived = names

    def shows_nothing(self) -> bool:
        """Whether a frame has nothing of its own to show."""
        return not any(one.name in (b"src", b"srcdoc") for one in self.live())

    def live(self) -> list[Attribute]:
        """The attributes that a browser heeds as they stand: the first of each name that is not renamed."""
        heeded: dict[bytes, Attribute] = {}
        for one in self._tag.attributes:
            if one.name not in self._renamed:
                heeded.setdefault(one.name, one)
        return list(heeded.values())

    def edits(self) -> list[Edit]:
        """All of it, in the order of its places."""
        if self._inserted:
            self._edits.append((self._tag.after_name, 0, self._inserted))
        for one in self._tag.attributes if self._renamed else ():
            if one.name in self._renamed:
                self._edits.append((one.at, 0, RENAMED))
            elif one.name[:5] == b"data-" and one.name[5:] in self._revived:
                self._edits.append((one.at, 5, b""))
        return sorted(self._edits)


def purposes_of(value: str) -> tuple[str, ...]:
    """The purposes that an author's mark names, all of which it needs."""
    return tuple(dict.fromkeys(one for one in _PIECES.split(value) if one))


def refreshes_to(content: str) -> str:
    """Where a refresh leads (WHATWG HTML 4.2.5.3)."""
    found = _REFRESH.match(content)
    return content[found.end() :].partition('"')[0].partition("'")[0] if found is not None else content


def _leads(tag: Tag, name: bytes) -> bool:
    """Whether an attribute of this name makes a browser fetch, on this element."""
    if name == b"src":
        return tag.name in _SOURCES
    if name in (b"href", b"xlink:href"):
        return tag.name in _REFERRING and (tag.name != b"link" or _fetches(tag))
    if name == b"data":
        return tag.name == b"object"
    if name == b"content":
        kind = tag.first(b"http-equiv")
        return tag.name == b"meta" and kind is not None and kind.value.strip().lower() == "refresh"
    return name in _ANYWHERE or (name in _LISTS and tag.name in _ANIMATED)


def _fetches(tag: Tag) -> bool:
    rel = tag.first(b"rel")
    return rel is None or not HARMLESS.issuperset(rel.value.lower().split())


def _pieces(value: str) -> Iterator[str]:
    """Whatever a browser could take for an address in a list of them."""
    yield value
    yield from _PIECES.split(value)


def quoted(page: bytes) -> bytes:
    """As the value of an attribute between double quotes."""
    return page.replace(b"&", b"&amp;").replace(b'"', b"&quot;")
