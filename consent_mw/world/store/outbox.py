"""The outbox in SQL.

Rule: a question is a fixed number of steps, however many rows it is about: at each step of a statement the thread
      gives the interpreter lock away, and while the event loop is busy it waits long to get it back.
Rule: one person's later row never goes before an earlier one that waits or is being sent.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

from consent_mw.errors import StoreFullError
from consent_mw.world.store import OutboxRow, Settlement
from consent_mw.world.store.recent import Recent

BLOCK: Final = 11
"""How many bits of a row's number tell rows of one block apart."""

WINDOW: Final = 256
"""Rows that a claim looks at together, at least."""

DUE_AMONG: Final = 20_000
"""Rows among which the next one that is due is looked for; a vendor is looked at again soon anyway."""

_COLUMNS: Final = (
    "id, vendor, event_id, kind, body, visitor, receipt, jurisdiction, purpose, policy, created, attempts"
)
_WIDTH: Final = 12
_LISTED: Final = "(SELECT value FROM json_each(?))"
# Minus a half is no lease, and as wide as one: a row that grew when it is claimed would split its page.
_ONE: Final = f"({', '.join('?' * _WIDTH)}, -0.5)"
# Few sizes, so that each is prepared once.
_INSERTS: Final = {
    size: f"INSERT INTO outbox ({_COLUMNS}, leased_until) VALUES {', '.join([_ONE] * size)} ON CONFLICT DO NOTHING"
    for size in (128, 32, 8, 1)
}

FRESH, TOUCHED, HELD = range(3)
"""What a waiting row is to a claim: never claimed, claimed before, or not to be claimed yet."""

_WINDOW: Final = """
SELECT group_concat(seq * 4 + iif(max(not_before, leased_until) > :now, 2, attempts > 0 OR leased_until > 0)) FROM (
  SELECT seq, not_before, leased_until, attempts FROM outbox
  WHERE vendor = :vendor AND dead = 0 AND seq > :after ORDER BY seq LIMIT :limit)
"""
_WHOLE: Final = f"""
SELECT json_group_array(json_array(
  seq, id, vendor, event_id, kind, hex(body), visitor, receipt, jurisdiction, purpose, policy, created, attempts,
  leased_until > 0)) FROM outbox WHERE seq IN {_LISTED}
"""
_PERSONS: Final = f"SELECT json_group_array(json_array(seq, person)) FROM outbox WHERE seq IN {_LISTED}"
_LEASE: Final = f"UPDATE outbox SET leased_until = ?, attempts = attempts + 1 WHERE seq IN {_LISTED}"
_NEXT_DUE: Final = f"""
SELECT min(due) FROM (
  SELECT due, row_number() OVER (PARTITION BY iif(person = '', seq, person) ORDER BY seq) AS place FROM (
    SELECT seq, person, max(not_before, leased_until) AS due FROM outbox
    WHERE vendor = :vendor AND dead = 0 ORDER BY seq LIMIT {DUE_AMONG})
) WHERE place = 1
"""
_DEAD: Final = f"UPDATE outbox SET dead = 1, leased_until = 0 WHERE id IN {_LISTED}"
_REVIVE: Final = f"UPDATE outbox SET dead = 0, attempts = 0, not_before = 0 WHERE seq IN {_LISTED}"
_AGAIN: Final = "UPDATE outbox SET not_before = ?, leased_until = 0, attempts = max(attempts - ?, 0) WHERE id = ?"
# From block to block of those that there are: a dead letter may be millions of rows behind the others.
_ROWS_OF: Final = f"""
WITH RECURSIVE blocks (block) AS (
  SELECT min(seq) >> {BLOCK} FROM outbox
  UNION ALL
  SELECT (SELECT min(seq) FROM outbox WHERE seq >= (block + 1) << {BLOCK}) >> {BLOCK}
  FROM blocks WHERE block IS NOT NULL
), subjects (subject) AS (
  SELECT value FROM json_each(:listed)
  UNION
  SELECT r.id FROM receipts AS mine JOIN receipts AS r ON r.root = mine.root
  WHERE mine.id IN (SELECT value FROM json_each(:listed))
)
SELECT json_group_array(seq) FROM (
  SELECT o.seq FROM blocks CROSS JOIN subjects CROSS JOIN outbox AS o
  WHERE o.seq >> {BLOCK} = block AND o.visitor = subject AND o.visitor <> ''
  UNION
  SELECT o.seq FROM blocks CROSS JOIN subjects CROSS JOIN outbox AS o
  WHERE o.seq >> {BLOCK} = block AND o.receipt = subject AND o.receipt <> ''
)
"""
_TOLD: Final = """
SELECT json_group_array(json_array(seq, id, event_id, vendor, purpose, attempts, length(body),
  visitor, iif(receipt = '', '', coalesce((SELECT root FROM receipts WHERE receipts.id = outbox.receipt), receipt))))
FROM outbox WHERE"""


