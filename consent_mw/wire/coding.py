"""Content codings as streams: which the browser takes, and a coded body decoded piece by piece.

Rule: what is decoded comes in bounded pieces, however much a few bytes stand for.
Rule: a damaged or shortened body raises SpoiltBodyError; it never ends as if whole.
Rule: a coding that cannot be decoded here has no decoder; nothing is guessed.
Source: RFC 9110 8.4 and 12.5.3, RFC 1950 to 1952, RFC 7932, RFC 8878 (window: RFC 9659).
"""

from __future__ import annotations

import importlib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Final, Protocol

from consent_mw.errors import SpoiltBodyError
from consent_mw.wire.headers import members

IDENTITY: Final = b"identity"
PIECE: Final = 65_536
"""Most bytes that are decoded at once."""

MOST_CODINGS: Final = 2
"""How many codings one over the other are undone; more are nobody's page."""

_WEIGHT = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_SPELT: Final = {b"x-gzip": b"gzip", b"x-compress": b"compress"}
"""Old names of codings (RFC 9110 8.4.1)."""

_WIDEST_ZSTD_WINDOW = 23
_GZIP_WBITS, _ZLIB_WBITS, _RAW_WBITS = 31, 15, -15


class Decoder(Protocol):
    """Undoes one coding as the body streams."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The plain bytes of this chunk, in pieces of at most PIECE. Raises SpoiltBodyError."""

    def finish(self) -> None:
        """Nothing more comes. Raises SpoiltBodyError where the body is not whole."""


def weights(fields: Sequence[bytes]) -> Mapping[bytes, int]:
    """What an Accept-Encoding says of each coding it names (`*` included): its weight in thousandths.

    A member that is malformed is not there; of a coding that is named twice the first holds.
    """
    found: dict[bytes, int] = {}
    for one in members(fields):
        name, _, parameter = one.partition(b";")
        weight = _weight(parameter.strip(b" \t"))
        coding = name.strip(b" \t").lower()
        if weight is not None:
            found.setdefault(_SPELT.get(coding, coding), weight)
    return found


def preferred(fields: Sequence[bytes], offered: Sequence[bytes]) -> bytes:
    """The coding among `offered`, our best first, that the browser takes most gladly; else identity.

    Without the field every coding is acceptable (RFC 9110 12.5.3), but who names none mostly cannot undo one.
    """
    said = weights(fields)
    wildcard = said.get(b"*", 0)
    best, most = IDENTITY, 0
    for coding in offered:
        weight = said.get(coding, wildcard)
        if weight > most:
            best, most = coding, weight
    return IDENTITY if said.get(IDENTITY, 0) > most else best


def refuses_plain(fields: Sequence[bytes]) -> bool:
    """Whether the browser takes no answer without a coding."""
    said = weights(fields)
    return said.get(IDENTITY, said.get(b"*", 1)) == 0


def codings_of(fields: Sequence[bytes]) -> tuple[bytes, ...]:
    """The codings that Content-Encoding names, in the order applied, by their present names; identity is none."""
    named = (one.lower() for one in members(fields))
    return tuple(_SPELT.get(one, one) for one in named if one != IDENTITY)


def decoder_for(codings: Sequence[bytes]) -> Decoder | None:
    """What undoes these codings, the last applied first; None where one of them cannot be undone here."""
    if not codings or len(codings) > MOST_CODINGS:
        return None
    made = [maker() for maker in map(_DECODERS.get, reversed(codings)) if maker is not None]
    found = [one for one in made if one is not None]
    if len(found) != len(codings):
        return None
    return found[0] if len(found) == 1 else _Stacked(found[0], found[1])


def _weight(parameter: bytes) -> int | None:
    if not parameter:
        return 1000
    name, _, value = parameter.partition(b"=")
    if name.strip(b" \t").lower() != b"q" or not _WEIGHT.fullmatch(value.strip(b" \t")):
        return None
    return round(float(value) * 1000)


class _Stacked:
    """Two codings, one over the other."""

    def __init__(self, outer: Decoder, inner: Decoder) -> None:
        self._outer = outer
        self._inner = inner

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        for piece in self._outer.feed(chunk):
            yield from self._inner.feed(piece)

    def finish(self) -> None:
        self._outer.finish()
        self._inner.finish()


