"""The upstream: connections to the site, pooled, with nothing of any visitor kept in them.

Rule: a connection is used again only after a response that was whole and said nothing against it.
Rule: what the upstream sends is passed on as it came; what cannot be framed one way only is a failure, not a guess.
Source: RFC 9112 6 to 9.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools

from consent_mw.errors import ServeError

CONNECT_WITHIN = 5.0
IDLE_KEPT = 55.0
"""Seconds that an idle connection is kept; below the 60 to 75 that servers keep theirs."""

MOST_IDLE = 128
MOST_LEFT_READS = 64
LONGEST_HEAD = 262_144

_VALUE = re.compile(rb"[^\x00\r\n]*")

log = logging.getLogger("consent_mw.upstream")


class Listener(Protocol):
    """Who hears a response. Calls come in the order of the bytes."""

    def upstream_informs(self, status: int, reason: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """An interim response (1xx, but 101)."""

    def upstream_answers(self, answer: UpstreamAnswer) -> None:
        """The head of the final response (or of 101)."""

    def upstream_sends(self, chunk: bytes) -> None:
        """A part of the body; of the raw stream after 101."""

    def upstream_ends(self) -> None:
        """The response is whole."""

    def upstream_fails(self, reason: str) -> None:
        """The response will never be whole; `reason` goes on after a colon."""

    def upstream_pauses(self, paused: bool) -> None:
        """The upstream takes no more (True), or does again (False)."""


@dataclass(slots=True)
class UpstreamAnswer:
    """The head of a response. `bodiless`: by its status or its request's method it has no body."""

    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    bodiless: bool = False


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the site is. Made by `read_upstream`."""

    host: str
    port: int
    uds: str = ""
    secure: bool = False

    @property
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
    if parts.scheme not in ("http", "https") or not host or port == 0 or more or not host.isascii():
        raise ServeError(
            f"--upstream `{url}` is not of the form http://host[:port], https://host[:port] or unix:/path"
        )
    secure = parts.scheme == "https"
    return Upstream(host, port if port is not None else (443 if secure else 80), secure=secure)


class Pool:
    """Connections to one upstream, the last used first."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self._idle: deque[Connection] = deque()
        self._context = ssl.create_default_context() if upstream.secure else None

    def take(self) -> Connection | None:
        """An idle connection that still stands, or None."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now - connection.idle_since < IDLE_KEPT:
                return connection
            connection.close()
        return None

    async def connect(self) -> Connection:
        """A fresh connection. Raises OSError or TimeoutError."""
        loop = asyncio.get_running_loop()
        where = self.upstream

        def make() -> Connection:
            return Connection(self)

        async with asyncio.timeout(CONNECT_WITHIN):
            if where.uds:
                _, connection = await loop.create_unix_connection(make, where.uds)
            else:
                _, connection = await loop.create_connection(make, where.host, where.port, ssl=self._context)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep this connection for the next request."""
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)
        if len(self._idle) > MOST_IDLE:
            self._idle.popleft().close()

    def forget(self, connection: Connection) -> None:
        """This connection is gone."""
        if connection in self._idle:
            self._idle.remove(connection)

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long."""
        while self._idle and now - self._idle[0].idle_since >= IDLE_KEPT:
            self._idle.popleft().close()

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()


class Connection(asyncio.Protocol):
    """One connection to the upstream; serves one request at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._listener: Listener | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer = UpstreamAnswer(0, b"")
        self._head = False
        self._size = 0
        self._answered = False
        self._tunnel = False
        self._until_end = False
        self._reason = ""
        self._complete = False
        self._keeps = False
        self._surplus = False
        self._request_whole = False
        self.idle_since = 0.0
        self.reused = False
        self.heard = False

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing() and self._listener is None

    def begin(self, listener: Listener, head: bytes, *, bodiless: bool) -> None:
        """Send this request head; the listener hears the response. `bodiless`: the request was a HEAD."""
        self._listener = listener
        self._head = bodiless
        self._answered = self.heard = False
        self._until_end = self._complete = self._surplus = self._request_whole = False
        self._next_message()
        self.write(head)

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
        if paused:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def close(self) -> None:
        """End the connection; nobody is told."""
        self._listener = None
        if self._transport is not None:
            self._transport.abort()

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
        if self._listener is None:
            # An upstream that speaks unasked cannot be trusted with the next request.
            self.close()
            return
        self.heard = True
        if self._tunnel:
            self._listener.upstream_sends(data)
            return
        self._feed(data)

    def eof_received(self) -> bool:
        """The upstream sends no more."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._pool.forget(self)
        listener = self._listener
        if listener is None:
            return
        if error is not None and not self._answered:
            self._read_what_is_left()
        if self._listener is None:
            return
        if self._tunnel or (self._until_end and error is None):
            self._listener = None
            listener.upstream_ends()
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
                self.heard = True
                self._feed(data)

    # the parser's callbacks

    def on_status(self, reason: bytes) -> None:
        """The reason phrase."""
        self._answer.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field."""
        self._size += len(name) + len(value) + 4
        if self._complete:
            return
        if self._size > LONGEST_HEAD or not _VALUE.fullmatch(value):
            self._reason = "its head is too large or malformed"
            return
        self._answer.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        parser, listener = self._parser, self._listener
        if parser is None or listener is None or self._reason or self._complete:
            return
        answer = self._answer
        answer.status = parser.get_status_code()
        if 100 <= answer.status < 200 and answer.status != 101:
            listener.upstream_informs(answer.status, answer.reason, answer.headers)
            return
        self._reason = _framing_problem(answer.headers)
        if answer.status == 101 and not parser.should_upgrade():
            self._reason = "it switched protocols without saying to which"
        if self._reason:
            return
        answer.bodiless = self._head or answer.status in (204, 304)
        names = {name.lower() for name, _ in answer.headers}
        framed = b"content-length" in names or b"transfer-encoding" in names
        self._until_end = not framed and not answer.bodiless and answer.status != 101
        self._answered = True
        self._keeps = parser.should_keep_alive() and not self._until_end
        listener.upstream_answers(answer)

    def on_body(self, chunk: bytes) -> None:
        """A part of the body."""
        if self._answer.bodiless:
            self._surplus = True
        elif self._listener is not None and self._answered and not self._complete:
            self._listener.upstream_sends(chunk)

    def on_message_complete(self) -> None:
        """The message is whole; an interim one is followed by another."""
        # The end is told after the parser returns: what follows in the same read is nobody's answer.
        if self._answered and not self._until_end and self._answer.status != 101:
            self._complete = True

    def _next_message(self) -> None:
        self._answer = UpstreamAnswer(0, b"")
        self._size = 0
        self._reason = ""
        self._parser = httptools.HttpResponseParser(self)

    def _feed(self, data: bytes) -> None:
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._become_tunnel(data[upgrade.args[0] :])
            return
        except httptools.HttpParserCallbackError:
            log.exception("an answer could not be relayed")
            self._fail("it cannot be relayed")
            return
        except httptools.HttpParserError:
            # After a response that has no body, a parser that waits for one fails on what follows.
            if self._listener is not None and (self._complete or (self._answered and self._answer.bodiless)):
                self._surplus = True
                self._end()
            elif self._listener is not None:
                self._fail("its answer is not HTTP")
            return
        if self._reason:
            self._fail(self._reason)
        elif self._listener is not None and (self._complete or (self._answered and self._answer.bodiless)):
            self._end()

    def on_message_begin(self) -> None:
        """Another message: what was an interim response is done with; after a final one it was not asked for."""
        if self._complete:
            self._surplus = True
        if not self._answered:
            self._answer = UpstreamAnswer(0, b"")
            self._size = 0

    def _become_tunnel(self, rest: bytes) -> None:
        if self._answer.status != 101 or self._listener is None or not self._answered:
            self._fail("it switched protocols unasked")
            return
        self._tunnel = True
        if rest:
            self._listener.upstream_sends(rest)

    def _end(self) -> None:
        listener, parser = self._listener, self._parser
        self._listener = None
        self._parser = None
        keeps = self._keeps and self._request_whole and not self._surplus and parser is not None
        transport = self._transport
        if keeps and transport is not None and not transport.is_closing() and not transport.get_write_buffer_size():
            transport.resume_reading()
            self.reused = True
            self._pool.give_back(self)
        elif self._transport is not None:
            self._transport.close()
        if listener is not None:
            listener.upstream_ends()

    def _fail(self, reason: str) -> None:
        listener = self._listener
        self.close()
        if listener is not None:
            listener.upstream_fails(reason)


def _framing_problem(headers: list[tuple[bytes, bytes]]) -> str:
    """Why this response cannot be framed one way only, or nothing (RFC 9112 6.3)."""
    lengths = {value for name, value in headers if name.lower() == b"content-length"}
    codings = [value.lower() for name, value in headers if name.lower() == b"transfer-encoding"]
    if len(lengths) > 1 or any(not length.isdigit() for length in lengths):
        return "its Content-Length is malformed"
    if codings and (codings != [b"chunked"] or lengths):
        return "its framing is ambiguous"
    return ""
