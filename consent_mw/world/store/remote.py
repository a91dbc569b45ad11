"""The store of another process: its calls go there as messages, and their answers come back as messages.

Rule: a file has one writer (several were where SQLite's log could be corrupted), so that workers ask it through this.
Rule: what is asked in one turn of the loop is one message; what was committed together is answered together.
Rule: who asks is never held up: with the other side gone, or not keeping up, the future fails with StoreError.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import operator
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import fields
from functools import partial
from typing import Any, Final, TypeVar

from consent_mw.core.inventory import Item
from consent_mw.core.ledger import Entry
from consent_mw.core.statistics import Seen
from consent_mw.errors import StoreError, StoreFullError
from consent_mw.world.store import OutboxRow, PairRow, ReceiptRow, Settlement, Store

T = TypeVar("T")

MOST_ASKED: Final = 50_000
"""Calls that may wait for their answer; more fail at once."""

CLOSES_WITHIN: Final = 10.0
"""Seconds that `close` waits for what was asked."""

_ROWS: Final = (ReceiptRow, OutboxRow, Settlement, Entry, Seen, Item, PairRow)
_INDEX: Final = {kind: index for index, kind in enumerate(_ROWS)}
_VALUES: Final = (operator.attrgetter(*(one.name for one in fields(ReceiptRow))), *(tuple,) * 6)

_HERE: Final = ("healthy", "dropped", "head", "taken_back", "close")

CALLS: Final = frozenset(name for name in vars(Store) if not name.startswith("_") and name not in _HERE)
"""What may be asked from afar: every method of Store whose answer can wait, but `close`."""

Ask = tuple[int, str, list[Any], dict[str, Any]]
Answer = tuple[int, int, Any]

_TAKEN, _FAILED, _FULL = range(3)


class RemoteStore:
    """See Store. `send` takes what goes to the other side; what comes from there is given to `hear` and `lost`.
    Its methods are for the loop's thread, but `close`, which blocks and is for any other."""

    def __init__(self, send: Callable[[tuple[Any, ...]], None]) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._asked: dict[int, Future[Any]] = {}
        self._unsent: list[Ask] = []
        self._number = 0
        self._closed = False
        self._healthy = True
        self._dropped = 0

    def hear(self, answers: Sequence[Answer], healthy: bool, dropped: int) -> None:
        """Answers of the other side, and how its store is."""
        self._healthy, self._dropped = healthy, dropped
        for number, outcome, value in answers:
            future = self._asked.pop(number, None)
            if future is None:
                continue
            if outcome == _TAKEN:
                future.set_result(unpacked(value))
            else:
                future.set_exception((StoreFullError if outcome == _FULL else StoreError)(value))

    def lost(self) -> None:
        """The other side is gone."""
        self._closed = True
        asked, self._asked = self._asked, {}
        for future in asked.values():
            future.set_exception(StoreError("the process that keeps the store is gone"))

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""
        return self._healthy and not self._closed

    @property
    def dropped(self) -> int:
        """Counted on the other side."""
        return self._dropped

    @property
    def head(self) -> str:
        """Known on the other side alone."""
        return ""

    def add_receipt(self, row: ReceiptRow, entry: Entry | None = None, *, visitor: str = "") -> Future[None]:
        """Keep a receipt, and the entry of its choice."""
        return self._ask("add_receipt", row, entry, visitor=visitor)

    def receipt(self, identity: str) -> Future[ReceiptRow | None]:
        """The receipt of this id."""
        return self._ask("receipt", identity)

    def receipts(self, root: str) -> Future[list[ReceiptRow]]:
        """Every receipt of this browser, oldest first."""
        return self._ask("receipts", root)

    def enqueue(self, rows: Sequence[OutboxRow]) -> Future[None]:
        """Keep these rows until they are delivered."""
        return self._ask("enqueue", rows)

    def claim(self, vendor: str, limit: int, now: float, lease: float) -> Future[list[OutboxRow]]:
        """The next rows for this vendor."""
        return self._ask("claim", vendor, limit, now, lease)

    def held(self, ids: Collection[str]) -> Future[frozenset[str]]:
        """Which of these rows are still to be delivered."""
        return self._ask("held", list(ids))

    def taken_back(self, ids: Collection[str]) -> bool:
        """Known on the other side alone, which is also where rows are sent from."""
        return False

    def settle(
        self, settlements: Sequence[Settlement], *, vendor: str = "", fields: Collection[str] = ()
    ) -> Future[None]:
        """Note what became of claimed rows."""
        return self._ask("settle", settlements, vendor=vendor, fields=list(fields))

    def recall(
        self,
        subjects: Collection[str],
        *,
        purposes: Collection[str] | None = None,
        reason: str = "withdrawal",
        at: float = 0.0,
    ) -> Future[list[str]]:
        """Take back every undelivered row of these visitors or receipts."""
        only = None if purposes is None else list(purposes)
        return self._ask("recall", list(subjects), purposes=only, reason=reason, at=at)

    def recall_others(self, vendors: Collection[str]) -> Future[dict[str, int]]:
        """Take back rows of vendors that are not among these."""
        return self._ask("recall_others", list(vendors))

    def erase(
        self, subjects: Collection[str], *, receipt: str = "", user_id: str = "", at: float = 0.0
    ) -> Future[int]:
        """Take back every row and delete every receipt and pair of these."""
        return self._ask("erase", list(subjects), receipt=receipt, user_id=user_id, at=at)

    def keep_pair(self, row: PairRow, purpose: str) -> Future[None]:
        """Keep who the site says a visitor is."""
        return self._ask("keep_pair", row, purpose)

    def find(self, subjects: Collection[str], user_id: str = "") -> Future[list[str]]:
        """Every visitor and receipt that these lead to."""
        return self._ask("find", list(subjects), user_id)

    def pairs(self, subjects: Collection[str]) -> Future[list[PairRow]]:
        """Who the site says that these visitors are."""
        return self._ask("pairs", list(subjects))

    def queued(self, subjects: Collection[str], user_id: str = "") -> Future[list[OutboxRow]]:
        """The rows of these visitors or receipts."""
        return self._ask("queued", list(subjects), user_id)

    def revive(self, vendor: str = "") -> Future[dict[str, int]]:
        """Try the dead letters of this vendor (or of all) again."""
        return self._ask("revive", vendor)

    def note(self, entries: Sequence[Entry]) -> Future[None]:
        """Write these into the ledger."""
        return self._ask("note", entries)

    def secret(self, name: str, proposed: bytes) -> Future[bytes]:
        """The secret that is kept under this name."""
        return self._ask("secret", name, proposed)

    def publish(self, public: Sequence[Sequence[str]]) -> Future[list[list[str]]]:
        """Keep these public keys; all that were ever kept."""
        return self._ask("publish", [list(one) for one in public])

    def pending(self, vendor: str = "") -> Future[int]:
        """How many rows wait."""
        return self._ask("pending", vendor)

    def next_due(self, vendor: str) -> Future[float | None]:
        """When the next waiting row of this vendor may be claimed."""
        return self._ask("next_due", vendor)

    def expire(self, *, receipts_before: float, dead_before: float, ledger_before: float = 0.0) -> Future[int]:
        """Delete the receipts, dead letters and entries from before these times."""
        ends = {"receipts_before": receipts_before, "dead_before": dead_before, "ledger_before": ledger_before}
        return self._ask("expire", **ends)

    def statistics_key(self, day: int) -> Future[bytes]:
        """The key of this day for its statistics."""
        return self._ask("statistics_key", day)

    def add_views(self, seen: Sequence[Seen], now: float) -> Future[None]:
        """Add to the statistics what was seen."""
        return self._ask("add_views", seen, now)

    def add_inventory(self, items: Sequence[Item]) -> Future[None]:
        """Add to what report mode counted."""
        return self._ask("add_inventory", items)

    def inventory(self) -> Future[list[Item]]:
        """All that report mode counted."""
        return self._ask("inventory")

    def end_statistics(self, now: float, kept_from: float) -> Future[None]:
        """End the days that are over; delete what is too old."""
        return self._ask("end_statistics", now, kept_from)

    def close(self) -> None:
        """Wait for what was asked; ask no more."""
        self._closed = True
        waiting = list(self._asked.values())
        concurrent.futures.wait(waiting, CLOSES_WITHIN)

    def _ask(self, method: str, *values: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        # As the store itself: a waiter that gives up takes nothing back.
        future.set_running_or_notify_cancel()
        if self._closed or len(self._asked) >= MOST_ASKED:
            future.set_exception(StoreError("the store is closed" if self._closed else "the store does not keep up"))
            return future
        self._number += 1
        self._asked[self._number] = future
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append((self._number, method, packed(values), named))
        return future

    def _flush(self) -> None:
        asked, self._unsent = self._unsent, []
        self._send(("ask", asked))


class StoreDesk:
    """Asks the store for what a RemoteStore of another process sent. `queued` is called when events were kept."""

    def __init__(self, store: Store, send: Callable[[tuple[Any, ...]], None], queued: Callable[[], None]) -> None:
        self._store = store
        self._send = send
        self._queued = queued
        self._loop = asyncio.get_running_loop()
        self._answers: deque[Answer] = deque()
        self._waking = False
        self._kept = False
        self._told = True

    def hear(self, asked: Sequence[Ask]) -> None:
        """Calls of the other side, in order."""
        for number, method, values, named in asked:
            if method not in CALLS:
                self._answers.append((number, _FAILED, f"`{method}` is not asked for from afar"))
                self._loop.call_soon(self._flush)
                continue
            pending: Future[Any] = getattr(self._store, method)(*unpacked(values), **named)
            pending.add_done_callback(partial(self._done, number, method == "enqueue"))

    def tell(self) -> None:
        """Tell the other side where the store's health has changed though nothing was asked."""
        if self._told != self._store.healthy:
            self._flush()

    def _done(self, number: int, queued: bool, pending: Future[Any]) -> None:
        """An answer is there; in the store's thread, mostly."""
        error = pending.exception()
        if error is None:
            self._answers.append((number, _TAKEN, packed(pending.result())))
            self._kept = self._kept or queued
        else:
            self._answers.append((number, _FULL if isinstance(error, StoreFullError) else _FAILED, str(error)))
        if not self._waking:
            self._waking = True
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is there to be told
                self._loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        self._waking = False
        if self._kept:
            self._kept = False
            self._queued()
        self._told = self._store.healthy
        answers = []
        while self._answers:
            answers.append(self._answers.popleft())
        self._send(("answers", answers, self._told, self._store.dropped))


def packed(value: Any) -> Any:
    """The value in plain terms: sequences as lists, rows as tuples that begin with their kind's index."""
    index = _INDEX.get(type(value))
    if index is not None:
        return (index, *_VALUES[index](value))
    if isinstance(value, (list, tuple)):
        return [packed(one) for one in value]
    return value


def unpacked(value: Any) -> Any:
    """What `packed` was given."""
    if isinstance(value, tuple):
        return _ROWS[value[0]](*value[1:])
    if isinstance(value, list):
        return [unpacked(one) for one in value]
    return value
