"""A page is edited and coded again as it streams: whole or not at all, at once, and apart from our markup."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.errors import SpoiltBodyError
from consent_mw.wire.coding import decoder_for
from consent_mw.wire.recoding import Recoder

HEAD, TAIL = b"<!doctype html><html><head><title>x</title></head><body>", b"<p>text</p></body></html>"
PAGE = HEAD + TAIL
BANNER = b"<section id=banner>the banner</section>"
EDITED = HEAD + BANNER + TAIL


def undone(coding: bytes, body: bytes) -> bytes:
    """The plain page, which must be whole."""
    if not coding:
        return body
    stream = zlib.decompressobj(31 if coding == b"gzip" else 15)
    plain = stream.decompress(body)
    assert stream.eof
    assert stream.unused_data == b""
    return plain


def sent(recoder: Recoder, chunks: list[bytes]) -> bytes:
    """All that goes out."""
    return b"".join([*map(recoder.feed, chunks), recoder.finish()])


WAYS: list[Any] = [(came, goes) for came in (b"", b"gzip", b"deflate") for goes in (b"gzip", b"deflate")] + [
    (b"", b"")
]


@pytest.mark.parametrize(("came", "goes"), WAYS)
@given(cuts=st.lists(st.integers(0, 120), max_size=6).map(sorted))
def test_a_page_is_edited_in_whatever_coding_and_however_it_is_cut(came: bytes, goes: bytes, cuts: list[int]) -> None:
    body = {b"": PAGE, b"gzip": gzip.compress(PAGE), b"deflate": zlib.compress(PAGE)}[came]
    chunks = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    decoder = decoder_for((came,)) if came else None
    for length in (None, len(body)):
        recoder = Recoder(
            lambda _: BANNER, decoder=decoder_for((came,)) if decoder else None, coding=goes, length=length
        )
        assert undone(goes, sent(recoder, chunks)) == EDITED


def test_what_arrives_goes_out_at_once() -> None:
    recoder = Recoder(lambda _: BANNER, coding=b"gzip")
    stream = zlib.decompressobj(31)
    assert stream.decompress(recoder.feed(HEAD)) == HEAD + BANNER
    for number in range(50):
        row = b"<p>row %d</p>" % number
        assert stream.decompress(recoder.feed(row)) == row
    stream.decompress(recoder.finish())
    assert stream.eof


def test_a_coded_stream_goes_out_at_once_too() -> None:
    coder, stream = zlib.compressobj(wbits=31), zlib.decompressobj(31)
    recoder = Recoder(lambda _: BANNER, decoder=decoder_for((b"gzip",)), coding=b"gzip")
    for part, expected in ((HEAD, HEAD + BANNER), (b"<p>one", b"<p>one"), (b"<p>two", b"<p>two")):
        came = coder.compress(part) + coder.flush(zlib.Z_SYNC_FLUSH)
        assert stream.decompress(recoder.feed(came)) == expected


def test_a_page_of_known_length_ends_in_one_block() -> None:
    known, unknown = (
        sent(Recoder(lambda _: BANNER, coding=b"gzip", length=length), [PAGE]) for length in (len(PAGE), None)
    )
    assert len(known) < len(unknown)


@pytest.mark.parametrize(
    "length", [len(PAGE) - 1, len(PAGE) + 1], ids=["longer than it said", "shorter than it said"]
)
@pytest.mark.parametrize("coding", [b"", b"gzip"])
def test_a_page_of_another_length_than_it_said_is_spoilt(length: int, coding: bytes) -> None:
    with pytest.raises(SpoiltBodyError):
        sent(Recoder(lambda _: BANNER, coding=coding, length=length), [PAGE])


def test_a_spoilt_page_stays_spoilt() -> None:
    recoder = Recoder(lambda _: BANNER, decoder=decoder_for((b"gzip",)), coding=b"gzip")
    with pytest.raises(SpoiltBodyError):
        recoder.feed(b"no gzip at all")
    for again in (lambda: recoder.feed(gzip.compress(PAGE)), recoder.finish):
        with pytest.raises(SpoiltBodyError):
            again()


def test_a_page_cut_short_is_spoilt_at_its_end() -> None:
    recoder = Recoder(lambda _: BANNER, decoder=decoder_for((b"gzip",)), coding=b"gzip")
    recoder.feed(gzip.compress(PAGE)[:-3])
    with pytest.raises(SpoiltBodyError):
        recoder.finish()


def test_a_bomb_takes_no_memory() -> None:
    bomb = gzip.compress(HEAD + bytes(60_000_000), 9)
    tracemalloc.start()
    went = sent(Recoder(lambda _: BANNER, decoder=decoder_for((b"gzip",)), coding=b"gzip"), [bomb])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4_000_000
    assert len(went) < 500_000


def test_a_bomb_within_a_bomb_is_spoilt() -> None:
    bomb = gzip.compress(gzip.compress(HEAD + bytes(60_000_000), 9), 9)
    with pytest.raises(SpoiltBodyError):
        sent(Recoder(lambda _: BANNER, decoder=decoder_for((b"gzip", b"gzip")), coding=b"gzip"), [bomb])


def test_the_length_of_a_page_tells_nothing_of_what_its_banner_repeats() -> None:
    secret = os.urandom(24).hex().encode()
    page = HEAD + b"<input name=token value=" + secret + b">" + TAIL
    before = b"<!doctype html><html><head><meta name=token content=" + secret + b"></head><body>" + TAIL
    for body in (page, before):
        lengths = set()
        for guess in (secret, secret[::-1], bytes(reversed(secret[:24])) + secret[24:]):
            banner = b"<section id=banner>" + guess + b"</section>"
            apart = len(sent(Recoder(lambda _, banner=banner: banner, coding=b"gzip"), [body]))
            alone = zlib.compressobj(1, wbits=31)
            lengths.add(apart - len(alone.compress(banner) + alone.flush(zlib.Z_FULL_FLUSH)))
        assert max(lengths) - min(lengths) <= 2  # Huffman codes of the same digits; a match would save 45 bytes
