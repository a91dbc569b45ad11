"""The store in one SQLite file.

Rule: every statement runs in the writer's one thread, inside the transaction of its group.
Rule: delivered, recalled and erased rows leave nothing behind (secure_delete, and the log is emptied when idle).
Rule: the size of what waits is kept by triggers, so that it is right for every process and after every rollback.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future
from typing import Final

from consent_mw.errors import StoreFullError
from consent_mw.world.store import OutboxRow, ReceiptRow, Settlement
from consent_mw.world.store.writer import Writer

SCHEMA_VERSION: Final = 1

_SCHEMA = (
    """CREATE TABLE receipts (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE, root TEXT NOT NULL, previous TEXT NOT NULL, at INTEGER NOT NULL, jws TEXT NOT NULL
)""",
    "CREATE INDEX receipts_by_root ON receipts (root, seq)",
    """CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE, vendor TEXT NOT NULL, event_id TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL,
  visitor TEXT NOT NULL, receipt TEXT NOT NULL, jurisdiction TEXT NOT NULL, purpose TEXT NOT NULL,
  policy TEXT NOT NULL, created REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  not_before REAL NOT NULL DEFAULT 0, leased_until REAL NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0,
  person TEXT NOT NULL AS (iif(visitor <> '', visitor, receipt)) VIRTUAL
)""",
    "CREATE INDEX outbox_waiting ON outbox (vendor, dead, seq)",
    "CREATE INDEX outbox_by_person ON outbox (person, vendor, seq) WHERE person <> ''",
    "CREATE INDEX outbox_by_receipt ON outbox (receipt) WHERE receipt <> ''",
    "CREATE TABLE size (bytes INTEGER NOT NULL)",
    "INSERT INTO size VALUES (0)",
    """CREATE TRIGGER outbox_grows AFTER INSERT ON outbox
  BEGIN UPDATE size SET bytes = bytes + length(NEW.body); END""",
    """CREATE TRIGGER outbox_shrinks AFTER DELETE ON outbox
  BEGIN UPDATE size SET bytes = bytes - length(OLD.body); END""",
)
_PROBE = "PRAGMA application_id = 0"
"""Writes a page whatever stands in it; an UPDATE to the same value writes none."""

_RECEIPT = "id, root, previous, at, jws"
_COLUMNS = "id, vendor, event_id, kind, body, visitor, receipt, jurisdiction, purpose, policy, created, attempts"
_EARLIER = """SELECT 1 FROM outbox AS e
    WHERE e.person = o.person AND e.person <> '' AND e.vendor = o.vendor AND e.dead = 0 AND e.seq < o.seq"""
_CLAIM = f"""
SELECT {_COLUMNS}, leased_until > 0 FROM outbox AS o
WHERE vendor = :vendor AND dead = 0 AND not_before <= :now AND leased_until <= :now
  AND NOT EXISTS ({_EARLIER} AND (e.not_before > :now OR e.leased_until > :now))
ORDER BY seq LIMIT :limit
"""
# Only the first row of each person counts: a later one, though due, waits for it.
_NEXT_DUE = f"""
SELECT min(max(not_before, leased_until)) FROM outbox AS o
WHERE vendor = :vendor AND dead = 0 AND NOT EXISTS ({_EARLIER})
"""
_AGAIN = "UPDATE outbox SET not_before = ?, leased_until = 0, attempts = max(attempts - ?, 0) WHERE id = ?"
_ROWS_OF = """
SELECT id, event_id, purpose FROM outbox WHERE person = :s AND person <> ''
UNION SELECT id, event_id, purpose FROM outbox WHERE receipt = :s AND receipt <> ''
UNION SELECT id, event_id, purpose FROM outbox WHERE receipt <> '' AND receipt IN (
  SELECT r.id FROM receipts AS r JOIN receipts AS mine ON mine.root = r.root WHERE mine.id = :s)
