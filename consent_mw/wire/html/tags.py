"""Tags as a browser tokenizes them: where one ends, which attributes it has, what their values stand for.

Rule: a `>` in a quoted value does not end a tag; a quote quotes only right after an equals sign.
Rule: attributes are tokenized alike in every state that a tag can begin in.
Source: WHATWG HTML 13.2.5.6 to 13.2.5.40 and 13.2.5.72 to 13.2.5.80 (character references).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Final

LONGEST_LANGUAGE: Final = 64
"""Bytes of a language tag; what is longer is none."""

ENDS_NAME: Final = rb"(?=[\t\n\f\r />])"

_NAME = rb"[^\t\n\f\r />][^\t\n\f\r />=]*+"
_EQUALS = rb"[\t\n\f\r ]*+=[\t\n\f\r ]*+"
_VALUE = rb"(?:\"[^\"]*+\"|'[^']*+'|[^\t\n\f\r >\"'][^\t\n\f\r >]*+|(?=>))"
_ATTRIBUTE = rb"(?:" + _NAME + rb"(?:" + _EQUALS + _VALUE + rb"|(?![\t\n\f\r ]*+=)))"
TAG: Final = re.compile(rb"<(/?)([A-Za-z][^\t\n\f\r />]*+)((?:[\t\n\f\r /]++|" + _ATTRIBUTE + rb")*+)>")
"""One whole tag: its slash, its name, its attributes as they are written."""

_EACH = re.compile(rb"(" + _NAME + rb")(?:" + _EQUALS + rb"(" + _VALUE + rb"))?+")


_ZEROS = re.compile(r"&#0+(?=[0-9])")
_TOO_LARGE = re.compile(r"&#[0-9]{8,};?")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its name in lower case, where that begins, and its raw value without quotes, from `start` to
    `end` in the page."""

    name: bytes
    at: int
    raw: bytes
    start: int
    end: int
    quoted: bool

    @property
    def value(self) -> str:
        """What the value stands for."""
        return meaning(self.raw)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag of a page. `after_name` is where its name ends, `closed` whether it closes itself."""

    name: bytes
    closing: bool
    closed: bool
    at: int
    after_name: int
    end: int
    attributes: tuple[Attribute, ...]

    def all(self, name: bytes) -> list[Attribute]:
        """The attributes of this name; a browser heeds the first."""
        return [one for one in self.attributes if one.name == name]

    def first(self, name: bytes) -> Attribute | None:
        """The attribute of this name that a browser heeds."""
        return next((one for one in self.attributes if one.name == name), None)


def tag_at(data: bytes, at: int, until: int | None = None) -> Tag | None:
    """The tag that begins here; None where it has no end yet, or none before `until`."""
    found = TAG.match(data, at) if until is None else TAG.match(data, at, until)
    return None if found is None else read_tag(found)


def read_tag(found: re.Match[bytes]) -> Tag:
    """The tag that was matched."""
    attributes: list[Attribute] = []
    at, until = found.span(3)
    rest = at
    for one in _EACH.finditer(found.string, at, until) if until > at else ():
        attributes.append(_attribute(one))
        rest = one.end()
    # A slash that ends an unquoted value closes nothing.
    closed = rest < until and found.string[until - 1 : until] == b"/"
    return Tag(found[2].lower(), bool(found[1]), closed, found.start(), found.end(2), found.end(), tuple(attributes))


def language_of(tag: Tag) -> bytes | None:
    """The language that the `<html>` start tag of a page says; None where it says none."""
    said = tag.first(b"lang")
    language = said.value.strip().encode("ascii", "replace") if said is not None else b""
    return language if 0 < len(language) <= LONGEST_LANGUAGE else None


def meaning(raw: bytes) -> str:
    """What this raw value of an attribute stands for: its character references undone."""
    text = raw.decode("utf-8", "surrogateescape")
    if "&" not in text:
        return text
    # Python reads no number of thousands of digits, whatever it is.
    return unescape(_TOO_LARGE.sub("\ufffd", _ZEROS.sub("&#", text)) if "&#" in text else text)


def _attribute(found: re.Match[bytes]) -> Attribute:
    raw, start = found[2] or b"", found.start(2)
    if raw[:1] in (b'"', b"'") and raw:
        return Attribute(found[1].lower(), found.start(), raw[1:-1], start + 1, found.end() - 1, True)
    return Attribute(found[1].lower(), found.start(), raw, start, found.end(), False)