class Told(NamedTuple):
    """What is told of a row that ends: its number and id, the event's, how often it was tried, the bytes of its body,
    and whose it is: a visitor's, or that of the browser whose first receipt is `root`."""

    seq: int
    id: str
    event_id: str
    vendor: str
    purpose: str
    attempts: int
    size: int
    visitor: str
    root: str

    @property
    def person(self) -> str:
        """Whose it is, as far as anybody knows."""
        return self.visitor or self.root


def insert(db: sqlite3.Connection, rows: Sequence[OutboxRow]) -> int:
    """Keep these rows; of one that is there already, the earlier one. Returns the number of the first row where all
    are new and follow each other, else 0."""
    db.execute("SAVEPOINT rows")
    added = last = at = 0
    for size, statement in _INSERTS.items():
        while len(rows) - at >= size:
            values = [value for row in rows[at : at + size] for value in row[:_WIDTH]]
            done = db.execute(statement, values)
            added += done.rowcount
            last = done.lastrowid or 0
            at += size
    if added == len(rows):
        _resize(db, sum(len(row.body) for row in rows))
    else:
        db.execute("ROLLBACK TO rows")
        for row in rows:
            _resize(db, db.execute(_INSERTS[1], row[:_WIDTH]).rowcount * len(row.body))
    db.execute("RELEASE rows")
    return last - len(rows) + 1 if added == len(rows) else 0


def claim(
    db: sqlite3.Connection, recent: Recent, vendor: str, limit: int, now: float, until: float
) -> list[OutboxRow]:
    """The next rows for this vendor, leased."""
    taken: dict[int, OutboxRow] = {}
    blocked: set[str] = set()
    after = 0
    while len(taken) < limit:
        window = _window(db, vendor, after, max(limit, WINDOW), now)
        if not window:
            break
        after = window[-1] // 4
        for number, row in _free(db, recent, vendor, window, blocked):
            if len(taken) < limit:
                taken[number] = row
    if taken:
        db.execute(_LEASE, (until, json.dumps(list(taken))))
    return list(taken.values())


def held(db: sqlite3.Connection, ids: Sequence[str]) -> frozenset[str]:
    """Which of these rows are still to be delivered."""
    listed = (json.dumps(ids),)
    found = db.execute(f"SELECT count(*) FROM outbox WHERE id IN {_LISTED} AND dead = 0", listed).fetchone()[0]
    if found == len(ids):
        return frozenset(ids)
    sql = f"SELECT json_group_array(id) FROM outbox WHERE id IN {_LISTED} AND dead = 0"
    return frozenset(json.loads(db.execute(sql, listed).fetchone()[0]))


def settle(db: sqlite3.Connection, settlements: Sequence[Settlement], ended: Sequence[Told]) -> None:
    """Note what became of claimed rows; `ended` are those that came to an end and are still there."""
    dead = [one.id for one in settlements if one.outcome == "dead"]
    stay = frozenset(dead)
    remove(db, [row for row in ended if row.id not in stay] if stay else ended)
    if dead:
        db.execute(_DEAD, (json.dumps(dead),))
    again = [(one.retry_at, not one.tried, one.id) for one in settlements if not one.outcome]
    if again:
        db.executemany(_AGAIN, again)


def remove(db: sqlite3.Connection, rows: Sequence[Told]) -> None:
    """Delete these rows, which are there."""
    if rows:
        db.execute(f"DELETE FROM outbox WHERE seq IN {_LISTED}", (json.dumps([row.seq for row in rows]),))
        _resize(db, -sum(row.size for row in rows))


def expire_dead(db: sqlite3.Connection, before: float, most: int) -> int:
    """Delete the dead letters from before this time, at most so many; how many."""
    where = "seq IN (SELECT seq FROM outbox WHERE dead = 1 AND created < ? LIMIT ?)"
    return delete(db, where, before, most)


def take_back(db: sqlite3.Connection, recent: Recent, rows: Sequence[Told]) -> None:
    """Delete these rows, which are there, and remember them no longer."""
    remove(db, rows)
    recent.drop([row.seq for row in rows])


def delete(db: sqlite3.Connection, where: str, *values: object) -> int:
    """Delete the rows of this condition. Returns how many there were."""
    size, number = db.execute(f"SELECT sum(length(body)), count(*) FROM outbox WHERE {where}", values).fetchone()
    if number:
        db.execute(f"DELETE FROM outbox WHERE {where}", values)
        _resize(db, -size)
    return int(number)


def rows_of(db: sqlite3.Connection, subjects: Iterable[str]) -> list[Told]:
    """The rows of these visitors, receipts, or other receipts of the same browsers."""
    wanted = [one for one in subjects if one]
    if not wanted:
        return []
    numbers = db.execute(_ROWS_OF, {"listed": json.dumps(wanted)}).fetchone()[0]
    return told(db, f"seq IN {_LISTED}", numbers)


