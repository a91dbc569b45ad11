"""What a decision denies does not run on a page, what it allows does, and the rest of the page stays as it is."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.wire.html import Gating, Hosts, PageEditor, PageGate, scanner, skipping
from tests.wire import strange_pages

DENIED = [("cdn.v.test", "analytics"), ("*.ads.test", "ads"), ("stats.test:8443", "analytics")]
ASK = b'<p class="ask">'
GATING = Gating(
    Hosts(DENIED), frozenset({"essential", "video"}), lambda purposes, _: ASK + " ".join(purposes).encode()
)
NOTHING_DENIED = Gating(Hosts(()), frozenset({"essential", "video"}))
EVERYTHING = Gating(Hosts(()), frozenset({"essential", "video", "analytics", "ads"}))


def gated(page: bytes, chunks: Iterable[bytes] | None = None, gating: Gating = GATING) -> bytes:
    gate = PageGate(gating)
    return b"".join([*map(gate.feed, chunks or [page]), gate.finish()])


def one_by_one(page: bytes) -> list[bytes]:
    return [page[index : index + 1] for index in range(len(page))]


V = b"//cdn.v.test/a"
# In what comes of a page `~` stands for `data-consent-`, the beginning of a name that does nothing; `^` for what a
# script gets that must not run.
PLAIN = b' data-consent="analytics" type="text/plain"'
DENIED_PAGES = {
    "a script": (b"<script src=//cdn.v.test/a></script>", b"<script^ ~src=//cdn.v.test/a></script>"),
    "a module": (
        b'<SCRIPT async type="module" SRC="https://cdn.v.test/"></SCRIPT>',
        b'<SCRIPT^ async ~type="module" ~SRC="https://cdn.v.test/"></SCRIPT>',
    ),
    "a script that would run what it holds": (
        b"<script src=//x.ads.test>fallback()</script>",
        b'<script data-consent="ads" type="text/plain" ~src=//x.ads.test>fallback()</script>',
    ),
    "an image": (b'<img alt="a" src="//cdn.v.test/p">', b'<img alt="a" ~src="//cdn.v.test/p">'),
    "an image in a set": (
        b'<img srcset="/a 1x, //cdn.v.test/b 2x" src=/a>',
        b'<img ~srcset="/a 1x, //cdn.v.test/b 2x" src=/a>',
    ),
    "the second of two would stand in": (b"<img src=//cdn.v.test src=/b>", b"<img ~src=//cdn.v.test ~src=/b>"),
    "an attribute right behind another": (
        b'<img alt="a"src="//cdn.v.test">',
        b'<img alt="a"~src="//cdn.v.test">',
    ),
    "a slash before an attribute": (b"<img/src=//cdn.v.test>", b"<img/~src=//cdn.v.test>"),
    "spaces around the equals sign": (b"<img src\n=\t'//cdn.v.test'>", b"<img ~src\n=\t'//cdn.v.test'>"),
    "a value with a greater-than": (b"<img alt='>' src=//cdn.v.test>", b"<img alt='>' ~src=//cdn.v.test>"),
    "links that fetch": (
        b"<link rel=preconnect href=//cdn.v.test><link rel='Alternate stylesheet' href=//cdn.v.test>",
        b"<link rel=preconnect ~href=//cdn.v.test><link rel='Alternate stylesheet' ~href=//cdn.v.test>",
    ),
    "a base": (b"<base href='https://cdn.v.test/'><img src=a>", b"<base ~href='https://cdn.v.test/'><img src=a>"),
    "a refresh": (
        b"<meta http-equiv=Refresh content='3; URL=\"https://cdn.v.test/\"'>",
        b"<meta http-equiv=Refresh ~content='3; URL=\"https://cdn.v.test/\"'>",
    ),
    "a frame asks": (
        b"<iframe src=//x.ads.test sandbox>",
        b'<iframe data-consent="ads" srcdoc="<p class=&quot;ask&quot;>ads" ~src=//x.ads.test ~sandbox>',
    ),
    "a frame with a page of its own": (
        b"<iframe src=//cdn.v.test srcdoc=hello></iframe>",
        b'<iframe data-consent="analytics" ~src=//cdn.v.test srcdoc=hello></iframe>',
    ),
    "a page within a frame": (
        b"<iframe srcdoc='<p title=&quot;&amp;lt;&quot;><img src=&quot;//cdn.v.test&quot;>'></iframe>",
        b'<iframe srcdoc="<p title=&quot;&amp;lt;&quot;><img ~src=&quot;//cdn.v.test&quot;>"></iframe>',
    ),
    "a page of data": (
        b"<object data='data:text/html,%3cimg src=//cdn.v.test>'></object>",
        b"<object ~data='data:text/html,%3cimg src=//cdn.v.test>'></object>",
    ),
    "coded data": (
        b"<embed src='data:text/html;base64,PGltZyBzcmM9Ly9jZG4udi50ZXN0Pg=='>",
        b"<embed ~src='data:text/html;base64,PGltZyBzcmM9Ly9jZG4udi50ZXN0Pg=='>",
    ),
    "a ping": (b"<a href=//cdn.v.test ping=//cdn.v.test>", b"<a href=//cdn.v.test ~ping=//cdn.v.test>"),
    "a style sheet": (
        b"<style>@import '//cdn.v.test/a';b{c:url( \"//cdn.v.test\")}</style>",
        b"<style>@import 'about:invalid#//cdn.v.test/a';b{c:url( \"about:invalid#//cdn.v.test\")}</style>",
    ),
    "escapes in a style sheet": (
        rb"<style>a{b:\75 rl(\68ttps://cdn\2e v.test)}</style>",
        rb"<style>a{b:\75 rl(about:invalid#\68ttps://cdn\2e v.test)}</style>",
    ),
    "a style": (b"<p style='a:url(//cdn.v.test)'>", b"<p style='a:url(about:invalid#//cdn.v.test)'>"),
    "a style that is written": (
        b"<p style='a:url(&quot;//cdn.v.test&quot;)'>",
        b"<p ~style='a:url(&quot;//cdn.v.test&quot;)'>",
    ),
    "in a drawing": (
        b"<svg><image href=//cdn.v.test /><style>a{b:url(//cdn.v.test)}</style></svg>",
        b"<svg><image ~href=//cdn.v.test /><style>a{b:url(about:invalid#//cdn.v.test)}</style></svg>",
    ),
    "a drawing's style holds markup": (
        b"<svg><style><img src=//cdn.v.test></style></svg>",
        b"<svg><style><img ~src=//cdn.v.test></style></svg>",
    ),
    "in a noscript": (
        b"<noscript><img src=//cdn.v.test></noscript>",
        b"<noscript><img ~src=//cdn.v.test></noscript>",
    ),
    "in a template": (
        b"<template><img src=//cdn.v.test></template>",
        b"<template><img ~src=//cdn.v.test></template>",
    ),
    "references": (
        b"<img src='https&colon;&sol;/&#x63;dn.v&period;test'>",
        b"<img ~src='https&colon;&sol;/&#x63;dn.v&period;test'>",
    ),
    "a port of its own": (
        b"<img src=//stats.test:8443><img src=//stats.test>",
        b"<img ~src=//stats.test:8443><img src=//stats.test>",
    ),
    "after a comment that is whole": (b"<!--><img src=//x.ads.test>-->", b"<!--><img ~src=//x.ads.test>-->"),
    "after a comment ended by a bang": (
        b"<!-- --!><img src=//x.ads.test>-->",
        b"<!-- --!><img ~src=//x.ads.test>-->",
    ),
    "after a script in a script": (
        b"<script><!--<script></script><img src=//a.ads.test></script><img src=//x.ads.test>",
        b"<script><!--<script></script><img src=//a.ads.test></script><img ~src=//x.ads.test>",
    ),
    "after a formula ended": (
        b"<math><mi><style></mi></math><img src=//x.ads.test></style>",
        b"<math><mi><style></mi></math><img src=//x.ads.test></style>",
    ),
    "a choice that browsers read in two ways": (
        b"<select><style><img src=//x.ads.test></style>",
        b"<select><style><img ~src=//x.ads.test></style>",
    ),
    "a noscript ends in a value": (
        b"<noscript><p title='</noscript><img src=//x.ads.test>'>",
        b"<noscript><p title='</noscript><img ~src=//x.ads.test>'>",
    ),
    "wide letters": (
        "\ufeff<img src=//x.ads.test>ü".encode("utf-16-le"),
        "\ufeff<img data-consent-src=//x.ads.test>ü".encode("utf-16-le"),
    ),
    "wide letters, the last of them cut": (
        "\ufeff<img src=//x.ads.test>".encode("utf-16-le") + b"\x00\xd8\xdc",
        "\ufeff<img data-consent-src=//x.ads.test>".encode("utf-16-le") + b"\x00\xd8\xdc",
    ),
}


def expected(written: bytes) -> bytes:
    return written.replace(b"^", PLAIN).replace(b"~", b"data-consent-")


@pytest.mark.parametrize(("page", "comes"), DENIED_PAGES.values(), ids=DENIED_PAGES)
def test_what_is_denied_is_taken_out_however_the_page_is_cut(page: bytes, comes: bytes) -> None:
    assert gated(page) == expected(comes)
    assert gated(page, one_by_one(page)) == expected(comes)
    for cut in range(len(page)):
        assert gated(page, [page[:cut], page[cut:]]) == expected(comes)


MARKED = {
    "a script of code": (
        b'<script type="text/plain" data-consent="video">run()</script>',
        b'<script data-consent-type="text/plain" data-consent="video">run()</script>',
    ),
    "a script by address": (
        b"<script type=text/plain data-consent=video data-src=/a.js data-type=module></script>",
        b"<script data-consent-type=text/plain data-consent=video src=/a.js type=module></script>",
    ),
    "a frame with something to show meanwhile": (
        b"<iframe src=/wait data-src=/a data-consent=video></iframe>",
        b"<iframe data-consent-src=/wait src=/a data-consent=video></iframe>",
    ),
    "an image": (
        b"<img data-srcset='/a 2x' data-src=/a data-consent='video essential'>",
        b"<img srcset='/a 2x' src=/a data-consent='video essential'>",
    ),
    "a link": (
        b"<link rel=stylesheet data-consent=video data-href=/a>",
        b"<link rel=stylesheet data-consent=video href=/a>",
    ),
    "a script of another type": (
        b"<script type=application/json data-consent=video>{}</script>",
        b"<script type=application/json data-consent=video>{}</script>",
    ),
}  # fmt: skip


@pytest.mark.parametrize("gating", [GATING, NOTHING_DENIED], ids=["hosts denied", "none denied"])
@pytest.mark.parametrize(("page", "comes"), MARKED.values(), ids=MARKED)
def test_what_is_marked_becomes_live_where_its_purposes_are_allowed(
    page: bytes, comes: bytes, gating: Gating
) -> None:
    assert gated(page, gating=gating) == comes
    assert gated(page, one_by_one(page), gating) == comes


@pytest.mark.parametrize(
    ("page", "comes"),
    [
        (b"<script type=text/plain data-consent=analytics data-src=/a></script>", None),
        (b"<script type=text/plain data-consent='video analytics'>a()</script>", None),
        (b"<script type=text/plain data-consent=nobody>a()</script>", None),
        (
            b"<script type=text/plain data-consent=video data-src=//x.ads.test></script>",
            b"<script type=text/plain data-consent=ads,video data-src=//x.ads.test></script>",
        ),
        (
            b"<script type=text/plain src=//cdn.v.test/a data-consent='video'></script>",
            b"<script type=text/plain data-consent-src=//cdn.v.test/a data-consent='analytics,video'></script>",
        ),
        (
            b'<img data-consent="video" data-srcset="/a 1x, //cdn.v.test 2x" data-src=//x.ads.test>',
            b'<img data-consent="analytics,ads,video" data-srcset="/a 1x, //cdn.v.test 2x" data-src=//x.ads.test>',
        ),
        (
            b"<img data-consent=video data-srcset='//cdn.v.test 1x, //x.ads.test 2x, /a 3x'>",
            b"<img data-consent=analytics,ads,video data-srcset='//cdn.v.test 1x, //x.ads.test 2x, /a 3x'>",
        ),
        (b"<img data-consent='ads video' data-src=//x.ads.test>", None),
        (b"<img data-consent data-src=//x.ads.test><img data-consent='' data-src=/a>", None),
        (
            b"<select><style><script type=text/plain data-consent=video data-src=//x.ads.test>",
            b"<select><style><script type=text/plain data-consent=ads,video data-src=//x.ads.test>",
        ),
        (
            b"<script data-consent=analytics src=/a></script>",
            b'<script type="text/plain" data-consent=analytics data-consent-src=/a></script>',
        ),
        (b"<img src=/wait data-src=/a data-consent=analytics>", None),
        (b"<img src=/a data-consent=analytics>", b"<img data-consent-src=/a data-consent=analytics>"),
        (
            b"<iframe data-src=/a data-consent='video analytics'>",
            b'<iframe srcdoc="<p class=&quot;ask&quot;>analytics" data-src=/a data-consent=\'video analytics\'>',
        ),
        (b"<iframe src=/wait data-src=/a data-consent=analytics></iframe>", None),
    ],
    ids=[
        "a purpose denied", "one of two denied", "an unknown purpose", "a host denied", "a host denied, quoted",
        "hosts denied for two", "hosts denied for two in one list",
        "a host denied for what it names", "no purpose", "where anything may be a tag",
        "a script that was not held back", "an image", "an image that was not held back",
        "a frame asks for what is missing", "a frame with something to show",
    ],
)  # fmt: skip
def test_what_is_marked_stays_off_where_a_purpose_is_not_allowed(page: bytes, comes: bytes | None) -> None:
    assert gated(page) == (page if comes is None else comes)
    assert gated(page, one_by_one(page)) == (page if comes is None else comes)


UNTOUCHED = [
    b"<!-- <script src=//cdn.v.test></script> -->",
    b"<textarea><img src=//cdn.v.test></textarea><title><img src=//cdn.v.test></title>",
    b"<script>s.src='//cdn.v.test';w('<img src=\"//cdn.v.test\">')</script>",
    b"<script><!-- <script> </script> <img src=//cdn.v.test> --></script>",
    b"<xmp><img src=//cdn.v.test></xmp><iframe><img src=//cdn.v.test></iframe>",
    b"<svg><path d='M0 0'/><title>a</title><![CDATA[<img src=//cdn.v.test]]></svg>",
    b"<a href=//cdn.v.test>a</a><form action=//cdn.v.test><area href=//cdn.v.test>",
    b"<link rel=canonical href=//cdn.v.test><meta property=og:image content=//cdn.v.test>",
    b"<p title='<img src=//cdn.v.test>' data-x=\"<script src=//cdn.v.test>\">",
    b"<img src=//v.test><img src=//xcdn.v.test><img src=//ads.test><img src=/cdn.v.test>",
    b"<style>a[href^='//cdn.v.test']{}/* cdn.v.test */</style><plaintext><img src=//cdn.v.test>",
    b"<img src='?u=https://cdn.v.test/'><img src=//other.test/cdn.v.test#//cdn.v.test>",
    b"<img src=//cdn.v.test",
    b"<svg><foreignObject><div><p>a</p></div></foreignObject></svg><style>/* <img src=//cdn.v.test> */</style>",
]


@pytest.mark.parametrize("page", UNTOUCHED, ids=range(len(UNTOUCHED)))
def test_what_calls_nobody_stays_as_it_is(page: bytes) -> None:
    assert gated(page) == page
    assert gated(page, one_by_one(page)) == page


PIECES = st.one_of(
    st.sampled_from([one.encode() for one in (*strange_pages.SURROUNDINGS, *strange_pages.LOADS.values())]),
    st.sampled_from(
        [b"data-consent=video ", b"type=text/plain", b"{u}", b"//cdn.v.test", b"data-src=", b"<p ", b">"]
    ),
    st.sampled_from([b"\x1b$B", b"\x1b(B", b"!'"]),
    st.binary(max_size=4),
)


@given(st.lists(PIECES, max_size=20), st.randoms(use_true_random=False))
def test_a_page_comes_out_alike_however_it_is_cut(pieces: list[bytes], chance: random.Random) -> None:
    page = b"".join(pieces).replace(b"{u}", b"//cdn.v.test/a")
    cuts = sorted(chance.randrange(len(page) + 1) for _ in range(chance.randrange(6)))
    chunks = [page[a:b] for a, b in zip([0, *cuts], [*cuts, len(page)], strict=True)]
    whole = gated(page)
    assert gated(page, chunks) == whole
    assert gated(page, one_by_one(page)) == whole


@given(st.lists(PIECES, max_size=20))
def test_only_a_mark_is_edited_where_nothing_is_denied(pieces: list[bytes]) -> None:
    page = b"".join(pieces).replace(b"{u}", b"//cdn.v.test/a").replace(b"data-consent", b"data-other")
    assert gated(page, gating=EVERYTHING) == page


@given(st.lists(PIECES, max_size=20))
def test_nothing_but_what_is_put_in_differs(pieces: list[bytes]) -> None:
    page = b"".join(pieces).replace(b"{u}", b"//cdn.v.test/a").replace(b"data-", b"").replace(b"srcdoc", b"src")
    comes = gated(page, gating=Gating(Hosts(DENIED), frozenset()))
    for put in (
        b"data-consent-",
        b' data-consent="analytics"',
        b' type="text/plain"',
        b"about:invalid#",
        b"consent-",
    ):
        comes = comes.replace(put, b"")
    assert comes == page


@pytest.mark.parametrize("plain", [True, False], ids=["hosts", "marks"])
def test_skipping_is_work_alone(plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page comes out alike whether what needs no look is skipped natively, by Python, or not at all."""
    gating = GATING if plain else NOTHING_DENIED
    chance = random.Random(7)
    pages = [strange_pages.page(chance, "cdn.v.test").encode() for _ in range(600)]
    comes = [gated(page, gating=gating) for page in pages]
    for skip in (skipping._skip, lambda data, at, plain: at):
        monkeypatch.setattr(scanner, "skip", skip)
        assert [gated(page, gating=gating) for page in pages] == comes


