"""WebSocket frames, as far as a proxy must know where one ends: to close a tunnel between two of them.

Rule: payloads are passed over, never looked at.
Source: RFC 6455 5.2, 7.4.1.
"""

from __future__ import annotations

from typing import Final

GOING_AWAY: Final = b"\x88\x02\x03\xe9"
"""A close frame of a server, with the code 1001: it goes away."""

_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127


class FrameTracker:
    """Follows one direction of a WebSocket. `between`: what was fed so far ends where a frame does."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0

    @property
    def between(self) -> bool:
        """Whether another frame may begin here."""
        return not self._head and not self._left

    def feed(self, data: bytes, *, until_frame_ends: bool = False) -> int:
        """Follow these bytes; how many were followed: all, or those up to the first end of a frame."""
        at, size = 0, len(data)
        while at < size:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
            else:
                self._head.append(data[at])
                at += 1
                self._read_head()
            if until_frame_ends and self.between:
                break
        return at

    def _read_head(self) -> None:
        head = self._head
        if len(head) < 2:
            return
        short = head[1] & 0x7F
        longer = 2 if short == _TWO_BYTES else 8 if short == _EIGHT_BYTES else 0
        whole = 2 + longer + (4 if head[1] & 0x80 else 0)
        if len(head) == whole:
            self._left = int.from_bytes(head[2 : 2 + longer]) if longer else short
            head.clear()
