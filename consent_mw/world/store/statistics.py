"""Page statistics in SQLite: numbers for as long as they are kept, sketches for an hour and a day, a key for a day.

Rule: a key is made once for a day, here, so that all processes of one store count alike.
Rule: how much is added changes the number of steps of no statement (see outbox).
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from consent_mw.core.statistics import HOUR, HOURS, KEY_BYTES, NO_KEY, By, Question, Stored
from consent_mw.world.store.statements import Statements

STATISTICS_TABLES: Final = (
    "CREATE TABLE statistics_days (day INTEGER PRIMARY KEY, key BLOB)",
    """CREATE TABLE statistics_hours (
  hour INTEGER NOT NULL, page TEXT NOT NULL, views INTEGER NOT NULL, visitors INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (hour, page)
) WITHOUT ROWID""",
    """CREATE TABLE statistics_pages (
  day INTEGER NOT NULL, page TEXT NOT NULL, visitors INTEGER NOT NULL, PRIMARY KEY (day, page)
) WITHOUT ROWID""",
    """CREATE TABLE statistics_sketches (
  unit TEXT NOT NULL, time INTEGER NOT NULL, page TEXT NOT NULL, sketch BLOB NOT NULL, PRIMARY KEY (unit, time, page)
)""",
)
"""`key` is null where the day is over, `visitors` are of an hour or a day that is; `unit` is `hour` or `day`."""

_EACH: Final = "json_extract(value, '$[0]'), json_extract(value, '$[1]')"
# `WHERE true` tells SQLite's parser that no join follows.
_VIEWS: Final = f"""
INSERT INTO statistics_hours (hour, page, views) SELECT ?, {_EACH} FROM json_each(?) WHERE true
ON CONFLICT (hour, page) DO UPDATE SET views = views + excluded.views
"""
_NUMBERS: Final = {
    "hour": f"""
INSERT INTO statistics_hours (hour, page, visitors, views) SELECT ?, {_EACH}, 0 FROM json_each(?) WHERE true
ON CONFLICT (hour, page) DO UPDATE SET visitors = max(visitors, excluded.visitors)
""",
    "day": f"""
INSERT INTO statistics_pages (day, page, visitors) SELECT ?, {_EACH} FROM json_each(?) WHERE true
ON CONFLICT (day, page) DO UPDATE SET visitors = max(visitors, excluded.visitors)
""",
}
_SKETCHES: Final = """
SELECT json_group_array(json_array(page, hex(sketch))) FROM statistics_sketches WHERE unit = ? AND time = ?
"""
_KEEP_SKETCHES: Final = """
INSERT OR REPLACE INTO statistics_sketches SELECT ?, ?, json_extract(value, '$[0]'),
  substr(?, json_extract(value, '$[1]'), json_extract(value, '$[2]')) FROM json_each(?)
