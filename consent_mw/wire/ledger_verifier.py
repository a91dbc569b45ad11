"""Verifying a ledger: its rows go through in order, and whatever is not as it was written is found.

Rule: nothing of a row is believed before its code is right; one row at a time is looked at, however many there are.
Rule: what the ledger tells of itself (that it had been changed) is a finding, and is read on after.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from consent_mw.core.ledger import EntryKind
from consent_mw.wire.ledger import CUT, HEAD, Book, LedgerRow, Mark


class Finding(NamedTuple):
    """What is wrong, and at which entry; 0 where it is at none."""

    entry: int
    message: str


class Verifier:
    """Verifies one ledger that begins at `cut`. `given` is a head that was kept elsewhere. `last` is the last entry
    that was right; nothing behind a finding that `ended` it is looked at."""

    def __init__(self, book: Book, cut: Mark | None, given: Mark | None = None) -> None:
        self.findings: list[Finding] = []
        self.ended = False
        self.last = Mark(0, "") if cut is None else Mark(cut.seq, cut.mac)
        self._book = book
        self._given = given
        self._deleted = 0
        if cut is None:
            self._end(0, "the mark where the ledger begins is missing")
        elif not book.holds(CUT, cut):
            self._end(0, f"the mark where the ledger begins is not as it was left{self._unknown(cut.key)}")
        elif given is not None and given.seq == cut.seq and given.mac != cut.mac:
            self._end(given.seq, f"entry {given.seq} was another one, says the head given")

    def take(self, rows: Iterable[LedgerRow]) -> None:
        """The rows that follow."""
        for row in rows:
            if self.ended:
                return
            self._take(row)

    def finish(self, head: Mark | None, cut: Mark | None) -> None:
        """That was the last row; the ledger's ends are these."""
        if self.ended:
            return
        last, given = self.last.seq, self._given
        if head is None:
            self._end(0, "the head is missing")
        elif not self._book.holds(HEAD, head):
            self._end(0, f"the head is not as it was left{self._unknown(head.key)}")
        elif head.seq > last:
            self._end(head.seq, f"the end is missing: the head names entry {head.seq}, the last one is {last}")
        elif (head.seq, head.mac) != (last, self.last.mac):
            self._end(head.seq, f"entry {head.seq} was the last one, says the head, and is not")
        elif given is not None and given.seq > last:
            self._end(
                given.seq, f"the end is missing: the head given names entry {given.seq}, the last one is {last}"
            )
        elif cut is None or self._deleted > cut.seq:
            self._end(self._deleted, f"entry {self._deleted} had been deleted, and is there again")

    def _take(self, row: LedgerRow) -> None:
        due = self.last.seq + 1
        if type(row.seq) is not int or row.seq < due:
            self._end(due, f"an entry stands before entry {due} that is none of the ledger")
        elif row.seq > due:
            self._end(due, f"entry {due} is missing" + (f", up to {row.seq - 1}" if row.seq > due + 1 else ""))
        elif not self._book.follows(row, self.last.mac):
            what = f"entry {due} is not as it was written, or not at its place"
            self._end(due, what + self._unknown(row.key))
        elif self._given is not None and self._given.seq == due and self._given.mac != row.mac:
            self._end(due, f"entry {due} was another one, says the head given")
        else:
            self.last = Mark(due, row.mac)
            self._read(row)

    def _read(self, row: LedgerRow) -> None:
        """Heed what a row that is right tells of the ledger itself."""
        if row.kind == EntryKind.BROKEN:
            found = json.loads(row.body)["found"]
            self.findings.append(Finding(row.seq, f"entry {row.seq} tells that the ledger had been changed: {found}"))
        elif row.kind == EntryKind.RETENTION:
            self._deleted = max(self._deleted, json.loads(row.body).get("entries", {}).get("through", 0))

    def _unknown(self, key: object) -> str:
        return "" if isinstance(key, str) and self._book.knows(key) else ": it is under a key that is not given"

    def _end(self, entry: int, message: str) -> None:
        self.ended = True
        self.findings.append(Finding(entry, message))
