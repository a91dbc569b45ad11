"""The store behind one interface: receipts and the outbox (SPEC 9).

Rule: every method answers with a future that resolves once the answer is on disk.
Rule: an outbox row holds only what its vendor was permitted to get when it was written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from consent_mw.errors import StoreError


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """A receipt: its id, the first receipt of its browser (`root`), the one before it, when, and the JWS."""

    id: str
    root: str
    previous: str
    at: int
    jws: str


class OutboxRow(NamedTuple):
    """One event for one vendor. `body` is JSON of the permitted fields; `visitor` is a keyed digest or empty;
    `receipt` an id or empty; `created` is in seconds since 1970; `attempts` counts tries, this one included;
    `interrupted` is whether an earlier try ended without a word, as in a crash. A tuple, since there are many."""

    id: str
    vendor: str
    event_id: str
    kind: str
    body: bytes
    visitor: str
    receipt: str
    jurisdiction: str
    purpose: str
    policy: str
    created: float
    attempts: int = 0
    interrupted: bool = False


class Settlement(NamedTuple):
    """What became of a claimed row: an outcome that ends it (`accepted`, `dead`, …), or a time to try again at;
    where it was not `tried`, its claim does not count as an attempt."""

    id: str
    outcome: str = ""
    retry_at: float = 0.0
    tried: bool = True


class Store(Protocol):
    """What the rest of consent_mw asks of a store. Futures fail with StoreError, and with nothing else."""

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""

    @property
    def dropped(self) -> int:
        """How many events were given up since the store was opened, to make room for newer ones."""

    def add_receipt(self, row: ReceiptRow) -> Future[None]:
        """Keep a receipt."""

    def receipt(self, identity: str) -> Future[ReceiptRow | None]:
        """The receipt of this id."""

    def receipts(self, root: str) -> Future[list[ReceiptRow]]:
        """Every receipt of the browser whose first one this was, oldest first."""

    def enqueue(self, rows: Sequence[OutboxRow]) -> Future[None]:
        """Keep these rows until they are delivered. Fails with StoreFullError at the bound."""

    def claim(self, vendor: str, limit: int, now: float, lease: float) -> Future[list[OutboxRow]]:
        """The next rows for this vendor, in order, one visitor's later event never before its earlier one."""

    def held(self, ids: Collection[str]) -> Future[frozenset[str]]:
        """Which of these rows are still to be delivered: neither recalled nor settled since they were claimed."""

    def settle(self, settlements: Sequence[Settlement]) -> Future[None]:
        """Note what became of claimed rows; a row that is recalled meanwhile stays recalled."""

    def recall(self, subjects: Collection[str], *, purposes: Collection[str] | None = None) -> Future[list[str]]:
        """Take back every undelivered row of these visitors or receipts (and their browsers' other receipts),
        for these purposes or for all. Answers with the event ids."""

    def recall_others(self, vendors: Collection[str]) -> Future[dict[str, int]]:
        """Take back every row of a vendor that is not among these; answers with how many, by vendor."""

    def erase(self, subjects: Collection[str], *, receipt: str = "") -> Future[int]:
        """Take back every row and delete every receipt of these; answers with how many things were erased."""

    def pending(self, vendor: str = "") -> Future[int]:
        """How many rows wait, for this vendor or for all."""

    def next_due(self, vendor: str) -> Future[float | None]:
        """When the next waiting row of this vendor may be claimed (seconds since 1970), or None."""

    def expire(self, *, receipts_before: float, dead_before: float) -> Future[int]:
        """Delete the receipts and dead letters from before these times (seconds since 1970)."""

    def close(self) -> None:
        """Finish what was asked and close. Blocks; more calls fail with StoreError."""


def open_store(url: str, *, max_size: int = 2_000_000_000, drop_oldest: bool = False) -> Store:
    """The store at this URL. Raises StoreError with a sentence where there is none or it cannot be opened.

    `sqlite:///consent.db` is a file in the working directory, `sqlite:////var/lib/consent.db` one from the root.
    """
    scheme, _, path = url.partition("://")
    if scheme != "sqlite":
        raise StoreError(f"the store `{scheme}:` is not known here; use sqlite:///FILE")
    if not path.startswith("/") or path == "/":
        raise StoreError("a SQLite store needs a file after three slashes, as in sqlite:///consent.db")
    from consent_mw.world.store.sqlite import SqliteStore

    return SqliteStore(path[1:], max_size=max_size, drop_oldest=drop_oldest)
