"""Page statistics and the inventory in PostgreSQL (see counting.py, statistics.py, inventory.py).

Rule: what is counted together with what is there already is counted by one machine at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

import psycopg

from consent_mw.core.inventory import Item
from consent_mw.core.statistics import Question, Stored
from consent_mw.errors import StoreError
from consent_mw.world.store import inventory, statistics
from consent_mw.world.store.postgres_link import connected, parameters, refused, said
from consent_mw.world.store.postgres_schema import require_tables
from consent_mw.world.store.postgres_turn import Turn

T = TypeVar("T")

_VIEWS: Final = """
INSERT INTO statistics_hours (hour, page, views) SELECT %s, * FROM unnest(%s::text[], %s::bigint[])
ON CONFLICT (hour, page) DO UPDATE SET views = statistics_hours.views + excluded.views
"""
_NUMBERS: Final = {
    "hour": """
INSERT INTO statistics_hours (hour, page, visitors, views)
SELECT %s, page, number, 0 FROM unnest(%s::text[], %s::bigint[]) AS counted (page, number)
ON CONFLICT (hour, page) DO UPDATE SET visitors = greatest(statistics_hours.visitors, excluded.visitors)
""",
    "day": """
INSERT INTO statistics_pages (day, page, visitors) SELECT %s, * FROM unnest(%s::text[], %s::bigint[])
ON CONFLICT (day, page) DO UPDATE SET visitors = greatest(statistics_pages.visitors, excluded.visitors)
""",
}
_SKETCHES: Final = "SELECT page, sketch FROM statistics_sketches WHERE unit = %s AND time = %s"
_KEEP_SKETCHES: Final = """
INSERT INTO statistics_sketches (unit, time, page, sketch) SELECT %s, %s, * FROM unnest(%s::text[], %b::bytea[])
ON CONFLICT (unit, time, page) DO UPDATE SET sketch = excluded.sketch
"""


class PostgresTables:
    """See Tables. For the turn alone, until it ends."""

    def __init__(self, turn: Turn) -> None:
        turn.lock("statistics")
        turn.grow(0)
        self._turn = turn

    def pages(self, hour: int) -> set[str]:
        """The pages of this hour."""
        return {row[0] for row in self._turn.all("SELECT page FROM statistics_hours WHERE hour = %s", [hour])}

    def add_views(self, hour: int, views: Sequence[tuple[str, int]]) -> None:
        """Add these views."""
        self._turn.all(_VIEWS, [hour, *_columns(views)])

    def is_open(self, day: int) -> bool:
        """Whether this day has a key."""
        return bool(self._turn.all("SELECT 1 FROM statistics_days WHERE day = %s AND key IS NOT NULL", [day]))

    def sketches(self, unit: str, time: int, pages: Collection[str] | None = None) -> dict[str, bytes]:
        """The sketches of this hour or day."""
        if pages is None:
            return dict(self._turn.all(_SKETCHES, [unit, time]))
        return dict(self._turn.all(f"{_SKETCHES} AND page = ANY (%s)", [unit, time, list(pages)]))

    def keep_sketches(self, unit: str, time: int, sketches: Mapping[str, bytes]) -> None:
        """Put these in the place of others."""
        self._turn.all(_KEEP_SKETCHES, [unit, time, list(sketches), list(sketches.values())])

    def keep_numbers(self, unit: str, time: int, numbers: Sequence[tuple[str, int]]) -> None:
        """At least so many visitors."""
        self._turn.all(_NUMBERS[unit], [time, *_columns(numbers)])

    def delete_sketches(self, unit: str, time: int) -> None:
        """Delete those of this hour or day."""
        self._turn.all("DELETE FROM statistics_sketches WHERE unit = %s AND time = %s", [unit, time])
        self._turn.touched.add("statistics_sketches")

    def sketched_hours(self) -> list[int]:
        """The hours of which there are sketches."""
        return [
            row[0] for row in self._turn.all("SELECT DISTINCT time FROM statistics_sketches WHERE unit = 'hour'", [])
        ]

    def open_days(self) -> list[int]:
        """The days that have a key."""
        return [row[0] for row in self._turn.all("SELECT day FROM statistics_days WHERE key IS NOT NULL", [])]

    def destroy_key(self, day: int) -> None:
        """Let this day have no key."""
        self._turn.all("UPDATE statistics_days SET key = NULL WHERE day = %s", [day])
        self._turn.touched.add("statistics_days")


def read_statistics(url: str, questions: Sequence[Question]) -> list[Stored]:
    """The answers to these questions, all as of one moment, from a database that others may be writing. Raises
    StoreError where it cannot be read."""
    return _read(url, lambda turn: [statistics.read(turn, question) for question in questions])


def read_inventory(url: str) -> list[Item]:
    """All that report mode counted, from a database that others may be writing. Raises StoreError."""
    return _read(url, inventory.read)


def _read(url: str, ask: Callable[[Turn], T]) -> T:
    try:
        link = connected(parameters(url), writes=False)
    except psycopg.Error as error:
        raise refused(error) from None
    with link:
        try:
            require_tables(link)
            link.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return ask(Turn(link, "", 0.0))
        except psycopg.Error as error:
            raise StoreError(f"the database cannot be read: {said(error)}") from None


def _columns(pairs: Sequence[tuple[str, int]]) -> tuple[list[str], list[int]]:
    return [page for page, _ in pairs], [number for _, number in pairs]
