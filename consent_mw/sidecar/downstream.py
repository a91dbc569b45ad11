"""The browser's side: one connection, its requests in order, its deadlines.

Rule: a request is answered before the next one on its connection is looked at.
Rule: after a refusal, or an answer that came before the request was whole, nothing more is read as a request.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import cast

from consent_mw.asgi.gate import Gate
from consent_mw.sidecar.relay import Relay
from consent_mw.wire.request_body import MalformedBodyError, RequestBody, body_of
from consent_mw.wire.request_head import LONGEST_HEAD, LONGEST_TARGET, Refusal, read_head
from consent_mw.world.metrics import AccessLog, Meters
from consent_mw.world.upstream import Pool

HEAD_WITHIN = 10.0
KEPT_ALIVE = 75.0
BODY_IDLE = 60.0
LINGERS = 2.0
"""Seconds: for a whole head; between requests; between parts of a body; for a last answer to be read."""

BUFFERED = 65_536
_HEAD_END = re.compile(rb"\r?\n\r?\n")


@dataclass(slots=True)
class Plane:
    """What all connections share."""

    gate: Gate
    pool: Pool
    meters: Meters
    log: AccessLog
    draining: bool = False
    connections: set[Client] = field(default_factory=set)

    def sweep(self) -> None:
        """Expire every connection whose deadline has passed; called once a second."""
        now = asyncio.get_running_loop().time()
        for connection in [one for one in self.connections if one.deadline < now]:
            connection.expire()

    def drain(self) -> None:
        """Take no new request; idle connections are closed."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()


class Client(asyncio.Protocol):
    """One connection of a browser."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.peer = ""
        self.deadline = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._relay: Relay | None = None
        self._body: RequestBody | None = None
        self._pauses: set[str] = set()
        self._advancing = False
        self._tunnel = False
        self._over = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        # uvloop's transports are not registered as asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self.plane.connections.add(self)
        self.wait(HEAD_WITHIN)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; raw ones in a tunnel."""
        if self._over:
            return
        if self._tunnel:
            if self._relay is not None:
                self._relay.forward_raw(data)
            return
        if self._relay is None and not self._buffer:
            self.wait(HEAD_WITHIN)
        self._buffer += data
        self._advance()

    def eof_received(self) -> bool:
        """A browser that sends no more is taken to be gone, as other proxies do."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The browser is gone: what it asked for is given up."""
        self.plane.connections.discard(self)
        self._over = True
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.cancel()

    def pause_writing(self) -> None:
        """The browser reads slower than the upstream sends."""
        if self._relay is not None:
            self._relay.hold(True)

    def resume_writing(self) -> None:
        """The browser has caught up."""
        if self._relay is not None:
            self._relay.hold(False)

    # for the relay

    def wait(self, seconds: float) -> None:
        """The next thing must happen within these seconds."""
        self.deadline = self._loop.time() + seconds

    def write(self, data: bytes) -> None:
        """Send bytes of a response."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

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
        self._relay = None
        self._body = None
        self.pause("upstream", False)
        if not again or self.plane.draining or not whole:
            self.finish(linger=not whole)
            return
        self.wait(HEAD_WITHIN if self._buffer else KEPT_ALIVE)
        self.pause("buffer", False)
        self._advance()

    def finish(self, *, linger: bool) -> None:
        """Send what is written, then close. `linger`: the browser may still be sending, and a reset would take
        the answer from it, so that what it sends is read and dropped for a moment."""
        self._over = True
        self._buffer.clear()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not linger or not transport.can_write_eof():
            transport.close()
            return
        self._pauses.clear()
        transport.resume_reading()
        transport.write_eof()
        self.wait(LINGERS)

    def abort(self) -> None:
        """Break the connection, so that a part is not taken for the whole."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    # deadlines

    def expire(self) -> None:
        """The deadline has passed."""
        if self._relay is not None and not self._over:
            if self._body is not None and not self._relay.opened:
                self._refuse(Refusal(408, "the request's body did not come in time"))
                return
            self._relay.expire()
            return
        if self._buffer and not self._over:
            self._refuse(Refusal(408, "the request's head did not come in time"))
            return
        self.abort()

    def drain(self) -> None:
        """Close at once if nothing is under way."""
        if self._relay is None and not self._over:
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
        if len(self._buffer) > BUFFERED and self._relay is not None and not self._over:
            self.pause("buffer", True)

    def _step(self) -> bool:
        """One thing of what is in the buffer; whether there may be more."""
        if self._relay is None:
            return self._begin()
        if self._body is None:
            return False
        try:
            chunk = self._body.take(self._buffer)
        except MalformedBodyError as error:
            self._refuse(Refusal(400, str(error)))
            return False
        done = self._body.done
        if chunk:
            self.wait(BODY_IDLE)
            self.plane.meters.bytes_in += len(chunk)
            self._relay.feed(chunk)
        if done and self._relay is not None:
            self._body = None
            self._relay.feed_end()
        return done

    def _begin(self) -> bool:
        buffer = self._buffer
        # An empty line before a request is allowed for (RFC 9112 2.2), one only.
        if buffer.startswith(b"\r\n"):
            del buffer[:2]
        if not buffer:
            return False
        found = _HEAD_END.search(buffer, 0, LONGEST_HEAD + 4)
        if found is None:
            if len(buffer) > LONGEST_TARGET + 32 and b"\n" not in buffer[: LONGEST_TARGET + 32]:
                self._refuse(Refusal(414, f"the request target is longer than {LONGEST_TARGET} bytes"))
            elif len(buffer) > LONGEST_HEAD:
                self._refuse(Refusal(431, f"the request's head is longer than {LONGEST_HEAD} bytes"))
            return False
        raw = bytes(buffer[: found.end()])
        del buffer[: found.end()]
        head = read_head(raw)
        if isinstance(head, Refusal):
            self._refuse(head)
            return False
        self.plane.meters.requests += 1
        self._body = body_of(head.length) if head.length != 0 else None
        self.wait(BODY_IDLE)
        self._relay = Relay(self, head)
        self._relay.begin()
        if self._body is None and self._relay is not None:
            self._relay.feed_end()
        return True

    def _refuse(self, refusal: Refusal) -> None:
        relay, self._relay = self._relay, None
        opened = relay is not None and relay.opened
        if relay is not None:
            relay.cancel()
        self.plane.meters.refused += 1
        if opened:
            self.abort()
            return
        text = refusal.sentence.encode() + b"\n"
        lines = b"HTTP/1.1 %d Refused\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
        allow = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" if refusal.status == 405 else b""
        self.write(lines % (refusal.status, len(text)) + allow + b"Connection: close\r\n\r\n" + text)
        self.finish(linger=True)
