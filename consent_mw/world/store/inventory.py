"""The inventory in SQL: a number for each day, sort, name and fate.

Rule: names that visitors sent are bounded here as well: all processes of a store together keep so many of a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consent_mw.core.inventory import NAMES_KEPT, OTHER, Item
from consent_mw.core.policy import DAY
from consent_mw.world.store.statements import Statements

INVENTORY_TABLES: Final = (
    """CREATE TABLE inventory (
  day INTEGER NOT NULL, sort TEXT NOT NULL, name TEXT NOT NULL, fate TEXT NOT NULL, number BIGINT NOT NULL,
  PRIMARY KEY (day, sort, name, fate)
)""",
)

_ADD: Final = """
INSERT INTO inventory (day, sort, name, fate, number) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (day, sort, name, fate) DO UPDATE SET number = inventory.number + excluded.number
"""
_KNOWN: Final = "SELECT DISTINCT name FROM inventory WHERE day = ? AND sort = ?"
_ALL: Final = "SELECT day, sort, name, fate, number FROM inventory ORDER BY day, sort, name, fate"


def add(db: Statements, items: Sequence[Item]) -> None:
    """Add to what was counted; names beyond the bound become OTHER."""
    known: dict[tuple[int, str], set[str]] = {}
    for one in items:
        names = known.get((one.day, one.sort))
        if names is None:
            names = known[one.day, one.sort] = {row[0] for row in db.execute(_KNOWN, (one.day, one.sort)).fetchall()}
        fits = one.name in names or len(names) < NAMES_KEPT
        name = one.name if fits else OTHER
        names.add(name)
        db.execute(_ADD, (one.day, one.sort, name, one.fate, one.number))


def read(db: Statements) -> list[Item]:
    """All that was counted."""
    return [Item._make(row) for row in db.execute(_ALL).fetchall()]


def expire(db: Statements, kept_from: float) -> None:
    """Delete what is from before the day of `kept_from` (seconds since 1970)."""
    db.execute("DELETE FROM inventory WHERE day < ?", (int(kept_from // DAY),))
