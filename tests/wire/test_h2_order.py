"""The order of frames: what a peer may say of a stream, and when no more."""

from __future__ import annotations

import pytest

from consent_mw.wire.h2_order import MOST_OPEN, Disorder, FrameOrder
from tests.sidecar.h2_browser import PREFACE, frame

CANCEL = b"\0\0\0\x08"
DATA, HEADERS, PRIORITY, RST, SETTINGS = 0, 1, 2, 3, 4
ENDED, WHOLE, MORE = 1, 5, 4
CLOSED, WRONG = Disorder.STREAM_CLOSED, Disorder.PROTOCOL_ERROR

ORDERS: dict[str, tuple[Disorder | None, list[bytes]]] = {
    "a request": (None, [frame(HEADERS, WHOLE, 1)]),
    "requests with gaps": (None, [frame(HEADERS, WHOLE, 1), frame(HEADERS, WHOLE, 9)]),
    "a body": (None, [frame(HEADERS, MORE, 1), frame(DATA, 0, 1, b"abc"), frame(DATA, ENDED, 1)]),
    "two bodies in turns": (None, [*(frame(HEADERS, MORE, n) for n in (1, 3)), *(frame(DATA, 1, n) for n in (3, 1))]),
    "trailers": (None, [frame(HEADERS, MORE, 1), frame(DATA, 0, 1, b"abc"), frame(HEADERS, WHOLE, 1)]),
    "a reset": (None, [frame(HEADERS, MORE, 1), frame(RST, 0, 1, CANCEL), frame(RST, 0, 1, CANCEL)]),
    "a reset after the end": (None, [frame(HEADERS, WHOLE, 1), frame(RST, 0, 1, CANCEL)]),
    "windows after the end": (None, [frame(HEADERS, WHOLE, 1), frame(8, 0, 1, b"\0\0\0\1")]),
    "a priority of a stream to come": (None, [frame(PRIORITY, 0, 7, b"\0\0\0\0\0")]),
    "a reserved bit": (None, [frame(HEADERS, MORE, 1), frame(DATA, ENDED, 0x80000001)]),
    "a body after the end": (CLOSED, [frame(HEADERS, WHOLE, 1), frame(DATA, 0, 1)]),
    "a body after a reset": (CLOSED, [frame(HEADERS, MORE, 1), frame(RST, 0, 1, CANCEL), frame(DATA, 0, 1)]),
    "a head after the end": (CLOSED, [frame(HEADERS, WHOLE, 1), frame(HEADERS, WHOLE, 1)]),
    "a head after a reset": (CLOSED, [frame(HEADERS, MORE, 1), frame(RST, 0, 1, CANCEL), frame(HEADERS, WHOLE, 1)]),
    "a request before the last one": (WRONG, [frame(HEADERS, WHOLE, 5), frame(HEADERS, WHOLE, 3)]),
    "a priority of no stream": (WRONG, [frame(PRIORITY, 0, 0, b"\0\0\0\0\0")]),
    "streams without end": (
        Disorder.TOO_MUCH,
        [frame(HEADERS, MORE, 1 + 2 * turn) for turn in range(MOST_OPEN + 1)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("step", [1, 7, 10, 100_000])
@pytest.mark.parametrize(("wrong", "frames"), ORDERS.values(), ids=ORDERS)
def test_frames_in_order_pass_and_others_do_not(wrong: Disorder | None, frames: list[bytes], step: int) -> None:
    order, raw = FrameOrder(), PREFACE + frame(SETTINGS, 0, 0, b"\0\3\0\0\0d") + b"".join(frames)
    found = [order.look(raw[start : start + step]) for start in range(0, len(raw), step)]
    assert [one for one in found if one is not None][:1] == ([wrong] if wrong else [])


def test_what_was_under_way_to_a_stream_that_we_ended_is_forgiven() -> None:
    order = FrameOrder()
    order.look(PREFACE + frame(HEADERS, MORE, 1))
    order.forgive(1)
    late = [frame(DATA, 0, 1, b"abc"), frame(HEADERS, WHOLE, 1), frame(HEADERS, WHOLE, 3)]
    assert [order.look(one) for one in late] == [None, None, None]


def test_ending_a_stream_here_forgives_no_peer_that_ended_it_too() -> None:
    order = FrameOrder()
    order.look(PREFACE + frame(HEADERS, WHOLE, 1))
    order.forgive(1)
    assert order.look(frame(DATA, 0, 1)) is CLOSED
