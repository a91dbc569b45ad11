"""The upstream: connections to the site, pooled, with nothing of any visitor kept in them.

Rule: a connection is used again only after a response that was whole and said nothing against it.
Rule: what the upstream sends is passed on as it came; what cannot be framed one way only is a failure, not a guess.
Source: RFC 9112 6 to 9.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast
from urllib.parse import urlsplit

from consent_mw.errors import ServeError
from consent_mw.wire.body import ChunkedBody, MalformedBodyError
from consent_mw.wire.known import PlainKnown, known
from consent_mw.wire.response_head import CHUNKED, LONGEST_HEAD, UNTIL_END, ResponseHead, read_response_head

CONNECT_WITHIN = 5.0
IDLE_KEPT = 55.0
"""Seconds that an idle connection is kept; below the 60 to 75 that servers keep theirs."""

MOST_OPEN = 1024
MOST_IDLE = 512
"""Connections at once, and those of them that are kept while idle."""

FLUSHED_WITHIN = 30.0
"""Seconds for the last bytes of a tunnel to be taken."""

MOST_LEFT_READS = 64
HEADS_KEPT = 512
HEADS_AGE = 4
"""Bound of the heads that are remembered, twice; seconds after which one that was not seen goes at the latest, twice:
most say the time, and never come again."""
LONGEST_HEAD_KEPT = 4096

NEVER_WHOLE = -3
"""For a length, of an answer that has no body to be there."""

_BEGINS = re.compile(rb"H(?:T(?:T(?:P(?:/.*)?)?)?)?\Z", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._~-]+)?")
_NO_TRAILERS: list[bytes] = []


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


@dataclass(frozen=True)
class Upstream:
    """Where the site is. Made by `read_upstream`."""

    host: str
    port: int
    uds: str = ""
    secure: bool = False

    @cached_property
    def authority(self) -> bytes:
        """The Host for a request that named none (HTTP/1.0)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.uds else f"{host}:{self.port}").encode("ascii")

    def __str__(self) -> str:
        return f"unix:{self.uds}" if self.uds else f"{'https' if self.secure else 'http'}://{self.host}:{self.port}"


def read_upstream(url: str) -> Upstream:
    """The upstream at `http://host[:port]`, `https://host[:port]` or `unix:/path`. Raises ServeError."""
    if url.startswith("unix:") and url.removeprefix("unix:").removeprefix("//"):
        return Upstream("localhost", 0, uds=url.removeprefix("unix:").removeprefix("//"))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    more = parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("http", "https") or not host or port == 0 or more or not _HOST.fullmatch(host):
        raise ServeError(
            f"--upstream `{url}` is not of the form http://host[:port], https://host[:port] or unix:/path"
        )
    secure = parts.scheme == "https"
    return Upstream(host, port if port is not None else (443 if secure else 80), secure=secure)


