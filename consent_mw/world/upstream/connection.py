"""One connection to the site: what is sent on it, whether it takes more, and when it may serve another request.

Rule: an upstream that speaks unasked, or says more than its answer, is not trusted with the next request.
Rule: a connection is given back only when its request was sent whole and its answer is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Protocol, cast

from consent_mw.wire.response_head import ResponseHead
from consent_mw.world.upstream.answer import AnswerReader

if TYPE_CHECKING:
    from consent_mw.world.upstream.pool import Pool

FLUSHED_WITHIN = 30.0
"""Seconds for the last bytes of a tunnel to be taken."""

MOST_LEFT_READS = 64


class Listener(Protocol):
    """Who hears a response. Calls come in the order of the bytes."""

    def upstream_informs(self, answer: ResponseHead) -> None:
        """An interim response (1xx, but 101)."""

    def upstream_answers(self, answer: ResponseHead) -> None:
        """The head of the final response (or of 101)."""

    def upstream_whole(self, answer: ResponseHead, body: bytes) -> None:
        """The whole response at once, instead of its parts."""

    def upstream_sends(self, chunk: bytes) -> None:
        """A part of the body; of the raw stream after 101."""

    def upstream_ends(self, trailers: list[bytes]) -> None:
        """The response is whole; the lines of its trailers."""

    def upstream_fails(self, reason: str) -> None:
        """The response will never be whole; `reason` goes on after a colon."""

    def upstream_pauses(self, paused: bool) -> None:
        """The upstream takes no more (True), or does again (False)."""


class Connection(asyncio.Protocol):
    """One connection to the upstream; serves one request at a time. `reused` once it has served one; `heard` once
    something of an answer came; `aged` is the seconds that it was idle;
    `listener` is who hears the answer that is under way."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._heads = pool.heads
        self._transport: asyncio.Transport | None = None
        self._answer: AnswerReader | None = None
        self._to_head = False
        self._request_whole = False
        self._paused = False
        self._end_told = not pool.upstream.secure
        self.listener: Listener | None = None
        self.aged = 0
        self.reused = False
        self.heard = False

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and self.listener is None and not self._transport.is_closing()

    @property
    def stood(self) -> bool:
        """Whether it was ever made, so that its end will be told."""
        return self._transport is not None

    def begin(self, listener: Listener, head: bytes, *, bodiless: bool) -> None:
        """Send this request head; the listener hears the response. `bodiless`: the request was a HEAD."""
        self.listener = listener
        self._to_head = bodiless
        self._answer = None
        self.heard = self._request_whole = False
        if self._transport is not None:
            self._transport.write(head)

    def begin_whole(self, listener: Listener, request: bytes) -> None:
        """Send this request, which is whole, and no HEAD; see `begin`."""
        self.listener = listener
        self._answer = None
        self._to_head = self.heard = False
        self._request_whole = True
        if self._transport is not None:
            self._transport.write(request)

    def hand_over(self, listener: Listener) -> None:
        """Another one hears the response from now on, if there is one left to hear."""
        if self.listener is not None:
            self.listener = listener

    def write(self, data: bytes) -> None:
        """Send a part of the request."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def finish_request(self) -> None:
        """The request is sent whole; only then may the connection serve another."""
        self._request_whole = True

    def pause(self, paused: bool) -> None:
        """Read no more for now, or again."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._paused = paused
        if paused:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def close(self, *, flush: bool = False) -> None:
        """End the connection; nobody is told. `flush`: what is written already is still sent, for a while."""
        self.listener = None
        transport = self._transport
        if transport is None:
            return
        if not flush:
            transport.abort()
            return
        transport.close()
        asyncio.get_running_loop().call_later(FLUSHED_WITHIN, transport.abort)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        # uvloop's transports are not registered as asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def pause_writing(self) -> None:
        """The upstream takes no more for now."""
        if self.listener is not None:
            self.listener.upstream_pauses(True)

    def resume_writing(self) -> None:
        """The upstream takes more."""
        if self.listener is not None:
            self.listener.upstream_pauses(False)

    def data_received(self, data: bytes) -> None:
        """Bytes of the response, or of nothing that was asked for."""
        if self.listener is None:
            # An upstream that speaks unasked cannot be trusted with the next request.
            self.close()
            return
        self.heard = True
        if self._answer is None:
            # Most often one read is one answer, and most often one that came before.
            found = None if self._to_head else self._heads.whole(data)
            if found is not None:
                self.end_whole(*found)
                return
            self._answer = AnswerReader(self, self._heads, to_head=self._to_head)
        self._answer.read(data)

    def eof_received(self) -> bool:
        """The upstream sends no more; over TLS this is told only by who means it (RFC 9112 9.8)."""
        self._end_told = True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._pool.forget(self)
        if self.listener is not None and error is not None and (self._answer is None or not self._answer.begun):
            self._read_what_is_left()
        listener, answer = self.listener, self._answer
        # Neither holds the other any longer.
        self._answer = None
        if listener is None:
            return
        if answer is not None and (answer.switched or (answer.until_end and self._end_told and error is None)):
            self.listener = None
            listener.upstream_ends([])
            return
        self.fail("it closed the connection")

    def _read_what_is_left(self) -> None:
        """Read what stands in the socket although writing to it failed: an upstream that refuses an upload
        answers, closes, and resets what it did not read; its answer is still there."""
        transport = self._transport
        raw = transport.get_extra_info("socket") if transport is not None else None
        if transport is None or raw is None or transport.get_extra_info("sslcontext") is not None:
            return
        with contextlib.suppress(OSError, ValueError):
            for _ in range(MOST_LEFT_READS):
                data = os.read(raw.fileno(), 65_536)
                if not data or self.listener is None:
                    return
                self.data_received(data)

    # for the reader of the answer

    def end_whole(self, head: ResponseHead, body: bytes) -> None:
        """The answer is whole, and came in one piece."""
        listener, transport = self.listener, self._transport
        if (
            head.keeps
            and self._request_whole
            and not self._paused
            and transport is not None
            and not transport.get_write_buffer_size()
            and not transport.is_closing()
        ):
            self.listener = None
            self.reused = True
            self._pool.give_back(self)
        else:
            self._let_go(keeps=head.keeps)
        if listener is not None:
            listener.upstream_whole(head, body)

    def end(self, *, keeps: bool, trailers: list[bytes]) -> None:
        """The answer is whole, in parts. `keeps`: nothing in it forbids another request."""
        listener = self.listener
        self._let_go(keeps=keeps)
        if listener is not None:
            listener.upstream_ends(trailers)

    def _let_go(self, *, keeps: bool) -> None:
        """Keep the connection for another request, or close it."""
        transport = self._transport
        self.listener = None
        if transport is None:
            return
        unsent = not self._request_whole or transport.get_write_buffer_size()
        if keeps and not unsent and not transport.is_closing():
            self.reused = True
            if self._paused:
                self.pause(False)
            self._pool.give_back(self)
        else:
            transport.close()

    def fail(self, reason: str) -> None:
        """The answer will never be whole; `reason` goes on after a colon."""
        listener = self.listener
        self.close()
        if listener is not None:
            listener.upstream_fails(reason)
