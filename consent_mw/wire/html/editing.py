"""The editor of a plain page: its gate, then its banner, in one go; and what of the outcome is ours.

Rule: the banner goes in after the gate, which never looks at it.
Rule: what we put in that repeats something of the request is known, so that it can be compressed apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from consent_mw.wire.html.gating import MARK, Gating, quoted
from consent_mw.wire.html.insertion import BannerInserter, Markup
from consent_mw.wire.html.scanner import PageGate
from consent_mw.wire.native import native

_NOTHING: Final[list[bytes]] = []


def concerns(gating: Gating, page: bytes) -> bool:
    """Whether something of this whole page may have to be edited."""
    if mentions(page, MARK):
        return True
    if not gating.hosts:
        return False
    gate = PageGate(gating)
    return gate.feed(page) + gate.finish() != page


def _mentions(text: bytes, word: bytes) -> bool:
    return word in text.lower()


mentions: Final = _mentions if native is None else native.mentions
"""Whether this word (in lower case, with a hyphen in it) stands in a text, in whatever case."""


class PageEditor:
    """Edits one page as it streams. `ours` is what the last call put in."""

    def __init__(self, gating: Gating | None = None, markup: Markup = b"") -> None:
        self.ours: list[bytes] = _NOTHING
        self._asks = gating.ask if gating is not None else None
        if gating is not None and gating.ask is not None:
            gating = replace(gating, ask=self._ask)
        self._gate = PageGate(gating) if gating is not None else None
        self._inserter = BannerInserter(markup) if markup else None

    def feed(self, chunk: bytes) -> bytes:
        """What goes out for this chunk."""
        self.ours = _NOTHING
        if self._gate is not None:
            chunk = self._gate.feed(chunk)
        if self._inserter is None:
            return chunk
        known = self._inserter.inserted
        out = self._inserter.feed(chunk)
        if known is None and self._inserter.inserted is not None:
            self.ours = [self._inserter.inserted, *self.ours]
        return out

    def finish(self) -> bytes:
        """What goes out at the end."""
        self.ours = _NOTHING
        rest = self._gate.finish() if self._gate is not None else b""
        if self._inserter is None:
            return rest
        known = self._inserter.inserted
        out = self._inserter.feed(rest) if rest else b""
        out += self._inserter.finish()
        if known is None and self._inserter.inserted is not None:
            self.ours = [self._inserter.inserted, *self.ours]
        return out

    def _ask(self, purposes: tuple[str, ...], language: bytes | None) -> bytes:
        page = self._asks(purposes, language) if self._asks is not None else b""
        self.ours = [*self.ours, quoted(page)]
        return page
