"""Whatever frames come, the engine of HTTP/2 hands on nothing but well-ordered events, and never raises."""

from __future__ import annotations

import os

from hpack import Encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent_mw.sidecar.h2_engine import Code, Engine
from consent_mw.wire.h2_request import Pairs, read_pairs
from consent_mw.wire.request_head import Refusal
from tests.sidecar.h2_browser import PREFACE, asking, frame

EXAMPLES = int(os.environ.get("CONSENT_MW_FUZZ", "60"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

NUMBERS = st.sampled_from([0, 1, 1, 1, 3, 3, 5, 7, 2, 99, 2**31 - 1])
FIELDS = st.sampled_from(
    [
        asking(),
        asking(method=b"POST"),
        asking(b"/", (b"content-length", b"5")),
        [(b"x-trailer", b"1")],
        [],
        asking()[:2],
    ]
)
HEADS = st.tuples(FIELDS, NUMBERS, st.integers(0, 255)).map(
    lambda one: frame(1, one[2] & ~0x28, one[1], Encoder().encode(one[0]))
)
FRAMES = st.tuples(st.integers(0, 20), st.integers(0, 255), NUMBERS, st.binary(max_size=40)).map(
    lambda one: frame(one[0], one[1], one[2], one[3])
)
STREAMS = st.lists(st.one_of(HEADS, HEADS, FRAMES, st.binary(max_size=20)), max_size=30).map(b"".join)


class Answering:
    """Answers each request at once, and keeps what is open."""

    def __init__(self) -> None:
        self.engine = Engine(self)
        self.open: set[int] = set()
        self.whole: set[int] = set()
        self.seen: set[int] = set()

    def h2_asks(self, number: int, pairs: Pairs, *, ended: bool) -> None:
        assert number not in self.seen
        self.seen.add(number)
        self.open.add(number)
        self.whole |= {number} if ended else set()
        refused = isinstance(read_pairs(pairs, ended=ended), Refusal)
        self.engine.inform(number, [(b":status", b"103")])
        self.engine.answer(number, [(b":status", b"400" if refused else b"200")], ended=False)
        self.engine.send(number, b"x" * 100_000)
        self.engine.send(number, b"", ended=True)

    def h2_sends(self, number: int, data: bytes, *, ended: bool) -> None:
        assert number not in self.whole
        self.whole |= {number} if ended else set()
        self.engine.consume(number, len(data))

    def h2_trails(self, number: int, pairs: Pairs) -> None:
        assert number not in self.whole
        self.whole.add(number)

    def h2_gone(self, number: int, *, failed: bool) -> None:
        self.open.discard(number)
        self.whole.add(number)
        self.engine.reset(number, Code.CANCEL)

    def h2_settles(self) -> None: ...

    def h2_pongs(self) -> None: ...

    def h2_fidgets(self) -> None: ...


def drained(engine: Engine, most: int) -> bytes:
    """All that goes out, taken in parts of this size."""
    parts = []
    while said := engine.pull(most):
        parts.append(said)
    return b"".join(parts)


@FUZZ
@given(STREAMS, st.integers(1, 200), st.sampled_from([1, 9, 10, 17, 65_536]))
def test_any_frames_are_survived(sent: bytes, step: int, most: int) -> None:
    answering = Answering()
    raw = PREFACE + frame(4, 0, 0) + sent
    out = bytearray()
    for start in range(0, len(raw), step):
        answering.engine.receive(raw[start : start + step])
        out += drained(answering.engine, most)
    ended_by_the_peer = not answering.engine.standing
    answering.engine.dismiss(Code.NO_ERROR)
    out += drained(answering.engine, most)
    kinds = []
    while out:
        assert len(out) >= 9
        length = int.from_bytes(out[:3], "big")
        assert length <= 16_384
        kinds.append(out[3])
        del out[: 9 + length]
    assert kinds[0] == 4
    assert kinds[-1] == 7 or ended_by_the_peer
    assert not answering.engine.standing


@FUZZ
@given(st.binary(max_size=200))
def test_what_is_not_http_2_ends_the_connection(raw: bytes) -> None:
    answering = Answering()
    answering.engine.receive(raw)
    answering.engine.receive(PREFACE)
    assert answering.engine.standing == (PREFACE.startswith(raw) and not raw)
