"""The tunnel: what follows a 101, in the other protocol's bytes.

Rule: bytes are handed on as they come; a WebSocket is left only between two frames, with the code that says why.
"""

from __future__ import annotations

from collections.abc import Sequence

from consent_mw.wire.websocket import GOING_AWAY, FrameTracker


class Tunnel:
    """One tunnel, as its bytes go to the browser."""

    def __init__(self, protocols: Sequence[bytes]) -> None:
        names = {one.strip(b" \t").lower() for value in protocols for one in value.split(b",")}
        self._frames = FrameTracker() if b"websocket" in names else None
        self._leaving = False
        self._left = False

    def hand_on(self, data: bytes) -> bytes:
        """What the browser gets for these bytes of the upstream."""
        frames = self._frames
        if frames is None:
            return data
        if self._left:
            return b""
        end = frames.feed(data, until_frame_ends=self._leaving)
        if not self._leaving or not frames.between:
            return data
        self._left = True
        return data[:end] + GOING_AWAY

    def leave(self) -> bytes:
        """Leave as soon as a frame ends; what the browser gets at once."""
        frames = self._frames
        if frames is None or self._leaving:
            return b""
        self._leaving = True
        if not frames.between:
            return b""
        self._left = True
        return GOING_AWAY
