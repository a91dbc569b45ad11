"""The banner goes in once, where the body begins, whatever the page is like and however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.wire.html import BannerInserter, insertable

MARK = b"[BANNER]"
HEAD = b"<!doctype html><html><head><title>T</title></head>"


def inserted(*chunks: bytes) -> bytes:
    inserter = BannerInserter(lambda _: MARK)
    return b"".join([inserter.feed(chunk) for chunk in chunks]) + inserter.finish()


def one_by_one(page: bytes) -> list[bytes]:
    return [page[index : index + 1] for index in range(len(page))]


# In each page `^` stands where the banner belongs; a page without one is left alone.
PAGES = {
    "a usual page": HEAD + b"<body>^<p>x</p></body></html>",
    "a body with attributes": HEAD + b'<body class="a" id=b\n hidden>^x',
    "an upper-case page": b"<!DOCTYPE HTML><HTML><HEAD><TITLE>T</TITLE></HEAD><BODY CLASS=A>^X",
    "a second body tag": HEAD + b"<body>^x<body><body>",
    "spaces before the body": HEAD + b"\n\t \r\n\f<body>^ x",
    "a comment naming the body": HEAD + b"<!-- <body> --><body>^x",
    "a script naming the body": b"<head><script>document.write('<body>')</script></head><body>^x",
    "a style naming the body": b"<head><style>/* <body> */</style><body>^",
    "a title naming the body": b"<title>How to use <body> & </titles></title><body>^",
    "a template with a page in it": b"<template><div>a</div>text<body><p></template><body>^x",
    "a template in a template": b"<template><template><body></template><body>x</template><body>^",
    "a noscript in the head": b"<head><noscript><link><body></noscript></head><body>^",
    "a byte order mark": b"\xef\xbb\xbf<!doctype html><body>^x",
    "no body tag, then an element": HEAD + b"^<div>x</div>",
    "no body tag, then text": b"<title>T</title> \n^Hello",
    "no tags at all": b"^Hello",
    "no body at all": b"<html><head><title>T</title></head>^</html>",
    "a head and nothing more": b"<html><head><meta charset=utf-8></head>\n^",
    "an empty page": b"^",
    "one letter": b"^x",
    "a mark and nothing more": b"\xef\xbb\xbf^",
    "a lone less-than": b"<head></head>^< 5",
    "a body value with a greater-than": HEAD + b'<body data-x="a>b" title=\'c>d\' e=f"g>^x',
    "a value left open by a quote in a name": HEAD + b'<body a"b>^">',
    "an equals sign before a name": HEAD + b'<body ="x>^">',
    "an unquoted value with a slash": HEAD + b"<body a=b/>^x",
    "spaces around the equals sign": HEAD + b'<body a = ">" / b>^x',
    "a slash between attributes": HEAD + b"<body/a='>'/b>^x",
    "a value that is missing": HEAD + b"<body a=>^'>",
    "the shortest comment": b"<!--><body>^-->",
    "the second shortest comment": b"<!---><body>^-->",
    "a comment ended by a bang": b"<!-- --!><body>^-->",
    "a comment in a comment": b"<!-- <!-- --><body>^-->",
    "a comment with dashes only": b"<!------><body>^",
    "a comment that almost ends": b"<!-- -- > -> --!-> <body> --><body>^",
    "a CDATA section outside of XML": b"<![CDATA[<body>^]]>",
    "a processing instruction": b"<?xml version='1.0'?><body>^",
    "an end tag without a name": b"</><body>^",
    "an end tag that is a comment": b"</ <body>^x",
    "a doctype with a greater-than in quotes": b"<!doctype html public '>^'><body>",
    "stray end tags in the head": b"<head></p></div></title></head></section><body>^",
    "an end tag with attributes": b"<title>x</title a='>'><body>^",
    "a script that hides its end": b"<script><!-- <script> </script> <body> --></script><body>^",
    "a script that only opens a comment": b"<script><!-- <body> </script><body>^",
    "a script with an empty comment": b"<script><!--><script></script><body>^",
    "a script named otherwise": b"<script><!-- <scripted> </script><body>^",
    "a self-closed script": b"<script/><body></script><body>^",
    "an end tag that is another's": b"<style></styles></style/><body>^",
    "an element with a very long name": b"^<" + b"x" * 99 + b"><body>",
    "a long name in a template": b"<template><" + b"x" * 99 + b' a=">"></template><body>^',
    "a textarea before the body": b"^<textarea><body></textarea>",
    "a noscript after the head": HEAD + b"^<noscript>x</noscript><body>",
    "an html tag with attributes": b"<html lang='>' class=x><body>^",
    "a body ended before it began": HEAD + b"^</body>",
    "a line break by its end tag": HEAD + b"^</br>",
    "half a tag at the end": b"<head></head>^<bod",
    "a frameset": b"<html><head></head><frameset cols='*'><frame></frameset></html>",
    "a comment without an end": b"<head></head><!-- <body>",
    "a script without an end": b"<head><script><body>",
    "a title without an end": b"<title>T<body>",
    "a template without an end": b"<template><body><p>",
    "a plaintext in a template": b"<template><plaintext></template><body>",
    "a body tag without an end": b"<head></head><body class='",
    "UTF-16 by its mark": "\ufeff<html><body>".encode("utf-16-le"),
    "UTF-16 the other way": "\ufeff<html><body>".encode("utf-16-be"),
    "UTF-16 without a mark": "<html><body>".encode("utf-16-le"),
    "UTF-32": "\ufeff<html><body>".encode("utf-32-be"),
    "UTF-16 of one letter": b"\xff\xfe",
}


@pytest.mark.parametrize("name", PAGES)
def test_the_banner_stands_where_the_body_begins(name: str) -> None:
    page = PAGES[name].replace(b"^", b"")
    expected = PAGES[name].replace(b"^", MARK)
    assert inserted(page) == expected
    assert inserted(*one_by_one(page)) == expected
    for cut in range(len(page)):
        assert inserted(page[:cut], page[cut:]) == expected


def test_what_follows_the_banner_passes_at_once() -> None:
    inserter = BannerInserter(lambda _: MARK)
    assert inserter.feed(HEAD + b"<body>") == HEAD + b"<body>" + MARK
    for chunk in (b"<", b"<!-", b"</scrip", b"\0"):
        assert inserter.feed(chunk) == chunk
    assert inserter.finish() == b""


PIECES = st.sampled_from(
    [
        b"<", b">", b"!", b"-", b"--", b"<!--", b"-->", b"<script>", b"</script>", b"<!doctype html>", b"<template>",
        b"</template>", b"<body", b"<body>", b"<title>", b"</title>", b"'", b'"', b"=", b"/", b" ", b"a", b"</",
        b"\0", b"<frameset>", b"\xef\xbb\xbf", b"\xff\xfe", b"<head>", b"</head>", b"<style ", b"</style",
        b"<x", b"?",
    ]
)  # fmt: skip


@given(st.lists(st.one_of(PIECES, st.binary(max_size=4)), max_size=40))
def test_without_the_banner_every_page_is_what_it_was(pieces: list[bytes]) -> None:
    page = b"".join(pieces)
    mark = b"\x01\x02banner\x02\x01"
    inserter = BannerInserter(lambda _: mark)
    edited = b"".join([inserter.feed(piece) for piece in pieces]) + inserter.finish()
    assert edited.replace(mark, b"", 1) == page
    whole = BannerInserter(lambda _: mark)
    assert whole.feed(page) + whole.finish() == edited


@pytest.mark.parametrize(
    "opening", [b"<head><script>", b"<!--", b"<title>", b"<meta content='", b"<style>", b"<?", b"<template>x", b" "]
)
def test_no_more_than_a_name_is_held_back(opening: bytes) -> None:
    inserter = BannerInserter(lambda _: MARK)
    fed = given_out = 0
    for chunk in [opening, *[b" abc-abc abc" * 400] * 50]:
        fed += len(chunk)
        given_out += len(inserter.feed(chunk))
        assert fed - given_out <= 20 or opening == b" "


CONTENT_TYPES = {
    b"text/html": True,
    b"text/html; charset=utf-8": True,
    b'Text/HTML;Charset="UTF-8"': True,
    b"text/html; charset=windows-1252": True,
    b"text/html; charset=shift_jis": True,
    b"text/html;charset=unicode-1-1-utf-8": True,
    b"text/html; charset=": True,
    b"text/html; charset=\xff\xfe": True,
    b"text/html; charset=utf-16": False,
    b'text/html; charset="UTF-16LE"': False,
    b"text/html; charset=utf-32": True,
    b"text/html; charset=utf-7": True,
    b"text/html; charset=cp037": True,
    b"text/html; charset=unicode": False,
    b"text/html; charset=csISO2022JP": False,
    b"text/html; charset=replacement": False,
    b'text/html; x="a, b"; charset=utf-8': True,
    b'text/html; charset="\\utf-16le"': False,
    b"text/html; charset=utf-8, text/html; charset=utf-16be": False,
    b"text/html, image/svg+xml": False,
    b"text/html; charset=iso-2022-jp": False,
    b"text/html; charset=hz-gb-2312": False,
    b"text/html; charset=utf-8; charset=utf-16": False,
    b"application/xhtml+xml": False,
    b"text/htmlx": False,
    b"application/json": False,
    b"": False,
}


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_only_html_in_a_coding_that_keeps_ascii_is_edited(content_type: bytes) -> None:
    assert insertable(content_type) is CONTENT_TYPES[content_type]
