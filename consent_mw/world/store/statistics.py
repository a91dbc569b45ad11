"""Page statistics in SQL: views for ever (for as long as they are kept), sketches and their key for a day.

Rule: a key is made once for a day, here, so that all processes and machines of one store count alike.
Rule: the day's numbers are written, and its sketches and key destroyed, in one transaction; a day has no second key.
Rule: what comes after that still counts as views; of its visitors only a number that is larger is taken.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from consent_mw.core.statistics import (
    HOUR,
    HOURS,
    KEY_BYTES,
    NO_KEY,
    OTHER,
    PAGES_AN_HOUR,
    SITE,
    By,
    Question,
    Seen,
    Sketched,
    Stored,
    by_day,
    by_hour,
    is_over,
    merged,
)
from consent_mw.errors import StoreError

BUSY_FOR: Final = 5.0
"""Seconds that a reader waits for who holds the file."""

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
  hour INTEGER NOT NULL, page TEXT NOT NULL, sketch BLOB NOT NULL, PRIMARY KEY (hour, page)
)""",
)
"""`visitors` are those of days that are over, of one hour or of a day; `key` is null where the day is over."""

_VIEWS: Final = (
    "INSERT INTO statistics_hours (hour, page, views) VALUES (?, ?, ?)"
    " ON CONFLICT DO UPDATE SET views = views + excluded.views"
)
_HOUR_OVER: Final = "UPDATE statistics_hours SET visitors = max(visitors, ?) WHERE hour = ? AND page = ?"
_DAY_OVER: Final = (
    "INSERT INTO statistics_pages (visitors, day, page) VALUES (?, ?, ?)"
    " ON CONFLICT DO UPDATE SET visitors = max(visitors, excluded.visitors)"
)
_BUCKETS: Final = {By.HOUR: ("hour", ""), By.DAY: (f"hour / {HOURS}", "day"), By.PAGE: ("page", "page")}
"""What views, and visitors of a whole day, are told by."""


def key(db: sqlite3.Connection, day: int) -> bytes:
    """The key of this day, made where it has none yet; `NO_KEY` where the day is over."""
    fresh = secrets.token_bytes(KEY_BYTES)
    db.execute("INSERT INTO statistics_days (day, key) VALUES (?, ?) ON CONFLICT DO NOTHING", (day, fresh))
    found = db.execute("SELECT key FROM statistics_days WHERE day = ?", (day,)).fetchone()[0]
    return NO_KEY if found is None else bytes(found)


