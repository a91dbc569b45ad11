"""The store behind one interface: receipts, the outbox, the ledger, page statistics, and who a visitor is (SPEC 9).

Rule: every method answers with a future that resolves once the answer is on disk.
Rule: an outbox row holds only what its vendor was permitted to get when it was written.
Rule: what the ledger tells of is written in the transaction that writes the entry.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from consent_mw.core.inventory import Item
from consent_mw.core.ledger import Entry
from consent_mw.core.statistics import Question, Seen, Stored
from consent_mw.errors import StoreError
from consent_mw.wire.ledger import Book, LedgerRow, Mark


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


class PairRow(NamedTuple):
    """Who the site says a visitor is: the visitor's keyed digest, the site's user id, the receipt that held (or
    nothing), and when this was allowed, in seconds since 1970."""

    visitor: str
    user_id: str
    receipt: str
    at: float


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

    @property
    def head(self) -> str:
        """The ledger's head as `NUMBER:CODE`, as far as it is known here; empty where no ledger is kept."""

    def add_receipt(self, row: ReceiptRow, entry: Entry | None = None, *, visitor: str = "") -> Future[None]:
        """Keep a receipt, and the entry of its choice; a receipt that is there already changes nothing. What is kept
        of this visitor without a receipt has this one from now on."""

    def receipt(self, identity: str) -> Future[ReceiptRow | None]:
        """The receipt of this id."""

    def receipts(self, root: str) -> Future[list[ReceiptRow]]:
        """Every receipt of the browser whose first one this was, oldest first."""

    def enqueue(self, rows: Sequence[OutboxRow]) -> Future[None]:
        """Keep these rows until they are delivered, but those that a recall forbids. Fails with StoreFullError at
        the bound."""

    def claim(self, vendor: str, limit: int, now: float, lease: float) -> Future[list[OutboxRow]]:
        """The next rows for this vendor, in order, one visitor's later event never before its earlier one."""

    def held(self, ids: Collection[str]) -> Future[frozenset[str]]:
        """Which of these rows are still to be delivered: neither recalled nor settled since they were claimed."""

    def taken_back(self, ids: Collection[str]) -> bool:
        """Whether one of these claimed rows was recalled since, as far as is known here; told before that recall is
        answered, and at once, for whoever is about to send them."""

    def settle(
        self, settlements: Sequence[Settlement], *, vendor: str = "", fields: Collection[str] = ()
    ) -> Future[None]:
        """Note what became of claimed rows of this vendor; a row that is recalled meanwhile stays recalled. `fields`
        are the names of what left."""

    def recall(
        self,
        subjects: Collection[str],
        *,
        purposes: Collection[str] | None = None,
        reason: str = "withdrawal",
        at: float = 0.0,
    ) -> Future[list[str]]:
        """Take back every undelivered row of these visitors or receipts (and their browsers' other receipts),
        for these purposes or for all; what was decided before `at` (seconds since 1970) is not kept any more
        either. Answers with the event ids."""

    def recall_others(self, vendors: Collection[str]) -> Future[dict[str, int]]:
        """Take back rows of vendors that are not among these, a bounded number; answers with how many, by vendor:
        with nothing when none is left."""

    def erase(
        self, subjects: Collection[str], *, receipt: str = "", user_id: str = "", at: float = 0.0
    ) -> Future[int]:
        """Take back every row, delete every receipt and pair, and destroy every key of these, of a user id, and of
        what they lead to; what was decided before `at` (seconds since 1970) is not kept any more either. Answers with
        how many rows, receipts and pairs were erased."""

    def keep_pair(self, row: PairRow, purpose: str) -> Future[None]:
        """Keep who the site says a visitor is, unless a recall for this purpose forbids it; the same pair again
        writes nothing."""

    def find(self, subjects: Collection[str], user_id: str = "") -> Future[list[str]]:
        """Every visitor and receipt that these lead to, themselves included; and those that a user id was seen
        with, which takes a look at every queued event."""

    def pairs(self, subjects: Collection[str]) -> Future[list[PairRow]]:
        """Who the site says that these visitors are, oldest first."""

    def queued(self, subjects: Collection[str], user_id: str = "") -> Future[list[OutboxRow]]:
        """The rows of these visitors or receipts, and those that name a user id, that wait or are dead letters, in
        order."""

    def revive(self, vendor: str = "") -> Future[dict[str, int]]:
        """Try dead letters of this vendor (or of all) again, a bounded number; answers with how many, by vendor: with
        nothing when none is left."""

    def note(self, entries: Sequence[Entry]) -> Future[None]:
        """Write these into the ledger."""

    def secret(self, name: str, proposed: bytes) -> Future[bytes]:
        """The secret that is kept under this name: the proposed one, where there was none."""

    def publish(self, public: Sequence[Sequence[str]]) -> Future[list[list[str]]]:
        """Keep these public keys, each as JSON and a code that vouches for it (a later code takes the place of an
        earlier one); answers with all that were ever kept, oldest first."""

    def pending(self, vendor: str = "") -> Future[int]:
        """How many rows wait, for this vendor or for all."""

    def next_due(self, vendor: str) -> Future[float | None]:
        """When the next waiting row of this vendor may be claimed (seconds since 1970), or None."""

    def expire(self, *, receipts_before: float, dead_before: float, ledger_before: float = 0.0) -> Future[int]:
        """Delete the receipts (and pairs), dead letters and entries from before these times (seconds since 1970), a
        bounded number; answers with how many, with 0 when none is left."""

    def statistics_key(self, day: int) -> Future[bytes]:
        """The key of this day (since 1970) for its statistics, the same for all who ask; empty where it is over."""

    def add_views(self, seen: Sequence[Seen], now: float) -> Future[None]:
        """Add to the statistics what was seen, and end the days that are over by `now` (seconds since 1970)."""

    def add_inventory(self, items: Sequence[Item]) -> Future[None]:
        """Add to what report mode counted."""

    def inventory(self) -> Future[list[Item]]:
        """All that report mode counted and that is kept."""

    def end_statistics(self, now: float, kept_from: float) -> Future[None]:
        """End the days that are over by `now`: their keys are destroyed, and numbers take the place of sketches;
        delete what is from before `kept_from` (both in seconds since 1970)."""

    def close(self) -> None:
        """Finish what was asked and close. Blocks; more calls fail with StoreError."""


