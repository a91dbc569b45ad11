"""Receipts in SQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

from consent_mw.world.store import ReceiptRow

_COLUMNS: Final = "id, root, previous, at, jws"
_LISTED: Final = "(SELECT value FROM json_each(?))"


def add(db: sqlite3.Connection, row: ReceiptRow) -> bool:
    """Keep a receipt; whether it was not there yet."""
    sql = f"INSERT INTO receipts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
    return db.execute(sql, (row.id, row.root, row.previous, row.at, row.jws)).rowcount > 0


def find(db: sqlite3.Connection, identity: str) -> ReceiptRow | None:
    """The receipt of this id."""
    found = db.execute(f"SELECT {_COLUMNS} FROM receipts WHERE id = ?", (identity,)).fetchone()
    return ReceiptRow(*found) if found else None


def of_browser(db: sqlite3.Connection, root: str) -> list[ReceiptRow]:
    """Every receipt of the browser whose first one this was, oldest first."""
    found = db.execute(f"SELECT {_COLUMNS} FROM receipts WHERE root = ? ORDER BY seq", (root,))
    return [ReceiptRow(*one) for one in found]


def roots_of(db: sqlite3.Connection, receipts: Sequence[str]) -> list[str]:
    """The first receipts of the browsers that these receipts are of."""
    sql = f"SELECT DISTINCT root FROM receipts WHERE id IN {_LISTED}"
    return [root for (root,) in db.execute(sql, (json.dumps(receipts),))]


def delete(db: sqlite3.Connection, roots: Sequence[str]) -> int:
    """Delete every receipt of these browsers; how many there were."""
    return db.execute(f"DELETE FROM receipts WHERE root IN {_LISTED}", (json.dumps(roots),)).rowcount


def expire(db: sqlite3.Connection, before: float, most: int) -> int:
    """Delete the oldest receipts from before this time; how many."""
    sql = "DELETE FROM receipts WHERE seq IN (SELECT seq FROM receipts WHERE at < ? LIMIT ?)"
    return db.execute(sql, (before, most)).rowcount
