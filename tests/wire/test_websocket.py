"""Where the frames of a WebSocket end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.wire.websocket import FrameTracker


def frame(payload: bytes, *, masked: bool = False) -> bytes:
    """One frame as it is sent."""
    size = len(payload)
    short, longer = (
        (size, b"") if size < 126 else (126, size.to_bytes(2)) if size < 65_536 else (127, size.to_bytes(8))
    )
    return bytes([0x82, short | (0x80 if masked else 0)]) + longer + (b"mask" if masked else b"") + payload


FRAMES = {
    "empty": frame(b""),
    "short": frame(b"x" * 125),
    "two bytes of length": frame(b"x" * 126),
    "eight bytes of length": frame(b"x" * 65_536),
    "masked": frame(b"hello", masked=True),
    "masked and long": frame(b"x" * 300, masked=True),
}


@pytest.mark.parametrize("raw", FRAMES.values(), ids=FRAMES)
def test_a_frame_ends_with_its_last_byte(raw: bytes) -> None:
    tracker = FrameTracker()
    ends = []
    for at in range(len(raw)):
        tracker.feed(raw[at : at + 1])
        ends.append(tracker.between)
    assert ends == [False] * (len(raw) - 1) + [True]


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5), st.data())
def test_the_first_end_is_found_wherever_the_bytes_are_cut(payloads: list[bytes], data: st.DataObject) -> None:
    frames = [frame(one) for one in payloads]
    raw = b"".join(frames)
    cut = data.draw(st.integers(0, len(raw)))
    tracker = FrameTracker()
    tracker.feed(raw[:cut])
    at = cut if tracker.between else cut + tracker.feed(raw[cut:], until_frame_ends=True)
    assert tracker.between
    assert at in {sum(map(len, frames[:number])) for number in range(len(frames) + 1)}
    assert not 0 < at < cut
