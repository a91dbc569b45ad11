"""Inventory: in report mode, what would have been dropped, set, forwarded and shown, counted as traffic passes.

Rule: nothing is changed; what is counted reaches the store a few seconds later, and is lost with a killed process.
Rule: bounded, whatever names visitors send: see core/inventory.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from consent_mw.core.decision import Decision
from consent_mw.core.inventory import NAMES_KEPT, OTHER, UNLISTED, Item, Sort
from consent_mw.core.policy import DAY, Policy
from consent_mw.core.redaction import mask
from consent_mw.core.terms import Mode
from consent_mw.errors import StoreError
from consent_mw.wire.cookies import SetCookie, split_cookies
from consent_mw.wire.response_head import ResponseHead

if TYPE_CHECKING:
    from consent_mw.asgi.exchange import Exchange
    from consent_mw.asgi.gate import Gate

STORED_WITHIN: Final = 5.0
"""Seconds that a count waits for others."""

ANSWERS_WITHIN: Final = 5.0
"""Seconds that the store is waited for."""

LONGEST_NAME: Final = 64

KEPT, DROPPED, CUT = "kept", "dropped", "kept, brought within its rule"


class Inventory:
    """Counts for one process. Its methods are for the loop's thread."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._counted: dict[tuple[int, str, str, str], int] = {}
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to store what is counted."""
        self._ending = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Store what was counted, if the store takes it in time."""
        if self._task is not None:
            self._ending.set()
            await self._task
            self._task = None

    def take(self, exchange: Exchange, answer: ResponseHead) -> None:
        """Count what enforcing the policy would have done with this exchange and its answer."""
        decision = exchange.decision
        if decision is None:
            return
        day = exchange.now // DAY
        for cookie in split_cookies(exchange.seen.all(b"cookie")):
            kept = exchange.rules.keeps(cookie.name, decision)
            self._cookie(day, Sort.COOKIE, cookie.name, exchange, KEPT if kept else DROPPED)
            if not kept:
                self._gate.count("would_drop_cookie")
        for line in answer.all(b"set-cookie"):
            self._set_cookie(day, line, exchange)
        if exchange.page and (200 <= answer.status < 300 or answer.status == 304):
            self._page(day, exchange, decision)

    def _set_cookie(self, day: int, line: bytes, exchange: Exchange) -> None:
        enforcement, parsed = exchange.enforcement, SetCookie.parse(line)
        kept = enforcement.set_cookie(line, exchange.now) if enforcement is not None else None
        fate = DROPPED if kept is None else KEPT if kept == line else CUT
        self._cookie(day, Sort.SET_COOKIE, parsed.name if parsed is not None else b"", exchange, fate)
        if kept is None:
            self._gate.count("would_drop_set_cookie")

    def _page(self, day: int, exchange: Exchange, decision: Decision) -> None:
        policy = exchange.rules.policy
        if self._gate.is_bot(exchange):
            return
        rule, enforcement = policy.identifier, exchange.enforcement
        if rule is not None and enforcement is not None and exchange.identifier is None:
            self._add(day, Sort.IDENTIFIER, rule.cookie, "set" if enforcement.identifies else "not set")
        for vendor in policy.vendors:
            verdict = decision.verdict(vendor.purpose)
            told = f"withheld ({verdict.reason.value})" if verdict is not None else "withheld"
            self._add(day, Sort.VENDOR, vendor.name, "a page view sent" if decision.fields[vendor.name] else told)
        self._add(day, Sort.BANNER, decision.jurisdiction.name, _banner(decision, policy))

    def _cookie(self, day: int, sort: Sort, name: bytes, exchange: Exchange, fate: str) -> None:
        rule = exchange.rules.cookie_rule(name)
        own = name in exchange.rules.own_cookies
        told = "our own" if own else rule.pattern if rule is not None else shown(name.decode("latin-1"))
        self._add(day, sort, told, fate if rule is not None or own else f"{fate}{UNLISTED}")

    def _add(self, day: int, sort: Sort, name: str, fate: str) -> None:
        key = (day, sort.value, name, fate)
        number = self._counted.get(key)
        if number is None and len(self._counted) >= NAMES_KEPT:
            key = (day, sort.value, OTHER, fate)
            number = self._counted.get(key)
        self._counted[key] = (number or 0) + 1

    async def _run(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), STORED_WITHIN)
            await self._store()

    async def _store(self) -> None:
        store = self._gate.store
        if not self._counted or store is None:
            return
        counted, self._counted = self._counted, {}
        try:
            pending = store.add_inventory([Item(*key, number) for key, number in counted.items()])
            await asyncio.wait_for(asyncio.wrap_future(pending), ANSWERS_WITHIN)
        except (StoreError, TimeoutError):
            self._gate.count("inventory_lost", sum(counted.values()))


def shown(name: str) -> str:
    """A name that no rule of the policy speaks of, as the inventory keeps it."""
    plain = bool(name) and len(name) <= LONGEST_NAME and name.isprintable() and not mask(name)[1]
    return name if plain else OTHER


def _banner(decision: Decision, policy: Policy) -> str:
    """What a page would have shown: in report mode a decision never asks."""
    if policy.mode is Mode.REPORT:
        return decision.jurisdiction.banner.value
    return "ask" if decision.ask else "notice" if decision.notice else "none"
