"""Nesting: the elements by which a browser's parser tells its tokenizer how to read on.

Rule: within a drawing or a formula (SVG, MathML) nothing is raw text, and `<![CDATA[` begins text.
Rule: what holds HTML within those (`foreignObject`, `desc`, …) is followed as long as it is well-formed; from then on
    it is unsure whether the drawing has ended.
Rule: a browser also looks ahead, with a reader that knows no drawings; where the two read differently, both count.
Rule: where it is unsure, or browsers differ (a list of choices, a set of frames, a `noscript`), and it matters, the
    answer is Reading.ANY: whatever looks like a tag may be one.
Source: WHATWG HTML 13.2.6.5 (foreign content), 13.2.6.2 (generic raw text), 13.2.4.2 (scopes).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from consent_mw.wire.html.tags import Tag


class Reading(Enum):
    """How a browser reads on after a start tag: for tags, for the end of a raw element only, or that is not known."""

    MARKUP = auto()
    RAW = auto()
    ANY = auto()


RAW: Final = frozenset(
    {
        b"title", b"textarea", b"style", b"script", b"xmp", b"iframe", b"noembed", b"noframes", b"noscript",
        b"plaintext",
    }
)  # fmt: skip

_LEAVES: Final = frozenset(
    {
        b"b", b"big", b"blockquote", b"body", b"br", b"center", b"code", b"dd", b"div", b"dl", b"dt", b"em", b"embed",
        b"h1", b"h2", b"h3", b"h4", b"h5", b"h6", b"head", b"hr", b"i", b"img", b"li", b"listing", b"menu", b"meta",
        b"nobr", b"ol", b"p", b"pre", b"ruby", b"s", b"small", b"span", b"strong", b"strike", b"sub", b"sup",
        b"table", b"tt", b"u", b"ul", b"var",
    }
)  # fmt: skip
"""Start tags that end a drawing or a formula."""

_FONT: Final = frozenset({b"color", b"face", b"size"})
_HOLDS_HTML: Final = {
    b"svg": frozenset({b"foreignobject", b"desc", b"title"}),
    b"math": frozenset({b"mi", b"mo", b"mn", b"ms", b"mtext"}),
}
_ANNOTATION: Final = frozenset({"text/html", "application/xhtml+xml"})
_VOID: Final = frozenset(
    {
        b"area", b"base", b"basefont", b"bgsound", b"br", b"col", b"embed", b"frame", b"hr", b"image", b"img",
        b"input", b"keygen", b"link", b"meta", b"param", b"source", b"track", b"wbr",
    }
)  # fmt: skip
_PLAIN: Final = frozenset(
    {
        b"abbr", b"article", b"aside", b"b", b"bdi", b"bdo", b"blockquote", b"cite", b"code", b"div", b"em",
        b"figcaption", b"figure", b"footer", b"header", b"i", b"kbd", b"main", b"mark", b"nav", b"ol", b"p", b"q",
        b"s", b"samp", b"section", b"small", b"span", b"strong", b"sub", b"sup", b"time", b"u", b"ul", b"var",
    }
)  # fmt: skip
"""Elements of HTML that stay open until their end tag, but that a paragraph ends before a block."""

_INLINE: Final = frozenset(
    {
        b"abbr", b"b", b"bdi", b"bdo", b"cite", b"code", b"em", b"i", b"kbd", b"mark", b"q", b"s", b"samp", b"small",
        b"span", b"strong", b"sub", b"sup", b"time", b"u", b"var",
    }
)  # fmt: skip
_OF_HTML: Final = (
    _LEAVES
    | _PLAIN
    | (_VOID - {b"image"})
    | RAW
    | frozenset(
        {
            b"a", b"acronym", b"address", b"applet", b"article", b"aside", b"audio", b"button", b"canvas", b"caption",
            b"colgroup", b"data", b"datalist", b"del", b"details", b"dfn", b"dialog", b"dir", b"fieldset", b"font",
            b"form", b"frameset", b"hgroup", b"html", b"ins", b"label", b"legend", b"main", b"map", b"marquee",
            b"math", b"meter", b"nav", b"object", b"output", b"picture", b"progress", b"rp", b"rt", b"search",
            b"section", b"select", b"slot", b"source", b"summary", b"svg", b"tbody", b"td", b"template", b"tfoot",
            b"th", b"thead", b"tr", b"video",
        }
    )
)  # fmt: skip
_HYPHENS_ELSEWHERE: Final = frozenset(
    {
        b"annotation-xml", b"color-profile", b"font-face", b"font-face-src", b"font-face-uri", b"font-face-format",
        b"font-face-name", b"missing-glyph",
    }
)  # fmt: skip
_HTML: Final = b""
DEEPEST: Final = 512
"""Open elements that are followed; what is deeper is unsure."""


class Nesting:
    """What is open. `unsure`: whether a drawing or a formula is may be answered either way; `in_text`: what is read
    here as markup is text to another reader, until an end tag."""

    __slots__ = ("_frames", "_open", "in_select", "in_text", "unsure")

    def __init__(self) -> None:
        self._open: list[tuple[bytes, bytes, bool]] = []
        self._frames = False
        self.in_select = False
        self.in_text = b""
        self.unsure = False

    @property
    def foreign(self) -> bool:
        """Whether a drawing or a formula is open."""
        return bool(self._open)

    @property
    def styling(self) -> bool:
        """Whether text here is a drawing's style sheet."""
        return bool(self._open) and self._open[-1][1] == b"style"

    @property
    def watched(self) -> bool:
        """Whether every tag counts for how to read on."""
        return not self.unsure and (bool(self._open) or self.in_select or bool(self.in_text))

    @property
    def cdata(self) -> Reading:
        """How `<![CDATA[` is read: as the beginning of text (RAW), as that of a comment (MARKUP), or who knows."""
        if self.unsure or (self._open and (self.in_select or self.in_text == b"noscript")):
            return Reading.ANY
        return Reading.RAW if self._open and self._open[-1][0] != _HTML else Reading.MARKUP

    def start(self, tag: Tag) -> Reading:
        """How to read on after this start tag."""
        name = tag.name
        if self.unsure:
            return Reading.ANY if name in RAW else Reading.MARKUP
        if self._open and not self._takes_html(name):
            if not _leaves(tag):
                if name in RAW and (self.in_select or self._frames or self.in_text):
                    return Reading.ANY
                if name in RAW and not tag.closed:
                    self.in_text = name
                self._push(self._open[-1][0], tag)
                return Reading.MARKUP
            self._leave()
        return self._html(tag)

    def end(self, tag: Tag) -> None:
        """This end tag was read."""
        name = tag.name
        if name == b"select":
            self.in_select = False
        if name == self.in_text:
            self.in_text = b""
            # With scripting a drawing in a `noscript` was text; without, it is open still.
            self.unsure = self.unsure or (name == b"noscript" and bool(self._open))
        if not self._open or self.unsure:
            return
        if self._open[-1][0] == _HTML:
            self.unsure = self._open.pop()[1] != name
            return
        for index in range(len(self._open) - 1, -1, -1):
            space, opened, _ = self._open[index]
            if space == _HTML:
                break
            if opened == name:
                del self._open[index:]
                return
        # It ends an element around the drawing, or none.
        self.unsure = True

    def _takes_html(self, name: bytes) -> bool:
        space, opened, holds = self._open[-1]
        if space == b"math" and opened in _HOLDS_HTML[b"math"]:
            return name not in (b"mglyph", b"malignmark")
        return space == _HTML or holds or (space == b"math" and opened == b"annotation-xml" and name == b"svg")

    def _leave(self) -> None:
        while self._open and not (self._open[-1][0] == _HTML or self._open[-1][2]):
            self._open.pop()

    def _push(self, space: bytes, tag: Tag) -> None:
        if tag.closed:
            return
        holds = tag.name in _HOLDS_HTML.get(space, ())
        if space == b"math" and tag.name == b"annotation-xml":
            coding = tag.first(b"encoding")
            holds = coding is not None and coding.value.lower() in _ANNOTATION
        self._open.append((space, tag.name, holds))
        self.unsure = len(self._open) > DEEPEST

    def _html(self, tag: Tag) -> Reading:
        name = tag.name
        if name in (b"svg", b"math"):
            self._push(name, tag)
            return Reading.MARKUP
        if name in RAW:
            return self._raw(name)
        if name == b"select":
            self.in_select = True
        elif name == b"frameset":
            self._frames = True
        if self._open and name not in _VOID:
            self._nest(tag)
        return Reading.MARKUP

    def _raw(self, name: bytes) -> Reading:
        if self._frames and name != b"noframes":
            return Reading.ANY
        if self.in_select and name not in (b"script", b"textarea"):
            return Reading.ANY
        if name == b"noscript":
            self.in_text = name
            return Reading.MARKUP
        return Reading.RAW

    def _nest(self, tag: Tag) -> None:
        """An element of HTML within a drawing."""
        name = tag.name
        in_paragraph = any(space == _HTML and opened == b"p" for space, opened, _ in self._open)
        if name not in _PLAIN or (in_paragraph and name not in _INLINE):
            self.unsure = True
            return
        self._open.append((_HTML, name, False))
        self.unsure = len(self._open) > DEEPEST


def of_html(name: bytes) -> bool:
    """Whether an element of this name stands in HTML, custom ones included: not within a drawing, nor among the
    choices of a list."""
    return name in _OF_HTML or (b"-" in name and name not in _HYPHENS_ELSEWHERE)


def _leaves(tag: Tag) -> bool:
    return tag.name in _LEAVES or (tag.name == b"font" and any(one.name in _FONT for one in tag.attributes))
