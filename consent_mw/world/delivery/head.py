"""The ledger's head in the log: what stands there cannot be changed by whoever changes the store.

Rule: it is told at the start, at the end, and in between after so many entries or minutes, if it is another one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from consent_mw.errors import StoreError
from consent_mw.world.store import Store

TOLD_EVERY: Final = 600.0
"""Seconds after which a head that has changed is told."""

TOLD_AFTER: Final = 10_000
"""Entries after which it is told sooner."""


class HeadLog:
    """Tells the head of this store."""

    def __init__(self, store: Store, say: Callable[[str], None]) -> None:
        self._store = store
        self._say = say
        self._told = ""
        self._at = 0.0

    def look(self) -> None:
        """Tell the head where it is time."""
        head = self._store.head
        if head == self._told:
            return
        if time.monotonic() - self._at >= TOLD_EVERY or _number(head) - _number(self._told) >= TOLD_AFTER:
            self.say()

    def say(self) -> None:
        """Tell the head, unless there is none."""
        self._told, self._at = self._store.head, time.monotonic()
        if self._told:
            self._say(f"ledger head {self._told}")

    async def last(self) -> None:
        """Wait until what was noted is written, then tell the head if it is another one."""
        try:
            await asyncio.wrap_future(self._store.note([]))
        except StoreError:
            return
        if self._store.head != self._told:
            self.say()


def _number(head: str) -> int:
    return int(head.partition(":")[0] or 0)
