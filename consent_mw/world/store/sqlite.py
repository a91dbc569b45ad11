"""The store in one SQLite file: one connection in one thread, which does every read and write in order.

Rule: what was asked together is committed together, at most 50 ms after the first of it; a future resolves after.
Rule: the thread never dies of a failed request: the request fails with StoreError, and the next one is tried.
Rule: delivered rows leave nothing behind (secure_delete, and the log is truncated when nothing is asked).
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from consent_mw.errors import StoreError, StoreFullError
from consent_mw.world.store import OutboxRow, ReceiptRow, Settlement

T = TypeVar("T")

SCHEMA_VERSION: Final = 1
COMMIT_WITHIN: Final = 0.05
"""Seconds that the first request of a group may wait for others."""

IDLE_AFTER: Final = 0.5
"""Seconds without a request after which the write-ahead log is emptied."""

_SCHEMA = """
CREATE TABLE receipts (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE, root TEXT NOT NULL, previous TEXT NOT NULL, at INTEGER NOT NULL, jws TEXT NOT NULL
);
CREATE INDEX receipts_by_root ON receipts (root, seq);
CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE, vendor TEXT NOT NULL, event_id TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL,
  visitor TEXT NOT NULL, receipt TEXT NOT NULL, jurisdiction TEXT NOT NULL, purpose TEXT NOT NULL,
  policy TEXT NOT NULL, created REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  not_before REAL NOT NULL DEFAULT 0, leased_until REAL NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX outbox_waiting ON outbox (vendor, dead, seq);
CREATE INDEX outbox_by_visitor ON outbox (visitor) WHERE visitor <> '';
CREATE INDEX outbox_by_receipt ON outbox (receipt) WHERE receipt <> '';
"""

_RECEIPT = "id, root, previous, at, jws"
_COLUMNS = "id, vendor, event_id, kind, body, visitor, receipt, jurisdiction, purpose, policy, created, attempts"
_CLAIM = f"""
SELECT {_COLUMNS} FROM outbox AS o
WHERE vendor = :vendor AND dead = 0 AND not_before <= :now AND leased_until <= :now
  AND NOT (visitor <> '' AND EXISTS (
    SELECT 1 FROM outbox AS e WHERE e.visitor = o.visitor AND e.vendor = o.vendor AND e.dead = 0 AND e.seq < o.seq
      AND (e.not_before > :now OR e.leased_until > :now)))
