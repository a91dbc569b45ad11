"""The crew: whoever serves browsers, one process or several, as the first process sees it.

Rule: what is put in force is in force everywhere, or nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable
from typing import Protocol

from consent_mw.asgi.gate import Gate
from consent_mw.core.account import Told
from consent_mw.core.inventory import Item
from consent_mw.errors import StoreError
from consent_mw.sidecar.configuration import Configuration
from consent_mw.sidecar.front import Front
from consent_mw.sidecar.settings import Settings
from consent_mw.sidecar.sockets import Sockets
from consent_mw.world.store import Store

Counted = tuple[dict[str, float], dict[str, float]]
"""What only grows, and what holds now, by the names of metrics."""


class Crew(Protocol):
    """One process or several. `bypassed`: the kill switch is on; `draining`: readiness has failed."""

    bypassed: bool
    draining: bool

    @property
    def ready(self) -> bool:
        """Whether every process takes requests, with all that it needs loaded."""

    @property
    def store_healthy(self) -> bool:
        """Whether the store takes what it is given."""

    @property
    def ledger_head(self) -> str:
        """The head of the ledger; empty while there is none."""

    @property
    def databases_sound(self) -> bool:
        """Whether no process found a location database damaged."""

    def members(self) -> list[dict[str, object]]:
        """Each worker with its process and the digest of its policy; none where there is one process."""

    async def start(self) -> None:
        """Take requests. Raises ConsentError where that cannot be."""

    async def adopt(self, configuration: Configuration) -> None:
        """Put this in force everywhere. Raises ConsentError, and changes nothing, where one process cannot."""

    async def bypass(self, on: bool) -> None:
        """Turn the kill switch everywhere."""

    async def counted(self) -> Counted:
        """What all processes have counted."""

    async def inventory(self) -> list[Item]:
        """What report mode counted. Raises StoreError where the store cannot say."""

    async def explain(self, request: str) -> Told | None:
        """What was decided about the request whose line in the access log has this id; None where nobody remembers
        it. Raises TimeoutError where somebody who may does not answer."""

    async def drain(self, hurry: asyncio.Event) -> None:
        """Warn, take no more, end what is under way or cut it."""

    async def stop(self, seconds: float, hurry: asyncio.Event) -> None:
        """Deliver for this long, then close the store."""


class Alone:
    """A crew of one: everything in this process."""

    def __init__(self, settings: Settings, configuration: Configuration, sockets: Sockets) -> None:
        self._settings = settings
        self._gate = Gate(configuration.policy, configuration.keyring, settings.store, say=say)
        self._sockets = sockets
        self._front: Front | None = None
        self.draining = False

    @property
    def bypassed(self) -> bool:
        """The kill switch."""
        return self._gate.bypassed

    @bypassed.setter
    def bypassed(self, on: bool) -> None:
        self._gate.bypassed = on

    @property
    def ready(self) -> bool:
        """A store that fails later leaves the site up (SPEC 10), so that it takes nobody out of service."""
        gate = self._gate
        return gate.started and gate.store is not None and self.databases_sound and not self.draining

    @property
    def store_healthy(self) -> bool:
        """Whether the store takes what it is given."""
        return self._gate.healthy

    @property
    def ledger_head(self) -> str:
        """The head of the ledger; empty while there is none."""
        return self._gate.store.head if self._gate.store is not None else ""

    @property
    def databases_sound(self) -> bool:
        """Whether no location database was found damaged."""
        return not self._gate.locator.problems

    def members(self) -> list[dict[str, object]]:
        """There is nobody else."""
        return []

    async def start(self) -> None:
        """Open the store, then take requests."""
        await self._gate.start(strict=True)
        self._front = Front(self._settings, self._gate, self._sockets.browsers)
        await self._front.open()

    async def adopt(self, configuration: Configuration) -> None:
        """Put this in force; requests go on meanwhile."""
        if self._front is not None:
            put_in_force = await asyncio.to_thread(self._front.prepare, configuration)
            put_in_force()

    async def bypass(self, on: bool) -> None:
        """Turn the kill switch."""
        self._gate.bypassed = on

    async def counted(self) -> Counted:
        """What this process has counted."""
        if self._front is None:
            return {}, {}
        store = self._gate.store
        totals = {**self._front.totals(), "outbox_dropped": store.dropped if store is not None else 0}
        return totals, {"connections": len(self._front.plane.connections), "workers": 1}

    async def inventory(self) -> list[Item]:
        """What report mode counted."""
        return await counted_by(self._gate.store)

    async def explain(self, request: str) -> Told | None:
        """What was decided about this request."""
        return self._front.explain(request) if self._front is not None else None

    async def drain(self, hurry: asyncio.Event) -> None:
        """Warn, take no more, end what is under way or cut it."""
        self.draining = True
        if self._front is not None:
            seconds, warning = self._settings.drain - self._settings.warning, self._settings.warning
            await self._front.drain(seconds, warning, hurry)

    async def stop(self, seconds: float, hurry: asyncio.Event) -> None:
        """Deliver for this long, then close the store."""
        if self._front is not None:
            await self._front.close()
        store = self._gate.store
        if not await within(self._gate.stop(seconds), hurry) and store is not None:
            await asyncio.to_thread(store.close)


def say(sentence: str) -> None:
    """Tell the operator, where the log is."""
    sys.stderr.write(f"consent-mw: {sentence}\n")
    sys.stderr.flush()


async def within(work: Awaitable[object], hurry: asyncio.Event) -> bool:
    """Do this work unless there is a hurry; whether it was done."""
    task = asyncio.ensure_future(work)
    hurried = asyncio.ensure_future(hurry.wait())
    await asyncio.wait({task, hurried}, return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if task.done():
        task.result()
        return True
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return False


async def counted_by(store: Store | None) -> list[Item]:
    """What this store holds that report mode counted. Raises StoreError."""
    if store is None:
        raise StoreError("the store is not open")
    return await asyncio.wrap_future(store.inventory())