"""
# PostgreSQL's sum of such numbers is of a kind of its own.
_VIEWED: Final = "CAST(sum(views) AS BIGINT)"
_VISITED: Final = "CAST(sum(visitors) AS BIGINT)"
_BUCKETS: Final = {By.HOUR: ("hour", ""), By.DAY: (f"hour / {HOURS}", "day"), By.PAGE: ("page", "page")}
"""What views, and visitors of a whole day, are told by."""


def key(db: Statements, day: int) -> bytes:
    """The key of this day, made where it has none yet; `NO_KEY` where the day is over."""
    fresh = secrets.token_bytes(KEY_BYTES)
    db.execute("INSERT INTO statistics_days (day, key) VALUES (?, ?) ON CONFLICT DO NOTHING", (day, fresh))
    found = db.execute("SELECT key FROM statistics_days WHERE day = ?", (day,)).fetchone()[0]
    return NO_KEY if found is None else bytes(found)


class SqliteTables:
    """See Tables."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def pages(self, hour: int) -> set[str]:
        """The pages of this hour."""
        sql = "SELECT json_group_array(page) FROM statistics_hours WHERE hour = ?"
        return set(json.loads(self._db.execute(sql, (hour,)).fetchone()[0]))

    def add_views(self, hour: int, views: Sequence[tuple[str, int]]) -> None:
        """Add these views."""
        self._db.execute(_VIEWS, (hour, json.dumps(views)))

    def is_open(self, day: int) -> bool:
        """Whether this day has a key."""
        held = self._db.execute("SELECT key IS NOT NULL FROM statistics_days WHERE day = ?", (day,)).fetchone()
        return bool(held and held[0])

    def sketches(self, unit: str, time: int, pages: Collection[str] | None = None) -> dict[str, bytes]:
        """The sketches of this hour or day."""
        only = "" if pages is None else " AND page IN (SELECT value FROM json_each(?))"
        values = () if pages is None else (json.dumps(list(pages)),)
        found = json.loads(self._db.execute(_SKETCHES + only, (unit, time, *values)).fetchone()[0])
        return {page: bytes.fromhex(sketch) for page, sketch in found}

    def keep_sketches(self, unit: str, time: int, sketches: Mapping[str, bytes]) -> None:
        """Put these in the place of others."""
        index, start = [], 1
        for page, sketch in sketches.items():
            index.append((page, start, len(sketch)))
            start += len(sketch)
        self._db.execute(_KEEP_SKETCHES, (unit, time, b"".join(sketches.values()), json.dumps(index)))

    def keep_numbers(self, unit: str, time: int, numbers: Sequence[tuple[str, int]]) -> None:
        """At least so many visitors."""
        self._db.execute(_NUMBERS[unit], (time, json.dumps(numbers)))

    def delete_sketches(self, unit: str, time: int) -> None:
        """Delete those of this hour or day."""
        self._db.execute("DELETE FROM statistics_sketches WHERE unit = ? AND time = ?", (unit, time))

    def sketched_hours(self) -> list[int]:
        """The hours of which there are sketches."""
        sql = "SELECT DISTINCT time FROM statistics_sketches WHERE unit = 'hour'"
        return [hour for (hour,) in self._db.execute(sql).fetchall()]

    def open_days(self) -> list[int]:
        """The days that have a key."""
        return [
            day for (day,) in self._db.execute("SELECT day FROM statistics_days WHERE key IS NOT NULL").fetchall()
        ]

    def destroy_key(self, day: int) -> None:
        """Let this day have no key."""
        self._db.execute("UPDATE statistics_days SET key = NULL WHERE day = ?", (day,))


def expire(db: Statements, kept_from: float) -> None:
    """Delete what is from before the hour of `kept_from` (seconds since 1970)."""
    hour = int(kept_from // HOUR)
    db.execute("DELETE FROM statistics_hours WHERE hour < ?", (hour,))
    for table in ("pages", "days"):
        db.execute(f"DELETE FROM statistics_{table} WHERE day < ?", (hour // HOURS,))


def read(db: Statements, question: Question) -> Stored:
    """What is stored of the answer to this question."""
    pages, *pattern = _pages(question)
    days = (question.first, question.last, *pattern)
    hours = (question.first * HOURS, question.last * HOURS + HOURS - 1, *pattern)
    bucket, visited = _BUCKETS[question.by]
    within, whole = (f"WHERE {unit} BETWEEN ? AND ? AND {pages}" for unit in ("hour", "day"))
    times = f"WHERE unit = ? AND time BETWEEN ? AND ? AND {pages}"
    views = db.execute(f"SELECT {bucket}, {_VIEWED} FROM statistics_hours {within} GROUP BY 1", hours).fetchall()
    sketches = db.execute(f"SELECT time, page, sketch FROM statistics_sketches {times}", ("hour", *hours)).fetchall()
    if question.by is By.HOUR:
        over = db.execute(f"SELECT hour, {_VISITED} FROM statistics_hours {within} GROUP BY 1", hours).fetchall()
        return Stored(views, over, sketches)
    over = db.execute(f"SELECT {visited}, {_VISITED} FROM statistics_pages {whole} GROUP BY 1", days).fetchall()
    parts = db.execute(f"SELECT time, page, sketch FROM statistics_sketches {times}", ("day", *days)).fetchall()
    return Stored(views, over, [*((hour // HOURS, page, one) for hour, page, one in sketches), *parts])


def _pages(question: Question) -> tuple[str, ...]:
    """The condition that picks the pages asked for, and its values."""
    if not question.pattern:
        return ("page <> ''",) if question.by is By.PAGE else ("page = ''",)
    if not question.pattern.endswith("*"):
        return ("page = ?", question.pattern)
    return ("page <> '' AND substr(page, 1, length(?)) = ?", question.pattern[:-1], question.pattern[:-1])
