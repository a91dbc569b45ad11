"""Keys that the store keeps: one for each person, under which the ledger's digests of events are made; secrets of the
site; and the public keys of every receipt.

Rule: a person's key is random and stands nowhere else, so that with it goes what could tell whose an entry is.
Rule: a public key is kept with a code that vouches for it; whoever asks looks at that.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from consent_mw.world.store.statements import Statements

KEY_TABLES: Final = (
    # `used` is a day, and changed once in a while only: it tells when nothing under this key is left.
    # `root` is the browser's first receipt, where `person` is its visitor: who erases may know only one of them.
    """CREATE TABLE person_keys (
  person TEXT PRIMARY KEY, key TEXT NOT NULL, used INTEGER NOT NULL, root TEXT NOT NULL
) WITHOUT ROWID""",
    "CREATE INDEX person_keys_by_root ON person_keys (root) WHERE root <> ''",
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE TABLE public_keys (seq INTEGER PRIMARY KEY, jwk TEXT NOT NULL UNIQUE, code TEXT NOT NULL)",
)

USED_WITHIN: Final = 30
"""Days that the day of a key's last use may be wrong by."""

_LISTED: Final = "(SELECT value FROM json_each(?))"
_FIND: Final = f"SELECT json_group_object(person, key), min(used) FROM person_keys WHERE person IN {_LISTED}"
_MAKE: Final = "INSERT INTO person_keys (person, key, used, root) SELECT key, value, ?, '' FROM json_each(?)"
_LINK: Final = """
UPDATE person_keys SET root = linked.value FROM json_each(?) AS linked
WHERE person = linked.key AND person_keys.root <> linked.value"""
_LINKED: Final = f"SELECT root FROM person_keys WHERE root <> '' AND person IN {_LISTED}"
_PUBLISH: Final = """
INSERT INTO public_keys (jwk, code) VALUES (?, ?)
ON CONFLICT (jwk) DO UPDATE SET code = excluded.code WHERE public_keys.code <> excluded.code"""
_USE: Final = f"UPDATE person_keys SET used = ? WHERE used < ? AND person IN {_LISTED}"


def person_keys(
    db: sqlite3.Connection, persons: Mapping[str, str], day: int, *, keep: bool = True
) -> dict[str, bytes]:
    """The key of each of these persons, by whom stands the browser's first receipt, or nothing; of one that has none
    a new one, which is kept where `keep`."""
    listed = json.dumps(list(persons))
    found, used = db.execute(_FIND, (listed,)).fetchone()
    keys: dict[str, str] = json.loads(found)
    made = {person: secrets.token_hex(32) for person in persons if person not in keys}
    if keep and made:
        db.execute(_MAKE, (day, json.dumps(made)))
    links = {person: root for person, root in persons.items() if root} if keep else {}
    if links:
        db.execute(_LINK, (json.dumps(links),))
    if keep and used is not None and used < day - USED_WITHIN:
        db.execute(_USE, (day, day - USED_WITHIN, listed))
    return {person: key.encode("ascii") for person, key in (keys | made).items()}


def destroy(db: sqlite3.Connection, persons: Collection[str]) -> int:
    """Destroy the keys of these persons, as visitors and by their receipts; how many there were."""
    known = list(persons)
    linked = [root for (root,) in db.execute(_LINKED, (json.dumps(known),))]
    listed = json.dumps([*known, *linked])
    sql = f"DELETE FROM person_keys WHERE person IN {_LISTED} OR (root <> '' AND root IN {_LISTED})"
    return db.execute(sql, (listed, listed)).rowcount


def expire(db: sqlite3.Connection, day: int, most: int) -> int:
    """Destroy keys that nothing since this day was written under, at most so many; how many there were."""
    sql = "DELETE FROM person_keys WHERE person IN (SELECT person FROM person_keys WHERE used < ? LIMIT ?)"
    return db.execute(sql, (day - USED_WITHIN, most)).rowcount


def secret(db: Statements, name: str, proposed: bytes) -> bytes:
    """The secret of this name: the proposed one where there was none."""
    db.execute("INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, proposed))
    return bytes(db.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()[0])


def publish(db: Statements, keys: Sequence[Sequence[str]]) -> list[list[str]]:
    """Keep these public keys with the codes that vouch for them; all that are kept, oldest first."""
    db.executemany(_PUBLISH, keys)
    return [[jwk, code] for jwk, code in db.execute("SELECT jwk, code FROM public_keys ORDER BY seq")]
