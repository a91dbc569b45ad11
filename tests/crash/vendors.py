"""The vendors of the crash run: real sockets that answer well, late, busy, broken, or not at all.

Rule: what has come to a vendor's socket before a withdrawal was answered may be read after it; `Vendors.mark` tells
      the two apart.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import random
import re
import select
import socket
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from tests.crash.site import MARK, PURPOSES

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a vendor behaves: of a hundred requests so many are answered late, with 500, with 429, or read and then
    not answered."""

    good: bytes
    late: int = 0
    broken: int = 0
    busy: int = 0
    silent: int = 0


_NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
_BUSY = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"

MANNERS: Mapping[str, Manner] = {
    "hook": Manner(_NOTHING, late=10, silent=1),
    "rough": Manner(_NOTHING, late=20, broken=12, busy=3, silent=6),
    "batch": Manner(_JSON, late=20, broken=5, silent=5),
    "once": Manner(_ACCEPTED, late=20, busy=2, silent=3),
    "logs": Manner(_JSON, late=30, busy=3, silent=5),
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that came whole: when its first byte was there, the marks of its events, its bytes, and whether it
    was taken, as far as its sender knows: it was not told to try again."""

    began: float
    marks: tuple[str, ...]
    raw: bytes
    taken: bool


class Vendor:
    """One vendor: what came, in order."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name = name
        self.arrivals: list[Arrival] = []
        self.patient = False
        self.peers: set[_Peer] = set()
        self.queued_at = 0.0
        self._chance = chance
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Take connections."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Peer(self), sock=self._listener)

    def stop(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()
        for peer in list(self.peers):
            peer.end()

    def mark(self, now: float) -> None:
        """What has come by now and is not read yet came before this."""
        for peer in self.peers:
            peer.mark(now)
        if select.select([self._listener], [], [], 0)[0]:
            self.queued_at = now
            asyncio.get_running_loop().call_later(0.05, self._taken)

    def answer(self) -> tuple[bytes, float]:
        """The next answer (nothing: the connection ends) and the seconds until it is given."""
        manner = MANNERS[self.name]
        if self.patient:
            return manner.good, 0.0
        dice = self._chance.uniform(0, 100)
        for chance, said in ((manner.silent, b""), (manner.broken, _BROKEN), (manner.busy, _BUSY)):
            if dice < chance:
                return said, self._chance.uniform(0, 0.05)
            dice -= chance
        return manner.good, self._chance.uniform(0.02, 0.25) if dice < manner.late else 0.0

    def _taken(self) -> None:
        self.queued_at = 0.0


class _Peer(asyncio.Protocol):
    """One connection of whoever delivers."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self._got = bytearray()
        self._began = 0.0
        self._transport: asyncio.Transport | None = None

    def mark(self, now: float) -> None:
        """See Vendor."""
        if self._began or self._transport is None:
            return
        waiting = array.array("i", [0])
        fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.FIONREAD, waiting)
        if waiting[0]:
            self._began = now

    def end(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._vendor.peers.add(self)
        self._began = self._vendor.queued_at

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._vendor.peers.discard(self)

    def data_received(self, data: bytes) -> None:
        self._began = self._began or asyncio.get_running_loop().time()
        self._got += data
        head, found, _ = bytes(self._got).partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if not found or len(self._got) < len(head) + 4 + int(length[1] if length else 0):
            return
        raw, self._got = bytes(self._got), bytearray()
        marks = tuple(dict.fromkeys(one.decode() for one in MARK.findall(raw)))
        said, after = self._vendor.answer()
        self._vendor.arrivals.append(Arrival(self._began, marks, raw, said not in (_BROKEN, _BUSY)))
        self._began = 0.0
        asyncio.get_running_loop().call_later(after, self._answer, said)

    def _answer(self, said: bytes) -> None:
        if self._transport is None:
            return
        if said:
            self._transport.write(said)
        else:
            self._transport.abort()


class Vendors:
    """All vendors."""

    def __init__(self, seed: int) -> None:
        self.by_name = {name: Vendor(name, random.Random(f"{seed} {name}")) for name in PURPOSES}

    @property
    def ports(self) -> dict[str, int]:
        """Where each listens."""
        return {name: one.port for name, one in self.by_name.items()}

    async def start(self) -> None:
        """Take connections."""
        for one in self.by_name.values():
            await one.start()

    def mark(self, now: float) -> None:
        """See Vendor."""
        for one in self.by_name.values():
            one.mark(now)

    def become_patient(self) -> None:
        """From now on everything is answered well and at once."""
        for one in self.by_name.values():
            one.patient = True

    def stop(self) -> None:
        """Take no more."""
        for one in self.by_name.values():
            one.stop()

    def counts(self) -> dict[str, Any]:
        """How many requests came to each."""
        return {name: len(one.arrivals) for name, one in self.by_name.items()}