"""


class SqliteStore:
    """See Store. `max_size` bounds the bytes of stored bodies; `drop_oldest` says what gives way there."""

    def __init__(self, path: str, *, max_size: int, drop_oldest: bool) -> None:
        self._max_size = max_size
        self._drop_oldest = drop_oldest
        self._dropped = 0
        self._writer = Writer(path, _prepare, _PROBE)

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""
        return self._writer.healthy

    @property
    def dropped(self) -> int:
        """How many events were given up since the store was opened, to make room for newer ones."""
        return self._dropped

    # receipts

    def add_receipt(self, row: ReceiptRow) -> Future[None]:
        """Keep a receipt; committed at once."""
        values = (row.id, row.root, row.previous, row.at, row.jws)

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                f"INSERT INTO receipts ({_RECEIPT}) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING", values
            )

        return self._writer.ask(work, hurried=True)

    def receipt(self, identity: str) -> Future[ReceiptRow | None]:
        """The receipt of this id."""

        def work(db: sqlite3.Connection) -> ReceiptRow | None:
            found = db.execute(f"SELECT {_RECEIPT} FROM receipts WHERE id = ?", (identity,)).fetchone()
            return ReceiptRow(*found) if found else None

        return self._writer.ask(work, hurried=True, writes=False)

    def receipts(self, root: str) -> Future[list[ReceiptRow]]:
        """Every receipt of this browser, oldest first."""

        def work(db: sqlite3.Connection) -> list[ReceiptRow]:
            found = db.execute(f"SELECT {_RECEIPT} FROM receipts WHERE root = ? ORDER BY seq", (root,))
            return [ReceiptRow(*one) for one in found]

        return self._writer.ask(work, hurried=True, writes=False)

    # the outbox

    def enqueue(self, rows: Sequence[OutboxRow]) -> Future[None]:
        """Keep these rows until they are delivered."""
        values = [_values(row) for row in rows]
        size = sum(len(row.body) for row in rows)

        dropped = 0

        def work(db: sqlite3.Connection) -> None:
            nonlocal dropped
            dropped = self._make_room(db, size)
            places = ", ".join("?" * 12)
            db.executemany(f"INSERT INTO outbox ({_COLUMNS}) VALUES ({places}) ON CONFLICT (id) DO NOTHING", values)

        def count(done: Future[None]) -> None:
            if done.exception() is None:
                self._dropped += dropped

        pending = self._writer.ask(work)
        pending.add_done_callback(count)
        return pending

    def claim(self, vendor: str, limit: int, now: float, lease: float) -> Future[list[OutboxRow]]:
        """The next rows for this vendor, leased until `now + lease`."""

        def work(db: sqlite3.Connection) -> list[OutboxRow]:
            found = db.execute(_CLAIM, {"vendor": vendor, "now": now, "limit": limit}).fetchall()
            leases = [(now + lease, one[0]) for one in found]
            db.executemany("UPDATE outbox SET leased_until = ?, attempts = attempts + 1 WHERE id = ?", leases)
            return [OutboxRow._make((*one[:11], one[11] + 1, bool(one[12]))) for one in found]

        return self._writer.ask(work, hurried=True)

    def held(self, ids: Collection[str]) -> Future[frozenset[str]]:
        """Which of these rows are still to be delivered."""
        wanted = list(ids)

        def work(db: sqlite3.Connection) -> frozenset[str]:
            sql = "SELECT 1 FROM outbox WHERE id = ? AND dead = 0"
            return frozenset(one for one in wanted if db.execute(sql, (one,)).fetchone())

        return self._writer.ask(work, hurried=True, writes=False)

    def settle(self, settlements: Sequence[Settlement]) -> Future[None]:
        """Note what became of claimed rows."""

        def work(db: sqlite3.Connection) -> None:
            for one in settlements:
                if one.outcome == "dead":
                    db.execute("UPDATE outbox SET dead = 1, leased_until = 0 WHERE id = ?", (one.id,))
                elif one.outcome:
                    _remove(db, [one.id])
                else:
                    db.execute(_AGAIN, (one.retry_at, not one.tried, one.id))

        # A person's next event waits for this answer.
        return self._writer.ask(work, hurried=True)

    def recall(self, subjects: Collection[str], *, purposes: Collection[str] | None = None) -> Future[list[str]]:
        """Take back every undelivered row of these visitors or receipts."""
        wanted = list(subjects)
        only = None if purposes is None else list(purposes)

        def work(db: sqlite3.Connection) -> list[str]:
            found = [row for row in _rows_of(db, wanted) if only is None or row[2] in only]
            _remove(db, [row[0] for row in found])
            return [row[1] for row in found]

        return self._writer.ask(work, hurried=True)

    def recall_others(self, vendors: Collection[str]) -> Future[dict[str, int]]:
        """Take back every row of a vendor that is not among these."""
        known = frozenset(vendors)

        def work(db: sqlite3.Connection) -> dict[str, int]:
            found = dict(db.execute("SELECT vendor, count(*) FROM outbox GROUP BY vendor").fetchall())
            gone = {name: number for name, number in found.items() if name not in known}
            db.executemany("DELETE FROM outbox WHERE vendor = ?", ((name,) for name in gone))
            return gone

        return self._writer.ask(work, hurried=True)

    def erase(self, subjects: Collection[str], *, receipt: str = "") -> Future[int]:
        """Take back every row and delete every receipt of these."""
        wanted = list(subjects)

        def work(db: sqlite3.Connection) -> int:
            found = _rows_of(db, wanted)
            _remove(db, [row[0] for row in found])
            gone = db.execute(
                "DELETE FROM receipts WHERE root IN (SELECT root FROM receipts WHERE id = ?)", (receipt,)
            ).rowcount
            return len(found) + gone

        return self._writer.ask(work, hurried=True)

    def pending(self, vendor: str = "") -> Future[int]:
        """How many rows wait."""

        def work(db: sqlite3.Connection) -> int:
            sql = "SELECT count(*) FROM outbox WHERE dead = 0 AND (vendor = ? OR ? = '')"
            return int(db.execute(sql, (vendor, vendor)).fetchone()[0])

        return self._writer.ask(work, hurried=True, writes=False)

    def next_due(self, vendor: str) -> Future[float | None]:
        """When the next waiting row of this vendor may be claimed."""

        def work(db: sqlite3.Connection) -> float | None:
            found = db.execute(_NEXT_DUE, {"vendor": vendor}).fetchone()[0]
            return None if found is None else float(found)

        return self._writer.ask(work, hurried=True, writes=False)

    def expire(self, *, receipts_before: float, dead_before: float) -> Future[int]:
        """Delete the receipts and the dead letters from before these times."""

        def work(db: sqlite3.Connection) -> int:
            gone = db.execute("DELETE FROM receipts WHERE at < ?", (receipts_before,)).rowcount
            return gone + db.execute("DELETE FROM outbox WHERE dead = 1 AND created < ?", (dead_before,)).rowcount

        return self._writer.ask(work)

    def close(self) -> None:
        """Finish what was asked and close."""
        self._writer.close()

    def _make_room(self, db: sqlite3.Connection, size: int) -> int:
        """Drop the oldest rows, dead ones first, until `size` more bytes fit; returns how many were dropped."""
        excess = int(db.execute("SELECT bytes FROM size").fetchone()[0]) + size - self._max_size
        if excess <= 0:
            return 0
        if size > self._max_size:
            raise StoreFullError("these events are larger than the whole outbox")
        if not self._drop_oldest:
            raise StoreFullError("the outbox is full")
        gone: list[str] = []
        for identity, length in db.execute("SELECT id, length(body) FROM outbox ORDER BY dead DESC, seq"):
            gone.append(identity)
            excess -= length
            if excess <= 0:
                break
        _remove(db, gone)
        return len(gone)


def _remove(db: sqlite3.Connection, ids: Iterable[str]) -> None:
    db.executemany("DELETE FROM outbox WHERE id = ?", ((one,) for one in ids))


def _rows_of(db: sqlite3.Connection, subjects: Iterable[str]) -> list[tuple[str, str, str]]:
    """(id, event id, purpose) of the rows of these visitors, receipts, or other receipts of the same browsers."""
    found = {row[0]: row for one in subjects if one for row in db.execute(_ROWS_OF, {"s": one})}
    return list(found.values())


def _values(row: OutboxRow) -> tuple[object, ...]:
    return (
        row.id, row.vendor, row.event_id, row.kind, row.body, row.visitor, row.receipt, row.jurisdiction, row.purpose,
        row.policy, row.created, row.attempts,
    )  # fmt: skip


def _prepare(db: sqlite3.Connection) -> None:
    """Make the schema in a new file, or check that it is ours."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError("it was written by a newer version")
    if version == SCHEMA_VERSION:
        db.execute("UPDATE size SET bytes = bytes")
        return
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise sqlite3.DatabaseError("it is another program's database")
    for statement in _SCHEMA:
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
