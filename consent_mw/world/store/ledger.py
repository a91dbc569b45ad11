"""The ledger in SQL: what the requests of a transaction noted is written at its end, as one stretch of the chain.

Rule: the head is read in the transaction that extends it, so that processes on one store extend one chain.
Rule: a ledger that is not as it was left is continued, and tells so for ever after; it is never sealed as if whole.
Rule: what is cut at the front was whole, and the chain goes on from a sealed mark.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Final

from consent_mw.core.ledger import Cut, Entry, broken, opened
from consent_mw.errors import StoreError
from consent_mw.wire.ledger import CUT, HEAD, Book, LedgerRow, Mark
from consent_mw.world.store.statements import Statements

LEDGER_TABLES: Final = (
    # The content comes last: what stands before it is read without it.
    """CREATE TABLE ledger (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, vendor TEXT NOT NULL, outcome TEXT NOT NULL,
  key TEXT NOT NULL, mac TEXT NOT NULL, body TEXT NOT NULL
)""",
    """CREATE TABLE ledger_ends (
  which TEXT PRIMARY KEY, seq INTEGER NOT NULL, mac TEXT NOT NULL, key TEXT NOT NULL, seal TEXT NOT NULL
)""",
)

CUT_AT_ONCE: Final = 2000
"""Entries that are cut in one transaction, so that nobody waits long for it."""

COLUMNS: Final = "seq, at, kind, vendor, outcome, body, key, mac"

_BEGUN: Final = "SELECT EXISTS (SELECT 1 FROM ledger) OR EXISTS (SELECT 1 FROM ledger_ends)"
_SEAL: Final = """
INSERT INTO ledger_ends (which, seq, mac, key, seal) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (which) DO UPDATE SET seq = excluded.seq, mac = excluded.mac, key = excluded.key, seal = excluded.seal
"""


class Ledger:
    """Writes the chain. Used by the writer's thread alone, but for `head`."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._noted: list[Entry] = []
        self._written: Mark | None = None
        self._last: Mark | None = None

    @property
    def head(self) -> str:
        """The head that was committed last, as text; empty before there is one."""
        return str(self._last) if self._last is not None else ""

    def note(self, *entries: Entry) -> None:
        """Have these written at the end of the transaction."""
        self._noted += entries

    def begin(self, db: Statements) -> None:
        """Make the first entry of an empty ledger, inside the transaction that makes or opens the file."""
        if not db.execute(_BEGUN).fetchone()[0]:
            self._begin(db, opened())
        self._written = None
        self._last = read_mark(db, HEAD)

    # what the writer asks (see Journal)

    def noted(self) -> int:
        """How much was noted in this transaction."""
        return len(self._noted)

    def back(self, noted: int) -> None:
        """Forget what was noted since."""
        del self._noted[noted:]

    def write(self, db: Statements) -> None:
        """Write what was noted."""
        if not self._noted:
            return
        head = read_mark(db, HEAD)
        fault = self._fault(db, head)
        if head is None or fault:
            head = self._resume(db, fault)
        self._extend(db, head, self._noted)

    def stands(self, db: Statements) -> bool:
        """Whether what was written last is still there, or was cut from what others wrote since."""
        if self._last is None:
            return True
        found = db.execute("SELECT seq, mac FROM ledger WHERE seq >= ? ORDER BY seq LIMIT 1", (self._last.seq,))
        row = found.fetchone()
        return row is not None and (row[0] > self._last.seq or row[1] == self._last.mac)

    def kept(self) -> None:
        """What was written is on disk."""
        self._last = self._written or self._last
        self.lost()

    def lost(self) -> None:
        """What was written is not on disk."""
        self._written = None
        self._noted = []

    # the front

    def cut(self, db: Statements, before: float) -> Cut | None:
        """Delete the entries from before this time (seconds since 1970), as many as go at once and none that is not
        whole. Returns what was cut, or None."""
        start = read_mark(db, CUT)
        if start is None or not self.book.holds(CUT, start):
            return None
        end = Mark(start.seq, start.mac)
        # Never the last one: what follows is written behind it.
        for row in read_rows(db, start.seq, CUT_AT_ONCE + 1)[:-1]:
            # An entry under a key that is gone cannot be told from one that was changed; its time is up all the same.
            whole = self.book.follows(row, end.mac) or not self.book.knows(row.key)
            if row.seq != end.seq + 1 or not whole or row.at >= before * 1000:
                break
            end = Mark(row.seq, row.mac)
        if end.seq == start.seq:
            return None
        db.execute("DELETE FROM ledger WHERE seq <= ?", (end.seq,))
        self._seal(db, CUT, end)
        return Cut(end.seq, end.mac, end.seq - start.seq)

    def _begin(self, db: Statements, first: Entry) -> None:
        # A code that nobody can foretell, so that no two ledgers under one key have an entry in common.
        start = Mark(0, secrets.token_hex(32))
        self._seal(db, CUT, start)
        self._extend(db, start, [first])

    def _extend(self, db: Statements, head: Mark, entries: Sequence[Entry]) -> None:
        rows = self.book.written(head, entries, int(time.time() * 1000))
        db.executemany(f"INSERT INTO ledger ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._written = Mark(rows[-1].seq, rows[-1].mac)
        self._seal(db, HEAD, self._written)

    def _seal(self, db: Statements, which: str, mark: Mark) -> None:
        sealed = self.book.sealed(which, mark.seq, mark.mac)
        db.execute(_SEAL, (which, *sealed))

    def _fault(self, db: Statements, head: Mark | None) -> str:
        """What is wrong with this head; nothing where the chain can go on from it."""
        if head is None:
            return "the head was missing"
        last = db.execute("SELECT seq, key FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
        if last is None or last[0] != head.seq:
            return "the last entry was not the one that the head named"
        # Under a key that was taken away both are; that is no fault of the ledger.
        if not self.book.holds(HEAD, head) and (self.book.knows(head.key) or last[1] != head.key):
            return "the head was not as it had been left"
        known = self._last
        if known is not None and (head.seq < known.seq or (head.seq == known.seq and head.mac != known.mac)):
            return "the ledger had gone back to an earlier state"
        return ""

    def _resume(self, db: Statements, fault: str) -> Mark:
        """Go on behind whatever stands last, with an entry that tells what was found."""
        told = broken(fault)
        last = db.execute("SELECT seq, mac FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
        if last is None:
            self._begin(db, told)
        else:
            self._extend(db, Mark(last[0], str(last[1])), [told])
        if self._written is None:
            raise StoreError("the ledger could not be continued")
        return self._written


def read_mark(db: Statements, which: str) -> Mark | None:
    """This end of the chain as it stands in the store."""
    found = db.execute("SELECT seq, mac, key, seal FROM ledger_ends WHERE which = ?", (which,)).fetchone()
    return Mark._make(found) if found is not None else None


def read_rows(db: Statements, after: int | None, limit: int) -> list[LedgerRow]:
    """The rows that follow on this number (None: the first), as they stand in the store."""
    where, asked = ("", (limit,)) if after is None else ("WHERE seq > ?", (after, limit))
    found = db.execute(f"SELECT {COLUMNS} FROM ledger {where} ORDER BY seq LIMIT ?", asked)
    return [LedgerRow._make(row) for row in found]
