"""Tidying: what was deleted goes from the tables' files as well, as far as PostgreSQL lets it.

A deleted row stays in its page until VACUUM, and its bytes may stay in the page's free space after that. So tables
that are small, as an outbox is that is delivered from, are written anew; large ones are vacuumed.

Rule: over a connection and in a thread of its own, so that nobody waits for it but for the moment of writing anew.
Rule: what another machine is tidying is left to that one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, Final

import psycopg

from consent_mw.world.store.postgres_link import Link, connected

AT_REST_EVERY: Final = 2.0
"""Seconds between two times when nothing else is to be done."""

AT_WORK_EVERY: Final = 30.0

ANEW_EVERY: Final = 60.0
"""Seconds after which a small table may be written anew again."""

SMALL: Final = 16_000_000
"""Bytes of a table, with what belongs to it, that is written anew."""

LASTS_AT_MOST: Final = 600.0

FORGOTTEN_AFTER: Final = 3600
"""Seconds after which a machine that wrote nothing is taken for gone; its part of the size goes to nobody's row."""

_FORGET: Final = f"""
WITH gone AS (
  DELETE FROM machines WHERE name <> '' AND seen < extract(epoch FROM clock_timestamp()) - {FORGOTTEN_AFTER}
  RETURNING bytes
) INSERT INTO machines AS m (name, bytes, last, seen)
  SELECT '', sum(bytes), 0, 0 FROM gone HAVING count(*) > 0
  ON CONFLICT (name) DO UPDATE SET bytes = m.bytes + excluded.bytes
"""


class Tidy:
    """Counts what was deleted, and tidies up behind it."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked
        self._deleted: set[str] = set()
        self._not_anew: set[str] = set()
        self._last = time.monotonic()
        self._last_anew = float("-inf")
        self._thread: threading.Thread | None = None
        self._link: Link | None = None

    def deleted(self, table: str) -> None:
        """Rows of this table were deleted or changed."""
        self._deleted.add(table)
        self._not_anew.add(table)

    def see_to_it(self, *, resting: bool) -> None:
        """Begin to tidy up where there is something to tidy up and it is time."""
        now = time.monotonic()
        if self._thread is not None and self._thread.is_alive():
            return
        anew = self._not_anew if now - self._last_anew >= ANEW_EVERY else set()
        if now - self._last < (AT_REST_EVERY if resting else AT_WORK_EVERY) or not (self._deleted or anew):
            return
        tables, self._deleted, self._last = sorted(self._deleted | anew), set(), now
        if anew:
            self._not_anew, self._last_anew = set(), now
        arguments = (tables, bool(anew))
        self._thread = threading.Thread(target=self._run, args=arguments, name="consent_mw-tidy", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End what is being done."""
        if self._thread is None:
            return
        link = self._link
        if link is not None:
            with contextlib.suppress(psycopg.Error):
                link.cancel()
        self._thread.join(1.0)

    def _run(self, tables: list[str], anew: bool) -> None:
        # Whatever it meets, the next time tries again; autovacuum does most of it meanwhile.
        with contextlib.suppress(psycopg.Error):
            self._link = connected(self._asked)
            with self._link as link:
                link.patience = LASTS_AT_MOST
                link.execute("SET statement_timeout = 0; SET lock_timeout = '1s'", prepare=False)
                link.execute(_FORGET, prepare=False)
                for table in tables:
                    _vacuum(link, table, anew=anew)
        self._link = None


def _vacuum(link: Link, table: str, *, anew: bool) -> None:
    link.execute(f"VACUUM (SKIP_LOCKED) {table}", prepare=False)
    if not anew:
        return
    found = link.execute(f"SELECT pg_total_relation_size('{table}')").fetchone()
    if found is not None and found[0] <= SMALL:
        link.execute(f"VACUUM (FULL, SKIP_LOCKED) {table}", prepare=False)


def leave(link: Link, name: str) -> None:
    """This machine is going: its part of the size goes to nobody's row."""
    link.execute(
        "WITH gone AS (DELETE FROM machines WHERE name = %s RETURNING bytes) "
        "INSERT INTO machines AS m (name, bytes, last, seen) SELECT '', bytes, 0, 0 FROM gone "
        "ON CONFLICT (name) DO UPDATE SET bytes = m.bytes + excluded.bytes",
        [name],
    )