class LedgerPart(NamedTuple):
    """What stood in the ledger at one moment: where it begins and ends, and some of its rows, in order."""

    cut: Mark | None
    head: Mark | None
    rows: list[LedgerRow]


class LedgerReader(Protocol):
    """Reads the ledger while others write it. Raises StoreError."""

    def part(self, after: int | None, limit: int) -> LedgerPart:
        """The rows that follow on this number (None: the first)."""

    def last(self, limit: int, *, before: int, kind: str, vendor: str, outcome: str) -> list[LedgerRow]:
        """The last rows of this kind, vendor and outcome (each may be empty) before this number, newest first."""

    def dead_letters(self) -> dict[str, int]:
        """How many dead letters are kept, by vendor."""

    def vendors(self) -> frozenset[str]:
        """Every vendor that an entry or a waiting event is about."""

    def close(self) -> None:
        """Let go of the store."""


def open_store(
    url: str, *, max_size: int = 2_000_000_000, drop_oldest: bool = False, book: Book | None = None
) -> Store:
    """The store at this URL; `book` holds the keys of its ledger, without which none is kept. Raises StoreError with
    a sentence where there is none or it cannot be opened.

    `sqlite:///consent.db` is a file in the working directory, `sqlite:////var/lib/consent.db` one from the root;
    `postgresql://USER:PASSWORD@HOST/DATABASE` is for several machines.
    """
    if is_postgres(url):
        from consent_mw.world.store.postgres import PostgresStore

        return PostgresStore(url, max_size=max_size, drop_oldest=drop_oldest, book=book)
    from consent_mw.world.store.sqlite import SqliteStore

    return SqliteStore(_sqlite_file(url), max_size=max_size, drop_oldest=drop_oldest, book=book)


def open_ledger(url: str) -> LedgerReader:
    """The ledger of the store at this URL, for reading; see `open_store`. Raises StoreError."""
    if is_postgres(url):
        from consent_mw.world.store.postgres_reading import PostgresLedgerReader

        return PostgresLedgerReader(url)
    from consent_mw.world.store.reading import SqliteLedgerReader

    return SqliteLedgerReader(_sqlite_file(url))


def read_statistics(url: str, questions: Sequence[Question]) -> list[Stored]:
    """What the store at this URL holds of the answers, all as of one moment, read beside those who write it. Raises
    StoreError with a sentence."""
    if is_postgres(url):
        from consent_mw.world.store import postgres_statistics

        return postgres_statistics.read_statistics(url, questions)
    from consent_mw.world.store import reading

    return reading.read_statistics(_sqlite_file(url), questions)


def read_inventory(url: str) -> list[Item]:
    """What report mode counted, from the store at this URL, read beside those who write it. Raises StoreError."""
    if is_postgres(url):
        from consent_mw.world.store import postgres_statistics

        return postgres_statistics.read_inventory(url)
    from consent_mw.world.store import reading

    return reading.read_inventory(_sqlite_file(url))


def is_postgres(url: str) -> bool:
    """Whether this is the URL of a PostgreSQL database. Raises StoreError where its driver is not installed."""
    if url.partition("://")[0] not in ("postgresql", "postgres"):
        return False
    try:
        import psycopg  # noqa: F401  asked for here, so that one sentence tells of it
    except ImportError:
        raise StoreError("a PostgreSQL store needs its driver: pip install 'consent_mw[postgres]'") from None
    return True


def without_password(url: str) -> str:
    """This URL as it may be shown."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "sqlite":
        return url
    # Whatever stands before the last @, and after the first ?, may hold a part of it.
    user = rest.partition("@")[0].partition(":")[0].partition("/")[0] if "@" in rest else ""
    place = rest.rpartition("@")[2].partition("?")[0].partition("#")[0]
    return f"{scheme}://{user}{'@' if user else ''}{place}"


def _sqlite_file(url: str) -> str:
    scheme, _, path = url.partition("://")
    if scheme != "sqlite":
        raise StoreError(f"the store `{scheme}:` is not known here; use sqlite:///FILE or postgresql://…")
    if not path.startswith("/") or path == "/":
        raise StoreError("a SQLite store needs a file after three slashes, as in sqlite:///consent.db")
    return path[1:]
