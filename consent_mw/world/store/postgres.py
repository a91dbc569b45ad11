"""The store in a PostgreSQL database, which several machines share.

Rule: what is asked of one machine is done in the order in which it was asked; machines agree by locks of the server.
Rule: times that machines compare are the server's; a machine whose clock is wrong is corrected (see LEAST_SKEW).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from consent_mw.core.inventory import Item
from consent_mw.core.ledger import Entry, erasure, retention
from consent_mw.core.statistics import Seen
from consent_mw.wire.ledger import Book
from consent_mw.world.store import (
    OutboxRow,
    PairRow,
    ReceiptRow,
    Settlement,
    counting,
    inventory,
    recording,
    statistics,
)
from consent_mw.world.store import postgres_keys as keys
from consent_mw.world.store import postgres_outbox as outbox
from consent_mw.world.store import postgres_persons as persons
from consent_mw.world.store import postgres_receipts as receipts
from consent_mw.world.store.keys import publish, secret
from consent_mw.world.store.ledger import Ledger
from consent_mw.world.store.outbox import Told, untold
from consent_mw.world.store.postgres_jobs import Job
from consent_mw.world.store.postgres_persons import PostgresRecalls
from consent_mw.world.store.postgres_statistics import PostgresTables
from consent_mw.world.store.postgres_turn import Among, Turn
from consent_mw.world.store.postgres_writer import PostgresWriter
from consent_mw.world.store.recalls import TakenBack


class PostgresStore:
    """See Store. `max_size` bounds the bytes of stored bodies; `drop_oldest` says what gives way there; without a
    `book` no ledger is kept."""

    def __init__(self, url: str, *, max_size: int, drop_oldest: bool, book: Book | None = None) -> None:
        self._max_size = max_size
        self._drop_oldest = drop_oldest
        self._ledger = Ledger(book) if book is not None else None
        self._recalls = PostgresRecalls()
        self._taken_back = TakenBack()
        self._writer = PostgresWriter(url, self._ledger)

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""
        return self._writer.healthy

    @property
    def dropped(self) -> int:
        """How many events were given up by this machine since the store was opened, to make room for newer ones."""
        return self._writer.dropped

    @property
    def head(self) -> str:
        """The ledger's head as this machine knows it, as `NUMBER:CODE`; empty where no ledger is kept."""
        return self._ledger.head if self._ledger is not None else ""

    # receipts

    def add_receipt(self, row: ReceiptRow, entry: Entry | None = None, *, visitor: str = "") -> Future[None]:
        """Keep a receipt, and the entry of its choice; committed at once."""

        def work(turn: Turn) -> None:
            if receipts.add(turn, row):
                persons.adopt(turn, visitor, row.id)
                if entry is not None:
                    self._note(entry)

        return self._ask(work, among=Among.KEEPING)

    def receipt(self, identity: str) -> Future[ReceiptRow | None]:
        """The receipt of this id."""
        return self._ask(lambda turn: receipts.find(turn, identity), writes=False)

    def receipts(self, root: str) -> Future[list[ReceiptRow]]:
        """Every receipt of this browser, oldest first."""
        return self._ask(lambda turn: receipts.of_browser(turn, root), writes=False)

    # the outbox

    def enqueue(self, rows: Sequence[OutboxRow]) -> Future[None]:
        """Keep these rows until they are delivered."""

        def work(turn: Turn, given: Sequence[OutboxRow]) -> None:
            rows = self._allowed(turn, given)
            if rows:
                size = sum(len(row.body) for row in rows)
                gone = outbox.make_room(turn, size, self._max_size, drop_oldest=self._drop_oldest)
                if self._ledger is not None and gone:
                    self._note(*recording.dropped(partial(keys.person_keys, turn), gone))
                outbox.insert(turn, rows)

        return self._writer.ask(Job(work, Among.KEEPING, rows=list(rows)))

    def claim(self, vendor: str, limit: int, now: float, lease: float) -> Future[list[OutboxRow]]:
        """The next rows for this vendor, leased until `now + lease`."""

        def work(turn: Turn) -> list[OutboxRow]:
            here = now + turn.skew
            return outbox.claim(turn, vendor, limit, here, here + lease)

        return self._ask(work, vendor=vendor)

    def held(self, ids: Collection[str]) -> Future[frozenset[str]]:
        """Which of these rows are still to be delivered."""
        wanted = list(ids)
        return self._ask(lambda turn: outbox.held(turn, wanted), writes=False)

    def taken_back(self, ids: Collection[str]) -> bool:
        """Whether one of these claimed rows was recalled since by this machine; what others recall shows when it is
        asked which rows are held."""
        return self._taken_back.any(ids)

    def settle(
        self, settlements: Sequence[Settlement], *, vendor: str = "", fields: Collection[str] = ()
    ) -> Future[None]:
        """Note what became of claimed rows."""
        noted, left = list(settlements), list(fields)

        def work(turn: Turn) -> None:
            ended = outbox.settle(turn, noted)
            if self._ledger is not None:
                self._note(*recording.settled(partial(keys.person_keys, turn), noted, ended, vendor, left))

        return self._ask(work, hurried=False)

    def recall(
        self,
        subjects: Collection[str],
        *,
        purposes: Collection[str] | None = None,
        reason: str = "withdrawal",
        at: float = 0.0,
    ) -> Future[list[str]]:
        """Take back every undelivered row of these visitors or receipts, whichever machine kept it."""
        wanted = list(subjects)
        only = None if purposes is None else list(purposes)

        gone: list[Told] = []

        def work(turn: Turn) -> list[str]:
            gone[:] = outbox.recall(turn, wanted, only)
            self._tell(turn, gone, reason)
            if at:
                self._recalls.remember(turn, wanted, only, at)
            return [row.event_id for row in gone]

        return self._ask(work, among=Among.RECALLING, recalled=gone)

    def recall_others(self, vendors: Collection[str]) -> Future[dict[str, int]]:
        """Take back rows of vendors that are not among these."""
        known = frozenset(vendors)

        def work(turn: Turn) -> dict[str, int]:
            gone = outbox.recall_others(turn, known)
            self._tell(turn, gone, "policy")
            return dict(Counter(row.vendor for row in gone))

        return self._ask(work)

    def erase(
        self, subjects: Collection[str], *, receipt: str = "", user_id: str = "", at: float = 0.0
    ) -> Future[int]:
        """Take back every row, delete every receipt and pair, and destroy every key of these."""
        wanted = [one for one in (*subjects, receipt) if one]

        rows: list[Told] = []

        def work(turn: Turn) -> int:
            known = persons.find(turn, wanted, user_id)
            if at:
                self._recalls.remember(turn, known, None, at)
            rows[:] = [*outbox.recall(turn, known, None), *persons.recall_named(turn, user_id)]
            self._tell(turn, rows, "erasure", keep=False)
            roots = receipts.roots_of(turn, known)
            destroyed = keys.destroy(turn, {*known, *roots, *(row.person for row in rows)})
            gone = receipts.delete(turn, roots) + persons.erase_pairs(turn, known)
            if rows or gone or destroyed:
                self._note(erasure(gone, len(rows), destroyed))
            return len(rows) + gone

        return self._ask(work, among=Among.RECALLING, recalled=rows)

    def revive(self, vendor: str = "") -> Future[dict[str, int]]:
        """Try dead letters of this vendor (or of all) again."""

        def work(turn: Turn) -> dict[str, int]:
            found = outbox.revive(turn, vendor)
            if self._ledger is not None and found:
                self._note(*recording.revived(partial(keys.person_keys, turn), found))
            return dict(Counter(row.vendor for row in found))

        return self._ask(work)

    # persons

    def keep_pair(self, row: PairRow, purpose: str) -> Future[None]:
        """Keep who the site says a visitor is."""

        def work(turn: Turn) -> None:
            if not self._recalls.forbids(turn, row.visitor, row.receipt, purpose, row.at):
                persons.keep_pair(turn, row)

        return self._ask(work, hurried=False, among=Among.KEEPING)

    def find(self, subjects: Collection[str], user_id: str = "") -> Future[list[str]]:
        """Every visitor and receipt that these lead to."""
        wanted = list(subjects)
        return self._ask(lambda turn: persons.find(turn, wanted, user_id), writes=False)

    def pairs(self, subjects: Collection[str]) -> Future[list[PairRow]]:
        """Who the site says that these visitors are."""
        wanted = list(subjects)
        return self._ask(lambda turn: persons.pairs_of(turn, wanted), writes=False)

    def queued(self, subjects: Collection[str], user_id: str = "") -> Future[list[OutboxRow]]:
        """The rows of these visitors or receipts."""
        wanted = list(subjects)
        return self._ask(lambda turn: persons.queued(turn, wanted, user_id), writes=False)

    # upkeep

    def pending(self, vendor: str = "") -> Future[int]:
        """How many rows wait."""

        def work(turn: Turn) -> int:
            only = "vendor = %s AND" if vendor else ""
            sql = f"SELECT count(*) FROM outbox WHERE {only} dead = false"
            return int(turn.one(sql, [vendor] if vendor else [])[0])

        return self._ask(work, writes=False)

    def next_due(self, vendor: str) -> Future[float | None]:
        """When the next waiting row of this vendor may be claimed."""
        return self._ask(lambda turn: outbox.next_due(turn, vendor), writes=False)

    def expire(self, *, receipts_before: float, dead_before: float, ledger_before: float = 0.0) -> Future[int]:
        """Delete the receipts, the dead letters and the entries from before these times."""

        def work(turn: Turn) -> int:
            old = receipts.expire(turn, receipts_before, outbox.AT_ONCE)
            letters = len(outbox.expire(turn, dead_before))
            pairs = persons.expire_pairs(turn, receipts_before, outbox.AT_ONCE)
            self._recalls.forget(turn)
            turn.grow(0)
            destroyed = keys.expire(turn, int(ledger_before // 86_400), outbox.AT_ONCE)
            cut = None
            if self._ledger is not None:
                turn.lock("ledger")
                cut = self._ledger.cut(turn, ledger_before)
            number = old + letters + destroyed + (cut.number if cut is not None else 0)
            if number:
                self._note(retention(cut, old, letters, destroyed))
            return number + pairs

        return self._ask(work, hurried=False)

    # the ledger, and keys

    def note(self, entries: Sequence[Entry]) -> Future[None]:
        """Write these into the ledger."""
        noted = list(entries)
        return self._ask(lambda _: self._note(*noted), hurried=False)

    def secret(self, name: str, proposed: bytes) -> Future[bytes]:
        """The secret that is kept under this name."""

        def work(turn: Turn) -> bytes:
            turn.grow(0)
            return secret(turn, name, proposed)

        return self._ask(work)

    def publish(self, public: Sequence[Sequence[str]]) -> Future[list[list[str]]]:
        """Keep these public keys; all that were ever kept."""
        kept = list(public)

        def work(turn: Turn) -> list[list[str]]:
            turn.grow(0)
            return publish(turn, kept)

        return self._ask(work)

    # statistics

    def statistics_key(self, day: int) -> Future[bytes]:
        """The key of this day for its statistics."""

        def work(turn: Turn) -> bytes:
            turn.grow(0)
            return statistics.key(turn, day)

        return self._ask(work)

    def add_views(self, seen: Sequence[Seen], now: float) -> Future[None]:
        """Add to the statistics what was seen."""
        kept = list(seen)
        return self._ask(lambda turn: counting.add(PostgresTables(turn), kept, now), hurried=False)

    def add_inventory(self, items: Sequence[Item]) -> Future[None]:
        """Add to what report mode counted."""
        kept = list(items)

        def work(turn: Turn) -> None:
            turn.lock("inventory")
            turn.grow(0)
            inventory.add(turn, kept)

        return self._ask(work, hurried=False)

    def inventory(self) -> Future[list[Item]]:
        """All that report mode counted."""
        return self._ask(inventory.read, writes=False)

    def end_statistics(self, now: float, kept_from: float) -> Future[None]:
        """End the days that are over; delete what is too old."""

        def work(turn: Turn) -> None:
            counting.end(PostgresTables(turn), now)
            statistics.expire(turn, kept_from)
            inventory.expire(turn, kept_from)

        return self._ask(work, hurried=False)

    def close(self) -> None:
        """Finish what was asked and close."""
        self._writer.close()

    def _ask(
        self,
        work: Callable[[Turn], Any],
        *,
        hurried: bool = True,
        writes: bool = True,
        among: Among = Among.ANYTHING,
        vendor: str = "",
        recalled: Sequence[Told] = (),
    ) -> Future[Any]:
        """`recalled` holds the rows that this work takes back, once it is done."""

        def committed() -> None:
            self._taken_back.add(row.id for row in recalled if row.attempts)

        job = Job(lambda turn, _: work(turn), among, vendor)
        return self._writer.ask(job, hurried=hurried, writes=writes, committed=committed)

    def _allowed(self, turn: Turn, rows: Sequence[OutboxRow]) -> Sequence[OutboxRow]:
        """Those of these rows that no recall forbids."""
        late = self._recalls.forbidden(turn, rows)
        if not late:
            return rows
        if self._ledger is not None:
            never = [untold(row) for row in late]
            self._note(*recording.recalled(partial(keys.person_keys, turn), never, "late", keep=False))
        gone = {row.id for row in late}
        return [row for row in rows if row.id not in gone]

    def _note(self, *entries: Entry) -> None:
        if self._ledger is not None:
            self._ledger.note(*entries)

    def _tell(self, turn: Turn, rows: Sequence[Told], reason: str, *, keep: bool = True) -> None:
        """Tell the ledger that these rows were recalled for this reason; `keep`: their persons keep their keys."""
        if self._ledger is not None and rows:
            self._note(*recording.recalled(partial(keys.person_keys, turn), rows, reason, keep=keep))
