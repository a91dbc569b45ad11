"""The banner's way into a page: which pages can be edited, and the editor that edits them.

Rule: a page that cannot be edited safely goes out as it came, and that is counted.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consent_mw.asgi.pages import banner_markup
from consent_mw.core.decision import Decision
from consent_mw.wire.headers import tokens
from consent_mw.wire.html import BannerInserter, insertable
from consent_mw.wire.response_head import ResponseHead
from consent_mw.world.assets import Assets

if TYPE_CHECKING:
    from consent_mw.asgi.exchange import Editor, Exchange
    from consent_mw.asgi.gate import Gate


@dataclass(frozen=True, slots=True)
class PageLinks:
    """Where our pages and the banner find their style and their script."""

    style: str
    script: str

    @classmethod
    def of(cls, assets: Assets, prefix: str) -> PageLinks:
        """The links under this prefix."""
        return cls(assets.url(prefix, "banner.css"), assets.url(prefix, "banner.js"))


def banner_editor(gate: Gate, exchange: Exchange, decision: Decision, answer: ResponseHead) -> Editor | None:
    """The editor that puts the banner into this page; None where the page must not or cannot be edited."""
    content_type = answer.seen.get(b"content-type", b"")
    coding = answer.seen.get(b"content-encoding", b"identity").strip().lower()
    unchanged = b"no-transform" in tokens(answer.all(b"cache-control"))
    if unchanged or coding not in (b"identity", b"gzip", b"x-gzip") or not insertable(content_type):
        gate.count("page_not_editable")
        return None
    markup = banner_markup(
        exchange.rules.policy,
        decision,
        return_to=exchange.seen.path.decode("latin-1"),
        links=gate.links(exchange.rules),
    )
    inserter = BannerInserter(markup)
    return inserter if coding == b"identity" else Recoded(inserter)


class Recoded:
    """An editor of a gzip-coded body: decoded, edited and coded again as it streams (RFC 1952)."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._decoder = zlib.decompressobj(wbits=31)
        self._coder = zlib.compressobj(level=5, wbits=31)

    def feed(self, chunk: bytes) -> bytes:
        """What goes out for this chunk; flushed, so that nothing waits for more of the page."""
        plain = self._editor.feed(self._decoder.decompress(chunk))
        return self._coder.compress(plain) + self._coder.flush(zlib.Z_SYNC_FLUSH) if plain else b""

    def finish(self) -> bytes:
        """What goes out at the end."""
        tail = self._editor.feed(self._decoder.flush()) + self._editor.finish()
        return self._coder.compress(tail) + self._coder.flush()