@pytest.mark.parametrize("page", [*UNTOUCHED, *(page for page, _ in (*DENIED_PAGES.values(), *MARKED.values()))])
def test_how_far_is_skipped_never_passes_what_is_edited(page: bytes) -> None:
    differs = next(
        (at for at, pair in enumerate(zip(page, gated(page), strict=False)) if pair[0] != pair[1]), len(page)
    )
    if not page.startswith(b"\xff\xfe"):
        assert skipping.skip(page, 0, True) <= max(differs, 0) or gated(page) == page
        assert skipping._skip(page, 0, True) <= max(differs, 0) or gated(page) == page


def test_what_can_be_told_goes_out_at_once() -> None:
    gate = PageGate(GATING)
    assert gate.feed(b"<!doctype html><p>text") == b"<!doctype html><p>text"
    assert gate.feed(b" more<") == b" more"
    assert gate.feed(b"img src=") == b""
    assert gate.feed(b"/a> text") == b"<img src=/a> text"
    assert gate.feed(b"<script>run(); run();") == b"<script>r"
    assert gate.finish() == b"un(); run();"


@pytest.mark.parametrize(
    "opening",
    [b"<script>", b"<!--", b"<title>", b"<style>", b"<?", b"<svg>", b"<noscript>", b"<select><style>", b"x"],
)
def test_no_more_than_a_name_is_held_back_of_text(opening: bytes) -> None:
    gate = PageGate(GATING)
    fed = given_out = 0
    for chunk in [opening, *[b" abc-abc abc" * 400] * 50]:
        fed += len(chunk)
        given_out += len(gate.feed(chunk))
        assert fed - given_out <= 20


