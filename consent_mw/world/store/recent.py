"""The rows that were kept last, so that the next claim of them need not read them again.

Rule: a row is here only while it waits untouched in the file, and the file alone says whether it still does.
Rule: bounded for each vendor, so that one that is dead takes nothing from the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from consent_mw.world.store import OutboxRow

RECENT_KEPT: Final = 4096
"""Rows that are remembered for each vendor."""


class Recent:
    """Rows by their number in the file, for each vendor. Used by the writer's thread alone."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[int, OutboxRow]] = {}

    def add(self, first: int, rows: Sequence[OutboxRow]) -> None:
        """These rows were committed under the numbers from `first` on; they are remembered as a claim gives them."""
        for number, row in enumerate(rows, first):
            known = self._rows.get(row.vendor)
            if known is None:
                known = self._rows[row.vendor] = {}
            # The oldest stay: they are asked for first.
            if len(known) < RECENT_KEPT:
                known[number] = OutboxRow._make((*row[:11], row.attempts + 1, False))

    def take(self, vendor: str, numbers: Sequence[int]) -> dict[int, OutboxRow]:
        """Those of these rows that are remembered, and are no longer after; they wait for this vendor, in order."""
        known = self._rows.get(vendor)
        if not known:
            return {}
        found = {number: row for number in numbers if (row := known.pop(number, None)) is not None}
        last = numbers[-1] if numbers else 0
        # What is older than those that wait was recalled, or is another process's.
        while known and (oldest := next(iter(known))) < last:
            del known[oldest]
        return found

    def drop(self, numbers: Iterable[int]) -> None:
        """These rows were taken back."""
        gone = set(numbers)
        for known in self._rows.values():
            for number in gone.intersection(known):
                del known[number]

    def forget(self, vendor: str) -> None:
        """Remember nothing of this vendor."""
        self._rows.pop(vendor, None)
