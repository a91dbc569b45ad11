"""What is kept about a person, for that person's rights: who the site says a visitor is, and where the rest is found.

Rule: a visitor is a keyed digest here, as everywhere in the store; a name or an email is never kept.
Rule: the same pair again writes nothing.
Rule: what a user id leads to is every browser that it was seen in; a browser never leads to another one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from typing import Final

from consent_mw.world.store import OutboxRow, PairRow
from consent_mw.world.store.outbox import Told, rows_of, told

PERSON_TABLES: Final = (
    """CREATE TABLE pairs (
  visitor TEXT NOT NULL, user_id TEXT NOT NULL, receipt TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (visitor, user_id)
) WITHOUT ROWID""",
    "CREATE INDEX pairs_by_user ON pairs (user_id)",
    "CREATE INDEX pairs_by_receipt ON pairs (receipt)",
)

_LISTED: Final = "(SELECT value FROM json_each(?))"
_ROW: Final = "id, vendor, event_id, kind, body, visitor, receipt, jurisdiction, purpose, policy, created, attempts"
# As text: what some versions of SQLite read in a blob is another format of theirs.
_NAMES_USER: Final = "CAST(body AS TEXT) ->> '$.user_id' = ?"
_CHAINS: Final = f"SELECT id FROM receipts WHERE root IN (SELECT root FROM receipts WHERE id IN {_LISTED})"


def keep_pair(db: sqlite3.Connection, row: PairRow) -> None:
    """Keep who the site says this visitor is, with the receipt that holds now."""
    db.execute(
        "INSERT INTO pairs (visitor, user_id, receipt, at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET receipt = excluded.receipt, at = excluded.at"
        " WHERE excluded.receipt <> '' AND receipt <> excluded.receipt",
        row,
    )


def adopt(db: sqlite3.Connection, visitor: str, receipt: str) -> None:
    """What is kept of this visitor without a receipt has this one: by that it is found when the browser has lost its
    identifier, as after a no to the purpose of that."""
    if visitor:
        listed = json.dumps([row.seq for row in rows_of(db, [visitor]) if not row.root])
        db.execute(f"UPDATE outbox SET receipt = ? WHERE seq IN {_LISTED}", (receipt, listed))
        db.execute("UPDATE pairs SET receipt = ? WHERE visitor = ? AND receipt = ''", (receipt, visitor))


def find(db: sqlite3.Connection, subjects: Collection[str], user_id: str = "") -> list[str]:
    """Every visitor and receipt that these lead to, themselves included; and those that a user id was seen with."""
    known = {one for one in subjects if one}
    if user_id:
        known |= _seen_with(db, user_id)
    while True:
        listed = json.dumps(sorted(known))
        found = db.execute(_CHAINS, (listed,)).fetchall()
        found += [(row.visitor, row.receipt) for row in pairs_of(db, known)]
        numbers = json.dumps([row.seq for row in rows_of(db, known)])
        found += db.execute(f"SELECT DISTINCT visitor, receipt FROM outbox WHERE seq IN {_LISTED}", (numbers,))
        more = {one for pair in found for one in pair if one}
        if more <= known:
            return sorted(known)
        known |= more


def pairs_of(db: sqlite3.Connection, subjects: Collection[str]) -> list[PairRow]:
    """The pairs of these visitors and receipts, oldest first."""
    listed = json.dumps([one for one in subjects if one])
    found = db.execute(
        f"SELECT visitor, user_id, receipt, at FROM pairs WHERE visitor IN {_LISTED} OR receipt IN {_LISTED}"
        " ORDER BY at, user_id",
        (listed, listed),
    )
    return [PairRow(*one) for one in found]


def queued(db: sqlite3.Connection, subjects: Collection[str], user_id: str = "") -> list[OutboxRow]:
    """The rows of these that wait, or are kept as dead letters, and those that name a user id, in order."""
    numbers = json.dumps([row.seq for row in rows(db, subjects, user_id)])
    found = db.execute(f"SELECT {_ROW} FROM outbox WHERE seq IN {_LISTED} ORDER BY seq", (numbers,))
    return [OutboxRow._make((*one, False)) for one in found]


def rows(db: sqlite3.Connection, subjects: Collection[str], user_id: str = "") -> list[Told]:
    """The rows of these, and those that name a user id: of a stranger, nothing else tells whose they are."""
    found = rows_of(db, subjects)
    if not user_id:
        return found
    return list({row.seq: row for row in (*found, *told(db, _NAMES_USER, user_id))}.values())


def erase_pairs(db: sqlite3.Connection, subjects: Collection[str]) -> int:
    """Delete the pairs of these visitors and receipts; how many there were."""
    listed = json.dumps([one for one in subjects if one])
    sql = f"DELETE FROM pairs WHERE visitor IN {_LISTED} OR receipt IN {_LISTED}"
    return db.execute(sql, (listed, listed)).rowcount


def expire_pairs(db: sqlite3.Connection, before: float, most: int) -> int:
    """Delete pairs from before this time, at most so many; how many."""
    old = "SELECT visitor, user_id FROM pairs WHERE at < ? LIMIT ?"
    return db.execute(f"DELETE FROM pairs WHERE (visitor, user_id) IN ({old})", (before, most)).rowcount


def _seen_with(db: sqlite3.Connection, user_id: str) -> set[str]:
    """The visitors and receipts of this user id's pairs, and of the queued events that name it."""
    found = db.execute("SELECT visitor, receipt FROM pairs WHERE user_id = ?", (user_id,)).fetchall()
    found += db.execute(f"SELECT visitor, receipt FROM outbox WHERE {_NAMES_USER}", (user_id,)).fetchall()
    return {one for pair in found for one in pair if one}
