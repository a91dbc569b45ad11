"""The browser's side: one connection, its requests in order, its deadlines.

Rule: a request is answered before the next one on its connection is looked at.
Rule: after a refusal, or an answer that came before the request was whole, nothing more is read as a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import cast

from consent_mw.sidecar.admission import Admission, target_of
from consent_mw.sidecar.h2_connection import PREFACE, H2Client
from consent_mw.sidecar.outlet import Http1Outlet, phrase
from consent_mw.sidecar.passage import Passage
from consent_mw.sidecar.plain import refusing
from consent_mw.sidecar.plane import Plane
from consent_mw.sidecar.relay import Relay
from consent_mw.wire.arriving import Arriving
from consent_mw.wire.body import MalformedBodyError, RequestBody, body_of
from consent_mw.wire.fields import render
from consent_mw.wire.request_head import LONGEST_HEAD, Refusal, RequestHead, read_head

HEAD_WITHIN = 10.0
KEPT_ALIVE = 75.0
BODY_IDLE = 60.0
LINGERS = 2.0
LEAVES_WITHIN = 1.0
SENT_WITHIN = 300.0
"""Seconds: for a whole head; between requests; between parts of a body; for the rest of a refused request; for an
answer once the browser sends no more; for the last bytes to be taken."""

BUFFERED = 65_536
MOST_CONNECTIONS = 8192
"""Bytes of a request that wait in memory; connections at once, beyond which a new one is told to come again."""


class Client(asyncio.Protocol):
    """One connection of a browser."""

    def __init__(self, plane: Plane, peer: str = "") -> None:
        """`peer`: for whom a balancer announced this connection."""
        self.plane = plane
        self.peer = peer
        self.secure = False
        self.deadline = 0.0
        self.stalled = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._arriving = Arriving()
        self._served = False
        self.relay: Relay | Passage | None = None
        self._passage: Passage | None = None
        self._body: RequestBody | None = None
        self._pauses: set[str] = set()
        self._advancing = False
        self._tunnel = False
        self._leaving = False
        self._over = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        # uvloop's transports are not registered as asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer = self.peer or (str(peer[0]) if isinstance(peer, tuple) and peer else "")
        self.secure = transport.get_extra_info("sslcontext") is not None
        self.plane.connections.add(self)
        self.plane.now = self._loop.time()
        self.wait(HEAD_WITHIN)
        if len(self.plane.connections) > MOST_CONNECTIONS:
            self._refuse(Refusal(503, "too many connections; please try again"))
            return
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            self._switch_to_h2(b"")

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; raw ones in a tunnel."""
        if self._over:
            return
        if self._tunnel:
            if self.relay is not None:
                self.relay.forward_raw(data)
            return
        if self.relay is None and not self._buffer:
            plane = self.plane
            found = plane.admissions.find(data, plane.gate, self.peer, self.secure)
            if found is not None:
                self._admit(*found)
                return
            # The end is looked for by itself: `find` says -1, which is 4 less than the length of three bytes.
            ends = data.endswith(b"\r\n\r\n") and data.find(b"\r\n\r\n") == len(data) - 4
            if ends and len(data) <= LONGEST_HEAD and data[0] != 13:
                # Most often one read is one head, and nothing else.
                self._begin(data)
                return
            self.wait(HEAD_WITHIN)
        self._buffer += data
        self._advance()

    def eof_received(self) -> bool:
        """A browser that sends no more is either gone or waits for its answer, and nobody can tell which: an
        answer that comes at once is still sent, then the request is given up."""
        if self._over or self._tunnel or self.secure or self.relay is None or self._body is not None:
            return False
        self._leaving = True
        self.plane.now = self._loop.time()
        self.wait(LEAVES_WITHIN)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The browser is gone: what it asked for is given up."""
        self.plane.connections.discard(self)
        self._over = True
        relay, self.relay = self.relay, None
        if relay is not None:
            relay.cancel()
        # Neither holds the other any longer.
        self.relay = self._passage = None

    def pause_writing(self) -> None:
        """The browser reads slower than the upstream sends."""
        self.stalled = True
        if self.relay is not None:
            self.relay.stall("browser", True)

    def resume_writing(self) -> None:
        """The browser has caught up."""
        self.stalled = False
        if self.relay is not None:
            self.relay.stall("browser", False)

    # for the relay

    def outlet(self, head: RequestHead) -> Http1Outlet:
        """The way out for the answer to this request."""
        return Http1Outlet(self, head)

    def wait(self, seconds: float) -> None:
        """The next thing must happen within these seconds."""
        self.deadline = self.plane.now + (min(seconds, LEAVES_WITHIN) if self._leaving else seconds)

    def write(self, data: bytes) -> None:
        """Send bytes of an answer; uvloop sends those of one turn of the loop together."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def pause(self, why: str, paused: bool) -> None:
        """Read no more for this reason, or no longer for it."""
        before = bool(self._pauses)
        (self._pauses.add if paused else self._pauses.discard)(why)
        transport = self._transport
        if transport is None or transport.is_closing() or before == bool(self._pauses):
            return
        if self._pauses:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def begin_tunnel(self) -> bytes:
        """From now on bytes are handed on raw; those that wait already."""
        self._tunnel = True
        waiting = bytes(self._buffer)
        self._buffer.clear()
        self.pause("buffer", False)
        return waiting

    def relayed(self, *, again: bool) -> None:
        """The answer is whole; another request may follow, or the connection ends."""
        whole = self._body is None
        self.relay = None
        self._body = None
        if self._pauses:
            self.pause("upstream", False)
        if not again or self.plane.draining or not whole:
            self.finish(linger=not whole)
            return
        self.wait(HEAD_WITHIN if self._buffer else KEPT_ALIVE)
        if self._pauses:
            self.pause("buffer", False)
        if self._buffer:
            self._advance()
        if self._leaving and self.relay is None:
            self.finish(linger=False)

    def passed(self, answer: bytes) -> None:
        """Send the whole answer to a request that came before; another may follow."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(answer)
        if self._buffer or self._pauses or self._leaving:
            self.relayed(again=True)
            return
        self.relay = None
        self.deadline = self.plane.now + KEPT_ALIVE

    def finish(self, *, linger: bool) -> None:
        """Send what is written, then close. `linger`: the browser may still be sending, and a reset would take
        the answer from it, so that what it sends is read and dropped for a moment."""
        self._over = True
        self._buffer.clear()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not linger or not transport.can_write_eof():
            self.wait(SENT_WITHIN)
            transport.close()
            return
        if self._pauses:
            self._pauses.clear()
            transport.resume_reading()
        transport.write_eof()
        self.wait(LINGERS)

    def abort(self, *, reset: bool = False) -> None:
        """Break the connection off, so that a part is not taken for the whole. `reset`: its end must not look
        like the end of a body (RFC 9112 8)."""
        transport = self._transport
        self._over = True
        if transport is None:
            return
        raw = transport.get_extra_info("socket")
        if reset and raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    # deadlines

    def expire(self) -> None:
        """The deadline has passed."""
        if self._over:
            self.abort()
        elif self.relay is None:
            if self._buffer:
                self._refuse(Refusal(408, "the request's head did not come in time"))
            else:
                self.finish(linger=False)
        elif self._body is not None and not self.relay.opened and "upstream" not in self._pauses:
            self._refuse(Refusal(408, "the request's body did not come in time"))
        else:
            self.relay.expire()

    def drain(self) -> None:
        """Close at once if nothing is under way; what is may end by itself."""
        if self.relay is not None:
            self.relay.leave()
        elif not self._over:
            self.finish(linger=False)

    # requests

    def _advance(self) -> None:
        if self._advancing:
            return
        self._advancing = True
        try:
            while not self._over and self._step():
                pass
        finally:
            self._advancing = False
        if len(self._buffer) > BUFFERED and self.relay is not None and not self._over:
            self.pause("buffer", True)

    def _step(self) -> bool:
        """One thing of what is in the buffer; whether there may be more."""
        if self.relay is None:
            raw = self._arriving.take(self._buffer)
            if raw is None:
                return False
            if isinstance(raw, Refusal):
                self._refuse(raw)
                return False
            found = self.plane.admissions.find(raw, self.plane.gate, self.peer, self.secure)
            if found is None:
                return self._begin(raw)
            self._admit(*found)
            return True
        if self._body is None:
            return False
        try:
            chunk = self._body.take(self._buffer)
        except MalformedBodyError as error:
            self._refuse(Refusal(400, str(error)))
            return False
        done, trailers = self._body.done, self._body.trailers
        if chunk:
            self.wait(BODY_IDLE)
            self.plane.meters.bytes_in += len(chunk)
            self.relay.feed(chunk)
        if done and self.relay is not None:
            self._body = None
            self.relay.feed_end(trailers)
        return done

    def _admit(self, admission: Admission, rendered: bytes) -> None:
        """Begin a request about which nothing is to be asked any more."""
        plane = self.plane
        self._served = True
        plane.meters.requests += 1
        connection = plane.pool.take() if not self.stalled else None
        if connection is not None:
            passage = self._passage
            if passage is None:
                passage = self._passage = Passage(self)
            self.relay = passage
            passage.begin(connection, admission, rendered)
            return
        target = target_of(rendered)
        relay = self.relay = Relay(self, admission.head, target)
        relay.begin_admitted(admission.exchange(plane.gate, target), rendered)

    def _begin(self, raw: bytes) -> bool:
        """Begin the request of this head; whether there may be more to read of it."""
        plane = self.plane
        served, self._served = self._served, True
        head = read_head(raw)
        if isinstance(head, Refusal):
            if raw == PREFACE and not (served or self.secure):
                self._switch_to_h2(raw + self._buffer)
            else:
                self._refuse(head)
            return False
        found = plane.admitted(head, self.peer, self.secure)
        if found is not None:
            self._admit(*found)
            return True
        plane.meters.requests += 1
        relay = self.relay = Relay(self, head)
        if head.length == 0:
            relay.feed_end()
        else:
            self._body = body_of(head.length)
            self.wait(BODY_IDLE)
        relay.begin()
        return True

    def _switch_to_h2(self, data: bytes) -> None:
        """Hand the connection, and what came on it, to the other protocol."""
        transport, self._over, self._passage = self._transport, True, None
        self.plane.connections.discard(self)
        if transport is not None:
            other = H2Client(self.plane, self.peer, secure=self.secure)
            transport.set_protocol(other)
            other.connection_made(transport)
            other.data_received(data)

    def _refuse(self, refusal: Refusal) -> None:
        relay, self.relay = self.relay, None
        opened = relay is not None and relay.opened
        if relay is not None:
            relay.cancel()
        self.plane.meters.refused += 1
        if opened:
            self.abort(reset=True)
            return
        fields, text = refusing(refusal, (b"Connection", b"close"))
        self.write(render(b"HTTP/1.1 %d %b" % (refusal.status, phrase(refusal.status)), fields) + text)
        self.finish(linger=True)
