"""The channel: messages between the first process and a worker, over a pair of sockets that only they have.

Rule: a message is a tuple of plain values, so that reading one runs nothing; both ends run the same interpreter.
Rule: the messages of one turn of the loop go out in one write, in order; the end of the other side is told once.
"""

from __future__ import annotations

import asyncio
import marshal
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

Message = tuple[Any, ...]

_LENGTH = struct.Struct("!I")


class Channel(asyncio.Protocol):
    """One end. `heard` gets every message, `lost` is called when the other end is gone."""

    def __init__(self, heard: Callable[[Message], None], lost: Callable[[], None]) -> None:
        self._heard = heard
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._buffer = bytearray()

    @classmethod
    async def over(cls, end: socket.socket, heard: Callable[[Message], None], lost: Callable[[], None]) -> Channel:
        """A channel over this socket, which is its own from now on."""
        loop = asyncio.get_running_loop()
        channel = cls(heard, lost)
        await loop.create_unix_connection(lambda: channel, sock=end)
        return channel

    def send(self, message: Message) -> None:
        """Send a message; to an end that is gone, nothing."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        data = marshal.dumps(message)
        self._unsent += (_LENGTH.pack(len(data)), data)

    def close(self) -> None:
        """Send what waits, then end."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The channel stands."""
        # uvloop's transports are not registered as asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of messages."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            end = start + _LENGTH.size + length
            if end > len(buffer):
                break
            message = marshal.loads(bytes(buffer[start + _LENGTH.size : end]))  # noqa: S302  plain values of our own
            start = end
            self._heard(message)
        del buffer[:start]

    def connection_lost(self, error: Exception | None) -> None:
        """The other end is gone."""
        self._transport = None
        self._lost()

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if unsent and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(unsent))