def told(db: sqlite3.Connection, where: str, *values: object) -> list[Told]:
    """What there is to tell of the rows of this condition."""
    return list(map(Told._make, json.loads(db.execute(f"{_TOLD} {where}", values).fetchone()[0])))


def untold(row: OutboxRow) -> Told:
    """What there is to tell of a row that was never kept."""
    return Told(0, row.id, row.event_id, row.vendor, row.purpose, 0, len(row.body), row.visitor, row.receipt)


def told_by_id(db: sqlite3.Connection, ids: Sequence[str]) -> list[Told]:
    """What there is to tell of the rows of these ids."""
    if not ids:
        return []
    return told(db, f"id IN {_LISTED}", json.dumps(ids))


def others(db: sqlite3.Connection, vendors: Collection[str], most: int) -> list[Told]:
    """The first rows of vendors that are not among these, at most so many."""
    where = f"seq IN (SELECT seq FROM outbox WHERE vendor NOT IN {_LISTED} LIMIT ?)"
    return told(db, where, json.dumps(list(vendors)), most)


def revive(db: sqlite3.Connection, vendor: str, most: int) -> list[Told]:
    """Let dead letters of this vendor (or of all), at most so many, wait again, as if they had not been tried."""
    where = "seq IN (SELECT seq FROM outbox WHERE dead = 1 AND (vendor = ? OR ? = '') LIMIT ?)"
    found = told(db, where, vendor, vendor, most)
    if found:
        db.execute(_REVIVE, (json.dumps([one.seq for one in found]),))
    return found


def next_due(db: sqlite3.Connection, vendor: str) -> float | None:
    """When the next waiting row of this vendor may be claimed; only the first of each person counts."""
    found = db.execute(_NEXT_DUE, {"vendor": vendor}).fetchone()[0]
    return None if found is None else float(found)


def room(db: sqlite3.Connection, size: int, most: int, *, drop_oldest: bool) -> list[Told]:
    """The oldest rows, dead ones first, without which `size` more bytes fit. Raises StoreFullError where none is to
    be dropped, or that would not do."""
    excess = int(db.execute("SELECT bytes FROM size").fetchone()[0]) + size - most
    if excess <= 0:
        return []
    if size > most:
        raise StoreFullError("these events are larger than the whole outbox")
    if not drop_oldest:
        raise StoreFullError("the outbox is full")
    gone: list[int] = []
    for number, length in db.execute("SELECT seq, length(body) FROM outbox ORDER BY dead DESC, seq"):
        gone.append(number)
        excess -= length
        if excess <= 0:
            break
    return told(db, f"seq IN {_LISTED}", json.dumps(gone))


def _window(db: sqlite3.Connection, vendor: str, after: int, limit: int, now: float) -> list[int]:
    """The next waiting rows behind this one, each as four times its number and what it is to a claim."""
    asked = {"vendor": vendor, "after": after, "limit": limit, "now": now}
    found = db.execute(_WINDOW, asked).fetchone()[0]
    return sorted(map(int, str(found).split(","))) if found is not None else []


def _free(
    db: sqlite3.Connection, recent: Recent, vendor: str, window: Sequence[int], blocked: set[str]
) -> Iterable[tuple[int, OutboxRow]]:
    """The rows of this window that may be claimed, in order; `blocked` are the persons of whom an earlier one may
    not, and grows."""
    rows = recent.take(vendor, [one >> 2 for one in window if one & 3 == FRESH])
    missing = [one >> 2 for one in window if one & 3 != HELD and one >> 2 not in rows]
    if missing:
        rows.update(_whole(db, missing))
    waiting = [one >> 2 for one in window if one & 3 == HELD]
    persons: dict[int, str] = dict(_listed(db, _PERSONS, waiting)) if waiting else {}
    for one in window:
        number = one >> 2
        if one & 3 == HELD:
            if persons[number]:
                blocked.add(persons[number])
        elif not blocked or (rows[number].visitor or rows[number].receipt) not in blocked:
            yield number, rows[number]


def _whole(db: sqlite3.Connection, numbers: Collection[int]) -> Iterable[tuple[int, OutboxRow]]:
    """These rows as they are when claimed, by their numbers."""
    for seq, identity, vendor, event, kind, body, *more, attempts, interrupted in _listed(db, _WHOLE, numbers):
        made = (identity, vendor, event, kind, bytes.fromhex(body), *more, attempts + 1, bool(interrupted))
        yield seq, OutboxRow._make(made)


def _listed(db: sqlite3.Connection, statement: str, numbers: Collection[int]) -> list[Any]:
    found: list[Any] = json.loads(db.execute(statement, (json.dumps(list(numbers)),)).fetchone()[0])
    return found


def _resize(db: sqlite3.Connection, by: int) -> None:
    db.execute("UPDATE size SET bytes = bytes + ?", (by,))
