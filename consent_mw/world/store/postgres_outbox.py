"""The outbox in PostgreSQL's SQL.

Rule: a question is a fixed number of statements, however many rows it is about: each is a way over the network.
Rule: one person's later row never goes before an earlier one that waits or is being sent, by whichever machine.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from consent_mw.errors import StoreFullError
from consent_mw.world.store import OutboxRow, Settlement
from consent_mw.world.store.outbox import Told
from consent_mw.world.store.postgres_turn import Turn

WINDOW: Final = 256
"""Rows that a claim looks at beside those it may take; eight times as many where too few are free."""

DUE_AMONG: Final = 20_000
"""Rows among which the next one that is due is looked for; a vendor is looked at again soon anyway."""

AT_ONCE: Final = 5000
"""Rows that one call deletes or revives of what may be millions; the caller asks again."""

_TEXT: Final = ("id", "vendor", "event_id", "kind", "body", "visitor", "receipt", "jurisdiction", "purpose", "policy")
_COLUMNS: Final = ", ".join((*_TEXT, "created", "attempts"))
_WIDTH: Final = 12
# `root` is the first receipt of the browser.
_TOLD: Final = """
seq, id, event_id, vendor, purpose, attempts, octet_length(body), visitor,
CASE WHEN receipt = '' THEN ''
  ELSE coalesce((SELECT root FROM receipts WHERE receipts.id = outbox.receipt), receipt) END"""
_ARRAYS: Final = (
    ", ".join(f"%b::{'bytea' if name == 'body' else 'text'}[]" for name in _TEXT)
    + ", %b::double precision[], %b::integer[]"
)
_PERSON: Final = "CASE WHEN visitor <> '' THEN visitor ELSE receipt END"

_INSERT: Final = f"""
WITH added AS (
  INSERT INTO outbox ({_COLUMNS})
  SELECT {_COLUMNS} FROM unnest({_ARRAYS}) WITH ORDINALITY AS given ({_COLUMNS}, place) ORDER BY place
  ON CONFLICT (id) DO NOTHING RETURNING octet_length(body) AS size
) SELECT coalesce(sum(size), 0) FROM added
"""

_CHOOSE: Final = f"""
WITH looked AS MATERIALIZED (
  SELECT seq, id, {_PERSON} AS person, greatest(not_before, leased_until) > %(now)s AS held,
    leased_until > 0 AS claimed
  FROM outbox WHERE vendor = %(vendor)s AND dead = false ORDER BY seq LIMIT %(window)s
), persons AS (
  SELECT seq, id, held, claimed, min(seq) FILTER (WHERE held AND person <> '') OVER (PARTITION BY person) AS stop
  FROM looked
), chosen AS (
  SELECT seq, id, claimed FROM persons WHERE NOT held AND (stop IS NULL OR seq < stop) ORDER BY seq LIMIT %(limit)s
) SELECT (SELECT count(*) FROM looked), array_agg(id ORDER BY seq), array_agg(id) FILTER (WHERE claimed) FROM chosen
"""
_LEASE: Final = f"""
UPDATE outbox SET leased_until = %(until)s, leased_by = %(me)s, attempts = attempts + 1
WHERE id = ANY (%(chosen)s) AND dead = false AND not_before <= %(now)s AND leased_until <= %(now)s
RETURNING {_COLUMNS}
"""
_PUT_BACK: Final = "UPDATE outbox SET leased_until = 0, leased_by = '', attempts = attempts - 1 WHERE id = ANY (%s)"
_NEXT_DUE: Final = f"""
SELECT min(due) FROM (
  SELECT DISTINCT ON (person, stranger) due FROM (
    SELECT seq, greatest(not_before, leased_until) AS due, {_PERSON} AS person,
      CASE WHEN visitor = '' AND receipt = '' THEN seq END AS stranger
    FROM outbox WHERE vendor = %s AND dead = false ORDER BY seq LIMIT {DUE_AMONG}
  ) AS first ORDER BY person, stranger, seq
) AS persons
"""
# What another machine claimed meanwhile is that one's, whatever we tried.
_OURS: Final = "(leased_by = '' OR leased_by = %s)"
_DEAD: Final = f"""
UPDATE outbox SET dead = true, leased_until = 0, leased_by = '' WHERE id = ANY (%s) AND {_OURS} RETURNING {_TOLD}
"""
_REVIVE: Final = f"""
UPDATE outbox SET dead = false, attempts = 0, not_before = 0
WHERE id IN (SELECT id FROM outbox WHERE vendor = ANY (%s) AND dead = true LIMIT %s) RETURNING {_TOLD}
"""
_AGAIN: Final = f"""
UPDATE outbox SET not_before = again.at, leased_until = 0, leased_by = '',
  attempts = greatest(attempts - again.back, 0)
