"""The store in one SQLite file.

Rule: every statement runs in the writer's one thread, inside the transaction of its group.
Rule: delivered, recalled and erased rows leave nothing behind (secure_delete, and the log is emptied when idle).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from concurrent.futures import Future

from consent_mw.world.store import OutboxRow, ReceiptRow, Settlement, outbox
from consent_mw.world.store.recent import Recent
from consent_mw.world.store.schema import PROBE, prepare
from consent_mw.world.store.writer import Writer

_RECEIPT = "id, root, previous, at, jws"


class SqliteStore:
    """See Store. `max_size` bounds the bytes of stored bodies; `drop_oldest` says what gives way there."""

    def __init__(self, path: str, *, max_size: int, drop_oldest: bool) -> None:
        self._max_size = max_size
        self._drop_oldest = drop_oldest
        self._dropped = 0
        self._recent = Recent()
        self._writer = Writer(path, prepare, PROBE)

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
        kept = list(rows)
        first = dropped = 0

        def work(db: sqlite3.Connection) -> None:
            nonlocal first, dropped
            size = sum(len(row.body) for row in kept)
            dropped = outbox.make_room(db, self._recent, size, self._max_size, drop_oldest=self._drop_oldest)
            first = outbox.insert(db, kept)

        def committed() -> None:
            self._dropped += dropped
            if first:
                self._recent.add(first, kept)

        return self._writer.ask(work, committed=committed)

    def claim(self, vendor: str, limit: int, now: float, lease: float) -> Future[list[OutboxRow]]:
        """The next rows for this vendor, leased until `now + lease`."""

        def work(db: sqlite3.Connection) -> list[OutboxRow]:
            return outbox.claim(db, self._recent, vendor, limit, now, now + lease)

        return self._writer.ask(work, hurried=True)

    def held(self, ids: Collection[str]) -> Future[frozenset[str]]:
        """Which of these rows are still to be delivered."""
        wanted = list(ids)
        return self._writer.ask(lambda db: outbox.held(db, wanted), hurried=True, writes=False)

    def settle(self, settlements: Sequence[Settlement]) -> Future[None]:
        """Note what became of claimed rows."""
        return self._writer.ask(lambda db: outbox.settle(db, settlements))

    def recall(self, subjects: Collection[str], *, purposes: Collection[str] | None = None) -> Future[list[str]]:
        """Take back every undelivered row of these visitors or receipts."""
        wanted = list(subjects)
        only = None if purposes is None else list(purposes)

        def work(db: sqlite3.Connection) -> list[str]:
            found = [row for row in outbox.rows_of(db, wanted) if only is None or row[2] in only]
            outbox.take_back(db, self._recent, [row[0] for row in found])
            return [row[1] for row in found]

        return self._writer.ask(work, hurried=True)

    def recall_others(self, vendors: Collection[str]) -> Future[dict[str, int]]:
        """Take back every row of a vendor that is not among these."""
        known = frozenset(vendors)

        def work(db: sqlite3.Connection) -> dict[str, int]:
            found = dict(db.execute("SELECT vendor, count(*) FROM outbox GROUP BY vendor").fetchall())
            gone = {name: number for name, number in found.items() if name not in known}
            for name in gone:
                outbox.delete(db, "vendor = ?", name)
                self._recent.forget(name)
            return gone

        return self._writer.ask(work, hurried=True)

    def erase(self, subjects: Collection[str], *, receipt: str = "") -> Future[int]:
        """Take back every row and delete every receipt of these."""
        wanted = list(subjects)

        def work(db: sqlite3.Connection) -> int:
            found = outbox.rows_of(db, wanted)
            outbox.take_back(db, self._recent, [row[0] for row in found])
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
        return self._writer.ask(lambda db: outbox.next_due(db, vendor), hurried=True, writes=False)

    def expire(self, *, receipts_before: float, dead_before: float) -> Future[int]:
        """Delete the receipts and the dead letters from before these times."""

        def work(db: sqlite3.Connection) -> int:
            gone = db.execute("DELETE FROM receipts WHERE at < ?", (receipts_before,)).rowcount
            return gone + outbox.delete(db, "dead = 1 AND created < ?", dead_before)

        return self._writer.ask(work)

    def close(self) -> None:
        """Finish what was asked and close."""
        self._writer.close()
