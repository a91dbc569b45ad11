"""The keys of persons in PostgreSQL's SQL (see keys.py).

Rule: of two machines that make a key for one person at the same time, both use the one that was first.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import Final

from consent_mw.world.store.keys import USED_WITHIN
from consent_mw.world.store.postgres_turn import Turn

_FIND: Final = "SELECT person, key, used FROM person_keys WHERE person = ANY (%s)"
_MAKE: Final = """
INSERT INTO person_keys (person, key, used, root)
SELECT person, key, %s, '' FROM unnest(%s::text[], %s::text[]) AS made (person, key) ON CONFLICT (person) DO NOTHING
"""
_LINK: Final = """
UPDATE person_keys SET root = linked.root FROM unnest(%s::text[], %s::text[]) AS linked (person, root)
WHERE person_keys.person = linked.person AND person_keys.root <> linked.root
"""
_USE: Final = "UPDATE person_keys SET used = %s WHERE used < %s AND person = ANY (%s)"
_LINKED: Final = "SELECT root FROM person_keys WHERE root <> '' AND person = ANY (%s)"
_THEIRS: Final = """
person IN (
  SELECT person FROM person_keys WHERE person = ANY (%s)
  UNION SELECT person FROM person_keys WHERE root <> '' AND root = ANY (%s)
)"""


def person_keys(turn: Turn, persons: Mapping[str, str], day: int, *, keep: bool = True) -> dict[str, bytes]:
    """The key of each of these persons, by whom stands the browser's first receipt, or nothing; of one that has none
    a new one, which is kept where `keep`."""
    # In one order everywhere: machines that make keys for the same persons wait for each other, and not in a circle.
    wanted = sorted(persons)
    found = turn.all(_FIND, [wanted])
    keys = {person: key for person, key, _ in found}
    made = {person: secrets.token_hex(32) for person in wanted if person not in keys}
    if keep and made:
        turn.all(_MAKE, [day, list(made), list(made.values())])
        made = {person: key for person, key, _ in turn.all(_FIND, [list(made)])}
    linked = [person for person in wanted if persons[person]] if keep else []
    if linked:
        turn.all(_LINK, [linked, [persons[person] for person in linked]])
    if keep and any(used < day - USED_WITHIN for _, _, used in found):
        turn.all(_USE, [day, day - USED_WITHIN, wanted])
    return {person: key.encode("ascii") for person, key in (keys | made).items()}


def destroy(turn: Turn, persons: Collection[str]) -> int:
    """Destroy the keys of these persons, as visitors and by their receipts; how many there were."""
    known = sorted(persons)
    known += [row[0] for row in turn.all(_LINKED, [known])]
    return _delete(turn, _THEIRS, known, known)


def expire(turn: Turn, day: int, most: int) -> int:
    """Destroy keys that nothing since this day was written under, at most so many; how many there were."""
    some = "person IN (SELECT person FROM person_keys WHERE used < %s LIMIT %s)"
    return _delete(turn, some, day - USED_WITHIN, most)


def _delete(turn: Turn, where: str, *values: object) -> int:
    gone = turn.all(f"DELETE FROM person_keys WHERE {where} RETURNING 1", values)
    if gone:
        turn.grow(0)
        turn.touched.add("person_keys")
    return len(gone)
