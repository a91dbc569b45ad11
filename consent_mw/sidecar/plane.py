"""The data plane: it listens, sweeps what is late, drains, and holds what all connections share.

Rule: readiness fails first, then nothing new is taken, then what is under way may end until the deadline.
Rule: the access log names no person: no address, no query, no header value.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Mapping

from consent_mw.asgi.gate import Gate
from consent_mw.errors import ServeError
from consent_mw.sidecar.client import Client
from consent_mw.wire.request_head import Refusal
from consent_mw.world.upstream import Pool, Upstream

HEAD_WITHIN = 10.0
IDLE_WITHIN = 75.0
ANSWER_WITHIN = 60.0
BODY_WITHIN = 300.0
SWEEP_EVERY = 1.0


class Plane:
    """One listening reverse proxy before one upstream, under one gate."""

    def __init__(self, gate: Gate, upstream: Upstream, *, access_log: bool = True) -> None:
        self.gate = gate
        self.pool = Pool(upstream)
        self.secure = False
        self.clients: set[Client] = set()
        self.counts: Counter[str] = Counter()
        self.draining = False
        self._empty = asyncio.Event()
        self._access_log = access_log
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None

    def now(self) -> float:
        """Seconds on the loop's clock."""
        return asyncio.get_running_loop().time()

    def left(self, client: Client) -> None:
        """This client is gone."""
        self.clients.discard(client)
        if not self.clients:
            self._empty.set()

    def count(self, name: str) -> None:
        """Count something by a fixed name."""
        self.counts[name] += 1

    def log(self, entry: Mapping[str, object]) -> None:
        """One line of the access log."""
        if self._access_log:
            sys.stderr.write(json.dumps(entry) + "\n")

    async def listen(self, host: str, port: int, uds: str = "") -> str:
        """Begin to listen; returns the address as a person writes it. Raises ServeError where it is taken."""
        loop = asyncio.get_running_loop()
        try:
            if uds:
                self._server = await loop.create_unix_server(lambda: Client(self), uds)
            else:
                self._server = await loop.create_server(lambda: Client(self), host, port, backlog=2048)
        except OSError as error:
            where = uds or f"{host}:{port}"
            raise ServeError(f"cannot listen on {where}: {error.strerror or error}") from error
        self._sweeping = loop.create_task(self._sweep())
        if uds:
            return f"unix:{uds}"
        name = self._server.sockets[0].getsockname()
        return f"http://[{name[0]}]:{name[1]}" if ":" in name[0] else f"http://{name[0]}:{name[1]}"

    async def drain(self, seconds: float) -> None:
        """Take nothing new, let what is under way end within these seconds, then close."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for client in [one for one in self.clients if one.idle]:
            client.close()
        if self.clients:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)
        for client in list(self.clients):
            client.break_off()
        if self._sweeping is not None:
            self._sweeping.cancel()
        self.pool.close()

    async def _sweep(self) -> None:
        """End what is late, once a second for all connections."""
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            now = self.now()
            for client in list(self.clients):
                self._look_at(client, now)

    def _look_at(self, client: Client, now: float) -> None:
        turn = client.turn
        if client.waits_for_head and now - client.since > HEAD_WITHIN:
            client.refuse(Refusal(408, "the request head took too long"))
        elif client.idle and now - client.since > IDLE_WITHIN:
            client.close()
        elif turn is not None and not turn.tunnel:
            waited = now - turn.waiting_since
            if not turn.asked and waited > ANSWER_WITHIN:
                client.refuse(Refusal(408, "the request body took too long"))
            elif turn.asked and waited > (BODY_WITHIN if turn.started else ANSWER_WITHIN):
                turn.expire()
