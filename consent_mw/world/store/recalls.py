"""Recalls that are remembered: what was decided before a person's no is not kept after it.

A request that began before a withdrawal may be reported after it, by whichever process waits for its answer, and a
browser may have sent one with its old cookies at the very moment of it.

Rule: a row decided before the recall of its person and purpose is dropped; so is one decided soon after it, if it
      rests on an answer that is older than the recall.
Rule: the file alone says what was recalled; what is remembered beside it is checked against it at every look.
Rule: a look is one statement, however many recalls there were.
Rule: the same recall again soon after is not written again, so that a no said over and over fills nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from consent_mw.world.store import OutboxRow
from consent_mw.world.store.statements import Statements

KEPT_FOR: Final = 3600.0
"""Seconds that a recall is remembered, which is longer than a request that is still reported may have taken."""

ON_THE_WAY: Final = 30.0
"""Seconds after a recall in which a request may still arrive with the cookies from before it."""

RECALL_TABLES: Final = (
    """CREATE TABLE recalls (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, subjects TEXT NOT NULL, purposes TEXT NOT NULL
)""",
    "CREATE INDEX recalls_by_subjects ON recalls (subjects, at)",
)

_FOLLOWING: Final = (
    "SELECT json_group_array(json_array(seq, at, subjects, purposes)) FROM"
    " (SELECT seq, at, subjects, purposes FROM recalls WHERE seq >= ? ORDER BY seq)"
)
# What is still on the way by the earlier one covers what was decided between the two.
_REMEMBER: Final = """
INSERT INTO recalls (at, subjects, purposes) SELECT ?, ?, ? WHERE NOT EXISTS (
  SELECT 1 FROM recalls WHERE subjects = ? AND purposes = ? AND at > ?)"""
_LISTED: Final = "(SELECT value FROM json_each(?))"
_CHAINS: Final = (
    "SELECT json_group_array(r.id) FROM receipts AS mine JOIN receipts AS r ON r.root = mine.root"
    f" WHERE mine.id IN {_LISTED}"
)


@dataclass(frozen=True, slots=True)
class _Recall:
    at: float
    subjects: frozenset[str]
    purposes: frozenset[str]


TAKEN_BACK_KEPT: Final = 65_536
"""Rows that are remembered as taken back: more than are on their way at any moment."""


class TakenBack:
    """Rows that were taken back after they had been claimed, for whoever is about to send them: what is told here is
    told before the recall is answered. May be asked from any thread."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def add(self, ids: Iterable[str]) -> None:
        """These rows are taken back."""
        self._ids.update(dict.fromkeys(ids))
        while len(self._ids) > TAKEN_BACK_KEPT:
            del self._ids[next(iter(self._ids))]

    def any(self, ids: Iterable[str]) -> bool:
        """Whether one of these rows is."""
        return bool(self._ids) and any(one in self._ids for one in ids)


class Recalls:
    """What was recalled lately. Used by the writer's thread alone."""

    def __init__(self) -> None:
        self._last: list[object] = []
        self._by_subject: dict[str, list[_Recall]] = {}

    def remember(
        self, db: Statements, subjects: Collection[str], purposes: Collection[str] | None, at: float
    ) -> None:
        """From this moment on (seconds since 1970) nothing older is kept of these visitors, receipts and their
        browsers' other receipts, for these purposes or for all."""
        named = [one for one in subjects if one]
        recall = (json.dumps(sorted({*named, *self._chains(db, named)})), json.dumps(sorted(purposes or ())))
        db.execute(_REMEMBER, (at, *recall, *recall, at - ON_THE_WAY / 2))

    def forbidden(self, db: Statements, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
        """Those of these rows that must not be kept."""
        self._follow(db)
        if not self._by_subject:
            return []
        return [row for row in rows if self._forbids(row.visitor, row.receipt, row.purpose, row.created)]

    def forbids(self, db: Statements, visitor: str, receipt: str, purpose: str, decided: float) -> bool:
        """Whether nothing may be kept of this visitor and receipt for a purpose that was allowed at this time."""
        self._follow(db)
        return self._forbids(visitor, receipt, purpose, decided)

    def forget(self, db: Statements) -> None:
        """Delete what is too old to matter."""
        db.execute("DELETE FROM recalls WHERE at < (SELECT max(at) FROM recalls) - ?", (KEPT_FOR,))
        self._last = []
        self._by_subject = {}

    def _forbids(self, visitor: str, receipt: str, purpose: str, decided: float) -> bool:
        known = self._by_subject
        for one in (*known.get(visitor, ()), *known.get(receipt, ())):
            if one.purposes and purpose not in one.purposes:
                continue
            # A yes that was given since has a receipt of its own.
            older = not receipt or receipt in one.subjects
            if decided < one.at or (older and decided < one.at + ON_THE_WAY):
                return True
        return False

    def _follow(self, db: Statements) -> None:
        """Learn of recalls since the last look, other processes' included."""
        last = self._last
        found = self._following(db, int(str(last[0])) if last else 0)
        if last and (not found or found[0] != last):
            # What was learnt last was taken back, or is too old by now.
            self._last, self._by_subject = [], {}
            found = self._following(db, 0)
        elif last:
            del found[0]
        for one in found:
            self._learn(one)

    def _following(self, db: Statements, seq: int) -> list[list[object]]:
        """The recalls from this number on: number, time, subjects and purposes as JSON."""
        found: list[list[object]] = json.loads(db.execute(_FOLLOWING, (seq,)).fetchone()[0])
        return found

    def _chains(self, db: Statements, receipts: Sequence[str]) -> list[str]:
        """The receipts of the browsers that these are of."""
        found: list[str] = json.loads(db.execute(_CHAINS, (json.dumps(receipts),)).fetchone()[0])
        return found

    def _learn(self, found: list[object]) -> None:
        _, at, subjects, purposes = self._last = found
        recall = _Recall(float(str(at)), frozenset(json.loads(str(subjects))), frozenset(json.loads(str(purposes))))
        for subject in recall.subjects:
            self._by_subject.setdefault(subject, []).append(recall)
