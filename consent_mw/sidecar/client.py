"""The browser's side of the data plane: one protocol object a connection, one turn a request.

Rule: nothing of a turn outlives it; the next request of the same connection starts from nothing.
Rule: a response that is not whole is never ended as if it were.
Rule: reading stops wherever the other side does not take more.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, cast

import httptools

from consent_mw.sidecar.answers import plain_answer
from consent_mw.sidecar.turn import Turn
from consent_mw.wire.request_head import LONGEST_HEAD, LONGEST_TARGET, Refusal, RequestHead, read_head

if TYPE_CHECKING:
    from consent_mw.sidecar.plane import Plane

HIGH_WATER = 262_144


class Client(asyncio.Protocol):
    """One connection from a browser (or from what stands before us)."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.peer = ""
        self.transport: asyncio.Transport | None = None
        self.turn: Turn | None = None
        self.since = plane.now()
        self._buffer = bytearray()
        self._left: int = 0
        self._chunks: httptools.HttpRequestParser | None = None
        self._chunks_done = False
        self._tunnel = False
        self._closing = False
        self._deaf: set[str] = set()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A browser has connected."""
        # uvloop's transports are not registered as asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self.plane.clients.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The browser is gone."""
        self.plane.left(self)
        turn, self.turn = self.turn, None
        if turn is not None:
            turn.abandon()
        self._buffer.clear()

    def eof_received(self) -> bool:
        """The browser sends no more; a request that is whole is still answered."""
        turn = self.turn
        self._closing = True
        return turn is not None and turn.asked and not self._tunnel

    def pause_writing(self) -> None:
        """The browser takes no more for now."""
        if self.turn is not None:
            self.turn.pause_answer(True)

    def resume_writing(self) -> None:
        """The browser takes more."""
        if self.turn is not None:
            self.turn.pause_answer(False)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._tunnel and self.turn is not None:
            self.turn.body(data)
            return
        if self.turn is not None and not self.turn.asked:
            self._body(data)
            return
        self._buffer += data
        if self.turn is None:
            self._next()
        elif len(self._buffer) > LONGEST_HEAD:
            # Pipelined requests wait in the kernel, not here.
            self.deafen("pipeline", True)

    # requests

    def _next(self) -> None:
        """Begin the next request, if its head is here."""
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if b"\n\n" in buffer or b"\n\r\n" in buffer.replace(b"\r\n\r\n", b""):
                self.refuse(Refusal(400, "the request has a bare line feed"))
            elif len(buffer) > LONGEST_HEAD:
                long_line = b"\r\n" not in buffer[:LONGEST_TARGET]
                self.refuse(Refusal(414 if long_line else 431, "the request head is too large"))
            return
        if end + 4 > LONGEST_HEAD:
            self.refuse(Refusal(431, "the request head is too large"))
            return
        raw = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        head = read_head(raw)
        if isinstance(head, Refusal):
            self.refuse(head)
            return
        self._begin(head, raw)

    def _begin(self, head: RequestHead, raw: bytes) -> None:
        self.since = self.plane.now()
        self._left = head.length or 0
        self._chunks = None
        if head.length is None:
            self._chunks = httptools.HttpRequestParser(self)
            self._chunks_done = False
            self._chunks.feed_data(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        turn = self.turn = Turn(self, head)
        turn.begin()
        if self.turn is not turn:
            return
        if head.length == 0:
            turn.finish_body()
        elif self._buffer:
            rest = bytes(self._buffer)
            self._buffer.clear()
            self._body(rest)

    def _body(self, data: bytes) -> None:
        turn = self.turn
        if turn is None:
            return
        if self._chunks is not None:
            self._chunked(data)
            return
        part, rest = data[: self._left], data[self._left :]
        self._left -= len(part)
        self._buffer += rest
        turn.body(part)
        if self._left == 0 and self.turn is turn:
            turn.finish_body()

    def _chunked(self, data: bytes) -> None:
        parser = self._chunks
        if parser is None:
            return
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            if not self._chunks_done:
                self.refuse(Refusal(400, "the chunked body is malformed"))
                return
        if self._chunks_done and self.turn is not None:
            # What follows a chunked body is read by nobody, so that it cannot be read in two ways.
            self._closing = True
            self.turn.finish_body()

    def on_body(self, chunk: bytes) -> None:
        """A part of a chunked body (httptools)."""
        if self.turn is not None and not self._chunks_done:
            self.turn.body(chunk)

    def on_message_complete(self) -> None:
        """The chunked body is whole (httptools)."""
        self._chunks_done = True

    # answers

    def write(self, data: bytes) -> None:
        """Send a part of the answer."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a sentence, and close: what follows on this connection cannot be trusted."""
        turn, self.turn = self.turn, None
        started = turn is not None and turn.started
        if turn is not None:
            turn.abandon()
        self.plane.count(f"refused_{refusal.status}")
        if started:
            self.break_off()
            return
        self.write(plain_answer(refusal.status, refusal.sentence))
        self._end()

    def turn_over(self, *, keep: bool) -> None:
        """The turn is over; go on with the next request, or close."""
        self.turn = None
        self._chunks = None
        self.since = self.plane.now()
        if not keep or self._closing or self.plane.draining:
            self._end()
            return
        self.deafen("pipeline", False)
        self.deafen("upstream", False)
        if self._buffer:
            asyncio.get_running_loop().call_soon(self._go_on)

    def become_tunnel(self) -> None:
        """From here on bytes pass as they are."""
        self._tunnel = True
        if self._buffer and self.turn is not None:
            rest = bytes(self._buffer)
            self._buffer.clear()
            self.turn.body(rest)

    def break_off(self) -> None:
        """End the connection so that nobody can take what was sent for whole."""
        transport = self.transport
        if transport is None:
            return
        raw = transport.get_extra_info("socket")
        if raw is not None:
            # A reset: towards HTTP/1.0 the end of the connection is the end of the body (RFC 9112 8).
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def deafen(self, why: str, deaf: bool) -> None:
        """Read no more for this reason, or no longer for this one."""
        before = bool(self._deaf)
        (self._deaf.add if deaf else self._deaf.discard)(why)
        transport = self.transport
        if transport is None or transport.is_closing() or before == bool(self._deaf):
            return
        if self._deaf:
            transport.pause_reading()
        else:
            transport.resume_reading()

    @property
    def waits_for_head(self) -> bool:
        """Whether a request has begun to arrive and its head is not whole."""
        return self.turn is None and bool(self._buffer)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self.turn is None and not self._buffer

    def close(self) -> None:
        """Close once what was sent is out."""
        self._end()

    def _go_on(self) -> None:
        if self.turn is None and self._buffer:
            self._next()

    def _end(self) -> None:
        if self.transport is not None:
            self.transport.close()