@pytest.mark.parametrize(
    ("tag", "comes"),
    [
        (b"<img src=//cdn.v.test/a srcset=//x.ads.test/b>", b"<img ~src=//cdn.v.test/a ~srcset=//x.ads.test/b>"),
        (b"<img data-consent=video data-src=/a><p>", b"<img data-consent=video src=/a><p>"),
    ],
    ids=["put in", "taken away"],
)
def test_a_tag_is_edited_to_its_end_where_anything_may_be_one(tag: bytes, comes: bytes) -> None:
    page = b"<select><style>" + tag
    for chunks in ([page], one_by_one(page), *([page[:cut], page[cut:]] for cut in range(1, len(page)))):
        assert gated(page, chunks) == b"<select><style>" + comes.replace(b"~", b"data-consent-")


STYLED = b"<style><img src=//cdn.v.test></style>"


@pytest.mark.parametrize(
    ("part", "unsure"),
    [
        (b"<div>" + STYLED, False),
        (b" text <!-- <path> --> <x-item>" + STYLED, False),
        (b"<tr><td>" + STYLED, False),
        (STYLED, False),
        (b"<path d=M0/>" + STYLED, True),
        (b"a <g>" + STYLED, True),
        (b"<OPTION>" + STYLED, True),
        (b"<mrow>" + STYLED, True),
        (b"<font-face>" + STYLED, True),
    ],
)
def test_a_part_of_a_page_is_read_in_every_way_where_its_first_tag_is_no_html(part: bytes, unsure: bool) -> None:
    gating = replace(GATING, part=True)
    comes = part.replace(b"src=", b"data-consent-src=") if unsure else part
    for chunks in ([part], one_by_one(part)):
        assert gated(part, chunks, gating) == comes
        assert gated(part, chunks) == part


