"""Receipts in PostgreSQL's SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consent_mw.world.store import ReceiptRow
from consent_mw.world.store.postgres_turn import Turn

_COLUMNS: Final = "id, root, previous, at, jws"


def add(turn: Turn, row: ReceiptRow) -> bool:
    """Keep a receipt; whether it was not there yet."""
    sql = f"INSERT INTO receipts ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING RETURNING 1"
    kept = bool(turn.all(sql, (row.id, row.root, row.previous, row.at, row.jws)))
    if kept:
        turn.grow(0)
    return kept


def find(turn: Turn, identity: str) -> ReceiptRow | None:
    """The receipt of this id."""
    found = turn.all(f"SELECT {_COLUMNS} FROM receipts WHERE id = %s", (identity,))
    return ReceiptRow(*found[0]) if found else None


def of_browser(turn: Turn, root: str) -> list[ReceiptRow]:
    """Every receipt of the browser whose first one this was, oldest first."""
    found = turn.all(f"SELECT {_COLUMNS} FROM receipts WHERE root = %s ORDER BY seq", (root,))
    return [ReceiptRow(*one) for one in found]


def roots_of(turn: Turn, receipts: Sequence[str]) -> list[str]:
    """The first receipts of the browsers that these receipts are of."""
    return [row[0] for row in turn.all("SELECT DISTINCT root FROM receipts WHERE id = ANY (%s)", [list(receipts)])]


def delete(turn: Turn, roots: Sequence[str]) -> int:
    """Delete every receipt of these browsers; how many there were."""
    return _delete(turn, "root = ANY (%s)", list(roots))


def expire(turn: Turn, before: float, most: int) -> int:
    """Delete the oldest receipts from before this time; how many."""
    return _delete(turn, "seq IN (SELECT seq FROM receipts WHERE at < %s ORDER BY at LIMIT %s)", before, most)


def _delete(turn: Turn, where: str, *values: object) -> int:
    gone = turn.all(f"DELETE FROM receipts WHERE {where} RETURNING 1", values)
    if gone:
        turn.grow(0)
        turn.touched.add("receipts")
    return len(gone)
