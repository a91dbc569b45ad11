"""A page on its way through: decoded, gated and given its banner, coded again, as it streams.

Rule: what arrives goes out at once; nothing waits for more of the page but the few bytes that decide a place.
Rule: memory does not grow with the page, nor with what a coded page stands for.
Rule: a page that is damaged, or is not as long as it said, raises SpoiltBodyError and never ends as if whole.
Rule: what we put in and the page are compressed apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from consent_mw.errors import SpoiltBodyError
from consent_mw.wire.coding import Decoder
from consent_mw.wire.html import Gating, Markup, PageEditor

ENCODABLE: Final = (b"gzip", b"deflate")
"""What a page can be coded in again, the best first. Neither br nor zstd can keep our markup apart from the page."""

_WBITS: Final = {b"gzip": 31, b"deflate": 15}
_LEVEL: Final = 1
"""As nginx: on a page the best level saves a tenth more bytes for five times the work."""

_MOST_TIMES = 1100
_ALWAYS_FINE = 1_048_576
"""A body that stands for more than this many times itself is an attack; gzip alone cannot go beyond 1032 times."""


class Recoder:
    """The editor of one page: `markup` is its banner, `gating` what the decision lets run on it; `decoder` undoes its
    coding, `coding` is the one it goes out with (empty for none), `length` the bytes it will have as it comes, where
    that is known."""

    def __init__(
        self,
        markup: Markup = b"",
        gating: Gating | None = None,
        *,
        decoder: Decoder | None = None,
        coding: bytes = b"",
        length: int | None = None,
    ) -> None:
        self._editor = PageEditor(gating, markup)
        self._decoder = decoder
        self._coder = zlib.compressobj(_LEVEL, wbits=_WBITS[coding]) if coding else None
        self._length = length
        self._came = 0
        self._plain = 0
        self._spoilt = False

    def feed(self, chunk: bytes) -> bytes:
        """What goes out for this chunk. Raises SpoiltBodyError, and from then on always."""
        self._came += len(chunk)
        if self._spoilt or (self._length is not None and self._came > self._length):
            raise self._spoil("a page is longer than it said")
        return b"".join(self._recoded(chunk))

    def finish(self) -> bytes:
        """What goes out at the end. Raises SpoiltBodyError where the page is not whole."""
        if self._spoilt or (self._length is not None and self._came < self._length):
            raise self._spoil("a page is shorter than it said")
        if self._decoder is not None:
            self._decoder.finish()
        tail = self._pressed(self._editor.finish())
        return tail if self._coder is None else tail + self._coder.flush()

    def _recoded(self, chunk: bytes) -> Iterator[bytes]:
        went = False
        for piece in self._pieces(chunk):
            plain = self._editor.feed(piece)
            if plain:
                went = True
                yield self._pressed(plain)
        # The last part of a page of known length goes out with its end, in one block.
        if went and self._coder is not None and self._came != self._length:
            yield self._coder.flush(zlib.Z_SYNC_FLUSH)

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        if self._decoder is None:
            yield chunk
            return
        try:
            for piece in self._decoder.feed(chunk):
                self._plain += len(piece)
                if self._plain > _ALWAYS_FINE and self._plain > self._came * _MOST_TIMES:
                    raise self._spoil("a coded page stands for too much")
                yield piece
        except SpoiltBodyError:
            self._spoilt = True
            raise

    def _pressed(self, plain: bytes) -> bytes:
        """These plain bytes, coded where the page is; what we put in, if it is among them, apart.

        It holds nothing secret (no token, no identifier, no answer), but it repeats the path asked for, which a
        stranger's link may choose. In one window with the page it would tell whoever counts bytes when that path
        matches a secret of the site's (BREACH). A full flush on both sides lets neither refer to the other.
        """
        coder = self._coder
        if coder is None:
            return plain
        parts: list[bytes] = []
        for ours in self._editor.ours:
            before, found, after = plain.partition(ours)
            if found:
                parts += (coder.compress(before), coder.flush(zlib.Z_FULL_FLUSH))
                parts += (coder.compress(found), coder.flush(zlib.Z_FULL_FLUSH))
                plain = after
        return b"".join([*parts, coder.compress(plain)])

    def _spoil(self, why: str) -> SpoiltBodyError:
        self._spoilt = True
        return SpoiltBodyError(why)
