"""Serving: the first process from its sockets to its last answer.

Rule: what cannot work is told before anything is served.
Rule: on SIGTERM readiness fails first, then nothing new is taken, then what is under way ends or is cut, then what
was accepted is delivered as far as the time goes. A second SIGTERM ends at once, with everything accepted on disk.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from consent_mw.sidecar.admin import Admin
from consent_mw.sidecar.configuration import Configuration
from consent_mw.sidecar.crew import Alone, Crew
from consent_mw.sidecar.reloading import Reloading
from consent_mw.sidecar.settings import Settings
from consent_mw.sidecar.sockets import Sockets, address_of
from consent_mw.world.systemd import Notifier
from consent_mw.world.watch import Watch


async def serve(
    settings: Settings,
    configuration: Configuration,
    sockets: Sockets,
    announce: Callable[[str], None],
    notifier: Notifier | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConsentError where serving cannot begin."""
    service = Service(settings, configuration, sockets, notifier or Notifier())
    try:
        await service.start()
        announce(service.greeting)
        await service.stopped.wait()
        await service.drain()
    finally:
        await service.close()


class Service:
    """One run of the sidecar, as its first process sees it."""

    def __init__(
        self, settings: Settings, configuration: Configuration, sockets: Sockets, notifier: Notifier
    ) -> None:
        self.stopped = asyncio.Event()
        self._hurry = asyncio.Event()
        self._settings = settings
        self._sockets = sockets
        self._notifier = notifier
        self._crew = _crew(settings, configuration, sockets)
        self._reloading = Reloading(settings, configuration, self._crew, notifier)
        self._admin = Admin(self._crew, self._reloading, settings.admin_token, log=settings.access_log)
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time()

    @property
    def greeting(self) -> str:
        """Where everything is."""
        where = address_of(self._sockets.browsers[0], "https" if self._settings.tls_cert else "http")
        told = f"consent-mw: listening on {where}, upstream {self._settings.upstream}"
        return told + "".join(f", admin {address_of(one)}" for one in self._sockets.admin[:1])

    async def start(self) -> None:
        """Take requests, and hear the operator."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._told_to_stop)
        self._loop.add_signal_handler(signal.SIGHUP, self._told_to_reload)
        await self._crew.start()
        for one in self._sockets.admin:
            server = asyncio.start_unix_server if one.family.name == "AF_UNIX" else asyncio.start_server
            self._servers.append(await server(self._admin.serve, sock=one))
        if self._settings.watch:
            watch = Watch(self._reloading.files, lambda: self._reloading.seen, self._reloading.reload_aloud)
            self._begin(watch.run())
        if self._notifier.watchdog:
            self._begin(self._show_life())
        self._notifier.ready(self._reloading.status)

    async def drain(self) -> None:
        """End within the time for it."""
        self._end = self._loop.time() + self._settings.drain
        self._notifier.stopping()
        await self._crew.drain(self._hurry)

    async def close(self) -> None:
        """Deliver as far as the time goes, and let go of everything."""
        left = max(self._end - self._loop.time(), 0.0)
        await self._crew.stop(0.0 if self._hurry.is_set() else left, self._hurry)
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._sockets.close()

    def _told_to_stop(self) -> None:
        if self.stopped.is_set():
            self._hurry.set()
        self.stopped.set()

    def _told_to_reload(self) -> None:
        if not self.stopped.is_set():
            self._begin(self._reloading.reload_aloud())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _show_life(self) -> None:
        while True:
            self._notifier.alive()
            await asyncio.sleep(self._notifier.watchdog / 2)


def _crew(settings: Settings, configuration: Configuration, sockets: Sockets) -> Crew:
    if settings.workers == 1:
        return Alone(settings, configuration, sockets)
    from consent_mw.sidecar.supervisor import Supervised

    return Supervised(settings, configuration, sockets)
