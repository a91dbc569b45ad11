"""Gating by a decision: which hosts it denies, which purposes it allows, and what a frame says that it keeps empty.

Rule: worked out once for a decision; a decision under which every page stays as it is has none.
Rule: a frame asks for the purposes that it needs and for nothing else; every other answer is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from consent_mw.asgi.pages import View, frame_page
from consent_mw.core.decision import Decision
from consent_mw.core.policy import Policy
from consent_mw.wire.coding import IDENTITY, codings_of, decoder_for, weights
from consent_mw.wire.fields import Fields
from consent_mw.wire.headers import members, tokens
from consent_mw.wire.html import Gating, Hosts, concerns, insertable, settled
from consent_mw.wire.link import without_denied
from consent_mw.wire.recoding import ENCODABLE
from consent_mw.wire.response_head import ResponseHead

EDITION: Final = "3"
"""Names what gating makes of a page: to be changed with it, so that no browser takes what it holds for the same."""


@dataclass(frozen=True, slots=True)
class PageGating:
    """What one decision does to the pages of its visitors."""

    gating: Gating

    @property
    def denies(self) -> bool:
        """Whether some host is denied, so that a page which cannot be looked at needs a policy of its own."""
        return bool(self.gating.hosts)

    def readable(self, answer: ResponseHead) -> bool:
        """Whether a body under this head is a page that can be looked at as it comes."""
        return b"content-encoding" not in answer.seen and _looked_at(type_of(answer), answer.all(b"cache-control"))

    def concerns(self, page: bytes) -> bool:
        """Whether something of this whole plain page may have to be edited."""
        return concerns(self.gating, page)

    def concerns_part(self, part: bytes) -> bool:
        """Whether something of this whole plain part of a page may have to be edited."""
        return concerns(replace(self.gating, part=True), part)

    def links(self, fields: Fields) -> Fields:
        """The fields without what makes a browser call a denied host."""
        return without_denied(fields, self.gating.hosts) if self.gating.hosts else fields

    def on(
        self, answer: ResponseHead, path: str, view: Callable[[bytes | None], View], *, part: bool = False
    ) -> Gating:
        """The gating of the page at this path under this head, or of a `part` of it; `view` says in which words a
        page in a language speaks."""

        def ask(purposes: tuple[str, ...], language: bytes | None) -> bytes:
            return frame_page(view(language), purposes, path)

        return replace(self.gating, ask=ask, settled=settled(type_of(answer)), part=part)


def gating_of(policy: Policy, decision: Decision) -> PageGating | None:
    """What this decision does to pages, or None where it leaves them all as they are."""
    if not policy.optional_purposes:
        return None
    denied = [(host, one.purpose) for one in policy.vendors for host in one.hosts if not decision.allows(one.purpose)]
    allowed = [host for one in policy.vendors for host in one.hosts if decision.allows(one.purpose)]
    return PageGating(Gating(Hosts(denied, allowed), decision.allowed))


def type_of(answer: ResponseHead) -> bytes:
    """All that this head says of its type, as one field."""
    if b"content-type" in answer.repeated:
        return b",".join(answer.all(b"content-type"))
    return answer.seen.get(b"content-type", b"")


@lru_cache(maxsize=256)
def _looked_at(content_type: bytes, cache_control: tuple[bytes, ...]) -> bool:
    return insertable(content_type) and b"no-transform" not in tokens(cache_control)


@lru_cache(maxsize=256)
def editable_codings(said: bytes) -> bytes:
    """The Accept-Encoding under which a site answers what can be edited and coded again for who said this."""
    named = weights([said])
    kept = [one for one in ENCODABLE if named.get(one, named.get(b"*", 0)) > 0]
    return b", ".join(kept) if kept else b"identity"


@lru_cache(maxsize=256)
def decodable_codings(said: bytes) -> bytes:
    """The Accept-Encoding under which a site answers what can be undone, or as it would: the field as it came, or
    without the codings that nobody here undoes."""
    named = members([said])
    kept = [one for one in named if _decodable(one.partition(b";")[0].strip(b" \t").lower())]
    if len(kept) == len(named):
        return said
    return b", ".join(kept) if kept else IDENTITY


def _decodable(coding: bytes) -> bool:
    return coding == IDENTITY or decoder_for(codings_of([coding])) is not None
