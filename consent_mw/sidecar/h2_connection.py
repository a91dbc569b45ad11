"""The browser's side in HTTP/2: one connection, its streams, its deadlines, and what it may not do too often.

Rule: a request is answered on its stream; the connection ends only where RFC 9113 says so, or patience is over.
Rule: nothing is taken from the engine that the browser does not take from us, so that a slow one costs no memory.
Rule: at the end what is under way is finished, and what comes after is not begun (RFC 9113 6.8).
Source: RFC 9113; CVE-2023-44487, CVE-2024-27316, CVE-2025-8671 for the floods.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final, cast

from consent_mw.sidecar.h2_engine import Code, Engine
from consent_mw.sidecar.h2_stream import SENT_WITHIN, Stream
from consent_mw.sidecar.plane import Plane
from consent_mw.wire.h2_request import Pairs
from consent_mw.wire.patience import Patience

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\n"
"""What a connection of HTTP/2 begins with, as far as it looks like a head of HTTP/1 (RFC 9113 3.4)."""

SETTLED_WITHIN = 10.0
KEPT_ALIVE = 75.0
HEARD_WITHIN = 1.0
"""Seconds: for the preface and for our settings to be acknowledged; without a request; for the announcement of the
end to be heard."""

MOST_PULLED = 65_536


class H2Client(asyncio.Protocol):
    """One connection of a browser that speaks HTTP/2."""

    def __init__(self, plane: Plane, peer: str, *, secure: bool) -> None:
        self.plane = plane
        self.peer = peer
        self.secure = secure
        self.engine = Engine(self)
        self.watched: set[Stream] = set()
        self.early: set[Stream] = set()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, Stream] = {}
        self._resets = Patience(500, 33.0)
        self._fidgets = Patience(1000, 100.0)
        self._settle_by = plane.now + SETTLED_WITHIN
        self._idle_by = math.inf
        self._end_by = math.inf
        self._taken_by = math.inf
        self._ending = False
        self._over = False
        self._blocked = False
        self._flushing = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands, and its first bytes announced HTTP/2."""
        # uvloop's transports are not registered as asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self.plane.connections.add(self)
        if self.plane.draining:
            self.drain()
        self.flush_soon()

    def data_received(self, data: bytes) -> None:
        """Frames, or parts of them."""
        if self._over:
            return
        self.engine.receive(data)
        self.flush_soon()

    def connection_lost(self, error: Exception | None) -> None:
        """The browser is gone: what it asked for is given up."""
        self.plane.connections.discard(self)
        self._give_up()

    def pause_writing(self) -> None:
        """The browser takes no more for now."""
        self._blocked = True
        self._taken_by = self.plane.now + SENT_WITHIN

    def resume_writing(self) -> None:
        """The browser has caught up."""
        self._blocked = False
        self._taken_by = math.inf
        self.flush_soon()

    def _give_up(self) -> None:
        self._over = True
        self._settle_by = self._idle_by = math.inf
        self._end_by = self.plane.now + SENT_WITHIN
        streams, self._streams = self._streams, {}
        self.watched.clear()
        self.early.clear()
        for stream in streams.values():
            stream.gone()

    # what the engine tells

    def h2_asks(self, number: int, pairs: Pairs, *, ended: bool) -> None:
        """A request begins."""
        if self._over:
            return
        stream = self._streams[number] = Stream(self, number)
        self._idle_by = math.inf
        stream.begin(pairs, ended=ended)

    def h2_sends(self, number: int, data: bytes, *, ended: bool) -> None:
        """A part of a request's body; of one that is over it is dropped, and makes room for others."""
        stream = self._streams.get(number)
        if stream is None:
            self.engine.consume(number, len(data))
        else:
            stream.feed(data, ended=ended)

    def h2_trails(self, number: int, pairs: Pairs) -> None:
        """The request is whole."""
        stream = self._streams.get(number)
        if stream is not None:
            stream.feed_end(pairs)

    def h2_gone(self, number: int, *, failed: bool) -> None:
        """A stream is closed. One that fails costs patience whoever reset it: a peer can make us do it."""
        stream = self._streams.pop(number, None)
        if stream is not None:
            self.watched.discard(stream)
            self.early.discard(stream)
            stream.gone()
        if not self._streams and not self._over:
            self._idle_by = self.plane.now + KEPT_ALIVE
        if failed and not self._over and not self._resets.lasts(self.plane.now):
            self._dismiss(Code.ENHANCE_YOUR_CALM)

    def h2_settles(self) -> None:
        """Our settings are acknowledged."""
        self._settle_by = math.inf
        if not self._streams:
            self._idle_by = self.plane.now + KEPT_ALIVE

    def h2_pongs(self) -> None:
        """The announcement of the end was heard: what comes from now on was sent in spite of it."""
        if self._ending:
            self._take_no_more()

    def h2_fidgets(self) -> None:
        """Something that costs work and asks for nothing."""
        if not self._over and not self._fidgets.lasts(self.plane.now):
            self._dismiss(Code.ENHANCE_YOUR_CALM)

    # what goes out

    def flush_soon(self) -> None:
        """Send what there is at the end of this turn of the loop, all of it together."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        while not self._blocked:
            said = self.engine.pull(MOST_PULLED)
            if said:
                transport.write(said)
            elif not self._dismiss_done():
                break
        for stream in list(self.watched):
            stream.moved()
        self._close_if_over()

    def _dismiss_done(self) -> bool:
        """End the streams whose answers are out before their requests are in; whether there was one."""
        done = {stream for stream in self.early if stream.dismiss()}
        self.early -= done
        return bool(done)

    def _close_if_over(self) -> None:
        engine, transport = self.engine, self._transport
        ended = self._ending and self._end_by == math.inf and not self._streams
        if transport is None or self._blocked or (engine.standing and not ended):
            return
        self._give_up()
        transport.close()

    # deadlines

    @property
    def deadline(self) -> float:
        """The first of all: the connection's own and its streams'."""
        own = min(self._settle_by, self._idle_by, self._end_by, self._taken_by)
        return min([own, *(stream.deadline for stream in self._streams.values())])

    def expire(self) -> None:
        """Some deadline has passed."""
        now = self.plane.now
        if self._over or self._taken_by < now:
            self.abort()
        elif self._settle_by < now:
            self._dismiss(Code.SETTINGS_TIMEOUT)
        elif self._end_by < now:
            self._take_no_more()
        elif self._idle_by < now:
            self._dismiss(Code.NO_ERROR)
        else:
            for stream in [one for one in self._streams.values() if one.deadline < now]:
                stream.expire()

    def drain(self) -> None:
        """Take no new request; what is under way goes on, then the connection ends."""
        if self._ending or self._over:
            return
        self._ending = True
        self._end_by = self.plane.now + HEARD_WITHIN
        self.engine.announce_end()
        self.flush_soon()

    def _take_no_more(self) -> None:
        self._end_by = math.inf
        self.engine.take_no_more()
        self.flush_soon()

    def _dismiss(self, code: Code) -> None:
        """End everything, now, and say why."""
        self.engine.dismiss(code)
        self._give_up()
        self.flush_soon()

    def abort(self, *, reset: bool = False) -> None:
        """Break the connection off. An end of the connection is no end of a body in HTTP/2."""
        self._give_up()
        if self._transport is not None:
            self._transport.abort()
