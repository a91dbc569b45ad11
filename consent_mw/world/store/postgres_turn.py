"""One transaction of one machine: what it may do, and what it has changed.

Rule: what is kept waits for what is being recalled, and a recall for what is being kept, on every machine: so that
      either of two finds what the other did.
Rule: one machine claims for a vendor at a time; the others come back later, and wait for nothing.
Rule: every transaction that changes something leaves its number, by which a machine that lost the connection while it
      committed learns whether it did.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final

from psycopg import sql

from consent_mw.world.store.postgres_link import Link

Saved = tuple[int, int, int, bool]
Values = Sequence[Any] | Mapping[str, Any]

LEAST_SKEW: Final = 1.0
"""Seconds by which a machine's clock may differ from the server's without being corrected."""

_KEY: Final = "hashtextextended(current_schema() || {name}, 0)"


class Among(IntEnum):
    """How a transaction stands to those of other machines."""

    ANYTHING = 0
    KEEPING = 1
    RECALLING = 2


@lru_cache(128)
def _marked(statement: str) -> str:
    return statement.replace("?", "%s")


class Turn:
    """What the work of one group is done with. `size` is of all that waits in the outbox, `last_recall` the number
    of the last one, if there is any; `dropped` counts rows that made room, `touched` are tables to tidy up."""

    def __init__(self, link: Link, name: str, skew: float) -> None:
        self._link = link
        self.name = name
        self.skew = skew
        self.size = 0
        self.last_recall: int | None = None
        self.dropped = 0
        self.touched: set[str] = set()
        self.changed = False
        self._grown = 0
        self._claims: dict[str, bool] = {}

    def begin(self, among: Among, vendors: Collection[str]) -> None:
        """Begin; claims are for these vendors."""
        names = sorted(set(vendors))
        lock = {
            Among.ANYTHING: "",
            Among.KEEPING: f"SELECT pg_advisory_xact_lock_shared({_KEY});",
            Among.RECALLING: f"SELECT pg_advisory_xact_lock({_KEY});",
        }[among]
        begin = sql.SQL("BEGIN; " + lock).format(name=sql.Literal(" recalled"))
        look = sql.SQL("SELECT (SELECT coalesce(sum(bytes), 0) FROM machines), (SELECT max(seq) FROM recalls)")
        tries = [
            sql.SQL(f", pg_try_advisory_xact_lock({_KEY})").format(name=sql.Literal(f" claims {name}"))
            for name in names
        ]
        cursor = self._link.execute(sql.Composed([begin, look, *tries]), prepare=False)
        while cursor.nextset():
            pass
        found = cursor.fetchone()
        assert found is not None
        self.size, self.last_recall = int(found[0]), found[1]
        self._claims = dict(zip(names, found[2:], strict=True))

    def claims(self, vendor: str) -> bool:
        """Whether it is this machine that may claim for this vendor now."""
        return self._claims.get(vendor, False)

    def grow(self, by: int) -> None:
        """Something was changed, and what waits grew by this many bytes."""
        self.changed = True
        self.size += by
        self._grown += by

    def all(self, statement: str, values: Values) -> list[tuple[Any, ...]]:
        """What this statement answers."""
        cursor = self._link.execute(statement, values, prepare=True, binary=True)
        return cursor.fetchall() if cursor.description is not None else []

    def one(self, statement: str, values: Values) -> tuple[Any, ...]:
        """The one row that this statement answers with."""
        return self.all(statement, values)[0]

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any:
        """See Statements."""
        return self._link.execute(_marked(statement), values, prepare=True, binary=True)

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]], /) -> Any:
        """See Statements."""
        cursor = self._link.cursor()
        cursor.executemany(_marked(statement), rows)
        return cursor

    def lock(self, what: str) -> None:
        """Be the only machine that reads and changes this, until the transaction ends."""
        self._link.execute(sql.SQL(f"SELECT pg_advisory_xact_lock({_KEY})").format(name=sql.Literal(f" {what}")))

    def save(self) -> Saved:
        """Where this transaction can go back to."""
        self._link.execute("SAVEPOINT request", prepare=False)
        return self.size, self._grown, self.dropped, self.changed

    def go_on(self) -> None:
        """Keep what was done since."""
        self._link.execute("RELEASE SAVEPOINT request", prepare=False)

    def back(self, saved: Saved) -> None:
        """Take back what was done since."""
        self._link.execute("ROLLBACK TO SAVEPOINT request; RELEASE SAVEPOINT request", prepare=False)
        self.size, self._grown, self.dropped, self.changed = saved

    def commit(self, number: int) -> None:
        """Commit, under this number where something was changed."""
        if not self.changed:
            self._link.execute("COMMIT", prepare=False)
            return
        mark = sql.SQL(
            "INSERT INTO machines AS m (name, bytes, last, seen) VALUES ({name}, {bytes}, {last}, "
            "extract(epoch FROM clock_timestamp())) "
            "ON CONFLICT (name) DO UPDATE SET bytes = m.bytes + excluded.bytes, last = excluded.last, "
            "seen = excluded.seen; COMMIT"
        ).format(name=self.name, bytes=self._grown, last=number)
        self._link.execute(mark, prepare=False)
