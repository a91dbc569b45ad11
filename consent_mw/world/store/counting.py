"""What becomes of views and sketches in a store, whatever its SQL.

Rule: when an hour is over its sketches become numbers and go into the day's; when a day is over, those become numbers
      and its key is destroyed, in one transaction. A day has no second key.
Rule: what comes after that still counts as views; of its visitors only a number that is larger is taken.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from consent_mw.core.statistics import (
    HOUR,
    HOURS,
    OTHER,
    PAGES_AN_HOUR,
    SITE,
    Seen,
    day_is_over,
    is_over,
    merged,
    sound,
    visitors,
)

Sketches = Mapping[str, bytes]
"""By page."""


class Tables(Protocol):
    """The tables of the statistics, inside a transaction. `unit` is `hour` or `day`, `time` which one since 1970."""

    def pages(self, hour: int) -> set[str]:
        """The pages of this hour, `SITE` and `OTHER` included."""

    def add_views(self, hour: int, views: Sequence[tuple[str, int]]) -> None:
        """Add these views of pages to those of this hour."""

    def is_open(self, day: int) -> bool:
        """Whether this day has a key."""

    def sketches(self, unit: str, time: int, pages: Collection[str] | None = None) -> dict[str, bytes]:
        """The sketches of this hour or day, of these pages or of all."""

    def keep_sketches(self, unit: str, time: int, sketches: Sketches) -> None:
        """Put these in the place of those of this hour or day."""

    def keep_numbers(self, unit: str, time: int, numbers: Sequence[tuple[str, int]]) -> None:
        """These pages had at least so many visitors in this hour or day."""

    def delete_sketches(self, unit: str, time: int) -> None:
        """Delete those of this hour or day."""

    def sketched_hours(self) -> list[int]:
        """The hours of which there are sketches."""

    def open_days(self) -> list[int]:
        """The days that have a key."""

    def destroy_key(self, day: int) -> None:
        """Let this day have no key, now and later."""


def add(tables: Tables, seen: Sequence[Seen], now: float) -> None:
    """Add what one process saw, and end what is over by `now`. Raises ValueError for a damaged sketch."""
    for hour in sorted({one.hour for one in seen}):
        bounded = _bounded(tables.pages(hour), [one for one in seen if one.hour == hour])
        tables.add_views(hour, [(page, views) for page, (views, _) in bounded.items()])
        sketches = {page: sound(sketch) for page, (_, sketch) in bounded.items() if sketch}
        day = hour // HOURS
        if not sketches:
            continue
        if not tables.is_open(day):
            _keep_numbers(tables, "hour", hour, sketches)
            _keep_numbers(tables, "day", day, sketches)
        elif is_over((hour + 1) * HOUR, now):
            _keep_numbers(tables, "hour", hour, sketches)
            _unite(tables, "day", day, sketches)
        else:
            _unite(tables, "hour", hour, sketches)
    end(tables, now)


def end(tables: Tables, now: float) -> None:
    """End the hours and days that are over by `now`."""
    for hour in tables.sketched_hours():
        if is_over((hour + 1) * HOUR, now):
            _unite(tables, "day", hour // HOURS, _ended(tables, "hour", hour))
    for day in tables.open_days():
        if day_is_over(day, now):
            _ended(tables, "day", day)
            tables.destroy_key(day)


def _bounded(known: set[str], seen: Sequence[Seen]) -> dict[str, tuple[int, bytes]]:
    """Views and sketch by page, with the pages beyond the bound told as `OTHER`."""
    bounded: dict[str, tuple[int, bytes]] = {}
    room = PAGES_AN_HOUR - len(known - {SITE, OTHER})
    for _, page, views, sketch in seen:
        if page not in known and page not in (SITE, OTHER):
            if room <= 0:
                before, _ = bounded.get(OTHER, (0, b""))
                bounded[OTHER] = before + views, b""
                continue
            known.add(page)
            room -= 1
        before, other = bounded.get(page, (0, b""))
        bounded[page] = before + views, merged(sketch, other) if sketch and other else sketch or other
    return bounded


def _unite(tables: Tables, unit: str, time: int, sketches: Sketches) -> None:
    """Merge these sketches into those of this hour or day."""
    held = tables.sketches(unit, time, sketches)
    united = {page: merged(held[page], sketch) if page in held else sketch for page, sketch in sketches.items()}
    changed = {page: sketch for page, sketch in united.items() if sketch != held.get(page)}
    if changed:
        tables.keep_sketches(unit, time, changed)


def _ended(tables: Tables, unit: str, time: int) -> Sketches:
    """The sketches of this hour or day, whose place numbers have taken."""
    sketches = tables.sketches(unit, time)
    _keep_numbers(tables, unit, time, sketches)
    tables.delete_sketches(unit, time)
    return sketches


def _keep_numbers(tables: Tables, unit: str, time: int, sketches: Sketches) -> None:
    numbers = visitors((time, page, sketch) for page, sketch in sketches.items())
    tables.keep_numbers(unit, time, [(page, number) for (_, page), number in numbers.items()])
