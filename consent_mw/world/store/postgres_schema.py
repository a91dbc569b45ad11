"""What the tables of ours look like in PostgreSQL, and how those of an earlier version become them.

Rule: one machine makes or changes them, while the others wait.
Rule: what is written with every claim is in no index, and its page has room for it, so that a row is not written five
      times to be leased.
Rule: the size of what waits is changed in the transaction that changes the rows, by each machine in a row of its own.
"""

from __future__ import annotations

from typing import Final

from consent_mw.errors import StoreError
from consent_mw.world.store.postgres_link import Link

VERSION: Final = 2

MARK: Final = "consent_mw"
"""The table by which our database is known; it holds the version."""

CHANGES_WITHIN: Final = 600.0
"""Seconds that making or changing the tables may take."""

_RECEIPTS: Final = """
CREATE TABLE receipts (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE, root text COLLATE "C" NOT NULL, previous text NOT NULL, at bigint NOT NULL,
  jws text NOT NULL
);
CREATE INDEX receipts_by_root ON receipts (root, seq);
CREATE INDEX receipts_by_time ON receipts (at);
"""

_OUTBOX: Final = """
CREATE TABLE outbox (
  seq bigint GENERATED ALWAYS AS IDENTITY,
  id text COLLATE "C" NOT NULL UNIQUE, vendor text COLLATE "C" NOT NULL, event_id text NOT NULL, kind text NOT NULL,
  body bytea NOT NULL, visitor text COLLATE "C" NOT NULL, receipt text COLLATE "C" NOT NULL,
  jurisdiction text NOT NULL, purpose text NOT NULL, policy text NOT NULL,
  created double precision NOT NULL CHECK (created < 'Infinity'), attempts integer NOT NULL DEFAULT 0,
  not_before double precision NOT NULL DEFAULT 0, leased_until double precision NOT NULL DEFAULT 0,
  leased_by text COLLATE "C" NOT NULL DEFAULT '', dead boolean NOT NULL DEFAULT false,
  PRIMARY KEY (vendor, dead, seq)
) WITH (
  fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000
);
CREATE INDEX outbox_by_visitor ON outbox (visitor) WHERE visitor <> '';
CREATE INDEX outbox_by_receipt ON outbox (receipt) WHERE receipt <> '';
"""

_MACHINES: Final = """
CREATE TABLE machines (
  name text COLLATE "C" PRIMARY KEY, bytes bigint NOT NULL, last bigint NOT NULL, seen double precision NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE recalls (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at double precision NOT NULL, subjects text NOT NULL,
  purposes text NOT NULL
);
CREATE INDEX recalls_by_subjects ON recalls USING hash (subjects);
"""

_LEDGER: Final = """
CREATE TABLE ledger (
  seq bigint PRIMARY KEY, at bigint NOT NULL, kind text NOT NULL, vendor text NOT NULL, outcome text NOT NULL,
  key text NOT NULL, mac text NOT NULL, body text NOT NULL
);
CREATE TABLE ledger_ends (
  which text COLLATE "C" PRIMARY KEY, seq bigint NOT NULL, mac text NOT NULL, key text NOT NULL, seal text NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE person_keys (
  person text COLLATE "C" PRIMARY KEY, key text NOT NULL, used integer NOT NULL, root text COLLATE "C" NOT NULL
);
CREATE INDEX person_keys_by_root ON person_keys (root) WHERE root <> '';
CREATE INDEX person_keys_by_use ON person_keys (used);
CREATE TABLE secrets (name text COLLATE "C" PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE public_keys (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, jwk text NOT NULL UNIQUE, code text NOT NULL
);
"""

_STATISTICS: Final = """
CREATE TABLE statistics_days (day integer PRIMARY KEY, key bytea);
CREATE TABLE statistics_hours (
  hour integer NOT NULL, page text COLLATE "C" NOT NULL, views bigint NOT NULL, visitors bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (hour, page)
);
CREATE TABLE statistics_pages (
  day integer NOT NULL, page text COLLATE "C" NOT NULL, visitors bigint NOT NULL, PRIMARY KEY (day, page)
);
CREATE TABLE statistics_sketches (
  unit text COLLATE "C" NOT NULL, time integer NOT NULL, page text COLLATE "C" NOT NULL, sketch bytea NOT NULL,
  PRIMARY KEY (unit, time, page)
);
CREATE TABLE inventory (
  day integer NOT NULL, sort text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
  fate text COLLATE "C" NOT NULL, number bigint NOT NULL, PRIMARY KEY (day, sort, name, fate)
);
"""

_PERSONS: Final = """
CREATE TABLE pairs (
  visitor text COLLATE "C" NOT NULL, user_id text COLLATE "C" NOT NULL, receipt text COLLATE "C" NOT NULL,
  at double precision NOT NULL, PRIMARY KEY (visitor, user_id)
);
CREATE INDEX pairs_by_user ON pairs (user_id);
CREATE INDEX pairs_by_receipt ON pairs (receipt);
CREATE INDEX pairs_by_time ON pairs (at);
"""

_CHANGES: Final[tuple[str, ...]] = (_RECEIPTS + _OUTBOX + _MACHINES + _LEDGER, _STATISTICS + _PERSONS)
"""What makes each version of the one before it."""

_OURS: Final = (
    "receipts",
    "outbox",
    "machines",
    "recalls",
    "ledger",
    "ledger_ends",
    "person_keys",
    "secrets",
    "public_keys",
    "statistics_days",
    "statistics_hours",
    "statistics_pages",
    "statistics_sketches",
    "inventory",
    "pairs",
)


def prepare(link: Link) -> None:
    """Make the tables, bring earlier ones up to date, or check that they are ours. Raises StoreError."""
    if version_of(link) == VERSION:
        return
    before, link.patience = link.patience, CHANGES_WITHIN
    with link.transaction():
        link.execute(f"SET LOCAL statement_timeout = '{CHANGES_WITHIN:.0f}s'; SET LOCAL lock_timeout = 0")
        link.execute(f"SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' {MARK}', 0))")
        version = version_of(link)
        if version > VERSION:
            raise StoreError("it was written by a newer version")
        if not version:
            _check_empty(link)
            link.execute(f"CREATE TABLE {MARK} (version integer NOT NULL); INSERT INTO {MARK} VALUES (0)")
        for change in _CHANGES[version:]:
            link.execute(change)
        link.execute(f"UPDATE {MARK} SET version = {VERSION}")
    link.patience = before


def version_of(link: Link) -> int:
    """Which version the tables there are of; 0 where there are none."""
    if not _has(link, MARK):
        return 0
    row = link.execute(f"SELECT version FROM {MARK}").fetchone()
    return int(row[0]) if row is not None else 0


def require_tables(link: Link) -> None:
    """Raise StoreError where the tables there are not those that this version reads."""
    version = version_of(link)
    if version == VERSION:
        return
    if version > VERSION:
        raise StoreError("the database cannot be read here: it was written by a newer version")
    if version:
        raise StoreError(
            "the database cannot be read here: it is of an earlier version; whoever writes it next, as `serve`, "
            "brings it up to date"
        )
    raise StoreError("the database has no consent_mw tables yet; `serve` or the middleware makes them")


def _check_empty(link: Link) -> None:
    for name in _OURS:
        if _has(link, name):
            raise StoreError(f"it has a table `{name}` that is another program's")


def _has(link: Link, name: str) -> bool:
    # Not to_regclass: in a transaction that waited for another machine it still knows what was before.
    here = "relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
    return bool(link.execute(f"SELECT 1 FROM pg_class WHERE relname = %s AND {here}", [name]).fetchall())