class _Gzip:
    """RFC 1952: one member or several; zeros may fill up what follows the last."""

    def __init__(self) -> None:
        self._member: zlib._Decompress | None = None
        self._members = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._member is None:
                if self._members:
                    chunk = chunk.lstrip(b"\0")
                if not chunk:
                    return
                self._member = zlib.decompressobj(_GZIP_WBITS)
                self._members += 1
            yield from _inflated(self._member, chunk)
            if not self._member.eof:
                return
            chunk, self._member = self._member.unused_data, None

    def finish(self) -> None:
        if self._member is not None:
            raise SpoiltBodyError("a gzip body ends before it is whole")


class _Deflate:
    """RFC 1950, or the bare RFC 1951 that some servers send under the same name (RFC 9110 8.4.1.2)."""

    def __init__(self) -> None:
        self._stream: zlib._Decompress | None = None
        self._held = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        if self._stream is None:
            chunk = self._held = self._held + chunk
            if len(chunk) < 2:
                return
            wrapped = chunk[0] & 0x8F == 8 and int.from_bytes(chunk[:2], "big") % 31 == 0
            self._stream = zlib.decompressobj(_ZLIB_WBITS if wrapped else _RAW_WBITS)
            self._held = b""
        if chunk and self._stream.eof:
            raise SpoiltBodyError("a deflate body goes on after its end")
        yield from _inflated(self._stream, chunk)
        if self._stream.unused_data:
            raise SpoiltBodyError("a deflate body goes on after its end")

    def finish(self) -> None:
        if self._held or (self._stream is not None and not self._stream.eof):
            raise SpoiltBodyError("a deflate body ends before it is whole")


def _inflated(stream: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    try:
        while True:
            piece = stream.decompress(chunk, PIECE)
            chunk = stream.unconsumed_tail
            if piece:
                yield piece
            # A full piece may leave more inside the stream although it took every byte.
            if stream.eof or (not chunk and len(piece) < PIECE):
                return
    except zlib.error:
        raise SpoiltBodyError("a coded body is damaged") from None


class _Brotli:
    """RFC 7932, by the package `brotli`."""

    def __init__(self, module: ModuleType) -> None:
        self._stream: Any = module.Decompressor()
        self._error: type[Exception] = module.error
        self._began = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self._began = self._began or bool(chunk)
        try:
            while True:
                # It ends the block that passes the limit, and a block may be twice as large.
                piece = self._stream.process(chunk, output_buffer_limit=PIECE // 4)
                chunk = b""
                if piece:
                    yield piece
                # It may take every byte and still have more to give.
                if self._stream.is_finished() or (not piece and self._stream.can_accept_more_data()):
                    return
        except self._error:
            raise SpoiltBodyError("a coded body is damaged") from None

    def finish(self) -> None:
        if self._began and not self._stream.is_finished():
            raise SpoiltBodyError("a br body ends before it is whole")


class _Zstandard:
    """RFC 8878 with the windows of RFC 9659, by Python 3.14 or the package `backports.zstd`: one frame or several."""

    def __init__(self, module: ModuleType) -> None:
        self._module: Any = module
        self._frame: Any = None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        try:
            while chunk:
                if self._frame is None:
                    widest = self._module.DecompressionParameter.window_log_max
                    self._frame = self._module.ZstdDecompressor(options={widest: _WIDEST_ZSTD_WINDOW})
                yield from self._pieces(chunk)
                if not self._frame.eof:
                    return
                chunk, self._frame = self._frame.unused_data, None
        except self._module.ZstdError:
            raise SpoiltBodyError("a coded body is damaged") from None

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        while True:
            piece = self._frame.decompress(chunk, PIECE)
            chunk = b""
            if piece:
                yield piece
            if self._frame.eof or self._frame.needs_input:
                return

    def finish(self) -> None:
        if self._frame is not None:
            raise SpoiltBodyError("a zstd body ends before it is whole")


def _brotli() -> Decoder | None:
    module = _optional("brotli")
    # Before 1.2 it could not be asked for a piece at a time.
    bounded = module is not None and hasattr(module.Decompressor, "can_accept_more_data")
    return _Brotli(module) if module is not None and bounded else None


def _zstandard() -> Decoder | None:
    module = _optional("compression.zstd") or _optional("backports.zstd")
    return _Zstandard(module) if module is not None else None


def _optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_DECODERS: Final[Mapping[bytes, Callable[[], Decoder | None]]] = {
    b"gzip": _Gzip,
    b"deflate": _Deflate,
    b"br": _brotli,
    b"zstd": _zstandard,
}