ORDER BY seq LIMIT :limit
"""


@dataclass(slots=True)
class _Request:
    work: Callable[[sqlite3.Connection], Any]
    future: Future[Any]
    hurried: bool
    writes: bool


class SqliteStore:
    """See Store. `max_size` bounds the bytes of waiting bodies; `drop_oldest` says what gives way there."""

    def __init__(self, path: str, *, max_size: int, drop_oldest: bool) -> None:
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._closed = False
        self._guard = threading.Lock()
        self._healthy = True
        self._max_size = max_size
        self._drop_oldest = drop_oldest
        self._size = 0
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(path, opened), name="consent_mw-store", daemon=True)
        self._thread.start()
        opened.result()

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""
        return self._healthy and not self._closed

    # receipts

    def add_receipt(self, row: ReceiptRow) -> Future[None]:
        """Keep a receipt; committed at once."""
        values = (row.id, row.root, row.previous, row.at, row.jws)

        def work(db: sqlite3.Connection) -> None:
            db.execute(f"INSERT OR IGNORE INTO receipts ({_RECEIPT}) VALUES (?, ?, ?, ?, ?)", values)

        return self._ask(work, hurried=True)

    def receipt(self, identity: str) -> Future[ReceiptRow | None]:
        """The receipt of this id."""

        def work(db: sqlite3.Connection) -> ReceiptRow | None:
            found = db.execute(f"SELECT {_RECEIPT} FROM receipts WHERE id = ?", (identity,)).fetchone()
            return ReceiptRow(*found) if found else None

        return self._ask(work, hurried=True, writes=False)

    def receipts(self, root: str) -> Future[list[ReceiptRow]]:
        """Every receipt of this browser, oldest first."""

        def work(db: sqlite3.Connection) -> list[ReceiptRow]:
            found = db.execute(f"SELECT {_RECEIPT} FROM receipts WHERE root = ? ORDER BY seq", (root,))
            return [ReceiptRow(*one) for one in found]

        return self._ask(work, hurried=True, writes=False)

    # the outbox

    def enqueue(self, rows: Sequence[OutboxRow]) -> Future[None]:
        """Keep these rows until they are delivered."""
        values = [_values(row) for row in rows]
        size = sum(len(row.body) for row in rows)

        def work(db: sqlite3.Connection) -> None:
            self._make_room(db, size)
            places = ", ".join("?" * 12)
            db.executemany(f"INSERT OR IGNORE INTO outbox ({_COLUMNS}) VALUES ({places})", values)
            self._size += size

        return self._ask(work)

    def claim(self, vendor: str, limit: int, now: float, lease: float) -> Future[list[OutboxRow]]:
        """The next rows for this vendor, leased until `now + lease`."""

        def work(db: sqlite3.Connection) -> list[OutboxRow]:
            found = db.execute(_CLAIM, {"vendor": vendor, "now": now, "limit": limit}).fetchall()
            leases = [(now + lease, one[0]) for one in found]
            db.executemany("UPDATE outbox SET leased_until = ?, attempts = attempts + 1 WHERE id = ?", leases)
            return [replace(OutboxRow(*one), attempts=one[11] + 1) for one in found]

        return self._ask(work, hurried=True)

    def settle(self, settlements: Sequence[Settlement]) -> Future[None]:
        """Note what became of claimed rows."""

        def work(db: sqlite3.Connection) -> None:
            for one in settlements:
                if one.outcome == "dead":
                    db.execute("UPDATE outbox SET dead = 1, leased_until = 0 WHERE id = ?", (one.id,))
                elif one.outcome:
                    self._remove(db, [one.id])
                else:
                    again = (one.retry_at, one.id)
                    db.execute("UPDATE outbox SET not_before = ?, leased_until = 0 WHERE id = ?", again)

        return self._ask(work)

    def recall(self, subjects: Collection[str], *, purposes: Collection[str] | None = None) -> Future[list[str]]:
        """Take back every undelivered row of these visitors or receipts."""
        wanted = list(subjects)
        only = None if purposes is None else list(purposes)

        def work(db: sqlite3.Connection) -> list[str]:
            found = [row for row in self._rows_of(db, wanted) if only is None or row[2] in only]
            self._remove(db, [row[0] for row in found])
            return [row[1] for row in found]

        return self._ask(work, hurried=True)

    def erase(self, subjects: Collection[str], *, receipt: str = "") -> Future[int]:
        """Take back every row and delete every receipt of these."""
        wanted = list(subjects)

        def work(db: sqlite3.Connection) -> int:
            found = self._rows_of(db, wanted)
            self._remove(db, [row[0] for row in found])
            gone = db.execute(
                "DELETE FROM receipts WHERE root IN (SELECT root FROM receipts WHERE id = ?)", (receipt,)
            ).rowcount
            return len(found) + gone

        return self._ask(work, hurried=True)

    def pending(self, vendor: str = "") -> Future[int]:
        """How many rows wait."""

        def work(db: sqlite3.Connection) -> int:
            sql = "SELECT count(*) FROM outbox WHERE dead = 0 AND (vendor = ? OR ? = '')"
            return int(db.execute(sql, (vendor, vendor)).fetchone()[0])

        return self._ask(work, hurried=True, writes=False)

    def next_due(self, vendor: str) -> Future[float | None]:
        """When the next waiting row of this vendor may be claimed."""

        def work(db: sqlite3.Connection) -> float | None:
            sql = "SELECT min(max(not_before, leased_until)) FROM outbox WHERE vendor = ? AND dead = 0"
            found = db.execute(sql, (vendor,)).fetchone()[0]
            return None if found is None else float(found)

        return self._ask(work, hurried=True, writes=False)

    def close(self) -> None:
        """Finish what was asked and close."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            self._requests.put(None)
        self._thread.join()

    # the thread

    def _ask(
        self, work: Callable[[sqlite3.Connection], T], *, hurried: bool = False, writes: bool = True
    ) -> Future[T]:
        future: Future[T] = Future()
        with self._guard:
            if self._closed:
                future.set_exception(StoreError("the store is closed"))
                return future
            self._requests.put(_Request(work, future, hurried, writes))
        return future

    def _run(self, path: str, opened: Future[None]) -> None:
        try:
            db = _open(path)
            self._size = int(db.execute("SELECT coalesce(sum(length(body)), 0) FROM outbox").fetchone()[0])
        except (sqlite3.Error, OSError) as error:
            opened.set_exception(StoreError(f"the store `{path}` cannot be opened: {error}"))
            return
        opened.set_result(None)
        open_still = True
        while open_still:
            group, open_still = self._gather(db)
            self._commit(db, group)
        db.close()

    def _gather(self, db: sqlite3.Connection) -> tuple[list[_Request], bool]:
        """The next requests that go to disk together, and whether more may follow."""
        first = self._first(db)
        if first is None:
            return [], False
        group = [first]
        until = time.monotonic() + COMMIT_WITHIN
        hurried = first.hurried
        while len(group) < 5000:
            try:
                left = 0.0 if hurried else until - time.monotonic()
                request = self._requests.get(timeout=left) if left > 0 else self._requests.get_nowait()
            except queue.Empty:
                break
            if request is None:
                return group, False
            group.append(request)
            hurried = hurried or request.hurried
        return group, True

    def _first(self, db: sqlite3.Connection) -> _Request | None:
        try:
            return self._requests.get(timeout=IDLE_AFTER)
        except queue.Empty:
            pass
        try:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            self._healthy = False
        return self._requests.get()

    def _commit(self, db: sqlite3.Connection, group: Sequence[_Request]) -> None:
        """Do these requests in order and commit; each answers only once it is on disk."""
        size = self._size
        try:
            if group:
                db.execute("BEGIN IMMEDIATE")
            done = [(request, self._do(db, request)) for request in group]
            if group:
                db.execute("COMMIT")
        except sqlite3.Error as error:
            self._size = size
            self._fail(db, group, error)
            return
        if any(request.writes for request in group):
            self._healthy = True
        for request, answer in done:
            if isinstance(answer, StoreError):
                request.future.set_exception(answer)
            else:
                request.future.set_result(answer)

    def _do(self, db: sqlite3.Connection, request: _Request) -> Any:
        try:
            return request.work(db)
        except StoreError as error:
            return error

    def _fail(self, db: sqlite3.Connection, group: Sequence[_Request], error: sqlite3.Error) -> None:
        self._healthy = False
        try:
            if db.in_transaction:
                db.execute("ROLLBACK")
        except sqlite3.Error:
            self._healthy = False
        for request in group:
            request.future.set_exception(StoreError(f"the store failed: {error}"))

    def _make_room(self, db: sqlite3.Connection, size: int) -> None:
        if self._size + size <= self._max_size:
            return
        if not self._drop_oldest:
            raise StoreFullError("the outbox is full")
        while self._size + size > self._max_size:
            oldest = [row[0] for row in db.execute("SELECT id FROM outbox ORDER BY dead DESC, seq LIMIT 100")]
            if not oldest:
                raise StoreFullError("these events are larger than the whole outbox")
            self._remove(db, oldest)

    def _remove(self, db: sqlite3.Connection, ids: Iterable[str]) -> None:
        for one in ids:
            found = db.execute("DELETE FROM outbox WHERE id = ? RETURNING length(body)", (one,)).fetchall()
            self._size -= sum(row[0] for row in found)

    def _rows_of(self, db: sqlite3.Connection, subjects: Sequence[str]) -> list[tuple[str, str, str]]:
        """(id, event id, purpose) of the rows of these visitors, receipts, or other receipts of the same browsers."""
        found: dict[str, tuple[str, str, str]] = {}
        sql = """
            SELECT id, event_id, purpose FROM outbox WHERE dead = 0 AND (visitor = :s OR receipt = :s OR receipt IN (
              SELECT r.id FROM receipts AS r JOIN receipts AS mine ON mine.root = r.root WHERE mine.id = :s))
        """
        for subject in subjects:
            if subject:
                found.update({row[0]: row for row in db.execute(sql, {"s": subject})})
        return list(found.values())


def _values(row: OutboxRow) -> tuple[object, ...]:
    return (
        row.id, row.vendor, row.event_id, row.kind, row.body, row.visitor, row.receipt, row.jurisdiction, row.purpose,
        row.policy, row.created, row.attempts,
    )  # fmt: skip


def _open(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")
    db.execute("BEGIN IMMEDIATE")
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version == 0:
        for statement in filter(None, (one.strip() for one in _SCHEMA.split(";"))):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")
    if version > SCHEMA_VERSION:
        db.close()
        raise sqlite3.DatabaseError("it was written by a newer version")
    return db
