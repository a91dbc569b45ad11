"""Putting markup into a page as it streams: once, right where its body begins.

Rule: every byte of the page goes out unchanged and in order; the markup is added, nothing else.
Rule: what is held back is bounded by the longest name that decides something, never by the page.
Rule: once the markup is in, nothing is scanned any more.
Rule: where the markup could not be seen (a frameset, UTF-16, inside an unfinished comment), it is left out.
Rule: the language that the page says it is in (`<html lang>`) is known before the markup is asked for.

The scanner follows the tokenizer and the insertion modes up to "in body" of the HTML standard (WHATWG 13.2), as a
browser with scripting does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from consent_mw.wire.html.tags import TAG, language_of, tag_at

Markup = bytes | Callable[[bytes | None], bytes]
"""What is put in: bytes, or what makes them of the page's language (None where it says none)."""

LONGEST_HTML_TAG: Final = 4096
"""Bytes of the `<html>` start tag that are waited for."""


class _State(Enum):
    START = auto()
    DATA = auto()
    COMMENT_START = auto()
    COMMENT = auto()
    BOGUS_COMMENT = auto()
    LONG_NAME = auto()
    BEFORE_ATTRIBUTE = auto()
    ATTRIBUTE = auto()
    AFTER_ATTRIBUTE = auto()
    BEFORE_VALUE = auto()
    DOUBLE_QUOTED = auto()
    SINGLE_QUOTED = auto()
    UNQUOTED = auto()
    RAW_TEXT = auto()
    SCRIPT = auto()
    SCRIPT_ESCAPED = auto()
    SCRIPT_DOUBLE_ESCAPED = auto()
    DONE = auto()


_SPACE = b"\t\n\f\r "
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BLANK = re.compile(rb"[\t\n\f\r ]*")
_NAME = re.compile(rb"[^\t\n\f\r />]*")
_ATTRIBUTE = re.compile(rb"[^\t\n\f\r />=]*")
_UNQUOTED = re.compile(rb"[^\t\n\f\r >]*")
_COMMENT_END = re.compile(rb"--!?>")
_ENDS_NAME = rb"(?=[\t\n\f\r />])"
_SCRIPT = re.compile(rb"<!--|</script" + _ENDS_NAME, re.IGNORECASE)
_SCRIPT_ESCAPED = re.compile(rb"-->|</?script" + _ENDS_NAME, re.IGNORECASE)
_SCRIPT_DOUBLE_ESCAPED = re.compile(rb"-->|</script" + _ENDS_NAME, re.IGNORECASE)

_WIDE = (b"\xfe\xff", b"\xff\xfe", b"\0", b"<\0")
_UTF8_MARK = b"\xef\xbb\xbf"
_LONGEST_NAME = 16
_LONGEST_END = len(b"</noframes") + 1

_IN_HEAD = frozenset({
    b"html", b"head", b"base", b"basefont", b"bgsound", b"link", b"meta", b"title", b"noscript", b"noframes",
    b"style", b"script", b"template",
})  # fmt: skip
_BODY_ENDS = frozenset({b"body", b"html", b"br"})
_RAW = frozenset({b"title", b"textarea", b"style", b"xmp", b"iframe", b"noembed", b"noframes", b"noscript"})
_RAW_ENDS = {name: re.compile(b"</" + name + _ENDS_NAME, re.IGNORECASE) for name in _RAW}


