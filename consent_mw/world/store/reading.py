"""Reading the ledger of a SQLite file beside the process that writes it.

Rule: opened for reading only; nothing is held between two questions, since a reader that stays keeps the writer from
      emptying its log.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from consent_mw.errors import StoreError
from consent_mw.wire.ledger import CUT, HEAD, LedgerRow
from consent_mw.world.store import LedgerPart
from consent_mw.world.store.ledger import COLUMNS, read_mark, read_rows
from consent_mw.world.store.schema import SCHEMA_VERSION

LOOKED_THROUGH: Final = 20_000
"""Rows that are looked through in one question."""

_LAST: Final = f"""
SELECT {COLUMNS} FROM ledger WHERE seq BETWEEN ? AND ? AND (kind = ? OR ? = '') AND (vendor = ? OR ? = '')
AND (instr(',' || outcome || ',', ',' || ? || ',') OR ? = '') ORDER BY seq DESC LIMIT ?"""


class SqliteLedgerReader:
    """See LedgerReader."""

    def __init__(self, path: str) -> None:
        self._path = path
        with self._said():
            self._db = _open(path)
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version != SCHEMA_VERSION:
            self._db.close()
            known = "it is another program's database" if not version else f"it is of version {version}"
            raise StoreError(f"the store `{path}` has no ledger that can be read here: {known}")

    def part(self, after: int | None, limit: int) -> LedgerPart:
        """The rows that follow on this number (None: the first), and both ends, as of one moment."""
        with self._said():
            self._db.execute("BEGIN")
            try:
                rows = read_rows(self._db, after, limit)
                return LedgerPart(read_mark(self._db, CUT), read_mark(self._db, HEAD), rows)
            finally:
                self._db.execute("ROLLBACK")

    def last(self, limit: int, *, before: int, kind: str, vendor: str, outcome: str) -> list[LedgerRow]:
        """The last rows of this kind, vendor and outcome before this number, newest first."""
        with self._said():
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
        with self._said():
            found = self._db.execute("SELECT vendor, count(*) FROM outbox WHERE dead = 1 GROUP BY vendor").fetchall()
        return dict(found)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the store `{self._path}` cannot be read: {error}") from error


def _open(path: str) -> sqlite3.Connection:
    if not Path(path).is_file():
        raise OSError("there is no such file")
    name = f"file:{quote(path)}?mode=ro"
    db = sqlite3.connect(name, uri=True, isolation_level=None, timeout=5.0)
    # What is not text is a change to be told of, not a failure to read.
    db.text_factory = _text
    return db


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
