"""Refusals: how many events which vendor did not get, and why, for the ledger.

Rule: on the request path a refusal is an addition; the ledger gets sums, a minute's at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Final

from consent_mw.core.ledger import refusal

if TYPE_CHECKING:
    from consent_mw.asgi.gate import Gate

TOLD_EVERY: Final = 60.0
"""Seconds whose refusals are told together."""

OUTBOX_FULL: Final = "outbox-full"
"""The reason where the store had no room; the others are a decision's."""

Why = tuple[str, str, str]
"""Vendor, purpose and reason."""


class Refusals:
    """The refusals of one gate that the ledger was not told of yet."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._counted: Counter[Why] = Counter()
        self._since = 0.0
        self._due: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, refused: Iterable[Why], number: int = 1) -> None:
        """Count this many events for each of these."""
        if not self._counted:
            self._begin()
        for why in refused:
            self._counted[why] += number

    def add_soon(self, refused: Iterable[Why], number: int) -> None:
        """As `add`, from any thread."""
        if self._loop is None:
            self.add(refused, number)
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody is there to tell the ledger
            self._loop.call_soon_threadsafe(self.add, refused, number)

    def start(self) -> None:
        """Tell from this event loop."""
        self._loop = asyncio.get_running_loop()

    def tell(self) -> None:
        """Have what was counted written into the ledger; what the store does not take is told later."""
        store = self._gate.store
        self._due = None
        if not self._counted or store is None:
            return
        counted, self._counted = self._counted, Counter()
        reasons: dict[tuple[str, str], dict[str, int]] = {}
        for (vendor, purpose, reason), number in counted.items():
            reasons.setdefault((vendor, purpose), {})[reason] = number
        since, until = int(self._since), int(self._gate.now())
        pending = store.note([refusal(*whom, found, since, until) for whom, found in sorted(reasons.items())])
        pending.add_done_callback(partial(self._told, counted, self._since))

    def close(self) -> None:
        """Tell what is left."""
        if self._due is not None:
            self._due.cancel()
        self.tell()

    def _begin(self) -> None:
        self._since = self._gate.now()
        if self._due is None and self._loop is not None and not self._loop.is_closed():
            self._due = self._loop.call_later(TOLD_EVERY, self.tell)

    def _told(self, counted: Counter[Why], since: float, pending: Future[None]) -> None:
        """The store has answered; in its thread."""
        if pending.exception() is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._again, counted, since)

    def _again(self, counted: Counter[Why], since: float) -> None:
        if not self._counted:
            self._begin()
        self._since = since
        self._counted.update(counted)
