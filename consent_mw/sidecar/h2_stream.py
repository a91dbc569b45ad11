"""One stream of HTTP/2: a request, its answer, its deadline; the Downlink of one Relay.

Rule: what a browser sends is passed on at once, and acknowledged only when there is room for more.
Rule: an answer to a request that is not whole yet ends with a reset that says so (RFC 9113 8.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consent_mw.sidecar.admission import Admission, target_of
from consent_mw.sidecar.h2_engine import Code
from consent_mw.sidecar.h2_outlet import Http2Outlet
from consent_mw.sidecar.plain import refusing
from consent_mw.sidecar.relay import Relay
from consent_mw.wire.h2_request import Pairs, line_and_block, read_pairs, trailer_lines
from consent_mw.wire.request_head import Refusal, RequestHead

if TYPE_CHECKING:
    from consent_mw.sidecar.h2_connection import H2Client

BODY_IDLE = 60.0
SENT_WITHIN = 300.0
"""Seconds: between parts of a body; for the last bytes to be taken."""

MOST_WAITING = 65_536
FEW_WAITING = 16_384
"""Bytes of an answer that wait for the browser: above the one nothing more is asked of the upstream, until no more
than the other are left."""


class Stream:
    """One request on its connection."""

    def __init__(self, connection: H2Client, number: int) -> None:
        self.plane = connection.plane
        self.peer = connection.peer
        self.secure = connection.secure
        self.stalled = False
        self.deadline = 0.0
        self._connection = connection
        self._engine = connection.engine
        self._number = number
        self._relay: Relay | None = None
        self._whole = False
        self._pauses: set[str] = set()
        self._owed = 0

    # the request

    def begin(self, pairs: Pairs, *, ended: bool) -> None:
        """A request, which is answered, sent on, or refused."""
        plane = self.plane
        self._whole = ended
        self.wait(BODY_IDLE)
        line, block = line_and_block(pairs) if ended else (b"", b"")
        if block:
            found = plane.admissions.find(line + b"\r\n" + block, plane.gate, self.peer, self.secure)
            if found is not None:
                self._admit(*found)
                return
        head = read_pairs(pairs, ended=ended)
        if isinstance(head, Refusal):
            self._refuse(head)
            return
        head.block = block
        found = plane.admitted(head, self.peer, self.secure)
        if found is not None:
            self._admit(*found)
            return
        plane.meters.requests += 1
        relay = self._relay = Relay(self, head)
        if ended:
            relay.feed_end()
        relay.begin()

    def _admit(self, admission: Admission, rendered: bytes) -> None:
        """Begin a request about which nothing is to be asked any more."""
        self.plane.meters.requests += 1
        target = target_of(rendered)
        relay = self._relay = Relay(self, admission.head, target)
        relay.begin_admitted(admission.exchange(self.plane.gate, target), rendered)

    def feed(self, data: bytes, *, ended: bool) -> None:
        """A part of the request's body."""
        self._owed += len(data)
        if self._relay is not None and data:
            self.plane.meters.bytes_in += len(data)
            self.wait(BODY_IDLE)
            self._relay.feed(data)
        if ended:
            self.feed_end()
        self._settle()

    def feed_end(self, trailers: Pairs = ()) -> None:
        """The request is whole; its trailers."""
        self._whole = True
        self._connection.early.discard(self)
        if self._relay is not None:
            self._relay.feed_end(trailer_lines(trailers) if trailers else ())

    def gone(self) -> None:
        """The stream is closed; what it asked for is given up."""
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.cancel()
        self._pauses.clear()
        self._settle()

    def _settle(self) -> None:
        """Let the browser send as much as was passed on."""
        if self._owed and not self._pauses:
            self._engine.consume(self._number, self._owed)
            self._owed = 0
            self._connection.flush_soon()

    # for the relay

    def outlet(self, head: RequestHead) -> Http2Outlet:
        """The way out for the answer to this request."""
        return Http2Outlet(self, head.method)

    def wait(self, seconds: float) -> None:
        """The next thing must happen within these seconds."""
        self.deadline = self.plane.now + seconds

    def pause(self, why: str, paused: bool) -> None:
        """Take no more of the request's body for this reason, or no longer for it."""
        (self._pauses.add if paused else self._pauses.discard)(why)
        self._settle()

    def begin_tunnel(self) -> bytes:
        """There are no tunnels on a stream."""
        return b""

    def relayed(self, *, again: bool) -> None:
        """The answer is whole."""
        self._relay = None
        self._finish()

    def _finish(self) -> None:
        self._pauses.clear()
        self._settle()
        self.wait(SENT_WITHIN)
        if not self._whole:
            self._connection.early.add(self)

    # for the outlet

    def inform(self, pairs: Pairs) -> None:
        """Send an interim answer."""
        self._engine.inform(self._number, pairs)
        self._connection.flush_soon()

    def answer(self, pairs: Pairs, *, ended: bool) -> None:
        """Send the head of the answer."""
        self._engine.answer(self._number, pairs, ended=ended)
        self._connection.flush_soon()

    def send(self, data: bytes, *, ended: bool) -> None:
        """Send a part of the answer."""
        self._engine.send(self._number, data, ended=ended)
        self._connection.flush_soon()
        if not self.stalled and self._engine.waiting(self._number) > MOST_WAITING:
            self.stalled = True
            self._connection.watched.add(self)
            if self._relay is not None:
                self._relay.stall("browser", True)

    def trail(self, pairs: Pairs) -> None:
        """Send the trailers of the answer, its end."""
        self._engine.trail(self._number, pairs)
        self._connection.flush_soon()

    def break_off(self) -> None:
        """End the stream, and not as if its answer were whole."""
        self._relay = None
        self._engine.reset(self._number, Code.INTERNAL_ERROR)
        self._connection.flush_soon()

    # for the connection

    def dismiss(self) -> bool:
        """End the stream if its answer is out, last frame and all: the rest of the request is of no use
        (RFC 9113 8.1). To be asked once the engine has nothing more to send."""
        if self._engine.waiting(self._number):
            return False
        self._engine.reset(self._number, Code.NO_ERROR)
        return True

    def moved(self) -> None:
        """Some of what waited may be out."""
        if self.stalled and self._engine.waiting(self._number) <= FEW_WAITING:
            self.stalled = False
            self._connection.watched.discard(self)
            if self._relay is not None:
                self._relay.stall("browser", False)

    def expire(self) -> None:
        """Nothing happened for too long."""
        relay = self._relay
        if relay is None:
            self._engine.reset(self._number, Code.CANCEL)
            self._connection.flush_soon()
        elif not self._whole and not relay.opened and "upstream" not in self._pauses:
            self._relay = None
            relay.cancel()
            self._refuse(Refusal(408, "the request's body did not come in time"))
        else:
            self.wait(SENT_WITHIN)
            relay.expire()

    def _refuse(self, refusal: Refusal) -> None:
        self.plane.meters.refused += 1
        fields, text = refusing(refusal)
        self.answer(
            [(b":status", b"%d" % refusal.status), *((lower, value) for lower, value, _, _ in fields)], ended=False
        )
        self.send(text, ended=True)
        self._finish()
