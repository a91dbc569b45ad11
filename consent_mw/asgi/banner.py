"""The editing of pages: which can be edited, in which coding they go out, and what edits them (banner, gating).

Rule: a page that cannot be edited safely goes out as it came, and that is counted; where a decision denies hosts it
    is `ungated`, and its policy (CSP) must keep the browser from them.
Rule: only what is edited is coded again, and never over a coding that stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from consent_mw.asgi.csp import nonces_in
from consent_mw.asgi.gating import EDITION, PageGating, type_of
from consent_mw.asgi.pages import View, banner_of
from consent_mw.core.decision import Decision
from consent_mw.wire.coding import IDENTITY, Decoder, codings_of, decoder_for, preferred, refuses_plain
from consent_mw.wire.csp import Nonces, carrying
from consent_mw.wire.fields import Field, response_field
from consent_mw.wire.headers import tokens
from consent_mw.wire.html import insertable
from consent_mw.wire.recoding import ENCODABLE, Recoder
from consent_mw.wire.response_head import ResponseHead
from consent_mw.world.assets import Assets

if TYPE_CHECKING:
    from consent_mw.asgi.exchange import Editor, Exchange
    from consent_mw.asgi.gate import Gate


WORTH_CODING: Final = 1024
"""Bytes of a page from which on it is compressed; one that does not say its length always is."""

_LENGTH: Final = frozenset({b"content-length"})
_LENGTH_AND_CODING: Final = frozenset({b"content-length", b"content-encoding"})
_CODED: Final = {coding: response_field(b"Content-Encoding", coding) for coding in ENCODABLE}
_NEVER_EDITED: Final = frozenset({204, 205, 206, 226})


@dataclass(frozen=True, slots=True)
class PageEdit:
    """What is done to a page: the fields that go, those that come, and the body's editor. `ungated`: nothing is, and
    what the decision denies may be asked for by it all the same."""

    dropped: frozenset[bytes] = frozenset()
    added: tuple[Field, ...] = ()
    editor: Editor | None = None
    ungated: bool = False


UNGATED: Final = PageEdit(ungated=True)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one page goes through: what undoes its coding, the coding it goes out with, how many bytes come."""

    decoder: Decoder | None
    coding: bytes
    length: int | None


@dataclass(frozen=True, slots=True)
class PageLinks:
    """Where our pages and the banner find their style and their script."""

    style: str
    script: str
    pages: str

    @classmethod
    def of(cls, assets: Assets, prefix: str) -> PageLinks:
        """The links under this prefix."""
        return cls(*(assets.url(prefix, one) for one in ("banner.css", "banner.js", "pages.css")))


def edit_page(
    gate: Gate,
    exchange: Exchange,
    decision: Decision,
    answer: ResponseHead,
    gating: PageGating | None,
    *,
    page: bool,
) -> PageEdit | None:
    """What is done to this page, or part of one; None where it must not or cannot be edited. A HEAD is answered as
    its GET would be. What is no `page` (a drawing that is opened) is never edited, nor counted as one that could not
    be."""
    ungated = UNGATED if gating is not None and gating.denies else None
    if answer.status in _NEVER_EDITED:
        return ungated if answer.status in (206, 226) else None
    if answer.status == 304:
        # The length is that of a page without the banner (RFC 9110 8.6).
        return PageEdit(_LENGTH)
    banner = exchange.shows_banner
    plan = _plan(exchange.seen.all(b"accept-encoding"), answer, asked_plain=banner)
    if plan is None:
        if page:
            exchange.alone = True
            gate.count("page_not_editable")
        return ungated
    coded = (_CODED[plan.coding],) if plan.coding else ()
    if exchange.seen.method == b"HEAD":
        return PageEdit(_LENGTH_AND_CODING, coded)
    path = exchange.seen.back
    chosen = _chosen(exchange, answer)
    part = not exchange.editable
    markup = _markup(gate, exchange, decision, nonces_in(answer), chosen) if banner else b""
    gated = gating.on(answer, path, lambda said: _view(gate, exchange, chosen(said)), part=part) if gating else None
    editor = Recoder(markup, gated, decoder=plan.decoder, coding=plan.coding, length=plan.length)
    return PageEdit(_LENGTH_AND_CODING, coded, editor)


def _markup(
    gate: Gate, exchange: Exchange, decision: Decision, nonces: Nonces, chosen: Callable[[bytes | None], str]
) -> Callable[[bytes | None], bytes]:
    """The banner for this page, once it is known in which language that is."""
    rules = exchange.rules
    path = exchange.seen.back

    def markup(language: bytes | None) -> bytes:
        spoken = chosen(language)
        banner = rules.banners.get((decision.digest, spoken))
        if banner is None:
            made = banner_of(_view(gate, exchange, spoken), decision)
            banner = rules.banners.keep((decision.digest, spoken), made)
        return b"" if banner is None else carrying(banner.for_page(path), nonces)

    return markup


def _chosen(exchange: Exchange, answer: ResponseHead) -> Callable[[bytes | None], str]:
    """Tells which language we speak on this page, once it is known which one that says it is in."""
    said = answer.seen.get(b"content-language", b"").decode("latin-1")
    asked, choose = exchange.seen.asked_in, exchange.rules.wording.choose
    return lambda language: choose((language or b"").decode("latin-1"), said, asked)


def _view(gate: Gate, exchange: Exchange, language: str) -> View:
    """What we put into the page, in this language; its links stay in it."""
    rules = exchange.rules
    return View(rules.policy, gate.links(rules), rules.wording.words(language), chosen=language)


def edition(assets: Assets) -> str:
    """Names this installation's banner and gating: a page edited otherwise is another page, and is asked for anew."""
    urls = [assets.url("", name) for name in ("banner.css", "banner.js")]
    try:
        release = version("consent_mw")
    except PackageNotFoundError:
        release = ""
    return hashlib.blake2b("|".join([release, EDITION, *urls]).encode(), digest_size=2).hexdigest()


def _plan(accepts: Sequence[bytes], answer: ResponseHead, *, asked_plain: bool) -> _Plan | None:
    """How this page is edited. What comes plain although it need not stays so. What comes coded goes out coded: by
    what the browser takes, else as it came, so that a small body that stands for a huge one stays small."""
    unchanged = b"no-transform" in tokens(answer.all(b"cache-control"))
    if unchanged or not insertable(type_of(answer)):
        return None
    said = answer.all(b"content-length")
    length = int(said[0]) if len(said) == 1 and said[0].isdigit() else None
    chosen = preferred(accepts, ENCODABLE)
    came = codings_of(answer.all(b"content-encoding"))
    if came:
        decoder = decoder_for(came)
        coding = chosen if chosen != IDENTITY else came[-1]
        return _Plan(decoder, coding, length) if decoder is not None and coding in ENCODABLE else None
    worth = asked_plain and (length is None or length >= WORTH_CODING or refuses_plain(accepts))
    return _Plan(None, chosen if worth and chosen != IDENTITY else b"", length)
