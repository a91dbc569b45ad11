"""Statistics: page views are counted as they happen, and become what the store keeps of them a few seconds later.

Rule: on the request path a view is one more under its page, browser and visitor; all else is done later, in slices.
Rule: who may not be counted (the identifier's purpose is denied, a minor, an erasure) is nobody here from the start;
      bots and prefetches are no views; in report mode nothing is counted.
Rule: a page is told as it may leave: redacted, masked, without its query, in printable ASCII.
Rule: nothing here grows without bound, however long the store is away; what is given up is counted as `view_lost`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from consent_mw.core.redaction import mask
from consent_mw.core.statistics import HOUR, HOURS, NO_KEY, OTHER, PAGES_AN_HOUR, SITE, Tally, day_is_over
from consent_mw.errors import StoreError
from consent_mw.wire.query import HIDDEN, clean_path
from consent_mw.wire.remembered import Remembered
from consent_mw.world.device import LONGEST as LONGEST_AGENT

if TYPE_CHECKING:
    from consent_mw.asgi.enforcement import Enforcement
    from consent_mw.asgi.exchange import Exchange
    from consent_mw.asgi.gate import Gate
    from consent_mw.asgi.ruleset import Ruleset

STORED_WITHIN: Final = 5.0
"""Seconds that a view waits for others; a process that is killed loses as many."""

VIEWS_KEPT: Final = 8192
"""Bound of what is counted apart (page, browser and visitor) between two takings; half of it hurries the next one."""

TALLIED_AT_ONCE: Final = 256
"""How many of them are tallied between two turns of the event loop."""

TALLIED_KEPT: Final = 65_536
"""How many may have been tallied that no store has taken yet."""

ANSWERS_WITHIN: Final = 5.0
ENDS_WITHIN: Final = 2.0
"""Seconds that the store is waited for; at the end."""

LONGEST_PATH: Final = 256
"""Bytes of a path beyond which its page is not told apart."""

PAGES_KEPT: Final = 4096
"""Bound of the pages of which is remembered how they are told, twice."""

Views = dict[tuple[bytes, bytes, str], int]
"""How many views of this path came from this User-Agent and visitor (empty: from nobody who may be counted)."""

_UNPRINTABLE: Final = re.compile(r"[^!-~]")


class Statistics:
    """Counts the page views of one process. Its methods are for the loop's thread."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._views: Views = {}
        self._until = 0
        self._earlier: list[tuple[int, Views]] = []
        self._tallies = Tallies(gate)
        self._due = asyncio.Event()
        self._ending = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to store what is counted."""
        self._due, self._ending = asyncio.Event(), False
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Store what was counted, if the store takes it in time."""
        if self._task is None:
            return
        self._ending = True
        self._due.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._task, ENDS_WITHIN)
        self._task = None

    def view(self, exchange: Exchange, enforcement: Enforcement) -> None:
        """Count this exchange, which is a page view under this enforcement."""
        agent, visitor = viewer(exchange, enforcement)
        self.count(exchange.seen.path, agent, visitor, exchange.now)

    def count(self, path: bytes, agent: bytes, visitor: str, now: float) -> None:
        """Count a page view of this raw path by this viewer."""
        if now >= self._until:
            self._turn(now)
        key = (path if len(path) <= LONGEST_PATH else b"", agent, visitor)
        views = self._views
        number = views.get(key)
        if number is not None:
            views[key] = number + 1
        elif len(views) < VIEWS_KEPT:
            views[key] = 1
            if len(views) == VIEWS_KEPT // 2:
                self._due.set()
        else:
            self._gate.count("view_lost")

    def _turn(self, now: float) -> None:
        """Begin another hour."""
        if self._views:
            self._earlier.append((self._until // HOUR - 1, self._views))
            self._views = {}
        self._until = (int(now) // HOUR + 1) * HOUR

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), STORED_WITHIN)
            self._due.clear()
            ending = self._ending
            try:
                await self._store(last=ending)
            except Exception:  # noqa: BLE001  statistics end no request, and no later statistics
                self._gate.count("store_failed")
            if ending:
                return

    async def _store(self, *, last: bool) -> None:
        taken = [*self._earlier, (self._until // HOUR - 1, self._views)]
        self._earlier, self._views = [], {}
        for hour, views in taken:
            if views:
                await self._tallies.take(hour, views)
        await self._tallies.store(last=last)


class Tallies:
    """What was counted and no store has taken yet, by hour and page."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._keys: dict[int, bytes] = {}
        self._tallies: dict[int, dict[str, Tally]] = {}
        self._held = 0
        self._names: Remembered[bytes, str] = Remembered(PAGES_KEPT)
        self._rules: Ruleset | None = None

    async def take(self, hour: int, views: Views) -> None:
        """Tally these views of an hour."""
        key = await self._key(hour // HOURS) if any(visitor for _, _, visitor in views) else NO_KEY
        counted = iter(views.items())
        while part := list(islice(counted, TALLIED_AT_ONCE)):
            self._add(hour, key, part)
            await asyncio.sleep(0)

    async def store(self, *, last: bool) -> None:
        """Have the store add all; where it fails, all of it waits for the next time, if there is one."""
        store, now = self._gate.store, self._gate.now()
        for day in [day for day in self._keys if day_is_over(day, now)]:
            del self._keys[day]
        if not self._tallies:
            return
        seen = [tally.seen(hour) for hour, pages in self._tallies.items() for tally in pages.values()]
        try:
            if store is None:
                raise StoreError("the store is not open")
            await asyncio.wait_for(asyncio.wrap_future(store.add_views(seen, now)), ANSWERS_WITHIN)
        except (StoreError, TimeoutError) as error:
            # What was not answered in time may be stored yet: better lost than counted twice.
            if not last and self._held <= TALLIED_KEPT and isinstance(error, StoreError):
                return
            self._gate.count("view_lost", sum(pages[SITE].views for pages in self._tallies.values()))
        self._tallies, self._held = {}, 0

    async def _key(self, day: int) -> bytes:
        """The key of this day; none where it is over, or cannot be had now, so that no visitor is counted."""
        known = self._keys.get(day)
        store = self._gate.store
        if known is not None or store is None:
            return known or NO_KEY
        try:
            key = await asyncio.wait_for(asyncio.wrap_future(store.statistics_key(day)), ANSWERS_WITHIN)
        except (StoreError, TimeoutError):
            return NO_KEY
        if key:
            self._keys[day] = key
        return key

    def _add(self, hour: int, key: bytes, views: Iterable[tuple[tuple[bytes, bytes, str], int]]) -> None:
        """Tally some views; a browser that says it is a program makes none."""
        rules = self._gate.rules
        if rules is not self._rules:
            self._rules, self._names = rules, Remembered(PAGES_KEPT)
        pages = self._tallies.setdefault(hour, {})
        site = pages.get(SITE) or pages.setdefault(SITE, Tally(SITE, key))
        bots: dict[bytes, bool] = {}
        for (path, agent, visitor), number in views:
            bot = bots.get(agent)
            if bot is None:
                bot = bots[agent] = self._gate.devices.read(agent).bot
            if bot:
                continue
            name = self._names.get(path)
            page = (pages.get(name) if name else None) or self._page(pages, path, key)
            page.see(number, visitor)
            site.see(number, visitor)
            self._held += 1

    def _page(self, pages: dict[str, Tally], path: bytes, key: bytes) -> Tally:
        """The tally of this path's page, or of the others."""
        redact = self._gate.rules.policy.redact
        name = self._names.get(path) or self._names.keep(path, page_name(path, redact))
        if name not in pages and len(pages) > PAGES_AN_HOUR:
            name = OTHER
        return pages.get(name) or pages.setdefault(name, Tally(name, key))


def viewer(exchange: Exchange, enforcement: Enforcement) -> tuple[bytes, str]:
    """Who makes a page view: the User-Agent as far as it is read, and the identifier, empty where it may not be
    counted."""
    agent, identifier = exchange.seen.seen.get(b"user-agent", b""), exchange.identifier
    if identifier is None or not enforcement.identifies or _is_erased(exchange):
        return agent[:LONGEST_AGENT], ""
    return agent[:LONGEST_AGENT], identifier.id


def page_name(path: bytes, redact: Sequence[str]) -> str:
    """How the page of this raw path is told: as it may leave, in printable ASCII."""
    name, _ = mask(clean_path(path.decode("latin-1"), redact))
    told = _UNPRINTABLE.sub(lambda found: f"%{ord(found[0]):02X}", name)
    return told if told.startswith("/") or told == HIDDEN else OTHER


def _is_erased(exchange: Exchange) -> bool:
    visit = exchange.visit if exchange.spoke else None
    return visit is not None and visit.erased