class Pool:
    """Connections to one upstream, the last used first; at the bound requests wait in order for one."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self._idle: deque[Connection] = deque()
        self._open = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._context = ssl.create_default_context() if upstream.secure else None
        self._swept = 0
        self._heads: PlainKnown[ResponseHead] = known(HEADS_KEPT)

    def take(self) -> Connection | None:
        """An idle connection that still stands, or None."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def connect(self) -> Connection:
        """A fresh connection, or at the bound one that another request is done with. Raises OSError, TimeoutError."""
        async with asyncio.timeout(CONNECT_WITHIN):
            while self._open >= MOST_OPEN:
                connection = await self._wait()
                if connection is not None and connection.usable:
                    return connection
            return await self._connect()

    async def _wait(self) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # What was given to who is gone is the next one's.
            if waiter.done() and not waiter.cancelled():
                given = waiter.result()
                if given is None:
                    self._wake(None)
                else:
                    self.give_back(given)
            raise

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        where, connection = self.upstream, Connection(self)

        def make() -> Connection:
            return connection

        self._open += 1
        try:
            if where.uds:
                await loop.create_unix_connection(make, where.uds)
            else:
                await loop.create_connection(make, where.host, where.port, ssl=self._context)
        except BaseException:
            # One that stood already when its request was given up is told, by its end, that it is gone.
            if not connection.stood:
                self._open -= 1
                self._wake(None)
            raise
        return connection

    def _wake(self, connection: Connection | None) -> bool:
        """Give who waits longest this connection, or leave to make one; whether anybody waits."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def give_back(self, connection: Connection) -> None:
        """Keep this connection for the next request."""
        if self._waiting and self._wake(connection):
            return
        connection.aged = 0
        self._idle.append(connection)
        if len(self._idle) > MOST_IDLE:
            self._idle.popleft().close()

    def forget(self, connection: Connection) -> None:
        """This connection is gone."""
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)
        self._open -= 1
        self._wake(None)

    def head(self, raw: bytes, *, to_head: bool) -> ResponseHead | str:
        """What `read_response_head` makes of these bytes. A head that came twice is nobody's own, and remembered; of
        one that came once only a hash is."""
        found = None if to_head else self._heads.get(raw)
        if found is not None:
            return found
        head = read_response_head(raw, head=to_head)
        if to_head or isinstance(head, str) or head.status < 200 or len(raw) > LONGEST_HEAD_KEPT:
            return head
        if self._heads.once(raw):
            head.replies = {}
            self._heads.keep(raw, head, NEVER_WHOLE if head.bodiless else head.length, b"")
        return head

    def whole(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """The head and the body that these bytes are, where the head came before, and the body is all there."""
        return self._heads.answer(data)

    def forget_heads(self) -> None:
        """Remember no head, nor what was made of it: that was for decisions that are no longer made."""
        self._heads.clear()

    def sweep(self) -> None:
        """Close what has been idle for too long; called once a second."""
        for connection in self._idle:
            connection.aged += 1
        while self._idle and self._idle[0].aged > IDLE_KEPT:
            self._idle.popleft().close()
        self._swept += 1
        if self._swept % HEADS_AGE == 0:
            self._heads.age()

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()


class Connection(asyncio.Protocol):
    """One connection to the upstream; serves one request at a time. `reused` once it has served one; `heard` once
    something of an answer came; `aged` is the seconds that it was idle."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._listener: Listener | None = None
        self._buffer = bytearray()
        self._body: ChunkedBody | None = None
        self._left = 0
        self._answer: ResponseHead | None = None
        self._to_head = False
        self._request_whole = False
        self._switched = False
        self._paused = False
        self._end_told = not pool.upstream.secure
        self.aged = 0
        self.reused = False
        self.heard = False

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and self._listener is None and not self._transport.is_closing()

    @property
    def stood(self) -> bool:
        """Whether it was ever made, so that its end will be told."""
        return self._transport is not None

    def begin(self, listener: Listener, head: bytes, *, bodiless: bool) -> None:
        """Send this request head; the listener hears the response. `bodiless`: the request was a HEAD."""
        self._listener = listener
        self._to_head = bodiless
        self._answer = self._body = None
        self.heard = self._request_whole = False
        if self._transport is not None:
            self._transport.write(head)

    def begin_whole(self, listener: Listener, request: bytes) -> None:
        """Send this request, which is whole, and no HEAD; see `begin`."""
        self._listener = listener
        self._answer = self._body = None
        self._to_head = self.heard = False
        self._request_whole = True
        if self._transport is not None:
            self._transport.write(request)

    def hand_over(self, listener: Listener) -> None:
        """Another one hears the response from now on, if there is one left to hear."""
        if self._listener is not None:
            self._listener = listener

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
        self._listener = None
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
        if self._listener is not None:
            self._listener.upstream_pauses(True)

    def resume_writing(self) -> None:
        """The upstream takes more."""
        if self._listener is not None:
            self._listener.upstream_pauses(False)

    def data_received(self, data: bytes) -> None:
        """Bytes of the response, or of nothing that was asked for."""
        listener = self._listener
        if listener is None:
            # An upstream that speaks unasked cannot be trusted with the next request.
            self.close()
            return
        self.heard = True
        if self._answer is None:
            # Most often one read is one answer, and most often one that came before.
            found = None if self._to_head or self._buffer else self._pool.whole(data)
            if found is None:
                self._read_heads(data)
            else:
                self._end_whole(*found)
        elif self._switched:
            listener.upstream_sends(data)
        else:
            self._read_body(data)

    def eof_received(self) -> bool:
        """The upstream sends no more; over TLS this is told only by who means it (RFC 9112 9.8)."""
        self._end_told = True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._pool.forget(self)
        if self._listener is not None and error is not None and self._answer is None:
            self._read_what_is_left()
        listener, answer = self._listener, self._answer
        if listener is None:
            return
        ends = self._end_told and answer is not None and answer.length == UNTIL_END and not answer.bodiless
        if self._switched or (ends and error is None):
            self._listener = None
            listener.upstream_ends([])
            return
        self._fail("it closed the connection")

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
                if not data or self._listener is None:
                    return
                self.data_received(data)

    # the answer

    def _read_heads(self, data: bytes) -> None:
        """Read the head of the answer, and of the interim ones before it."""
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer)
            self._buffer.clear()
        while self._answer is None and self._listener is not None:
            end = data.find(b"\r\n\r\n")
            if end < 0 or end > LONGEST_HEAD:
                self._wait_for_more(data, end)
                return
            head = self._pool.head(data[:end], to_head=self._to_head)
            data = data[end + 4 :]
            if isinstance(head, str):
                self._fail(head)
                return
            if head.length == len(data) and head.status >= 200 and not head.bodiless:
                self._end_whole(head, data)
                return
            self._take_head(head)
        if self._listener is None or self._answer is None:
            return
        if self._switched:
            if data:
                self._listener.upstream_sends(data)
            return
        self._read_body(data)

    def _wait_for_more(self, data: bytes, end: int) -> None:
        if end > 0 or len(data) > LONGEST_HEAD:
            self._fail("its head is too large")
        elif data and (b"\n\n" in data or not _BEGINS.match(data)):
            self._fail("its answer is not HTTP")
        else:
            self._buffer += data

    def _take_head(self, head: ResponseHead) -> None:
        listener = self._listener
        if listener is None:
            return
        if head.status < 200 and head.status != 101:
            listener.upstream_informs(head)
            return
        if head.status == 101:
            options = b",".join(head.all(b"connection")).lower()
            if b"upgrade" not in options or b"upgrade" not in head.seen:
                self._fail("it switched protocols without saying to which")
                return
            self._switched = True
        elif head.length == CHUNKED and not head.bodiless:
            self._body = ChunkedBody()
        self._left = 0 if head.bodiless else head.length
        self._answer = head
        listener.upstream_answers(head)

    def _read_body(self, data: bytes) -> None:
        listener = self._listener
        if listener is None:
            return
        if self._body is not None:
            self._read_chunks(self._body, data)
        elif self._left == UNTIL_END:
            if data:
                listener.upstream_sends(data)
        elif len(data) <= self._left:
            self._left -= len(data)
            if data:
                listener.upstream_sends(data)
            if not self._left and self._listener is not None:
                self._end(surplus=False)
        else:
            chunk = data[: self._left]
            self._left = 0
            if chunk:
                listener.upstream_sends(chunk)
            if self._listener is not None:
                self._end(surplus=True)

    def _read_chunks(self, body: ChunkedBody, data: bytes) -> None:
        self._buffer += data
        try:
            chunk = body.take(self._buffer)
        except MalformedBodyError:
            self._fail("its body is malformed")
            return
        if chunk and self._listener is not None:
            self._listener.upstream_sends(chunk)
        if body.done and self._listener is not None:
            surplus = bool(self._buffer)
            self._buffer.clear()
            self._end(surplus=surplus, trailers=body.trailers)

    def _end_whole(self, head: ResponseHead, body: bytes) -> None:
        """The answer is whole, and came in one piece."""
        listener, transport = self._listener, self._transport
        if (
            head.keeps
            and self._request_whole
            and not self._paused
            and transport is not None
            and not transport.get_write_buffer_size()
            and not transport.is_closing()
        ):
            self._listener = None
            self.reused = True
            self._pool.give_back(self)
        else:
            self._answer = head
            self._let_go(surplus=False)
        if listener is not None:
            listener.upstream_whole(head, body)

    def _end(self, *, surplus: bool, trailers: list[bytes] = _NO_TRAILERS) -> None:
        """The answer is whole. What follows it in the same read is nobody's, and ends the connection."""
        listener = self._listener
        self._let_go(surplus=surplus)
        if listener is not None:
            listener.upstream_ends(trailers)

    def _let_go(self, *, surplus: bool) -> None:
        """Keep the connection for another request, or close it."""
        transport, answer = self._transport, self._answer
        self._listener = None
        if transport is None or answer is None:
            return
        unsent = not self._request_whole or transport.get_write_buffer_size()
        if answer.keeps and not surplus and not unsent and not transport.is_closing():
            self.reused = True
            if self._paused:
                self.pause(False)
            self._pool.give_back(self)
        else:
            transport.close()

    def _fail(self, reason: str) -> None:
        listener = self._listener
        self.close()
        if listener is not None:
            listener.upstream_fails(reason)
