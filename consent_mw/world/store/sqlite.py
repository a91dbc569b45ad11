"""The store in one SQLite file.

Rule: every statement runs in the writer's one thread, inside the transaction of its group.
Rule: delivered, recalled and erased rows leave nothing behind (secure_delete, and the log is emptied when idle).
Rule: a recall that could not be written, as on a full disk, is owed: nothing is given out before it is.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final

from consent_mw.core.inventory import Item
from consent_mw.core.ledger import Entry, erasure, retention
from consent_mw.core.statistics import Seen
from consent_mw.errors import StoreError
from consent_mw.wire.ledger import Book
from consent_mw.world.store import (
    OutboxRow,
    PairRow,
    ReceiptRow,
    Settlement,
    counting,
    inventory,
    keys,
    outbox,
    persons,
    receipts,
    recording,
    statistics,
)
from consent_mw.world.store.ledger import Ledger
from consent_mw.world.store.recalls import Recalls, TakenBack
from consent_mw.world.store.recent import Recent
from consent_mw.world.store.schema import PROBE, prepare
from consent_mw.world.store.statistics import SqliteTables
from consent_mw.world.store.writer import Writer

_Recall = Callable[[sqlite3.Connection], list[outbox.Told]]

OWED_AT_MOST: Final = 100_000
"""Recalls that are remembered while none can be written; a no that comes after so many recalls all that waits."""

RECALLED_AT_ONCE: Final = 5000
REVIVED_AT_ONCE: Final = 5000
EXPIRED_AT_ONCE: Final = 5000
"""Rows of a kind that one transaction takes back, revives or deletes, where there may be millions."""


class SqliteStore:
    """See Store. `max_size` bounds the bytes of stored bodies; `drop_oldest` says what gives way there; without a
    `book` no ledger is kept."""

    def __init__(self, path: str, *, max_size: int, drop_oldest: bool, book: Book | None = None) -> None:
        self._max_size = max_size
        self._drop_oldest = drop_oldest
        self._dropped = 0
        self._recent = Recent()
        self._ledger = Ledger(book) if book is not None else None
        self._recalls = Recalls()
        self._taken_back = TakenBack()
        self._owed: list[_Recall] = []
        self._writer = Writer(path, self._prepare, PROBE, self._ledger)

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""
        return self._writer.healthy

    @property
    def dropped(self) -> int:
        """How many events were given up since the store was opened, to make room for newer ones."""
        return self._dropped

    @property
    def head(self) -> str:
        """The ledger's head as `NUMBER:CODE`; empty where no ledger is kept."""
        return self._ledger.head if self._ledger is not None else ""

    # receipts

    def add_receipt(self, row: ReceiptRow, entry: Entry | None = None, *, visitor: str = "") -> Future[None]:
        """Keep a receipt, and the entry of its choice; committed at once."""

        def work(db: sqlite3.Connection) -> None:
            if receipts.add(db, row):
                persons.adopt(db, visitor, row.id)
                if self._ledger is not None and entry is not None:
                    self._ledger.note(entry)

        return self._writer.ask(work, hurried=True, gathers=True)

    def receipt(self, identity: str) -> Future[ReceiptRow | None]:
        """The receipt of this id."""
        return self._writer.ask(lambda db: receipts.find(db, identity), hurried=True, writes=False)

    def receipts(self, root: str) -> Future[list[ReceiptRow]]:
        """Every receipt of this browser, oldest first."""
        return self._writer.ask(lambda db: receipts.of_browser(db, root), hurried=True, writes=False)

    # the outbox

    def enqueue(self, rows: Sequence[OutboxRow]) -> Future[None]:
        """Keep these rows until they are delivered."""
        kept = list(rows)
        first = dropped = 0

        def work(db: sqlite3.Connection) -> None:
            nonlocal kept, first, dropped
            late = self._recalls.forbidden(db, kept)
            if late:
                forbidden = {row.id for row in late}
                kept = [row for row in kept if row.id not in forbidden]
                if self._ledger is not None:
                    never = [outbox.untold(row) for row in late]
                    self._ledger.note(*recording.recalled(partial(keys.person_keys, db), never, "late", keep=False))
            size = sum(len(row.body) for row in kept)
            gone = outbox.room(db, size, self._max_size, drop_oldest=self._drop_oldest)
            if self._ledger is not None:
                self._ledger.note(*recording.dropped(partial(keys.person_keys, db), gone))
            outbox.take_back(db, self._recent, gone)
            dropped = len(gone)
            first = outbox.insert(db, kept)

        def committed() -> None:
            self._dropped += dropped
            if first:
                self._recent.add(first, kept)

        return self._writer.ask(work, committed=committed)

    def claim(self, vendor: str, limit: int, now: float, lease: float) -> Future[list[OutboxRow]]:
        """The next rows for this vendor, leased until `now + lease`."""

        paid: list[outbox.Told] = []
        owed = 0

        def work(db: sqlite3.Connection) -> list[OutboxRow]:
            nonlocal owed
            paid.clear()
            owed = len(self._owed)
            for recall in self._owed:
                paid.extend(recall(db))
            return outbox.claim(db, self._recent, vendor, limit, now, now + lease)

        def committed() -> None:
            del self._owed[:owed]
            self._forget(paid)

        return self._writer.ask(work, hurried=True, committed=committed)

    def held(self, ids: Collection[str]) -> Future[frozenset[str]]:
        """Which of these rows are still to be delivered."""
        wanted = list(ids)

        def work(db: sqlite3.Connection) -> frozenset[str]:
            if self._owed:
                raise StoreError("a recall is yet to be written")
            return outbox.held(db, wanted)

        return self._writer.ask(work, hurried=True, writes=False)

    def taken_back(self, ids: Collection[str]) -> bool:
        """Whether one of these claimed rows was recalled since."""
        return bool(self._owed) or self._taken_back.any(ids)

    def settle(
        self, settlements: Sequence[Settlement], *, vendor: str = "", fields: Collection[str] = ()
    ) -> Future[None]:
        """Note what became of claimed rows."""

        def work(db: sqlite3.Connection) -> None:
            ended = outbox.told_by_id(db, [one.id for one in settlements if one.outcome])
            if self._ledger is not None:
                self._ledger.note(
                    *recording.settled(partial(keys.person_keys, db), settlements, ended, vendor, fields)
                )
            outbox.settle(db, settlements, ended)

        return self._writer.ask(work)

    def recall(
        self,
        subjects: Collection[str],
        *,
        purposes: Collection[str] | None = None,
        reason: str = "withdrawal",
        at: float = 0.0,
    ) -> Future[list[str]]:
        """Take back every undelivered row of these visitors or receipts."""
        wanted = list(subjects)
        only = None if purposes is None else list(purposes)

        gone: list[outbox.Told] = []

        def recall(db: sqlite3.Connection) -> list[outbox.Told]:
            found = [row for row in outbox.rows_of(db, wanted) if only is None or row.purpose in only]
            self._take_back(db, found, reason)
            if at:
                self._recalls.remember(db, wanted, only, at)
            return found

        def work(db: sqlite3.Connection) -> list[str]:
            gone[:] = recall(db)
            return [row.event_id for row in gone]

        def look(done: Future[list[str]]) -> None:
            # In the writer's thread, which is the only one that a recall can fail in while the store is open.
            if done.exception() is not None and not self._writer.closed:
                self._owe(recall)

        asked = self._writer.ask(work, hurried=True, committed=lambda: self._forget(gone))
        asked.add_done_callback(look)
        return asked

    def recall_others(self, vendors: Collection[str]) -> Future[dict[str, int]]:
        """Take back rows of vendors that are not among these."""
        known = list(vendors)
        gone: list[outbox.Told] = []

        def work(db: sqlite3.Connection) -> dict[str, int]:
            gone[:] = outbox.others(db, known, RECALLED_AT_ONCE)
            self._take_back(db, gone, "policy")
            return dict(Counter(row.vendor for row in gone))

        return self._writer.ask(work, hurried=True, committed=lambda: self._forget(gone))

    def erase(
        self, subjects: Collection[str], *, receipt: str = "", user_id: str = "", at: float = 0.0
    ) -> Future[int]:
        """Take back every row, delete every receipt and pair, and destroy every key of these."""
        wanted = [one for one in (*subjects, receipt) if one]
        found: list[outbox.Told] = []

        def work(db: sqlite3.Connection) -> int:
            known = persons.find(db, wanted, user_id)
            if at:
                self._recalls.remember(db, known, None, at)
            found[:] = persons.rows(db, known, user_id)
            self._take_back(db, found, "erasure", keep=False)
            roots = receipts.roots_of(db, known)
            destroyed = keys.destroy(db, {*known, *roots, *(row.person for row in found)})
            gone = receipts.delete(db, roots) + persons.erase_pairs(db, known)
            if self._ledger is not None and (found or gone or destroyed):
                self._ledger.note(erasure(gone, len(found), destroyed))
            return len(found) + gone

        return self._writer.ask(work, hurried=True, committed=lambda: self._forget(found))

    def revive(self, vendor: str = "") -> Future[dict[str, int]]:
        """Try the dead letters of this vendor (or of all) again."""

        def work(db: sqlite3.Connection) -> dict[str, int]:
            found = outbox.revive(db, vendor, REVIVED_AT_ONCE)
            if self._ledger is not None and found:
                self._ledger.note(*recording.revived(partial(keys.person_keys, db), found))
            return dict(Counter(row.vendor for row in found))

        return self._writer.ask(work, hurried=True)

    # persons

    def keep_pair(self, row: PairRow, purpose: str) -> Future[None]:
        """Keep who the site says a visitor is."""

        def work(db: sqlite3.Connection) -> None:
            if not self._recalls.forbids(db, row.visitor, row.receipt, purpose, row.at):
                persons.keep_pair(db, row)

        return self._writer.ask(work)

    def find(self, subjects: Collection[str], user_id: str = "") -> Future[list[str]]:
        """Every visitor and receipt that these lead to."""
        wanted = list(subjects)
        return self._writer.ask(lambda db: persons.find(db, wanted, user_id), hurried=True, writes=False)

    def pairs(self, subjects: Collection[str]) -> Future[list[PairRow]]:
        """Who the site says that these visitors are."""
        wanted = list(subjects)
        return self._writer.ask(lambda db: persons.pairs_of(db, wanted), hurried=True, writes=False)

    def queued(self, subjects: Collection[str], user_id: str = "") -> Future[list[OutboxRow]]:
        """The rows of these visitors or receipts."""
        wanted = list(subjects)
        return self._writer.ask(lambda db: persons.queued(db, wanted, user_id), hurried=True, writes=False)

    # upkeep

    def pending(self, vendor: str = "") -> Future[int]:
        """How many rows wait."""

        def work(db: sqlite3.Connection) -> int:
            sql = "SELECT count(*) FROM outbox WHERE dead = 0 AND (vendor = ? OR ? = '')"
            return int(db.execute(sql, (vendor, vendor)).fetchone()[0])

        return self._writer.ask(work, hurried=True, writes=False)

    def next_due(self, vendor: str) -> Future[float | None]:
        """When the next waiting row of this vendor may be claimed."""
        return self._writer.ask(lambda db: outbox.next_due(db, vendor), hurried=True, writes=False)

    def expire(self, *, receipts_before: float, dead_before: float, ledger_before: float = 0.0) -> Future[int]:
        """Delete the receipts, the dead letters and the entries from before these times."""

        def work(db: sqlite3.Connection) -> int:
            old = receipts.expire(db, receipts_before, EXPIRED_AT_ONCE)
            letters = outbox.expire_dead(db, dead_before, EXPIRED_AT_ONCE)
            pairs = persons.expire_pairs(db, receipts_before, EXPIRED_AT_ONCE)
            self._recalls.forget(db)
            day = int(ledger_before // 86_400)
            destroyed = keys.expire(db, day, EXPIRED_AT_ONCE)
            cut = self._ledger.cut(db, ledger_before) if self._ledger is not None else None
            number = old + letters + destroyed + (cut.number if cut is not None else 0)
            if self._ledger is not None and number:
                self._ledger.note(retention(cut, old, letters, destroyed))
            return number + pairs

        return self._writer.ask(work)

    # the ledger, and keys

    def note(self, entries: Sequence[Entry]) -> Future[None]:
        """Write these into the ledger."""
        noted = list(entries)

        def work(_: sqlite3.Connection) -> None:
            if self._ledger is not None:
                self._ledger.note(*noted)

        return self._writer.ask(work)

    def secret(self, name: str, proposed: bytes) -> Future[bytes]:
        """The secret that is kept under this name."""
        return self._writer.ask(lambda db: keys.secret(db, name, proposed), hurried=True)

    def publish(self, public: Sequence[Sequence[str]]) -> Future[list[list[str]]]:
        """Keep these public keys; all that were ever kept."""
        kept = list(public)
        return self._writer.ask(lambda db: keys.publish(db, kept), hurried=True)

    # statistics

    def statistics_key(self, day: int) -> Future[bytes]:
        """The key of this day for its statistics."""
        return self._writer.ask(lambda db: statistics.key(db, day), hurried=True)

    def add_views(self, seen: Sequence[Seen], now: float) -> Future[None]:
        """Add to the statistics what was seen."""
        kept = list(seen)
        return self._writer.ask(lambda db: counting.add(SqliteTables(db), kept, now))

    def add_inventory(self, items: Sequence[Item]) -> Future[None]:
        """Add to what report mode counted."""
        kept = list(items)
        return self._writer.ask(lambda db: inventory.add(db, kept))

    def inventory(self) -> Future[list[Item]]:
        """All that report mode counted."""
        return self._writer.ask(inventory.read, hurried=True, writes=False)

    def end_statistics(self, now: float, kept_from: float) -> Future[None]:
        """End the days that are over; delete what is too old."""

        def work(db: sqlite3.Connection) -> None:
            counting.end(SqliteTables(db), now)
            statistics.expire(db, kept_from)
            inventory.expire(db, kept_from)

        return self._writer.ask(work)

    def close(self) -> None:
        """Finish what was asked and close."""
        self._writer.close()

    def _prepare(self, db: sqlite3.Connection) -> None:
        prepare(db)
        if self._ledger is not None:
            self._ledger.begin(db)

    def _take_back(
        self, db: sqlite3.Connection, rows: Sequence[outbox.Told], reason: str, *, keep: bool = True
    ) -> None:
        """Recall these rows for this reason; `keep`: their persons keep their keys."""
        if self._ledger is not None:
            self._ledger.note(*recording.recalled(partial(keys.person_keys, db), rows, reason, keep=keep))
        outbox.take_back(db, self._recent, rows)

    def _forget(self, rows: Sequence[outbox.Told]) -> None:
        """These rows are taken back: whoever claimed one is not to send it any more."""
        self._taken_back.add(row.id for row in rows if row.attempts)

    def _owe(self, recall: _Recall) -> None:
        """Do this before anything else is given out."""
        if len(self._owed) < OWED_AT_MOST:
            self._owed.append(recall)
        elif len(self._owed) == OWED_AT_MOST:
            self._owed.append(self._recall_all)

    def _recall_all(self, db: sqlite3.Connection) -> list[outbox.Told]:
        found = outbox.others(db, (), -1)
        self._take_back(db, found, "withdrawal")
        return found
