"""The way to one vendor: when it is asked again, and what the store still has to be told of it.

Rule: a vendor that fails is paused, ever longer while it goes on failing; one event that fails is not the vendor.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from consent_mw.wire.vendors import VendorAnswer
from consent_mw.world.delivery.rows import backoff
from consent_mw.world.store import Settlement

ALL_FAILED = 500
"""From here on an answer speaks of the vendor as well, unless it names some events."""

ALL_BUSY = frozenset({429, 503})
"""Answers that speak of the vendor as a whole, not of the events sent, unless they name some."""

TROUBLED_AFTER = 5
"""Requests, of different events and none in between that went well, after whose failure a vendor is paused."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Ends that the store could not take, and the names of the fields that had left."""

    settlements: tuple[Settlement, ...]
    fields: tuple[str, ...]


@dataclass(slots=True)
class Line:
    """What is known of the way to one vendor."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    paused_until: float = 0.0
    failed: set[str] = field(default_factory=set)
    unsettled: list[Unsettled] = field(default_factory=list)

    def fail(self, after: float) -> None:
        """The vendor takes nothing now: ask it again later, ever later while that goes on. What was under way
        together fails together, and counts once."""
        now = time.time()
        if self.paused_until <= now:
            self.failures += 1
            self.paused_until = now + backoff(self.failures)
        self.paused_until = max(self.paused_until, now + after)

    def stumble(self, row: str, after: float) -> None:
        """The vendor failed at the request that begins with this row: its own fault once it does at several, since
        one event may be what it cannot take."""
        if len(self.failed) < TROUBLED_AFTER:
            self.failed.add(row)
        if len(self.failed) == TROUBLED_AFTER:
            self.fail(after)

    def judge(self, status: int, answers: Sequence[VendorAnswer], first: str) -> None:
        """Note what an answer says of the vendor as a whole; `first` is the first row that was sent."""
        after = max((one.after for one in answers), default=0.0)
        if any(one.named for one in answers):
            self.succeed()
        elif status in ALL_BUSY:
            self.fail(after)
        elif status >= ALL_FAILED:
            self.stumble(first, after)
        else:
            self.succeed()

    def succeed(self) -> None:
        """The vendor answered as one that works."""
        self.failures = 0
        self.paused_until = 0.0
        self.failed.clear()

    @property
    def pause(self) -> float:
        """Seconds until the vendor is asked again."""
        return max(self.paused_until - time.time(), 0.0)
