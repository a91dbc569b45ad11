"""The front: the data plane of one process with what it listens on, from its first connection to its last.

Rule: where several processes share a socket, each takes one connection at a time, and lets go first who has fewer.
Rule: a drain warns first, then takes what waits in the queue but no more, then ends or cuts what is under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from consent_mw.asgi.gate import Gate
from consent_mw.core.account import Told, tell
from consent_mw.sidecar.announced import announced_client
from consent_mw.sidecar.configuration import Configuration, read_certificates
from consent_mw.sidecar.downstream import Client
from consent_mw.sidecar.plane import Plane
from consent_mw.sidecar.scales import Share
from consent_mw.sidecar.settings import Settings
from consent_mw.sidecar.sockets import BACKLOG, HANDSHAKES_WITHIN, begin_no_more
from consent_mw.wire.address import Trust
from consent_mw.world.access_log import AccessLog
from consent_mw.world.metrics import Meters
from consent_mw.world.upstream import Pool

SEARCHED_AFTER = (20_000, 20, 50)
"""New objects, and searches of younger ones, after which garbage in cycles is searched for."""

RESTS = 0.5
YIELDS = 0.001
ASKS_WITHIN = 1.0
"""Seconds: without accepting, after the system had nothing left to accept with; for a process with less to do to
accept first; for the last connections to send a request."""

SWEPT_EVERY = 1.0
"""Seconds between looks at the deadlines."""

SHAKEN_WITHIN = 10.0
CLOSED_WITHIN = 5.0
"""Seconds for a handshake of TLS, and for its end."""


class Front:
    """Serves browsers on these sockets through this gate; where other processes listen on them too, with a share."""

    def __init__(
        self, settings: Settings, gate: Gate, sockets: Sequence[socket.socket], share: Share | None = None
    ) -> None:
        self.gate = gate
        self.plane = Plane(gate, Pool(settings.upstream), Meters(), self._log(settings))
        self._certificates = read_certificates(settings)
        self._sockets = list(sockets)
        self._kept = settings.handed
        self._share = share
        self._balancers = Trust(settings.balancers)
        self._servers: list[asyncio.Server] = []
        self._accepting: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def _log(self, settings: Settings) -> AccessLog:
        descriptor = sys.stderr.fileno() if settings.access_log else None
        return AccessLog(descriptor, lambda: self.gate.policy.redact)

    async def open(self) -> None:
        """Take connections."""
        for one in self._sockets:
            if self._share is not None:
                self._share.note(0)
            if self._accepts:
                self._loop.add_reader(one.fileno(), self._accept_fairly, one)
                continue
            # A copy: the server closes its own, and what waits in the queue then is still to be served.
            self._servers.append(await self._serve(one.dup()))
        self._sweeping = self._loop.create_task(self._sweep())
        # What stands now stays, and requests leave nothing in cycles: it need not be searched at every few of them.
        gc.freeze()
        gc.set_threshold(*SEARCHED_AFTER)

    async def _serve(self, listening: socket.socket) -> asyncio.Server:
        tls = self._tls
        if listening.family == socket.AF_UNIX:
            return await self._loop.create_unix_server(self._client, sock=listening, backlog=BACKLOG, **tls)
        return await self._loop.create_server(self._client, sock=listening, backlog=BACKLOG, **tls)

    @property
    def _tls(self) -> dict[str, Any]:
        if self._certificates is None:
            return {}
        context = self._certificates.context
        return {"ssl": context, "ssl_handshake_timeout": SHAKEN_WITHIN, "ssl_shutdown_timeout": CLOSED_WITHIN}

    def _client(self) -> Client:
        return Client(self.plane)

    def prepare(self, configuration: Configuration) -> Callable[[], None]:
        """Work out all that this needs; what is returned puts it in force and cannot fail. May run in any thread.
        Raises ServeError, and changes nothing, where something cannot be used."""
        changes = [self.gate.prepare(configuration.policy, configuration.keyring)]
        if self._certificates is not None:
            changes.append(self._certificates.prepare())

        def put_in_force() -> None:
            for change in changes:
                change()
            self.plane.admissions.forget()
            self.plane.pool.heads.forget()
            self.plane.log.turn()

        return put_in_force

    def explain(self, request: str) -> Told | None:
        """What was decided about the request whose line in the access log has this id; None where it is not
        remembered."""
        try:
            return tell(self.plane.log.account(request))
        except LookupError:
            return None

    def totals(self) -> dict[str, float]:
        """What this process has counted."""
        return {
            **self.plane.meters.totals(),
            **self.gate.counts,
            "log_line_lost": self.plane.log.lost,
        }

    async def drain(self, seconds: float, warning: float, hurry: asyncio.Event) -> None:
        """End within `seconds`; take connections for the first `warning` of them; at once if `hurry` is set."""
        end = self._loop.time() + seconds
        # What is answered from now on closes its connection, while new connections are still served.
        self.plane.draining = True
        await _either(hurry, warning)
        # Somebody else's sockets are open after this: who waits in their queue then is served by whoever is next.
        begun = [] if self._kept else [one for one in self._sockets if begin_no_more(one)]
        if begun:
            await _either(hurry, HANDSHAKES_WITHIN)
        await self._stop_listening()
        # Who was just connected has a moment to ask: its first answer closes the connection.
        await _either(hurry, min(warning, ASKS_WITHIN))
        self.plane.drain()
        while self.plane.connections and not hurry.is_set() and self._loop.time() < end:  # noqa: ASYNC110  once
            await asyncio.sleep(0.05)
        for connection in list(self.plane.connections):
            connection.abort()

    async def close(self) -> None:
        """Let go of everything that is not the gate's."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._stop_listening()
        for connection in list(self.plane.connections):
            connection.abort()
        self.plane.pool.close()
        await asyncio.to_thread(self.plane.log.close)

    async def _stop_listening(self) -> None:
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            if self._accepts:
                self._loop.remove_reader(one.fileno())
            if not self._kept and one.family == socket.AF_UNIX:
                with contextlib.suppress(OSError):  # not every system can
                    one.shutdown(socket.SHUT_RD)  # refuses whoever is not in its queue yet
            while self._accept(one):
                pass
            one.close()
        if self._accepting:
            await asyncio.wait(self._accepting, timeout=RESTS)

    @property
    def _accepts(self) -> bool:
        """Whether connections are taken here, one by one, and not by the loop: to share them, or to hear a balancer
        before anything else."""
        return self._share is not None or bool(self._balancers)

    def _accept_fairly(self, listening: socket.socket) -> None:
        """Take one connection, unless another process has fewer: then it has a moment to take it."""
        mine = len(self.plane.connections) + len(self._accepting)
        if self._share is not None and self._share.may_wait(mine):
            self._rest(listening, YIELDS)
            return
        self._accept(listening)

    def _accept(self, listening: socket.socket) -> bool:
        """Take one connection; whether there may be more."""
        try:
            peer, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError:
            # No descriptors left, or the like: asked again at once it would fail again at once.
            self._rest(listening, RESTS)
            return False
        peer.setblocking(False)
        task = self._loop.create_task(self._connect(peer))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        return True

    def _rest(self, listening: socket.socket, seconds: float) -> None:
        if self._accepts and listening in self._sockets:
            self._loop.remove_reader(listening.fileno())
            self._loop.call_later(seconds, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._accept(listening)
            self._loop.add_reader(listening.fileno(), self._accept_fairly, listening)

    async def _connect(self, peer: socket.socket) -> None:
        client = await announced_client(peer, self._balancers)
        if client is None:
            peer.close()
            return
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(lambda: Client(self.plane, client), peer, **self._tls)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEPT_EVERY)
            self.plane.sweep()
            if self._share is not None:
                self._share.note(len(self.plane.connections))


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Wait for this long, or for the event."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
