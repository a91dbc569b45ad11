"""Reading a SQLite file of ours beside the process that writes it: its ledger, statistics and inventory.

Rule: opened for reading only; nothing is held between two questions, since a reader that stays keeps the writer from
      emptying its log.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from consent_mw.core.inventory import Item
from consent_mw.core.statistics import Question, Stored
from consent_mw.errors import StoreError
from consent_mw.wire.ledger import CUT, HEAD, LedgerRow
from consent_mw.world.store import LedgerPart, inventory, statistics
from consent_mw.world.store.ledger import COLUMNS, read_mark, read_rows
from consent_mw.world.store.schema import SCHEMA_VERSION

BUSY_FOR: Final = 5.0
"""Seconds that a reader waits for who holds the file."""

LOOKED_THROUGH: Final = 20_000
"""Rows that are looked through in one question."""

_LAST: Final = f"""
SELECT {COLUMNS} FROM ledger WHERE seq BETWEEN ? AND ? AND (kind = ? OR ? = '') AND (vendor = ? OR ? = '')
AND (instr(',' || outcome || ',', ',' || ? || ',') OR ? = '') ORDER BY seq DESC LIMIT ?"""


class SqliteLedgerReader:
    """See LedgerReader."""

    def __init__(self, path: str) -> None:
        self._path = path
        with _said(path):
            self._db = _open(path)

    def part(self, after: int | None, limit: int) -> LedgerPart:
        """The rows that follow on this number (None: the first), and both ends, as of one moment."""
        with _said(self._path):
            self._db.execute("BEGIN")
            try:
                rows = read_rows(self._db, after, limit)
                return LedgerPart(read_mark(self._db, CUT), read_mark(self._db, HEAD), rows)
            finally:
                self._db.execute("ROLLBACK")

    def last(self, limit: int, *, before: int, kind: str, vendor: str, outcome: str) -> list[LedgerRow]:
        """The last rows of this kind, vendor and outcome before this number, newest first."""
        with _said(self._path):
            low, high = self._db.execute("SELECT min(seq), max(seq) FROM ledger WHERE seq < ?", (before,)).fetchone()
            found: list[LedgerRow] = []
            while low is not None and high >= low and len(found) < limit:
                begin = max(low, high - LOOKED_THROUGH + 1)
                asked = (begin, high, kind, kind, vendor, vendor, outcome, outcome, limit - len(found))
                found += [LedgerRow._make(row) for row in self._db.execute(_LAST, asked).fetchall()]
                high = begin - 1
        return found

    def dead_letters(self) -> dict[str, int]:
        """How many dead letters are kept, by vendor."""
        with _said(self._path):
            found = self._db.execute("SELECT vendor, count(*) FROM outbox WHERE dead = 1 GROUP BY vendor").fetchall()
        return dict(found)

    def vendors(self) -> frozenset[str]:
        """Every vendor that an entry or a waiting event is about."""
        with _said(self._path):
            found = self._db.execute("SELECT vendor FROM ledger UNION SELECT vendor FROM outbox").fetchall()
        # Whoever has the file may have written anything there.
        return frozenset(one for (one,) in found if isinstance(one, str) and one)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def read_statistics(path: str, questions: Sequence[Question]) -> list[Stored]:
    """The answers to these questions, all as of one moment. Raises StoreError."""
    with _said(path), contextlib.closing(_open(path)) as db:
        db.execute("BEGIN")
        return [statistics.read(db, question) for question in questions]


def read_inventory(path: str) -> list[Item]:
    """All that report mode counted. Raises StoreError."""
    with _said(path), contextlib.closing(_open(path)) as db:
        return inventory.read(db)


@contextlib.contextmanager
def _said(path: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"the store `{path}` cannot be read: {error}") from error


def _open(path: str) -> sqlite3.Connection:
    """This file, for reading. Raises sqlite3.Error, or OSError with a reason in words where it is none of ours."""
    _require_file(path)
    db = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, isolation_level=None, timeout=BUSY_FOR)
    try:
        _require_tables(db)
    except BaseException:
        db.close()
        raise
    # What is not text is a change to be told of, not a failure to read.
    db.text_factory = _text
    return db


def _require_file(path: str) -> None:
    if Path(path).is_dir():
        raise OSError("it is a directory")
    if not Path(path).exists():
        raise OSError("there is no such file")
    if not Path(path).is_file():
        raise OSError("it is not a regular file")


def _require_tables(db: sqlite3.Connection) -> None:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise OSError("it was written by a newer version")
    if version:
        raise OSError("it is of an earlier version; whoever writes it next, as `serve`, brings it up to date")
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise OSError("it is another program's database")
    raise OSError("it has no consent_mw tables yet; `serve` or the middleware makes them")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