HIDDEN = b"<style>a{}\x1b$B</style>\x1b(B<!-- */</style><img src=//cdn.v.test>"


@pytest.mark.parametrize("opening", [b"", b"<p lang=ja>"])
def test_from_an_escape_on_anything_may_be_a_tag_unless_it_is_settled_what_a_page_is(opening: bytes) -> None:
    page = opening + HIDDEN
    comes = page.replace(b"src", b"data-consent-src")
    for chunks in ([page], one_by_one(page)):
        assert gated(page, chunks) == comes
        assert gated(page, chunks, replace(GATING, settled=True)) == page
    assert gated(b"\xef\xbb\xbf" + page) == b"\xef\xbb\xbf" + page


def test_a_tag_in_another_alphabet_does_nothing_where_something_is_denied() -> None:
    page = b"<p>\x1b$B!'\x1b(B<img alt='\x1b$B!'\x1b(B' src=//cdn.v.test><b>"
    for chunks in ([page], one_by_one(page)):
        assert gated(page, chunks) == page.replace(b"<img", b"<consent-img")
        assert gated(page, chunks, NOTHING_DENIED) == page


def test_a_tag_that_does_not_end_becomes_one_that_does_nothing() -> None:
    filler = b"a" * 65_536
    chunks = [b"<img alt='", *[filler] * 17, b"' src=//cdn.v.test><img src=//x.ads.test>"]
    page = b"".join(chunks)
    comes = gated(page, chunks)
    assert comes == page.replace(b"<img", b"<consent-img", 1).replace(b"<img src", b"<img data-consent-src")


