"""What a SQLite file of ours looks like, and how one of an earlier version becomes it.

Rule: the outbox grows at the ends of its trees: what is found by a person is indexed by blocks of rows, so that a
      queue of a million strangers costs no random page for each of them.
Rule: the size of what waits is changed in the transaction that changes the rows.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from consent_mw.world.store.inventory import INVENTORY_TABLES
from consent_mw.world.store.keys import KEY_TABLES
from consent_mw.world.store.ledger import LEDGER_TABLES
from consent_mw.world.store.outbox import BLOCK
from consent_mw.world.store.persons import PERSON_TABLES
from consent_mw.world.store.recalls import RECALL_TABLES
from consent_mw.world.store.statistics import STATISTICS_TABLES

SCHEMA_VERSION: Final = 3

PROBE: Final = "PRAGMA application_id = 0"
"""Writes a page whatever stands in it; an UPDATE to the same value writes none."""

_BY_SUBJECT: Final = tuple(
    f"CREATE INDEX outbox_by_{name} ON outbox (seq >> {BLOCK}, {name}) WHERE {name} <> ''"
    for name in ("visitor", "receipt")
)

_SINCE_3: Final = (
    *LEDGER_TABLES, *KEY_TABLES, *STATISTICS_TABLES, *INVENTORY_TABLES, *PERSON_TABLES, *RECALL_TABLES,
)  # fmt: skip
"""Each file adds the statements that make its own tables, in a new file and in one of version 2 alike."""

_SCHEMA: Final = (
    """CREATE TABLE receipts (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE, root TEXT NOT NULL, previous TEXT NOT NULL, at INTEGER NOT NULL, jws TEXT NOT NULL
)""",
    "CREATE INDEX receipts_by_root ON receipts (root, seq)",
    """CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE, vendor TEXT NOT NULL, event_id TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL,
  visitor TEXT NOT NULL, receipt TEXT NOT NULL, jurisdiction TEXT NOT NULL, purpose TEXT NOT NULL,
  policy TEXT NOT NULL, created REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  not_before REAL NOT NULL DEFAULT 0, leased_until REAL NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0,
  person TEXT NOT NULL AS (iif(visitor <> '', visitor, receipt)) VIRTUAL
)""",
    "CREATE INDEX outbox_waiting ON outbox (vendor, dead, seq)",
    *_BY_SUBJECT,
    "CREATE TABLE size (bytes INTEGER NOT NULL)",
    "INSERT INTO size VALUES (0)",
    *_SINCE_3,
)

_FROM_1: Final = (
    "DROP INDEX outbox_by_person",
    "DROP INDEX outbox_by_receipt",
    "DROP TRIGGER outbox_grows",
    "DROP TRIGGER outbox_shrinks",
    *_BY_SUBJECT,
)

_UPGRADES: Final = {0: _SCHEMA, 1: (*_FROM_1, *_SINCE_3), 2: _SINCE_3}
"""What makes the present version of each earlier one; 0 is an empty file."""


def prepare(db: sqlite3.Connection) -> None:
    """Make the schema in a new file, bring an earlier one up to date, or check that it is ours."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError("it was written by a newer version")
    if version == SCHEMA_VERSION:
        db.execute(PROBE)
        return
    if not version and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise sqlite3.DatabaseError("it is another program's database")
    for statement in _UPGRADES[version]:
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
