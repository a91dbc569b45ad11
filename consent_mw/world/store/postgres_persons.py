"""What is kept about a person, in PostgreSQL's SQL (see persons.py), and what was recalled of that person lately."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Final

from consent_mw.world.store import OutboxRow, PairRow
from consent_mw.world.store.outbox import Told
from consent_mw.world.store.postgres_outbox import chains, delete, rows, rows_of
from consent_mw.world.store.postgres_turn import Turn
from consent_mw.world.store.recalls import Recalls

_KEEP: Final = """
INSERT INTO pairs (visitor, user_id, receipt, at) VALUES (%s, %s, %s, %s)
ON CONFLICT (visitor, user_id) DO UPDATE SET receipt = excluded.receipt, at = excluded.at
WHERE excluded.receipt <> '' AND pairs.receipt <> excluded.receipt RETURNING 1
"""
# As JSON may spell it; which member it stands in is seen here, where what is no JSON does no harm.
_NAMING: Final = "position(%b::bytea IN body) > 0 OR position(%b::bytea IN body) > 0"
_THEIRS: Final = "(visitor = ANY (%s) OR receipt = ANY (%s))"


def keep_pair(turn: Turn, row: PairRow) -> None:
    """Keep who the site says this visitor is, with the receipt that holds now."""
    if turn.all(_KEEP, row):
        turn.grow(0)


def adopt(turn: Turn, visitor: str, receipt: str) -> None:
    """What is kept of this visitor without a receipt has this one (see persons.py)."""
    if not visitor:
        return
    for table in ("outbox", "pairs"):
        sql = f"UPDATE {table} SET receipt = %s WHERE visitor = %s AND receipt = '' RETURNING 1"
        if turn.all(sql, [receipt, visitor]):
            turn.grow(0)


def find(turn: Turn, subjects: Collection[str], user_id: str = "") -> list[str]:
    """Every visitor and receipt that these lead to, themselves included; and those that a user id was seen with."""
    known = {one for one in subjects if one}
    if user_id:
        known |= _seen_with(turn, user_id)
    while True:
        more = set(chains(turn, known))
        more.update(one for row in pairs_of(turn, known) for one in (row.visitor, row.receipt))
        more.update(one for row in rows_of(turn, known) for one in (row.visitor, row.receipt))
        if more <= known | {""}:
            return sorted(known)
        known |= more - {""}


def pairs_of(turn: Turn, subjects: Collection[str]) -> list[PairRow]:
    """The pairs of these visitors and receipts, oldest first."""
    named = [one for one in subjects if one]
    sql = f"SELECT visitor, user_id, receipt, at FROM pairs WHERE {_THEIRS} ORDER BY at, user_id"
    return [PairRow._make(one) for one in turn.all(sql, [named, named])]


def queued(turn: Turn, subjects: Collection[str], user_id: str = "") -> list[OutboxRow]:
    """The rows of these that wait, or are kept as dead letters, and those that name a user id, in order."""
    found = rows_of(turn, subjects)
    if not user_id:
        return found
    wanted = [row.id for row in (*found, *_named(turn, user_id))]
    return rows(turn, "id = ANY (%s)", wanted)


def recall_named(turn: Turn, user_id: str) -> list[Told]:
    """Delete the rows that name this user id: of a stranger, nothing else tells whose they are."""
    named = [row.id for row in _named(turn, user_id)] if user_id else []
    return delete(turn, "id = ANY (%s)", named) if named else []


def erase_pairs(turn: Turn, subjects: Collection[str]) -> int:
    """Delete the pairs of these visitors and receipts; how many there were."""
    named = [one for one in subjects if one]
    return _delete(turn, _THEIRS, named, named)


def expire_pairs(turn: Turn, before: float, most: int) -> int:
    """Delete pairs from before this time, at most so many; how many."""
    old = "SELECT visitor, user_id FROM pairs WHERE at < %s ORDER BY at LIMIT %s"
    return _delete(turn, f"(visitor, user_id) IN ({old})", before, most)


def _seen_with(turn: Turn, user_id: str) -> set[str]:
    """The visitors and receipts of this user id's pairs, and of the queued events that name it."""
    found = turn.all("SELECT visitor, receipt FROM pairs WHERE user_id = %s", [user_id])
    found += [(row.visitor, row.receipt) for row in _named(turn, user_id)]
    return {one for pair in found for one in pair if one}


def _named(turn: Turn, user_id: str) -> list[OutboxRow]:
    """The rows that name this user id, which takes a look at every one."""
    spellings = [json.dumps(user_id, ensure_ascii=plain).encode("utf-8", "surrogatepass") for plain in (True, False)]
    return [row for row in rows(turn, _NAMING, *spellings) if _names(row.body, user_id)]


def _names(body: bytes, user_id: str) -> bool:
    try:
        told = json.loads(body)
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("user_id") == user_id


def _delete(turn: Turn, where: str, *values: object) -> int:
    gone = turn.all(f"DELETE FROM pairs WHERE {where} RETURNING 1", values)
    if gone:
        turn.grow(0)
        turn.touched.add("pairs")
    return len(gone)


class PostgresRecalls(Recalls):
    """See Recalls. What is recalled and what is kept wait for each other (see Among), and no number comes late."""

    def remember(self, db: Any, subjects: Collection[str], purposes: Collection[str] | None, at: float) -> None:
        """See Recalls."""
        super().remember(db, subjects, purposes, at)
        db.last_recall = _HERE
        db.grow(0)

    def _following(self, db: Any, seq: int) -> list[list[object]]:
        if db.last_recall == (seq or None):
            # Nothing since, as the beginning of the transaction told.
            return [self._last] if seq else []
        sql = "SELECT seq, at, subjects, purposes FROM recalls WHERE seq >= %s ORDER BY seq"
        return [list(row) for row in db.all(sql, [seq])]

    def _chains(self, db: Any, receipts: Sequence[str]) -> list[str]:
        return chains(db, receipts)


_HERE: Final = -1
"""The last recall is one of this transaction."""
