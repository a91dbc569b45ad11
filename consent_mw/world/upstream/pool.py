"""Connections to the site, pooled, with nothing of any visitor kept in them.

Rule: a connection is used again only after a response that was whole and said nothing against it.
Rule: at the bound requests wait in order; what is given to who is gone is the next one's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque

from consent_mw.world.upstream.connection import Connection
from consent_mw.world.upstream.heads import Heads
from consent_mw.world.upstream.place import Upstream

CONNECT_WITHIN = 5.0
IDLE_KEPT = 55.0
"""Seconds that an idle connection is kept; below the 60 to 75 that servers keep theirs."""

MOST_OPEN = 1024
MOST_IDLE = 512
"""Connections at once, and those of them that are kept while idle."""

HEADS_AGE = 4
"""Seconds after which a head that was not seen is forgotten at the latest, twice."""


class Pool:
    """Connections to one upstream, the last used first; at the bound requests wait in order for one."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self._idle: deque[Connection] = deque()
        self._open = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._context = ssl.create_default_context() if upstream.secure else None
        self._swept = 0
        self.heads = Heads()

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

    def sweep(self) -> None:
        """Close what has been idle for too long; called once a second."""
        for connection in self._idle:
            connection.aged += 1
        while self._idle and self._idle[0].aged > IDLE_KEPT:
            self._idle.popleft().close()
        self._swept += 1
        if self._swept % HEADS_AGE == 0:
            self.heads.age()

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()
