"""The inventory in SQL: a number for each day, sort, name and fate.

Rule: names that visitors sent are bounded here as well: all processes of a store together keep so many of a day.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from consent_mw.core.inventory import NAMES_KEPT, OTHER, Item
from consent_mw.core.policy import DAY
from consent_mw.errors import StoreError
from consent_mw.world.store.statements import Statements

BUSY_FOR: Final = 5.0
"""Seconds that a reader waits for who holds the file."""

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


def read_file(path: str) -> list[Item]:
    """All that a file holds which others may be writing. Raises StoreError where it cannot be read."""
    if not Path(path).is_file():
        raise StoreError(f"the store `{path}` cannot be read: there is no such file")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=BUSY_FOR)) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'inventory'").fetchone():
                raise StoreError(f"the store `{path}` holds no inventory: it is of an earlier version, or not ours")
            return read(db)
    except sqlite3.Error as error:
        raise StoreError(f"the store `{path}` cannot be read: {error}") from error