class BannerInserter:
    """Inserts the markup right after the `<body ...>` start tag, or where a page without one begins its body.

    `inserted` is what was put in, once it is."""

    inserted: bytes | None = None

    def __init__(self, markup: Markup) -> None:
        self._markup = markup
        self._language: bytes | None = None
        self._state = _State.START
        self._held = b""
        self._name = b""
        self._closing = False
        self._after_head = False
        self._templates = 0
        self._place = -1

    def feed(self, chunk: bytes) -> bytes:
        """What goes out for this chunk; a few of its last bytes may wait for the next one."""
        if self._state is _State.DONE:
            return chunk
        data = self._held + chunk
        read = self._scan(data)
        if not self._done():
            self._held = data[read:]
            return data[:read]
        self._held = b""
        if self._place < 0:
            return data
        return data[: self._place] + self._made() + data[self._place :]

    def finish(self) -> bytes:
        """What goes out at the end: what was held back, and the markup where the page never began its body."""
        held, self._held = self._held, b""
        state, self._state = self._state, _State.DONE
        if state is _State.START:
            return self._short_page(held)
        if state is _State.DATA and not self._templates:
            return self._made() + held
        return held

    def _made(self) -> bytes:
        self.inserted = self._markup if isinstance(self._markup, bytes) else self._markup(self._language)
        return self.inserted

    def _short_page(self, held: bytes) -> bytes:
        """A page too short to tell its coding by: told by what there is."""
        if held.startswith(_WIDE):
            return held
        mark = len(_UTF8_MARK) if held.startswith(_UTF8_MARK) else 0
        return held[:mark] + self._made() + held[mark:]

    def _scan(self, data: bytes) -> int:
        """Read as far as can be decided; returns how far that is."""
        position = 0
        while not self._done():
            state = self._state
            after = self._step(data, position)
            if after == position and state is self._state:
                break
            position = after
        return position

    def _done(self) -> bool:
        return self._state is _State.DONE

    def _step(self, data: bytes, at: int) -> int:
        match self._state:
            case _State.START:
                return self._start(data, at)
            case _State.DATA:
                return self._data(data, at)
            case _State.COMMENT_START | _State.COMMENT | _State.BOGUS_COMMENT:
                return self._comment(data, at)
            case _State.RAW_TEXT:
                return self._raw_text(data, at)
            case _State.SCRIPT | _State.SCRIPT_ESCAPED | _State.SCRIPT_DOUBLE_ESCAPED:
                return self._script(data, at)
            case _:
                return self._in_tag(data, at)

    def _start(self, data: bytes, at: int) -> int:
        if len(data) < len(_UTF8_MARK) + 1:
            return at
        if data.startswith(_WIDE):
            self._state = _State.DONE
            return at
        self._state = _State.DATA
        return len(_UTF8_MARK) if data.startswith(_UTF8_MARK) else at

    def _insert(self, place: int) -> int:
        self._state = _State.DONE
        self._place = place
        return place

    def _data(self, data: bytes, at: int) -> int:
        at = _skip(_BLANK, data, at)
        if at == len(data):
            return at
        if data[at : at + 1] != b"<":
            return self._text(data, at)
        following = data[at + 1 : at + 2]
        if not following:
            return at
        if following == b"!":
            return self._declaration(data, at)
        if following == b"?":
            self._state = _State.BOGUS_COMMENT
            return at + 1
        if following == b"/":
            return self._end_tag(data, at)
        if following[0] in _LETTERS:
            return self._tag(data, at, at + 1, closing=False)
        return self._text(data, at)

    def _text(self, data: bytes, at: int) -> int:
        if not self._templates:
            return self._insert(at)
        following = data.find(b"<", at + 1)
        return len(data) if following < 0 else following

    def _declaration(self, data: bytes, at: int) -> int:
        opening = data[at : at + 4]
        if opening == b"<!--":
            self._state = _State.COMMENT_START
            return at + 4
        if b"<!--".startswith(opening):
            return at
        self._state = _State.BOGUS_COMMENT  # a doctype ends as one does, at the first `>`
        return at + 2

    def _end_tag(self, data: bytes, at: int) -> int:
        following = data[at + 2 : at + 3]
        if not following:
            return at
        if following[0] in _LETTERS:
            return self._tag(data, at, at + 2, closing=True)
        self._state = _State.BOGUS_COMMENT
        return at + 2

    def _tag(self, data: bytes, at: int, start: int, *, closing: bool) -> int:
        end = _skip(_NAME, data, start)
        if end == len(data) and end - start <= _LONGEST_NAME:
            return at
        name = data[start:end].lower() if end - start <= _LONGEST_NAME else b""
        if not self._templates and self._begins_body(name, closing=closing):
            return self._insert(at)
        if name == b"frameset" and not closing and not self._templates:
            self._state = _State.DONE
            return at
        if name == b"html" and not closing and self._language is None and not self._learn_language(data, at):
            return at
        self._name = name
        self._closing = closing
        whole = TAG.match(data, at) if name else None
        if whole is not None:
            return self._tag_ended(whole.end())
        self._state = _State.BEFORE_ATTRIBUTE if name else _State.LONG_NAME
        return end

    def _learn_language(self, data: bytes, at: int) -> bool:
        """Look for the page's language in this start tag; False where the rest of it is to be waited for."""
        tag = tag_at(data, at)
        if tag is None or tag.end - at > LONGEST_HTML_TAG:
            return len(data) - at >= LONGEST_HTML_TAG
        self._language = language_of(tag)
        return True

    def _begins_body(self, name: bytes, *, closing: bool) -> bool:
        if closing:
            return name in _BODY_ENDS
        if name == b"noscript":
            return self._after_head
        return name not in _IN_HEAD and name not in (b"body", b"frameset")

    def _comment(self, data: bytes, at: int) -> int:
        if self._state is _State.COMMENT_START:
            opening = data[at : at + 2]
            if opening in (b"", b"-"):
                return at
            ended = opening[:1] == b">" or opening == b"->"  # `<!-->` and `<!--->` are whole comments
            self._state = _State.DATA if ended else _State.COMMENT
            return at + opening.index(b">") + 1 if ended else at
        if self._state is _State.BOGUS_COMMENT:
            end = data.find(b">", at)
            if end < 0:
                return len(data)
            self._state = _State.DATA
            return end + 1
        found = _COMMENT_END.search(data, at)
        if found is None:
            return max(at, len(data) - 3)
        self._state = _State.DATA
        return found.end()

    def _raw_text(self, data: bytes, at: int) -> int:
        ending = _RAW_ENDS.get(self._name)
        if ending is None:
            return len(data)
        found = ending.search(data, at)
        if found is None:
            return max(at, len(data) - _LONGEST_END)
        self._closing = True
        self._state = _State.BEFORE_ATTRIBUTE
        return found.end()

    def _script(self, data: bytes, at: int) -> int:
        """Script data with its two escaped states (WHATWG 13.2.5.15 to 13.2.5.31)."""
        pattern = {
            _State.SCRIPT: _SCRIPT,
            _State.SCRIPT_ESCAPED: _SCRIPT_ESCAPED,
            _State.SCRIPT_DOUBLE_ESCAPED: _SCRIPT_DOUBLE_ESCAPED,
        }[self._state]
        found = pattern.search(data, at)
        if found is None:
            return max(at, len(data) - _LONGEST_END)
        mark = found.group().lower()
        if mark == b"<!--":
            self._state = _State.SCRIPT_ESCAPED
            return found.end() - 2  # its dashes may be those of `-->`
        if mark == b"-->":
            self._state = _State.SCRIPT
        elif mark == b"<script":
            self._state = _State.SCRIPT_DOUBLE_ESCAPED
        elif self._state is _State.SCRIPT_DOUBLE_ESCAPED:
            self._state = _State.SCRIPT_ESCAPED
        else:
            self._closing = True
            self._state = _State.BEFORE_ATTRIBUTE
        return found.end()

    def _in_tag(self, data: bytes, at: int) -> int:
        """The rest of a tag (WHATWG 13.2.5.32 to 13.2.5.40): a `>` in a quoted value does not end it."""
        state = self._state
        if state in (_State.DOUBLE_QUOTED, _State.SINGLE_QUOTED):
            return self._quoted(data, at)
        if state is _State.LONG_NAME:
            at = _skip(_NAME, data, at)
        elif state is _State.ATTRIBUTE:
            at = _skip(_ATTRIBUTE, data, at)
        elif state is _State.UNQUOTED:
            at = _skip(_UNQUOTED, data, at)
        else:
            at = _skip(_BLANK, data, at)
        if at == len(data):
            return at
        char = data[at : at + 1]
        if char == b">":
            return self._tag_ended(at + 1)
        return self._next_in_tag(char, at)

    def _next_in_tag(self, char: bytes, at: int) -> int:
        state = self._state
        if state is _State.BEFORE_VALUE:
            quotes = {b'"': _State.DOUBLE_QUOTED, b"'": _State.SINGLE_QUOTED}
            self._state = quotes.get(char, _State.UNQUOTED)
            return at + 1 if char in quotes else at
        if state in (_State.ATTRIBUTE, _State.AFTER_ATTRIBUTE) and char == b"=":
            self._state = _State.BEFORE_VALUE
            return at + 1
        if char == b"/":
            self._state = _State.BEFORE_ATTRIBUTE
            return at + 1
        if state is _State.ATTRIBUTE:
            self._state = _State.AFTER_ATTRIBUTE
            return at
        if state in (_State.UNQUOTED, _State.LONG_NAME):
            self._state = _State.BEFORE_ATTRIBUTE
            return at
        self._state = _State.ATTRIBUTE
        return at + 1  # a `=` here begins a name

    def _quoted(self, data: bytes, at: int) -> int:
        quote = b'"' if self._state is _State.DOUBLE_QUOTED else b"'"
        end = data.find(quote, at)
        if end < 0:
            return len(data)
        self._state = _State.BEFORE_ATTRIBUTE
        return end + 1

    def _tag_ended(self, at: int) -> int:
        name = self._name
        self._state = _State.DATA
        if self._closing:
            if name == b"template":
                self._templates = max(0, self._templates - 1)
            elif name == b"head" and not self._templates:
                self._after_head = True
            return at
        if name == b"body" and not self._templates:
            return self._insert(at)
        if name == b"template":
            self._templates += 1
        elif name == b"script":
            self._state = _State.SCRIPT
        elif name in _RAW or name == b"plaintext":  # nothing ends a plaintext
            self._state = _State.RAW_TEXT
        return at


def _skip(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    found = pattern.match(data, at)
    return at if found is None else found.end()