def add(db: sqlite3.Connection, seen: Sequence[Seen], now: float) -> None:
    """Add what one process saw, and end the days that are over by `now`. Raises ValueError for a damaged sketch."""
    for hour in {one.hour for one in seen}:
        bounded = _bounded(db, hour, [one for one in seen if one.hour == hour])
        db.executemany(_VIEWS, [(hour, one.page, one.views) for one in bounded])
        sketches = [(hour, one.page, one.sketch) for one in bounded if one.sketch]
        if _is_open(db, hour // HOURS):
            _merge(db, sketches)
        else:
            _keep_numbers(db, sketches)
    end_days(db, now)


def end_days(db: sqlite3.Connection, now: float) -> None:
    """End the days that are over by `now`: numbers take the place of sketches, and the keys are destroyed."""
    held = db.execute("SELECT day FROM statistics_days WHERE key IS NOT NULL").fetchall()
    for day in (day for (day,) in held if is_over(day, now)):
        span = (day * HOURS, day * HOURS + HOURS - 1)
        found = db.execute("SELECT hour, page, sketch FROM statistics_sketches WHERE hour BETWEEN ? AND ?", span)
        _keep_numbers(db, found.fetchall())
        db.execute("DELETE FROM statistics_sketches WHERE hour BETWEEN ? AND ?", span)
        db.execute("UPDATE statistics_days SET key = NULL WHERE day = ?", (day,))


def expire(db: sqlite3.Connection, kept_from: float) -> None:
    """Delete what is from before the hour of `kept_from` (seconds since 1970)."""
    hour = int(kept_from // HOUR)
    for table in ("hours", "sketches"):
        db.execute(f"DELETE FROM statistics_{table} WHERE hour < ?", (hour,))
    for table in ("pages", "days"):
        db.execute(f"DELETE FROM statistics_{table} WHERE day < ?", (hour // HOURS,))


def read(db: sqlite3.Connection, question: Question) -> Stored:
    """What is stored of the answer to this question."""
    pages, *pattern = _pages(question)
    days = (question.first, question.last, *pattern)
    hours = (question.first * HOURS, question.last * HOURS + HOURS - 1, *pattern)
    bucket, visited = _BUCKETS[question.by]
    within = f"WHERE hour BETWEEN ? AND ? AND {pages}"
    sql = f"SELECT {bucket}, sum(views) FROM statistics_hours {within} GROUP BY 1"
    views = db.execute(sql, hours).fetchall()
    if question.by is By.HOUR:
        over = db.execute(f"SELECT hour, sum(visitors) FROM statistics_hours {within} GROUP BY 1", hours)
    else:
        sql = (
            f"SELECT {visited}, sum(visitors) FROM statistics_pages WHERE day BETWEEN ? AND ? AND {pages} GROUP BY 1"
        )
        over = db.execute(sql, days)
    visits = over.fetchall()
    sketches = db.execute(f"SELECT hour, page, sketch FROM statistics_sketches {within}", hours).fetchall()
    return Stored(views, visits, sketches)


def read_file(path: str, questions: Sequence[Question]) -> list[Stored]:
    """The answers to these questions, all as of one moment, from a file that others may be writing. Raises StoreError
    where it cannot be read, or holds no statistics."""
    if not Path(path).is_file():
        raise StoreError(f"the store `{path}` cannot be read: there is no such file")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=BUSY_FOR)) as db:
            db.execute("BEGIN")
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'statistics_days'").fetchone():
                raise StoreError(f"the store `{path}` holds no statistics: it is of an earlier version, or not ours")
            return [read(db, question) for question in questions]
    except sqlite3.Error as error:
        raise StoreError(f"the store `{path}` cannot be read: {error}") from error


def _pages(question: Question) -> tuple[str, ...]:
    """The condition that picks the pages asked for, and its values."""
    if not question.pattern:
        return ("page <> ''",) if question.by is By.PAGE else ("page = ''",)
    if not question.pattern.endswith("*"):
        return ("page = ?", question.pattern)
    return ("page <> '' AND substr(page, 1, length(?)) = ?", question.pattern[:-1], question.pattern[:-1])


def _bounded(db: sqlite3.Connection, hour: int, seen: Sequence[Seen]) -> list[Seen]:
    """What was seen in this hour, with the pages beyond the bound told as `OTHER`."""
    sql = "SELECT json_group_array(page) FROM statistics_hours WHERE hour = ? AND page NOT IN (?, ?)"
    known = set(json.loads(db.execute(sql, (hour, SITE, OTHER)).fetchone()[0]))
    bounded: list[Seen] = []
    for one in seen:
        if one.page not in (SITE, OTHER) and one.page not in known:
            if len(known) >= PAGES_AN_HOUR:
                bounded.append(Seen(hour, OTHER, one.views, b""))
                continue
            known.add(one.page)
        bounded.append(one)
    return bounded


def _is_open(db: sqlite3.Connection, day: int) -> bool:
    return (
        db.execute("SELECT 1 FROM statistics_days WHERE day = ? AND key IS NOT NULL", (day,)).fetchone() is not None
    )


def _merge(db: sqlite3.Connection, sketches: Sequence[Sketched]) -> None:
    for hour, page, sketch in sketches:
        sql = "SELECT sketch FROM statistics_sketches WHERE hour = ? AND page = ?"
        held = db.execute(sql, (hour, page)).fetchone()
        both = merged(held[0] if held else sketch, sketch)
        if not held or both != held[0]:
            db.execute("INSERT OR REPLACE INTO statistics_sketches VALUES (?, ?, ?)", (hour, page, both))


def _keep_numbers(db: sqlite3.Connection, sketches: Sequence[Sketched]) -> None:
    db.executemany(_HOUR_OVER, by_hour(sketches))
    db.executemany(_DAY_OVER, by_day(sketches))
