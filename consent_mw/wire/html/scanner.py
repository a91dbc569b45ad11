"""The gate in a page's stream: each tag is found as a browser finds it, and edited as the decision says.

Rule: every byte goes out unchanged and in order, but for the edits of a tag or a style sheet.
Rule: what is held back is bounded: a tag that has not ended, the few bytes that tell how to read on.
Rule: where browsers could read on in different ways, whatever looks like a tag is edited as if it were one; only
    there can text be changed that is none.
Rule: where an escape may begin another alphabet, whatever looks like a tag from there on is edited as if it were one.
Rule: a part of a page is put where its first tag may stand; unless that is of HTML, it is unsure how to read it.
Rule: a tag that is too long to be held is made an element that does nothing.
Source: WHATWG HTML 13.2.5.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum, auto
from typing import Final

from consent_mw.wire.html import stylesheets
from consent_mw.wire.html.gating import DEEPEST, Edit, Gating
from consent_mw.wire.html.nesting import RAW, Nesting, Reading, of_html
from consent_mw.wire.html.skipping import SHAPES, skip
from consent_mw.wire.html.tags import ENDS_NAME, Tag, language_of, tag_at
from consent_mw.wire.html.wide import LONGEST_MARK, Wide, coding_of

LONGEST_TAG: Final = 1_048_576
"""Bytes of a tag that are waited for: pictures are written into pages."""

LONGEST_GUESS: Final = 65_536
"""Bytes that are waited for where it is not known what is a tag."""

LONGEST_LATER: Final = 512
MOST_GUESSED: Final = 4_194_304
"""Bytes that are waited for there once so many were looked at: what overlaps is looked at again and again."""

_DISARMED: Final = b"consent-"
_LETTERS: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LONGEST_END: Final = len(b"</plaintext ")
_ENDS: Final = {name: re.compile(b"</" + name + ENDS_NAME, re.IGNORECASE) for name in RAW}
_TEXT_ENDS: Final = re.compile(rb"</(?:" + b"|".join(sorted(RAW)) + rb")", re.IGNORECASE)
_COMMENT_ENDS: Final = re.compile(rb"--!?>")
_CDATA_ENDS: Final = re.compile(rb"\]\]>")
_BOGUS_ENDS: Final = re.compile(rb">")
_SCRIPT: Final = (
    re.compile(rb"<!--|</script" + ENDS_NAME, re.IGNORECASE),
    re.compile(rb"-->|</?script" + ENDS_NAME, re.IGNORECASE),
    re.compile(rb"-->|</script" + ENDS_NAME, re.IGNORECASE),
)
"""What ends script data, its escaped and its double escaped state."""

_LIKE_A_TAG: Final = re.compile(rb"<(?:[A-Za-z]|/style)", re.IGNORECASE)
_ESCAPE: Final = 0x1B
_SLASH: Final = 0x2F
_UTF8_MARK: Final = b"\xef\xbb\xbf"


class _State(Enum):
    MARKUP = auto()
    RAW = auto()
    SKIPPED = auto()
    ANY = auto()


class PageGate:
    """The gate of one page (or, at a `depth`, of one within it)."""

    def __init__(self, gating: Gating, depth: int = 0) -> None:
        self._gating = gating
        self._depth = depth
        self._plain = bool(gating.hosts)
        self._settled = gating.settled
        self._unplaced = gating.part
        self._state = _State.MARKUP
        self._nesting = Nesting()
        self._language: bytes | None = None
        self._raw = b""
        self._script = 0
        self._ends = _BOGUS_ENDS
        self._held: list[bytes] = []
        self._waiting = 0
        self._in_tag = False
        self._styling = False
        self._guessing = MOST_GUESSED
        self._began = False
        self._ending = False
        self._edits: list[Edit] = []
        self._wide: Wide | None = None

    def feed(self, chunk: bytes) -> bytes:
        """What goes out for this chunk; some of its last bytes may wait for the next one."""
        if self._wide is not None:
            return self._wide.back(self._fed(self._wide.forth(chunk)))
        if not self._began:
            self._held.append(chunk)
            return self._begin(LONGEST_MARK)
        return self._fed(chunk)

    def finish(self) -> bytes:
        """What goes out at the end: what was held back."""
        out = b"" if self._began else self._begin(0)
        self._ending = True
        if self._wide is None:
            return out + self._fed(b"")
        last, half = self._wide.last()
        return out + self._wide.back(self._fed(last)) + half

    def _begin(self, enough: int) -> bytes:
        first = b"".join(self._held)
        self._held = [first]
        if len(first) < enough:
            return b""
        self._began = True
        self._held = []
        coding = coding_of(first)
        self._settled = self._settled or bool(coding) or first.startswith(_UTF8_MARK)
        if not coding:
            return self._fed(first)
        self._wide = Wide(coding)
        return self.feed(first)

    def _fed(self, chunk: bytes) -> bytes:
        if self._settled or b"\x1b" not in chunk:
            return self._read_on(chunk)
        at = chunk.index(b"\x1b")
        before = self._read_on(chunk[:at])
        self._settled = True
        self._in_tag = False
        self._anything_from(0)
        return before + self._read_on(chunk[at:])

    def _read_on(self, chunk: bytes) -> bytes:
        if self._held:
            self._held.append(chunk)
            self._waiting += len(chunk)
            # Nothing but a `>` ends a tag: without one there is no use in looking at it again.
            if self._in_tag and b">" not in chunk and self._waiting < LONGEST_TAG and not self._ending:
                return b""
            data = b"".join(self._held)
        else:
            data = chunk
        self._in_tag = False
        read = self._scan(data)
        # Where anything may be a tag, one is edited further than is read: no edit is cut in two.
        read = min((place for place, length, _ in self._edits if place < read < place + length), default=read)
        self._held = [data[read:]] if read < len(data) else []
        self._waiting = len(data) - read
        return self._edited(data, read)

    def _edited(self, data: bytes, read: int) -> bytes:
        if not self._edits:
            return data if read == len(data) else data[:read]
        parts: list[bytes] = []
        at = 0
        later: list[Edit] = []
        for place, length, put in sorted(set(self._edits)):
            if place < at:
                continue
            if place >= read and not self._ending:
                later.append((place - read, length, put))
                continue
            parts += (data[at:place], put)
            at = place + length
        self._edits = later
        parts.append(data[at:read])
        return b"".join(parts)

    def _scan(self, data: bytes) -> int:
        """Read as far as can be decided; returns how far that is."""
        at, end = 0, len(data)
        while at < end:
            match self._state:
                case _State.MARKUP:
                    after = self._markup(data, at)
                case _State.RAW:
                    after = self._raw_text(data, at)
                case _State.SKIPPED:
                    after = self._skipped(data, at)
                case _State.ANY:
                    after = self._anything(data, at)
            if after < 0:
                return ~after
            at = after
        return at

    # Each of these returns how far it read, or where to wait for more as its complement (`~`).

    def _markup(self, data: bytes, at: int) -> int:
        nesting = self._nesting
        begin = at
        if not (nesting.watched or self._unplaced):
            at = skip(data, at, self._plain)
        elif nesting.foreign and not nesting.in_text and not nesting.styling:
            found = SHAPES.match(data, at)
            at = found.end() if found is not None else at
        start = data.find(b"<", at)
        if nesting.styling and self._gating.hosts:
            return self._drawn_style(data, begin, start)
        if start < 0:
            return len(data)
        return self._token(data, start)

    def _drawn_style(self, data: bytes, at: int, start: int) -> int:
        """The text of a style sheet in a drawing."""
        until = len(data) if start < 0 else start
        known = until if start >= 0 or self._ending else stylesheets.settled(data, at, until)
        self._disarm_styles(data, at, known, written=True)
        if start < 0:
            return known if known == until else ~known
        return self._token(data, start)

    def _token(self, data: bytes, start: int) -> int:
        following = data[start + 1 : start + 2]
        if not following:
            return len(data) if self._ending else ~start
        if following[0] in _LETTERS:
            return self._tag(data, start)
        if following == b"!":
            return self._declaration(data, start)
        if following == b"?":
            return self._skip_until(_BOGUS_ENDS, start + 1)
        if following != b"/":
            return start + 1
        third = data[start + 2 : start + 3]
        if not third:
            return len(data) if self._ending else ~start
        if third[0] in _LETTERS:
            return self._tag(data, start)
        return self._skip_until(_BOGUS_ENDS, start + 2)

    def _declaration(self, data: bytes, start: int) -> int:
        opening = data[start : start + 9]
        enough = len(opening) == 9 or self._ending
        if opening.startswith(b"<!--"):
            if len(opening) < 6 and not self._ending:
                return ~start
            # `<!-->` and `<!--->` are whole comments.
            if opening[4:5] == b">":
                return start + 5
            return start + 6 if opening[4:6] == b"->" else self._skip_until(_COMMENT_ENDS, start + 4)
        if not enough and (b"<!--".startswith(opening) or b"<![CDATA[".startswith(opening)):
            return ~start
        if opening == b"<![CDATA[":
            reading = self._nesting.cdata
            if reading is Reading.ANY:
                return self._anything_from(start + 2)
            if reading is Reading.RAW:
                return self._skip_until(_CDATA_ENDS, start + 9)
        return self._skip_until(_BOGUS_ENDS, start + 2)

    def _skip_until(self, ends: re.Pattern[bytes], at: int) -> int:
        self._ends = ends
        self._state = _State.SKIPPED
        return at

    def _skipped(self, data: bytes, at: int) -> int:
        """A comment, or a section of text in a drawing."""
        found = self._ends.search(data, at)
        until = len(data) if found is None else found.end()
        if self._nesting.in_text and (ended := _TEXT_ENDS.search(data, at, until)):
            return self._anything_from(ended.start())
        if self._ends is _CDATA_ENDS and 0 <= data.find(b">", at, until) < until - 1:
            return self._anything_from(at)  # to who knows no drawings, a comment ends there
        if self._nesting.styling and self._ends is _CDATA_ENDS:
            known = until if found is not None or self._ending else stylesheets.settled(data, at, until)
            self._disarm_styles(data, at, known, written=True)
            until = known
        if found is not None:
            self._state = _State.MARKUP
            return until
        return len(data) if self._ending else ~max(at, min(until, len(data) - _LONGEST_END))

    def _tag(self, data: bytes, start: int) -> int:
        tag = tag_at(data, start)
        if tag is None:
            if self._ending:
                return len(data)  # a browser drops it
            if len(data) - start < LONGEST_TAG:
                self._in_tag = True
                return ~start
            return self._too_long(data, start)
        if self._nesting.in_text and _TEXT_ENDS.search(data, tag.at + 2, tag.end):
            return self._anything_from(start)
        if tag.closing:
            self._nesting.end(tag)
            return tag.end
        if self._unplaced:
            self._unplaced = False
            self._nesting.unsure = not of_html(tag.name)
        if tag.attributes:
            if tag.name == b"html" and self._language is None:
                self._language = language_of(tag)
            self._edits += self._gating.edits(tag, self._within, language=self._language)
        reading = self._nesting.start(tag)
        if reading is Reading.ANY:
            self._anything_from(tag.end)
            self._styling = self._styling or tag.name == b"style"
            return tag.end
        if reading is Reading.RAW:
            self._raw, self._script, self._state = tag.name, 0, _State.RAW
        return tag.end

    def _within(self, page: bytes) -> bytes:
        if self._depth >= DEEPEST:
            return b""
        gate = PageGate(replace(self._gating, ask=None, settled=True, part=False), self._depth + 1)
        return gate.feed(page) + gate.finish()

    def _too_long(self, data: bytes, start: int) -> int:
        slash = data[start + 1 : start + 2] == b"/"
        self._edits.append((start + 1 + slash, 0, _DISARMED))
        return self._anything_from(start + 1)

    def _raw_text(self, data: bytes, at: int) -> int:
        if self._raw == b"plaintext":
            return len(data)
        if self._raw == b"script":
            after = self._script_data(data, at)
        else:
            found = _ENDS[self._raw].search(data, at)
            after = ~max(at, len(data) - _LONGEST_END) if found is None else found.start()
        until = after if after >= 0 else ~after
        if self._nesting.in_text and (ended := _TEXT_ENDS.search(data, at, until)):
            return self._anything_from(ended.start())
        if after < 0 and self._ending:
            after = until = len(data)
        if self._raw == b"style" and self._gating.hosts:
            known = until if after >= 0 else stylesheets.settled(data, at, until)
            self._disarm_styles(data, at, known)
            after = after if after >= 0 else ~known
        if after >= 0 and self._state is _State.RAW and (self._raw != b"script" or self._script < 0):
            self._state = _State.MARKUP
        return after

    def _script_data(self, data: bytes, at: int) -> int:
        """Script data with its two escaped states (WHATWG 13.2.5.15 to 13.2.5.31); it ends where `_script` is -1."""
        while True:
            found = _SCRIPT[self._script].search(data, at)
            if found is None:
                return ~max(at, len(data) - _LONGEST_END)
            mark = found.group().lower()
            at = found.end()
            if mark == b"<!--":
                self._script = 1
                at -= 2  # its dashes may be those of `-->`
            elif mark == b"-->":
                self._script = 0
            elif mark == b"<script":
                self._script = 2
            elif self._script == 2:
                self._script = 1
            else:
                self._script = -1
                return found.start()

    def _disarm_styles(self, data: bytes, at: int, until: int, *, written: bool = False) -> None:
        for place in stylesheets.denied_at(data, self._gating.hosts, at, until, written=written):
            self._edits.append((place, 0, stylesheets.NOWHERE))

    def _anything_from(self, at: int) -> int:
        self._styling = self._nesting.styling or (self._state is _State.RAW and self._raw == b"style")
        self._state = _State.ANY
        return at

    def _anything(self, data: bytes, at: int) -> int:
        """Whatever looks like a tag, wherever it stands."""
        found = _LIKE_A_TAG.search(data, at)
        if found is None:
            until = len(data) if self._ending else max(at, len(data) - _LONGEST_END)
            return self._any_text(data, at, until)
        start = found.start()
        self._any_text(data, at, start)
        if data[start + 1] == _SLASH:
            self._styling = False
            return found.end()
        longest = LONGEST_GUESS if self._guessing > 0 else LONGEST_LATER
        tag = tag_at(data, start, start + longest)
        self._guessing -= longest if tag is None else tag.end - start
        if tag is None:
            if len(data) - start >= longest:
                self._edits.append((start + 1, 0, _DISARMED))
            elif not self._ending:
                self._in_tag = True
                return ~start
            return start + 1
        if tag.name == b"style":
            self._styling = True
        self._edits += self._guessed(data, tag)
        return start + 1

    def _any_text(self, data: bytes, at: int, until: int) -> int:
        """Text that may be a style sheet's; as far as nothing in it looks like a tag."""
        if self._styling and self._gating.hosts:
            if until > at and data[until : until + 1] != b"<" and not self._ending:
                until = stylesheets.settled(data, at, until)
            self._disarm_styles(data, at, until, written=True)
        return until if until == len(data) else ~until

    def _guessed(self, data: bytes, tag: Tag) -> list[Edit]:
        if _ESCAPE in data[tag.at : tag.end] and self._gating.hosts:
            return [(tag.at + 1, 0, _DISARMED)]
        if not tag.attributes:
            return []
        return self._gating.edits(tag, self._within, language=self._language, replace=False)
