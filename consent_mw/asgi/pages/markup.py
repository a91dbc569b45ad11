"""Elements of HTML, built so that nothing unescaped can get in.

Rule: a plain str is text and is escaped; only what `el` made is markup.
Rule: a link leads to http, https, mailto or a path, or it is no link.
"""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
_CODES = frozenset({"ca", "ccpa", "ch", "eea", "eu", "gb", "gdpr", "uk", "us", "usa"})
_SCHEMES = frozenset({"http", "https", "mailto"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def el(name: str, /, *children: str, **attributes: str | bool) -> Markup:
    """One element. In attribute names a last `_` goes, others become `-`; True is a bare attribute, False none."""
    shown = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{join(*children)}</{name}>")


def _attribute(name: str, value: str | bool) -> str:
    if value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(value)}"'


def join(*parts: str) -> Markup:
    """The parts one after the other, text among them escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def link(url: str, /, *children: str, **attributes: str | bool) -> Markup:
    """A link where the address is one that a page should link to; else its text alone."""
    if not sound_address(url):
        return join(*children)
    return el("a", *children, href=url, **attributes)


def sound_address(url: str) -> bool:
    """Whether the address is http, https, mailto or a path, and nothing else (no `javascript:`)."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        return False
    return scheme in _SCHEMES or (not scheme and url.startswith("/"))


def facts(*pairs: tuple[str, str]) -> Markup:
    """A list of names and values; pairs without a value are left out."""
    return el("dl", *(join(el("dt", name), el("dd", value)) for name, value in pairs if value))


def bullets(*items: str) -> Markup:
    """A bulleted list, or nothing where there are no items."""
    return el("ul", *(el("li", item) for item in items)) if items else Markup()


def table(caption: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Markup:
    """A table that scrolls within itself on a narrow screen; the first cell of each row heads it."""
    head = el("thead", el("tr", *(el("th", column, scope="col") for column in columns)))
    body = el(
        "tbody", *(el("tr", el("th", row[0], scope="row"), *(el("td", cell) for cell in row[1:])) for row in rows)
    )
    inner = el("table", el("caption", caption, class_="cmw-unseen"), head, body)
    return el("div", inner, class_="cmw-wide", tabindex="0", role="region", aria_label=caption)


def name_in_words(name: str) -> str:
    """A policy's name (`cross_site`) as words to read (`Cross site`); codes of regions (`eea_uk`) are capitals."""
    words = name.replace("_", " ").strip()
    first, *rest = words.split() or [""]
    capital = (first[:1].upper() + first[1:], *rest)
    return " ".join(word.upper() if word.lower() in _CODES else word for word in capital)
