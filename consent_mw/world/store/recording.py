"""What the ledger is told of the outbox's changes: an entry for each vendor that a change is about.

Rule: an event stands in the ledger as a digest under its person's key; of a stranger's event only the number does.
Rule: it is told in the transaction in which it is done, of the rows as they were there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Protocol

from consent_mw.core import ledger as entries
from consent_mw.core.ledger import Entry, Events
from consent_mw.core.terms import Outcome
from consent_mw.wire.ledger import event_digest
from consent_mw.world.store import Settlement
from consent_mw.world.store.outbox import Told

TOLD_AT_ONCE: Final = 1000
"""Events that one entry tells of at most."""

RETRIED: Final = "retried"
"""What stands in the place of an outcome in the entry of a retry."""


class Keys(Protocol):
    """The key of each of these persons, by whom stands the browser's first receipt, or nothing; of one that has none
    a new one, which is kept where `keep`."""

    def __call__(self, persons: Mapping[str, str], day: int, *, keep: bool = True) -> Mapping[str, bytes]: ...


def settled(
    keys: Keys,
    settlements: Sequence[Settlement],
    rows: Sequence[Told],
    vendor: str,
    fields: Collection[str],
) -> list[Entry]:
    """What came to an end at this vendor, which was sent these fields; `rows` are those that are still there."""
    outcomes = {one.id: one.outcome for one in settlements if one.outcome}
    # What was recalled while it was sent has no row any more, and its person may be erased.
    late = dict(Counter(outcomes[one] for one in outcomes.keys() - {row.id for row in rows}))
    made: list[Entry] = []
    for part in _parts(rows):
        made.append(entries.delivery(part[0].vendor, fields, _events(keys, part, outcomes), late))
        late = {}
    return [*made, entries.delivery(vendor, fields, _events(keys, (), {}), late)] if late else made


def recalled(keys: Keys, rows: Sequence[Told], reason: str, *, keep: bool = True) -> list[Entry]:
    """These rows are taken back; `keep`: their persons keep their keys."""
    made: list[Entry] = []
    for part in _parts(rows):
        events = _events(keys, part, Outcome.RECALLED.value, keep=keep)
        made.append(entries.recall(part[0].vendor, reason, events, sum(row.attempts > 0 for row in part)))
    return made


def dropped(keys: Keys, rows: Sequence[Told]) -> list[Entry]:
    """These rows are given up to make room."""
    return [entries.overflow(part[0].vendor, _events(keys, part, Outcome.DROPPED.value)) for part in _parts(rows)]


def revived(keys: Keys, rows: Sequence[Told]) -> list[Entry]:
    """These dead letters are tried again."""
    return [entries.retry(part[0].vendor, _events(keys, part, RETRIED)) for part in _parts(rows)]


def _parts(rows: Sequence[Told]) -> Iterable[list[Told]]:
    """The rows by vendor, in bounded parts."""
    by_vendor: dict[str, list[Told]] = {}
    for row in rows:
        by_vendor.setdefault(row.vendor, []).append(row)
    for found in by_vendor.values():
        for start in range(0, len(found), TOLD_AT_ONCE):
            yield found[start : start + TOLD_AT_ONCE]


def _events(keys: Keys, rows: Sequence[Told], outcomes: Mapping[str, str] | str, *, keep: bool = True) -> Events:
    """What is told of these rows, whose outcome is by their id, or the same for all."""
    day = int(time.time() // 86_400)
    persons = {row.visitor or row.root: row.root if row.visitor else "" for row in rows}
    persons.pop("", None)
    found = keys(persons, day, keep=keep) if persons else {}
    numbers: Counter[str] = Counter()
    digests: dict[str, list[str]] = {}
    for row in rows:
        outcome = outcomes if isinstance(outcomes, str) else outcomes[row.id]
        numbers[outcome] += 1
        if key := found.get(row.visitor or row.root):
            digests.setdefault(outcome, []).append(event_digest(key, row.event_id))
    return Events(frozenset(row.purpose for row in rows), numbers, digests)
