"""Charsets: whether a page's bytes can be read as ASCII where they say something, by what its head says.

Rule: a label counts as browsers know it; one that they do not know is none, and the page itself may say another.
Rule: where a head can be read in two ways, both count.
Rule: without a label that browsers know, an escape byte may begin another alphabet (ISO-2022-JP, which a `<meta>`
    names or a browser detects); a page that says UTF-16 in a `<meta>` is read as UTF-8.
Source: WHATWG Encoding 4.2, WHATWG HTML 13.2.3, RFC 9110 8.3.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

OTHER_ALPHABETS: Final = frozenset(
    {
        "unicodefffe", "utf-16be",
        "csunicode", "iso-10646-ucs-2", "ucs-2", "unicode", "unicodefeff", "utf-16", "utf-16le",
        "csiso2022jp", "iso-2022-jp",
        "csiso2022kr", "hz-gb-2312", "iso-2022-cn", "iso-2022-cn-ext", "iso-2022-kr", "replacement",
    }
)  # fmt: skip
"""Every label of an encoding in which the bytes of ASCII may mean something else, or in which nothing is read."""

KEEP_ASCII: Final = frozenset(
    {
        "unicode-1-1-utf-8", "utf-8", "utf8", "x-unicode20utf8",
        "ascii", "us-ascii", "latin1", "iso8859-1", "iso_8859-1", "cp1252", "x-cp1252",
        *(f"iso-8859-{number}" for number in range(1, 17) if number != 12),
        *(f"windows-{number}" for number in (874, *range(1250, 1259))),
        "ibm866", "koi8-r", "koi8-u", "macintosh", "x-mac-cyrillic", "x-user-defined",
        "gbk", "gb2312", "gb18030", "big5", "euc-jp", "shift_jis", "sjis", "x-sjis", "euc-kr", "ks_c_5601-1987",
    }
)  # fmt: skip
"""The usual labels of encodings that keep ASCII; one that is left out costs time alone."""

_HTML: Final = frozenset({b"text/html", b"text/vnd.turbo-stream.html"})
_CHARSET = re.compile(
    rb"charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"((?:[^\"\\]|\\[\s\S])*)|([^;]*))", re.IGNORECASE
)  # fmt: skip
_ESCAPED = re.compile(rb"\\([\s\S])")


def insertable(content_type: bytes) -> bool:
    """Whether a page of this Content-Type, or part of one, can be scanned as bytes: HTML (not XHTML) in a coding that
    keeps ASCII."""
    if any(one.partition(b";")[0].strip().lower() not in _HTML for one in _types(content_type)):
        return False
    return OTHER_ALPHABETS.isdisjoint(_labels(content_type))


def settled(content_type: bytes) -> bool:
    """Whether this Content-Type settles that a page is in a coding that keeps ASCII, whatever it says itself."""
    labels = set(_labels(content_type))
    return bool(labels) and labels <= KEEP_ASCII


def _types(content_type: bytes) -> list[bytes]:
    """The media types of a field, or of several: browsers take the last, others the first (Fetch 3.1)."""
    return re.sub(rb"\"(?:[^\"\\]|\\[\s\S])*\"?", b'"', content_type).split(b",")


def _labels(content_type: bytes) -> Iterator[str]:
    for quoted, bare in _CHARSET.findall(content_type):
        for value in (_ESCAPED.sub(rb"\1", quoted), quoted) if quoted else (bare, bare.partition(b",")[0]):
            yield value.decode("latin-1").strip("\t\n\f\r \"'").lower()