def test_a_picture_in_a_page_is_waited_for() -> None:
    page = b"<img src='data:image/png;base64," + b"A" * 300_000 + b"' alt=a><img src=//x.ads.test>"
    chunks = [page[at : at + 1000] for at in range(0, len(page), 1000)]
    assert gated(page, chunks) == page.replace(b"src=//", b"data-consent-src=//")


def test_what_was_put_in_is_known_so_that_it_is_compressed_apart() -> None:
    editor = PageEditor(GATING, lambda language: b"[banner in " + (language or b"?") + b"]")
    out = editor.feed(b"<html lang='pt-BR'><body><iframe src=//x.ads.test></iframe>")
    asked = b"<p class=&quot;ask&quot;>ads"
    assert editor.ours == [b"[banner in pt-BR]", asked]
    assert out == (
        b"<html lang='pt-BR'><body>[banner in pt-BR]<iframe data-consent=\"ads\" srcdoc=\"" + asked
        + b'" data-consent-src=//x.ads.test></iframe>'
    )  # fmt: skip
    assert (editor.feed(b"<p>") + editor.finish(), editor.ours) == (b"<p>", [])


@pytest.mark.parametrize(
    ("page", "language"),
    [
        (b"<!doctype html><html lang=de>", b"de"),
        (b"<HTML class=a LANG=' fr ' lang=en>", b"fr"),
        (b"<html>", None),
        (b"<html lang=''>", None),
        (b"<p>", None),
        (b"<html lang=" + b"x" * 99 + b">", None),
        (b"<html " + b"a=b " * 5000 + b"lang=de>", None),
    ],
    ids=["said", "twice", "not said", "empty", "no html tag", "too long", "too far"],
)
def test_the_language_of_a_page_is_known_when_the_banner_is_made(page: bytes, language: bytes | None) -> None:
    for chunks in ([page], one_by_one(page)):
        asked: list[Any] = []
        editor = PageEditor(None, lambda said, asked=asked: asked.append(said) or b"[]")
        comes = b"".join([*map(editor.feed, chunks), editor.finish()])
        assert (asked, comes.replace(b"[]", b"")) == ([language], page)


