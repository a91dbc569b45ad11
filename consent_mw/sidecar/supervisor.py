"""The supervisor: the first process of several. It keeps the store and delivers; workers serve browsers for it.

Rule: a worker that ends is replaced, sooner the longer it had lived; what it had counted stays counted.
Rule: a worker that does not answer is killed and replaced, so that all end with the same policy.
Rule: the secrets that only the first process needs are in no worker's environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from consent_mw.asgi.gate import ledger_book, ledger_warning, vendor_key
from consent_mw.core.account import Told
from consent_mw.core.inventory import Item
from consent_mw.core.terms import Overflow
from consent_mw.errors import ServeError
from consent_mw.sidecar.configuration import Configuration
from consent_mw.sidecar.crew import Counted, counted_by, say, within
from consent_mw.sidecar.scales import Scales
from consent_mw.sidecar.settings import Settings
from consent_mw.sidecar.sockets import Sockets
from consent_mw.sidecar.workplace import Workplace
from consent_mw.world.delivery import Delivery
from consent_mw.world.store import Store, open_store

STARTS_WITHIN = 30.0
PREPARES_WITHIN = 30.0
OBEYS_WITHIN = 10.0
COUNTS_WITHIN = 2.0
SILENT_FOR = 30.0
ENDS_WITHIN = 3.0
"""Seconds: for a worker's start; for it to verify a configuration, to put one in force, and to tell its counts; after
which a silent one is killed; for it to end when its time is up."""

FIRST_REST = 0.1
LONGEST_REST = 30.0
LIVED = 10.0
"""Seconds until a worker is replaced, doubling up to a bound while they do not live for `LIVED`."""


class Supervised:
    """A crew of several workers; see Crew."""

    def __init__(self, settings: Settings, configuration: Configuration, sockets: Sockets) -> None:
        self.bypassed = False
        self.draining = False
        self._settings = settings
        self._configuration = configuration
        self._sockets = sockets
        self._places: list[Workplace] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()
        self._store: Store | None = None
        self._delivery: Delivery | None = None
        self._changing = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Whether every worker takes requests."""
        up = all(one.up for one in self._places)
        return up and self._store is not None and self.databases_sound and not self.draining

    @property
    def store_healthy(self) -> bool:
        """Whether the store takes what it is given."""
        return self._store is not None and self._store.healthy

    @property
    def ledger_head(self) -> str:
        """The head of the ledger; empty while there is none."""
        return self._store.head if self._store is not None else ""

    @property
    def databases_sound(self) -> bool:
        """Whether no worker found a location database damaged."""
        return all(one.now.get("sound", 1) for one in self._places)

    def members(self) -> list[dict[str, object]]:
        """Each worker with its process and the digest of its policy."""
        return [{"pid": one.pid, "ready": one.up, "digest": one.digest} for one in self._places]

    async def start(self) -> None:
        """Open the store, start to deliver, then start every worker."""
        rule = self._configuration.policy.outbox
        drops = rule.overflow is Overflow.DROP_OLDEST
        book = ledger_book(self._configuration.keyring)
        if warning := ledger_warning():
            say(warning)
        self._store = open_store(self._settings.store, max_size=rule.max_size, drop_oldest=drops, book=book)
        self._delivery = Delivery(
            self._store, lambda: self._configuration.policy, vendor_key, on_outcome=self._outcome, say=say
        )
        await self._delivery.start()
        scales = Scales.make(self._settings.workers)
        self._places = [
            Workplace(number, self._settings, self._store, self._delivery.notify, scales)
            for number in range(1, self._settings.workers + 1)
        ]
        for error in await asyncio.gather(*(self._occupy(one) for one in self._places), return_exceptions=True):
            if error is not None:
                raise error
        for one in self._places:
            self._begin(self._keep(one))
        self._begin(self._look_after())

    async def adopt(self, configuration: Configuration) -> None:
        """Have every worker verify this, then put it in force; a worker that ends meanwhile comes back with what is
        in force then."""
        async with self._changing:
            told = (configuration.data, configuration.file, list(configuration.keyring.keys))
            asked = [(one, one.ask(PREPARES_WITHIN, "prepare", *told)) for one in self._places if one.there]
            answers = await asyncio.gather(*(answer for _, answer in asked))
            failed = [(one.number, why) for (one, _), why in zip(asked, answers, strict=True) if why]
            if failed:
                await self._tell_all("abandon")
                raise ServeError("\n".join(f"worker {number}: {why}" for number, why in failed))
            self._configuration = configuration
            await self._tell_all("commit")
            if self._delivery is not None:
                self._delivery.refresh()

    async def bypass(self, on: bool) -> None:
        """Turn the kill switch in every worker, and for those to come."""
        async with self._changing:
            self.bypassed = on
            await self._tell_all("bypass", on)

    async def inventory(self) -> list[Item]:
        """What report mode counted."""
        return await counted_by(self._store)

    async def explain(self, request: str) -> Told | None:
        """What was decided about this request, which one of the workers may have served."""
        asked = [one.explain(OBEYS_WITHIN, request) for one in self._places if one.up]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        told = next((one for one in answers if isinstance(one, tuple)), None)
        silent = next((one for one in answers if isinstance(one, BaseException)), None)
        if told is None and silent is not None:
            raise silent
        return told

    async def counted(self) -> Counted:
        """What this process and every worker, those that are gone included, have counted."""
        await asyncio.gather(*(one.ask(COUNTS_WITHIN, "count") for one in self._places if one.up))
        totals: Counter[str] = Counter(self._counts)
        for one in self._places:
            totals.update(one.counted())
        totals["outbox_dropped"] = self._store.dropped if self._store is not None else 0
        connections = sum(one.now.get("connections", 0) for one in self._places if one.there)
        return dict(totals), {"connections": connections, "workers": sum(one.up for one in self._places)}

    async def drain(self, hurry: asyncio.Event) -> None:
        """Have every worker drain; whoever does not end in time is killed."""
        self.draining = True
        for one in self._sockets.browsers:
            # The workers have their own: what waits in the queue is theirs to take.
            one.close()
        for place in self._places:
            place.send("drain")
        ends = asyncio.gather(*(place.ended.wait() for place in self._places))
        with contextlib.suppress(TimeoutError):
            await within(asyncio.wait_for(ends, self._settings.drain), hurry)
        await self._end_workers()

    async def stop(self, seconds: float, hurry: asyncio.Event) -> None:
        """Deliver for this long, then close the store."""
        self.draining = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._end_workers()
        if self._delivery is not None:
            await within(self._delivery.stop(seconds), hurry)
        if self._store is not None:
            await asyncio.to_thread(self._store.close)

    async def _end_workers(self) -> None:
        for place in self._places:
            place.send("hurry")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDS_WITHIN):
                await asyncio.gather(*(place.ended.wait() for place in self._places))
        for place in self._places:
            place.kill()
        await asyncio.gather(*(place.ended.wait() for place in self._places))

    async def _occupy(self, place: Workplace) -> None:
        """Start a worker and wait until it takes requests. Raises ServeError where it ends instead."""
        async with self._changing:
            if self.draining:
                return
            one = self._configuration
            await place.occupy(one, self.bypassed, self._sockets.browsers, self._environment())
        if self.draining:
            place.kill()
        try:
            async with asyncio.timeout(STARTS_WITHIN):
                why = await place.started()
        except TimeoutError:
            why = f"it was not ready within {STARTS_WITHIN:.0f} seconds"
        if why:
            place.kill()
            raise ServeError(f"worker {place.number} did not start: {why}")

    async def _keep(self, place: Workplace) -> None:
        """Replace the worker of this place whenever it ends."""
        loop = asyncio.get_running_loop()
        rest = FIRST_REST
        while not self.draining:
            since = loop.time()
            await place.ended.wait()
            if self.draining:
                return
            rest = FIRST_REST if loop.time() - since > LIVED else min(rest * 2, LONGEST_REST)
            self._counts["worker_restart"] += 1
            say(f"worker {place.number} (process {place.pid}) ended with {place.code}; another takes its place")
            await asyncio.sleep(rest)
            try:
                await self._occupy(place)
            except (ServeError, OSError) as error:
                say(str(error))

    async def _look_after(self) -> None:
        """Once a second: tell workers how the store is, and kill one that has fallen silent."""
        while True:
            await asyncio.sleep(1.0)
            for place in self._places:
                place.tell_health()
                if place.up and place.silent > SILENT_FOR:
                    say(f"worker {place.number} (process {place.pid}) does not answer any more")
                    place.kill()

    async def _tell_all(self, kind: str, *rest: object) -> None:
        """Tell every worker; one that does not do it is killed, and its successor begins with what holds now."""
        asked = [(one, one.ask(OBEYS_WITHIN, kind, *rest)) for one in self._places if one.there]
        answers = await asyncio.gather(*(answer for _, answer in asked))
        for (place, _), why in zip(asked, answers, strict=True):
            if why:
                say(f"worker {place.number} (process {place.pid}) is replaced: {why}")
                place.kill()

    def _environment(self) -> dict[str, str]:
        secret = {one.key.removeprefix("env:") for one in self._configuration.policy.vendors}
        return {
            name: value
            for name, value in os.environ.items()
            if name not in secret and not name.startswith("CONSENT_MW_")
        }

    def _outcome(self, vendor: str, outcome: str, number: int) -> None:
        self._counts[f"event_{outcome}:{vendor}"] += number

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