FROM unnest(%s::text[], %s::double precision[], %s::integer[]) AS again (id, at, back)
WHERE outbox.id = again.id AND {_OURS}
"""
_THEIRS: Final = """
id IN (
  SELECT id FROM outbox WHERE visitor <> '' AND visitor = ANY (%s)
  UNION SELECT id FROM outbox WHERE receipt <> '' AND receipt = ANY (%s)
) AND (%s::text[] IS NULL OR purpose = ANY (%s))"""
_VENDORS: Final = """
WITH RECURSIVE named (vendor) AS (
  (SELECT vendor FROM outbox ORDER BY vendor LIMIT 1)
  UNION ALL
  SELECT (SELECT o.vendor FROM outbox AS o WHERE o.vendor > named.vendor ORDER BY o.vendor LIMIT 1)
  FROM named WHERE named.vendor IS NOT NULL
)
"""
_OLDEST: Final = f"""
{_VENDORS} SELECT o.id, o.size FROM named CROSS JOIN LATERAL (
  SELECT seq, id, octet_length(body) AS size FROM outbox
  WHERE vendor = named.vendor AND dead = %s ORDER BY seq LIMIT 500
) AS o WHERE named.vendor IS NOT NULL ORDER BY o.seq LIMIT 500
"""


def insert(turn: Turn, rows: Sequence[OutboxRow]) -> None:
    """Keep these rows; of one that is there already, the earlier one."""
    values: list[Any] = [list(column) for column in zip(*(row[:_WIDTH] for row in rows), strict=True)]
    turn.grow(int(turn.one(_INSERT, values)[0]))


def claim(turn: Turn, vendor: str, limit: int, now: float, until: float) -> list[OutboxRow]:
    """The next rows for this vendor, leased; none while another machine claims."""
    if not turn.claims(vendor):
        return []
    asked = {"vendor": vendor, "limit": limit, "now": now, "until": until, "me": turn.name}
    window = limit + WINDOW
    while True:
        looked, chosen, claimed = turn.one(_CHOOSE, {**asked, "window": window})
        if looked < window or (chosen is not None and len(chosen) == limit):
            break
        window *= 8
    if chosen is None:
        return []
    found = {row[0]: row for row in turn.all(_LEASE, {**asked, "chosen": chosen})}
    turn.grow(0)
    # What was changed since it was chosen may be an earlier row of the person whose later ones were chosen too.
    whole = next((place for place, one in enumerate(chosen) if one not in found), len(chosen))
    later = [one for one in chosen[whole:] if one in found]
    if later:
        turn.all(_PUT_BACK, [later])
    before = frozenset(claimed or ())
    return [OutboxRow._make((*found[one], one in before)) for one in chosen[:whole]]


def held(turn: Turn, ids: Sequence[str]) -> frozenset[str]:
    """Which of these rows are still to be delivered."""
    return frozenset(
        row[0] for row in turn.all("SELECT id FROM outbox WHERE id = ANY (%s) AND NOT dead", [list(ids)])
    )


def settle(turn: Turn, settlements: Sequence[Settlement]) -> list[Told]:
    """Note what became of claimed rows; answers with those that came to an end."""
    over = [one.id for one in settlements if one.outcome and one.outcome != "dead"]
    ended = delete(turn, "id = ANY (%s)", over) if over else []
    dead = [one.id for one in settlements if one.outcome == "dead"]
    if dead:
        ended += sorted(map(Told._make, turn.all(_DEAD, [dead, turn.name])))
    again = [one for one in settlements if not one.outcome]
    if again:
        times = [one.retry_at + turn.skew for one in again]
        turn.all(_AGAIN, [[one.id for one in again], times, [int(not one.tried) for one in again], turn.name])
    if dead or again:
        turn.grow(0)
    return ended


def delete(turn: Turn, where: str, *values: Any) -> list[Told]:
    """Delete the rows of this condition."""
    sql = f"DELETE FROM outbox WHERE {where} RETURNING {_TOLD}"
    gone = sorted(map(Told._make, turn.all(sql, list(values))))
    if gone:
        turn.grow(-sum(row.size for row in gone))
        turn.touched.add("outbox")
    return gone


def rows_of(turn: Turn, subjects: Collection[str]) -> list[OutboxRow]:
    """The rows of these visitors, receipts, or other receipts of the same browsers."""
    everyone = _browsers(turn, subjects)
    return rows(turn, _THEIRS, everyone, everyone, None, None) if everyone else []


def rows(turn: Turn, where: str, *values: Any) -> list[OutboxRow]:
    """The rows of this condition, in order."""
    found = turn.all(f"SELECT {_COLUMNS} FROM outbox WHERE {where} ORDER BY seq", values)
    return [OutboxRow._make((*one, False)) for one in found]


def recall(turn: Turn, subjects: Collection[str], purposes: Collection[str] | None) -> list[Told]:
    """Delete the rows of these visitors, receipts, or other receipts of the same browsers, for these purposes."""
    only = None if purposes is None else sorted(purposes)
    everyone = _browsers(turn, subjects) if only is None or only else []
    return delete(turn, _THEIRS, everyone, everyone, only, only) if everyone else []


def recall_others(turn: Turn, vendors: Collection[str]) -> list[Told]:
    """Delete rows of vendors that are not among these, some at a time."""
    others = [name for name in stands(turn) if name not in vendors]
    return delete(turn, f"id IN (SELECT id FROM outbox WHERE vendor = ANY (%s) LIMIT {AT_ONCE})", others)


def expire(turn: Turn, before: float) -> list[Told]:
    """Delete the dead letters from before this time, some at a time."""
    old = f"SELECT id FROM outbox WHERE vendor = ANY (%s) AND dead = true AND created < %s LIMIT {AT_ONCE}"
    return delete(turn, f"id IN ({old})", stands(turn), before)


def revive(turn: Turn, vendor: str) -> list[Told]:
    """Let dead letters of this vendor (or of all), some at a time, wait again, as if they had not been tried."""
    found = turn.all(_REVIVE, [[vendor] if vendor else stands(turn), AT_ONCE])
    if found:
        turn.grow(0)
    return sorted(map(Told._make, found))


def _browsers(turn: Turn, subjects: Collection[str]) -> list[str]:
    """These, and the other receipts of the browsers that they are of."""
    wanted = sorted({one for one in subjects if one})
    return sorted({*wanted, *chains(turn, wanted)}) if wanted else []


def chains(turn: Turn, named: Collection[str]) -> list[str]:
    """The receipts of the browsers that these receipts are of."""
    same = "SELECT r.id FROM receipts AS mine JOIN receipts AS r ON r.root = mine.root WHERE mine.id = ANY (%s)"
    return [row[0] for row in turn.all(same, [list(named)])]


def stands(turn: Turn) -> list[str]:
    """The vendors of whom there are rows."""
    return [row[0] for row in turn.all(f"{_VENDORS} SELECT vendor FROM named WHERE vendor IS NOT NULL", [])]


def next_due(turn: Turn, vendor: str) -> float | None:
    """When the next waiting row of this vendor may be claimed; only the first of each person counts."""
    due = turn.one(_NEXT_DUE, [vendor])[0]
    # A row that was never put off is due since ever, by every clock.
    return None if due is None else float(due) - (turn.skew if due > 0 else 0.0)


def make_room(turn: Turn, size: int, most: int, *, drop_oldest: bool) -> list[Told]:
    """Delete the oldest rows, dead ones first, until `size` more bytes fit. Raises StoreFullError where that is not
    wanted, or would not do."""
    if turn.size + size <= most:
        return []
    if size > most:
        raise StoreFullError("these events are larger than the whole outbox")
    if not drop_oldest:
        raise StoreFullError("the outbox is full")
    gone: list[Told] = []
    for dead in (True, False):
        while turn.size + size > most:
            excess = turn.size + size - most
            chosen = []
            for identity, length in turn.all(_OLDEST, [dead]):
                if excess <= 0:
                    break
                chosen.append(identity)
                excess -= length
            if not chosen:
                break
            gone += delete(turn, "id = ANY (%s)", chosen)
    turn.dropped += len(gone)
    return gone
