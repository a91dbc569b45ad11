"""Reading the ledger of a PostgreSQL database while others write it, over a connection that only reads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import psycopg

from consent_mw.errors import StoreError
from consent_mw.wire.ledger import CUT, HEAD, LedgerRow
from consent_mw.world.store import LedgerPart
from consent_mw.world.store.ledger import COLUMNS, read_mark, read_rows
from consent_mw.world.store.postgres_link import connected, parameters, refused, said
from consent_mw.world.store.postgres_outbox import stands
from consent_mw.world.store.postgres_schema import require_tables
from consent_mw.world.store.postgres_turn import Turn

READS_WITHIN: Final = 60.0


class PostgresLedgerReader:
    """See LedgerReader."""

    def __init__(self, url: str) -> None:
        try:
            self._link = connected(parameters(url), writes=False)
            self._link.execute(f"SET statement_timeout = '{READS_WITHIN:.0f}s'")
        except (psycopg.Error, StoreError) as error:
            raise refused(error) from None
        try:
            require_tables(self._link)
        except (psycopg.Error, StoreError) as error:
            self._link.close()
            raise refused(error) from None
        self._link.patience = READS_WITHIN
        self._turn = Turn(self._link, "", 0.0)

    def part(self, after: int | None, limit: int) -> LedgerPart:
        """The rows that follow on this number (None: the first), and both ends, as of one moment."""
        with self._said(), self._link.transaction():
            self._link.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            rows = read_rows(self._turn, after, limit)
            return LedgerPart(read_mark(self._turn, CUT), read_mark(self._turn, HEAD), rows)

    def last(self, limit: int, *, before: int, kind: str, vendor: str, outcome: str) -> list[LedgerRow]:
        """The last rows of this kind, vendor and outcome before this number, newest first."""
        sql = f"""
SELECT {COLUMNS} FROM ledger WHERE seq < %s AND (kind = %s OR %s = '') AND (vendor = %s OR %s = '')
AND (strpos(',' || outcome || ',', ',' || %s || ',') > 0 OR %s = '') ORDER BY seq DESC LIMIT %s"""
        asked = (before, kind, kind, vendor, vendor, outcome, outcome, limit)
        with self._said():
            return [LedgerRow._make(row) for row in self._turn.all(sql, asked)]

    def dead_letters(self) -> dict[str, int]:
        """How many dead letters are kept, by vendor."""
        sql = "SELECT vendor, count(*) FROM outbox WHERE vendor = ANY (%s) AND dead = true GROUP BY vendor"
        with self._said():
            return dict(self._turn.all(sql, [stands(self._turn)]))

    def vendors(self) -> frozenset[str]:
        """Every vendor that an entry or a waiting event is about."""
        with self._said():
            found = [row[0] for row in self._turn.all("SELECT DISTINCT vendor FROM ledger", [])]
            return frozenset(one for one in (*found, *stands(self._turn)) if one)

    def close(self) -> None:
        """Let go of the database."""
        self._link.close()

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise StoreError(f"the ledger cannot be read: {said(error)}") from None
