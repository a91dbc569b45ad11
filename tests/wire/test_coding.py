"""Content codings: what a browser takes, and bodies decoded whole, byte by byte, damaged and as bombs."""

from __future__ import annotations

import gzip
import importlib
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.errors import SpoiltBodyError
from consent_mw.wire.coding import (
    MOST_CODINGS,
    PIECE,
    codings_of,
    decoder_for,
    preferred,
    refuses_plain,
    weights,
)

OURS = (b"gzip", b"deflate")
TEXT = b"<!doctype html><p>" + b"a page with words in it, " * 400


def raw_deflate(data: bytes) -> bytes:
    """RFC 1951 without a wrapper."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def brotli(data: bytes) -> bytes:
    """RFC 7932."""
    return importlib.import_module("brotli").compress(data)  # type: ignore[no-any-return]  # no type stubs


def zstd(data: bytes) -> bytes:
    """RFC 8878."""
    try:
        module = importlib.import_module("compression.zstd")
    except ImportError:
        module = importlib.import_module("backports.zstd")
    return module.compress(data)  # type: ignore[no-any-return]  # one of two modules


Coder = Callable[[bytes], bytes]
CODERS: dict[str, tuple[tuple[bytes, ...], Coder]] = {
    "gzip": ((b"gzip",), gzip.compress),
    "gzip in two members": ((b"gzip",), lambda data: gzip.compress(data[:70]) + gzip.compress(data[70:])),
    "gzip filled up with zeros": ((b"gzip",), lambda data: gzip.compress(data) + bytes(9)),
    "deflate": ((b"deflate",), zlib.compress),
    "deflate without its wrapper": ((b"deflate",), raw_deflate),
    "br": ((b"br",), brotli),
    "zstd": ((b"zstd",), zstd),
    "zstd in two frames": ((b"zstd",), lambda data: zstd(data[:70]) + zstd(data[70:])),
    "gzip over deflate": ((b"deflate", b"gzip"), lambda data: gzip.compress(zlib.compress(data))),
}


def decoded(codings: tuple[bytes, ...], chunks: list[bytes]) -> bytes:
    """Every piece, each within its bound, and the end."""
    decoder = decoder_for(codings)
    assert decoder is not None
    pieces = [piece for chunk in chunks for piece in decoder.feed(chunk)]
    assert all(len(piece) <= PIECE for piece in pieces)
    decoder.finish()
    return b"".join(pieces)


def one_by_one(body: bytes) -> list[bytes]:
    return [body[i : i + 1] for i in range(len(body))]


@pytest.mark.parametrize(("codings", "code"), CODERS.values(), ids=CODERS)
@pytest.mark.parametrize("text", [TEXT, b"x", b""], ids=["a page", "one byte", "nothing"])
def test_a_coded_body_is_decoded_however_it_is_cut(codings: tuple[bytes, ...], code: Coder, text: bytes) -> None:
    body = code(text)
    assert decoded(codings, [body]) == text
    assert decoded(codings, one_by_one(body)) == text


@pytest.mark.parametrize(("codings", "code"), CODERS.values(), ids=CODERS)
def test_a_body_of_no_bytes_is_an_empty_one(codings: tuple[bytes, ...], code: Coder) -> None:
    assert decoded(codings, []) == b""


@pytest.mark.parametrize(
    ("codings", "code"), [CODERS[name] for name in CODERS if "zeros" not in name and "two" not in name]
)
def test_a_body_cut_short_anywhere_is_spoilt(codings: tuple[bytes, ...], code: Coder) -> None:
    body = code(TEXT)
    for length in range(1, len(body)):
        with pytest.raises(SpoiltBodyError):
            decoded(codings, [body[:length]])


@pytest.mark.parametrize(
    ("codings", "body"),
    [
        ((b"gzip",), b"<!doctype html><p>not coded at all"),
        ((b"gzip",), gzip.compress(TEXT) + b"<p>more"),
        ((b"gzip",), gzip.compress(TEXT)[:-8] + bytes(8)),
        ((b"deflate",), zlib.compress(TEXT)[:-4] + bytes(4)),
        ((b"deflate",), raw_deflate(TEXT) + b"more"),
        ((b"deflate",), zlib.compress(TEXT) + b"more"),
        ((b"br",), brotli(TEXT) + b"more"),
        ((b"br",), b"<!doctype html><p>not coded at all"),
        ((b"zstd",), zstd(TEXT) + b"more"),
        ((b"zstd",), b"<!doctype html><p>not coded at all"),
    ],
    ids=[
        "gzip-plain", "gzip-tail", "gzip-checksum", "deflate-checksum", "raw-tail", "deflate-tail", "br-tail",
        "br-plain", "zstd-tail", "zstd-plain",
    ],
)  # fmt: skip
def test_a_damaged_body_is_spoilt_and_not_guessed(codings: tuple[bytes, ...], body: bytes) -> None:
    for chunks in ([body], one_by_one(body)):
        with pytest.raises(SpoiltBodyError):
            decoded(codings, chunks)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd", "gzip over deflate"])
def test_a_bomb_comes_in_bounded_pieces(name: str) -> None:
    codings, code = CODERS[name]
    body = code(bytes(8_000_000))
    assert len(body) < 20_000
    assert decoded(codings, [body]) == bytes(8_000_000)


@pytest.mark.parametrize(
    "codings",
    [(), (b"compress",), (b"dcb",), (b"gzip", b"unheard-of"), (b"gzip",) * (MOST_CODINGS + 1)],
    ids=["none", "compress", "dictionary", "one of two", "too many"],
)
def test_what_cannot_be_undone_has_no_decoder(codings: tuple[bytes, ...]) -> None:
    assert decoder_for(codings) is None


def test_without_the_optional_packages_br_and_zstd_have_no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    assert (decoder_for((b"br",)), decoder_for((b"zstd",))) == (None, None)
    assert decoder_for((b"gzip",)) is not None


def test_codings_are_read_by_their_present_names_without_identity() -> None:
    assert codings_of([b"X-GZip, identity", b"br"]) == (b"gzip", b"br")
    assert codings_of([b"identity"]) == codings_of([]) == codings_of([b""]) == ()


PREFERENCES = {
    "a browser": ([b"gzip, deflate, br, zstd"], b"gzip", False),
    "its weights": ([b"gzip;q=0.5, deflate;q=0.8"], b"deflate", False),
    "equal weights: ours": ([b"deflate, gzip"], b"gzip", False),
    "nothing said": ([], b"identity", False),
    "an empty field": ([b""], b"identity", False),
    "identity alone": ([b"identity"], b"identity", False),
    "only what we have not": ([b"br"], b"identity", False),
    "anything": ([b"*"], b"gzip", False),
    "anything but gzip": ([b"*, gzip;q=0"], b"deflate", False),
    "nothing coded": ([b"*;q=0, identity"], b"identity", False),
    "no plain answer": ([b"gzip, identity;q=0"], b"gzip", True),
    "no plain answer by the wildcard": ([b"gzip, *;q=0"], b"gzip", True),
    "nothing at all": ([b"*;q=0"], b"identity", True),
    "rather plain": ([b"gzip;q=0.5, identity"], b"identity", False),
    "plain as gladly": ([b"gzip, identity"], b"gzip", False),
    "a refused one": ([b"gzip;q=0, deflate;q=0.000"], b"identity", False),
    "two fields": ([b"br", b"gzip;q=0.1"], b"gzip", False),
    "the old name": ([b"x-gzip"], b"gzip", False),
    "capitals and blanks": ([b" GZIP ; Q=1.0 "], b"gzip", False),
    "named twice": ([b"gzip;q=0, gzip"], b"identity", False),
    "a weight that is none": ([b"gzip;q=2, deflate;q=x, br;q"], b"identity", False),
    "garbage": ([b'"gzip, \xff;;;=', b",,,"], b"identity", False),
}


@pytest.mark.parametrize(("fields", "expected", "refuses"), PREFERENCES.values(), ids=PREFERENCES)
def test_the_browser_is_given_what_it_takes_most_gladly(fields: list[bytes], expected: bytes, refuses: bool) -> None:
    assert (preferred(fields, OURS), refuses_plain(fields)) == (expected, refuses)


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_no_accept_encoding_is_an_error(fields: list[bytes]) -> None:
    assert preferred(fields, OURS) in (*OURS, b"identity")
    assert all(0 <= weight <= 1000 for weight in weights(fields).values())
