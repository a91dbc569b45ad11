"""Encodings are told as Chromium tells them, and no page in another alphabet calls a denied host unseen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from encodings.aliases import aliases

import pytest

from consent_mw.wire.html import PageGate, insertable, settled
from consent_mw.wire.html.charsets import KEEP_ASCII, OTHER_ALPHABETS
from tests.wire.in_chromium import Chromium, chromium
from tests.wire.test_gating_in_chromium import GATING, host

WIDE = {"UTF-16BE", "UTF-16LE"}
ODD = sorted({one.replace("_", "-") for pair in aliases.items() for one in pair} | {
    "utf-7", "utf-32", "ucs-4", "iso-2022-jp-2", "iso-2022-jp2", "hz-gb", "x-utf-16le-bom", "none", "",
})  # fmt: skip


@pytest.fixture
def browser() -> Iterator[Chromium]:
    with chromium() as running:
        yield running


def typed(label: str) -> str:
    return f"text/html; charset={label}"


def gated(page: bytes, kind: str) -> bytes:
    gate = PageGate(replace(GATING, settled=settled(kind.encode())))
    return gate.feed(page) + gate.finish()


def test_every_label_is_told_as_the_browser_tells_it(browser: Chromium) -> None:
    labels = sorted({*OTHER_ALPHABETS, *KEEP_ASCII, *ODD})
    plain = browser.charsets([typed(one) for one in labels], b"<p>")
    other = [one for one, found in zip(labels, plain, strict=True) if found in {*WIDE, "ISO-2022-JP", "replacement"}]
    assert sorted(other) == sorted(OTHER_ALPHABETS)
    assert other == [one for one in labels if not insertable(typed(one).encode())]
    # Only where the head settles it, the page itself has no say.
    meta = browser.charsets([typed(one) for one in labels], b"<meta charset=iso-2022-jp>")
    says = {one for one, found in zip(labels, meta, strict=True) if found == "ISO-2022-JP"}
    assert says.isdisjoint(one for one in labels if settled(typed(one).encode()))
    assert {"utf-7", "cp037", "utf-32", ""} <= says


SPELLINGS = [
    "text/html;charset=utf-16le", "text/html; charset=UTF-16LE ", 'text/html; charset="utf-16le"',
    'text/html; charset="\\utf-16le"', 'text/html; charset=" utf-16le "', "text/html; charset='utf-16le'",
    "text/html; charset = utf-16le", "text/html; charset= utf-16le", "text/html; charset=utf-16le; charset=utf-8",
    "text/html; charset=utf-8; charset=utf-16le", 'text/html; a="; charset=utf-8"; charset=utf-16le',
    "text/html; charset=utf-8, text/html; charset=utf-16le", "text/html; charset=utf-16le, text/html",
    "text/html; charset=utf-16le,", "text/html charset=utf-16le", "text/html;charset=utf-16le text/html",
    "text/html;\tcharset=utf-16le", "text/html; CHARSET=utf-16le", 'text/html; charset="utf-16le',
    "text/html; charset=utf-16le\"", "text/html; ;charset=utf-16le", "text/html; charset=unicode",
]  # fmt: skip


def test_no_spelling_of_a_type_hides_another_alphabet(browser: Chromium) -> None:
    called: list[str] = []
    for kind in SPELLINGS:
        page = f"<p>a<img src=//{host(1)}/>".encode("utf-16-le")
        if insertable(kind.encode()) and browser.calls([gated(page, kind)], kind=kind):
            called.append(kind)
    assert called == []
    assert browser.calls([page], kind=SPELLINGS[0]) == {1}


@pytest.mark.parametrize(
    "coding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-7", "cp037", "iso2022_kr"]
)
@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=cp037", "text/html; charset=none"])
def test_no_page_in_an_alphabet_that_nobody_named_calls_what_is_denied(
    browser: Chromium, coding: str, kind: str
) -> None:
    ways = (
        "<!doctype html><p>{}<img src=//{}/>",
        "<?xml version='1.0'?><p>{}<img src=//{}/>",
        "<p>{}<img src=//{}/>",
    )
    pages = [way.format("text " * 300, host(n)).encode(coding) for n, way in enumerate(ways)]
    assert browser.calls([gated(page, kind) for page in pages], kind=kind) == set()


TO_KANJI, TO_ASCII = b"\x1b$B", b"\x1b(B"
HIDDEN = {
    # What is an end tag to who reads ASCII is four characters in a comment of a style sheet.
    "an end": b"<style>/* " + TO_KANJI + b"</style>" + TO_ASCII + b"<!-- */</style><img src=//{u}/><p>--></p>",
    "a quote": b"<p title='" + TO_KANJI + b"!'" + TO_ASCII + b" a=\"'><img src=//{u}/><p a='\">",
    "a comment": b"<p title='" + TO_KANJI + b"'>" + TO_ASCII + b"<!--'><img src=//{u}/><p a='-->'>",
    "within an address": b"<img src=//{u}" + TO_ASCII + b"/>",
    "within a style": b"<style>p{background:url(//{u}" + TO_ASCII + b"/)}</style><p>a",
    "in a tag": b"<img alt='" + TO_KANJI + b"!'" + TO_ASCII + b"' src=//{u}/>",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=cp037", "text/html; charset=utf-7"])
@pytest.mark.parametrize(
    "opening",
    [b"<meta charset=iso-2022-jp>", b"<meta http-equiv=content-type content='text/html; charset=csISO2022JP'>"],
)
def test_no_page_that_says_itself_that_it_has_another_alphabet_calls_what_is_denied(
    browser: Chromium, kind: str, opening: bytes
) -> None:
    pages = [opening + way.replace(b"{u}", host(n).encode()) for n, way in enumerate(HIDDEN.values())]
    assert browser.calls([gated(page, kind) for page in pages], kind=kind) == set()
    assert browser.calls(pages, kind=kind) == set(range(len(pages)))
