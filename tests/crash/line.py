"""A connection of a browser of the crash run: one request after the other, over raw bytes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import httptools


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its Set-Cookie values, its body."""

    status: int
    cookies: list[str]
    body: bytes


class Line(asyncio.Protocol):
    """A connection of a browser: one request after the other."""

    def __init__(self) -> None:
        self.ended = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Reply] | None = None
        self._parser: Any = None
        self._cookies: list[str] = []
        self._body = b""

    async def ask(self, raw: bytes) -> Reply:
        """Send this and wait for the answer. Raises OSError."""
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._cookies, self._body = [], b""
        if self.ended or self._transport is None:
            raise ConnectionResetError
        self._transport.write(raw)
        return await self._answer

    def close(self) -> None:
        """End it."""
        self.ended = True
        self._parser = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            if self._parser is not None:
                self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._parser = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError())

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"set-cookie":
            self._cookies.append(value.decode("latin-1"))
        elif name.lower() == b"connection" and value.lower() == b"close":
            self.ended = True

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Reply(self._parser.get_status_code(), self._cookies, self._body))