@pytest.mark.parametrize(
    ("page", "language"),
    [
        (b"<!doctype html><html lang=de><p>", b"de"),
        (b"<HTML class=a LANG=' fr ' lang=en>", b"fr"),
        (b"<html><html lang=it><html lang=en>", b"it"),
        (b"<html lang=''>", None),
        (b"<html lang=" + b"x" * 99 + b">", None),
        (b"<!-- <html lang=de> --><p lang=de>", None),
        (b"<html lang=sv><select><style>", b"sv"),
    ],
    ids=["said", "twice", "later", "empty", "too long", "not said", "where anything may be a tag"],
)
def test_a_frame_asks_in_the_language_of_its_page(page: bytes, language: bytes | None) -> None:
    for skip in (skipping.skip, skipping._skip):
        for chunks in ([page], one_by_one(page)):
            asked: list[Any] = []
            gating = replace(GATING, ask=lambda purposes, said, asked=asked: asked.append((purposes, said)) or b"")
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(scanner, "skip", skip)
                gated(b"", [*chunks, b"<iframe src=//x.ads.test></iframe>"], gating)
            assert asked == [(("ads",), language)]


@pytest.mark.parametrize(
    "page",
    [
        b"<img src='&#" + b"9" * 5000 + b";'>",
        b"<img src='//&#" + b"0" * 5000 + b"47;'>",
        b"<img src='//" + "ü".encode() * 300_000 + b"'>",
        b"<img src='//" + b"9" * 6000 + b"'>",
        b"<select><style>" + b"<a x='" * 20_000 + b">",
        b"<select><style>" + b"<a " * 40_000,
        b"<svg>" * 20_000,
        b"<iframe srcdoc='" * 2000,
        b"<style>" + b"url(" * 30_000,
        b"<!--" + b"-" * 100_000,
    ],
    ids=range(10),
)
def test_a_page_made_to_take_long_is_read_to_its_end(page: bytes) -> None:
    comes = gated(page, [page[at : at + 65_536] for at in range(0, len(page), 65_536)])
    for put in (b"data-consent-", b"consent-"):
        comes = comes.replace(put, b"")
    assert comes == page
