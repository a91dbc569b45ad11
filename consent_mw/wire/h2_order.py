"""The order of frames: what a peer may no longer say about a stream, which our engine lets pass.

Rule: only frame heads are looked at; what they hold is the engine's.
Rule: what was under way when we reset a stream is forgiven; what a peer says of a stream that it ended itself is not.
Rule: what is remembered has a bound.
Source: RFC 9113 5.1, 5.1.1, 6.3.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

PREFACE_LENGTH: Final = 24
MOST_OPEN: Final = 1000
MOST_REMEMBERED: Final = 1000

_DATA: Final = 0
_HEADERS: Final = 1
_PRIORITY: Final = 2
_RST_STREAM: Final = 3
_END_STREAM: Final = 1
_LOOKED_AT: Final = 4
"""Kinds of frames below this one are looked at."""


class Disorder(Enum):
    """Why a connection cannot go on."""

    STREAM_CLOSED = "a frame came on a stream that the peer had ended"
    PROTOCOL_ERROR = "a stream was begun out of order, or a frame has no stream"
    TOO_MUCH = "more streams were begun than any were let"


class FrameOrder:
    """The heads of one peer's frames, a client's, from its first byte on."""

    def __init__(self) -> None:
        self._skip = PREFACE_LENGTH
        self._part = b""
        self._last = 0
        self._open: set[int] = set()
        self._ended: dict[int, None] = {}
        self._forgiven: dict[int, None] = {}

    def forgive(self, number: int) -> None:
        """We ended this stream: the peer may not know yet."""
        if number in self._open:
            self._open.discard(number)
            _remember(self._forgiven, number)

    def look(self, data: bytes) -> Disorder | None:
        """What is wrong with the frames that begin in these bytes, if something is."""
        if self._part:
            data, self._part = self._part + data, b""
        at, end = self._skip, len(data)
        while at + 9 <= end:
            kind = data[at + 3]
            if kind < _LOOKED_AT:
                number = int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF
                wrong = self._hear(kind, data[at + 4], number)
                if wrong is not None:
                    return wrong
            at += 9 + int.from_bytes(data[at : at + 3], "big")
        self._part = data[at:]
        self._skip = max(0, at - end)
        return None

    def _hear(self, kind: int, flags: int, number: int) -> Disorder | None:
        if kind == _PRIORITY:
            return None if number else Disorder.PROTOCOL_ERROR
        known = number in self._open
        if kind == _RST_STREAM:
            if known:
                self._end(number)
            return None
        if not known and number > self._last and kind == _HEADERS:
            if len(self._open) >= MOST_OPEN:
                return Disorder.TOO_MUCH
            self._last = number
            self._open.add(number)
        elif not known and number <= self._last and number not in self._forgiven:
            ended = kind == _DATA or number in self._ended
            return Disorder.STREAM_CLOSED if ended else Disorder.PROTOCOL_ERROR
        if flags & _END_STREAM:
            self._end(number)
        return None

    def _end(self, number: int) -> None:
        if number in self._open:
            self._open.discard(number)
            _remember(self._ended, number)


def _remember(numbers: dict[int, None], number: int) -> None:
    numbers[number] = None
    if len(numbers) > MOST_REMEMBERED:
        del numbers[next(iter(numbers))]
