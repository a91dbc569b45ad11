"""The uplink: one request on its way to the site, on a connection that is made for it if need be.

Rule: what a browser sends before there is a connection waits for it.
Rule: a request is sent again only if nothing of it can have been acted on (RFC 9110 9.2.2).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from typing import Protocol

from consent_mw.sidecar.plane import Downlink
from consent_mw.wire.fields import read_request_fields
from consent_mw.wire.request_head import RequestHead
from consent_mw.wire.trailers import last_chunk, passable
from consent_mw.world.upstream import CONNECT_WITHIN, Connection, Listener

FIRST_BYTE_WITHIN = 60.0
"""Seconds for the site to answer."""

_NOBODY: frozenset[str] = frozenset()
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})

log = logging.getLogger("consent_mw.sidecar")


class Asker(Listener, Protocol):
    """Who hears the answer, or that there will be none."""

    def upstream_refuses(self, status: int, reason: str) -> None:
        """The site takes no connection; `reason` goes on after `the site behind this proxy`."""


class Uplink:
    """One request. `whole` once all of it came; `connection` is what it was sent on, until the answer is whole."""

    whole = False
    connection: Connection | None = None
    _rendered = b""
    _connecting: asyncio.Task[None] | None = None
    _unsent: list[bytes] | None = None
    _repeated = False
    _stalled_by = _NOBODY

    def __init__(self, client: Downlink, head: RequestHead) -> None:
        self._client = client
        self._head = head

    def send(self, asker: Asker, rendered: bytes) -> None:
        """Send this head, and what waits behind it, on a connection that is idle or on a fresh one."""
        self._rendered = rendered
        connection = None if self._repeated else self._client.plane.pool.take()
        if connection is not None:
            self._start_on(connection, asker)
            return
        self._client.pause("upstream", True)
        # What a browser has left of its own time (for a head, between requests) is not the site's.
        self._client.wait(CONNECT_WITHIN + FIRST_BYTE_WITHIN)
        self._connecting = asyncio.get_running_loop().create_task(self._connect(asker))

    def repeat(self, asker: Asker) -> bool:
        """Send the request again after its connection failed, where that is harmless; whether it is."""
        connection, self.connection = self.connection, None
        stale = connection is not None and connection.reused and not connection.heard
        if not stale or self._repeated or self._head.length != 0 or self._head.method not in _REPEATABLE:
            return False
        self._repeated = True
        self.send(asker, self._rendered)
        return True

    def take_over(self, rendered: bytes, connection: Connection | None) -> None:
        """Go on with a whole request that this connection was sent; None where it is done with it."""
        self.whole, self._rendered, self.connection = True, rendered, connection

    async def _connect(self, asker: Asker) -> None:
        try:
            connection = await self._client.plane.pool.connect()
        except (OSError, UnicodeError) as error:
            self._connecting = None
            asker.upstream_refuses(*_refused(error))
            return
        self._connecting = None
        # In this order: what is sent may pause the browser for a reason of its own.
        self._client.pause("upstream", False)
        self._start_on(connection, asker)

    def _start_on(self, connection: Connection, asker: Asker) -> None:
        self.connection = connection
        connection.begin(asker, self._rendered, bodiless=self._head.method == b"HEAD")
        for chunk in self._unsent or ():
            connection.write(chunk)
        self._unsent = None
        self._stalled_by = _NOBODY
        if self._client.stalled:
            self.stall("browser", True)
        if self.whole:
            connection.finish_request()
            self._client.wait(FIRST_BYTE_WITHIN)

    def feed(self, chunk: bytes) -> None:
        """A part of the request's body."""
        self._pass_on(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._head.length is None else chunk)

    def finish(self, trailers: Sequence[bytes]) -> None:
        """The request is whole; the lines of its trailers."""
        self.whole = True
        if self._head.length is None:
            self._pass_on(last_chunk(passable(read_request_fields(list(trailers)))))
        if self.connection is not None:
            self.connection.finish_request()

    def _pass_on(self, data: bytes) -> None:
        if self.connection is not None:
            self.connection.write(data)
        elif self._connecting is not None:
            if self._unsent is None:
                self._unsent = []
            self._unsent.append(data)

    def stall(self, why: str, stalled: bool) -> None:
        """Take no more of the answer for this reason, or no longer for it."""
        before = bool(self._stalled_by)
        self._stalled_by = self._stalled_by | {why} if stalled else self._stalled_by - {why}
        if self.connection is not None and before != bool(self._stalled_by):
            self.connection.pause(bool(self._stalled_by))

    def drop(self, *, flush: bool) -> None:
        """Break the request off. `flush`: what is written already is still sent."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close(flush=flush)


def _refused(error: OSError | UnicodeError) -> tuple[int, str]:
    """The status and the reason of an answer to a request that no connection can be made for."""
    if isinstance(error, TimeoutError):
        return 504, "did not take the connection in time"
    if not isinstance(error, ssl.SSLError):
        return 502, "cannot be reached"
    log.warning("the upstream's TLS is not trusted: %s", error.reason or error)
    return 502, "cannot be reached: its certificate is not trusted"
