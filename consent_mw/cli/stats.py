"""`stats`: how and when pages were visited, and by how many people, as a table with its plot, or JSON.

Rule: reads what the store holds at one moment, and changes nothing in it; it may be run while others write.
"""

from __future__ import annotations

import json
import shutil
import string
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final
from urllib.parse import quote

import click

from consent_mw.core.hyperloglog import STANDARD_ERROR
from consent_mw.core.policy import DAY
from consent_mw.core.statistics import HOUR, OTHER, By, Question, Row, rows
from consent_mw.world.store import read_statistics

DAYS_SHOWN: Final = {By.HOUR: 2, By.DAY: 30, By.PAGE: 30}
"""How many days are shown, the last included, where `--from` is not given."""

PAGES_SHOWN: Final = 50
"""Pages in the table; JSON has them all."""

LONGEST_BAR: Final = 60
SHORTEST_BAR: Final = 10

_EPOCH: Final = date(1970, 1, 1)
_BLOCKS: Final = ("█", "░")
_ASCII: Final = ("#", "-")


@click.command("stats")
@click.option("--store", default="sqlite:///consent.db", show_default=True, help="Where the statistics are kept.")
@click.option("--from", "since", metavar="DAY", help="The first day, as 2026-01-31 (default: 30 days, 2 by hour).")
@click.option("--to", "until", metavar="DAY", help="The last day (default: today). Days are those of UTC.")
@click.option("--by", type=click.Choice([one.value for one in By]), default="day", show_default=True)
@click.option("--page", "pattern", metavar="PATTERN", help="Only this page, or with one trailing * these pages.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
def command(store: str, since: str | None, until: str | None, by: str, pattern: str | None, form: str) -> int:
    """Show how and when pages were visited, and by how many people."""
    question = _question(By(by), since, until, pattern)
    whole = Question(By.DAY, question.first, question.last, question.pattern)
    stored, stored_whole = read_statistics(store, [question, whole])
    found = rows(question, stored)
    days = rows(whole, stored_whole)
    total = Row("total", sum(one.views for one in days), sum(one.visitors for one in days))
    if form == "json":
        click.echo(json.dumps(_as_json(question, found, total), indent=2))
    else:
        click.echo("\n".join(_lines(question, found, total)))
    return 0


def _question(by: By, since: str | None, until: str | None, pattern: str | None) -> Question:
    last = _day(until, "--to") if until is not None else int(time.time()) // DAY
    first = _day(since, "--from") if since is not None else max(last - DAYS_SHOWN[by] + 1, 0)
    if first > last:
        raise click.ClickException(f"--from {_date(first)} is after --to {_date(last)}")
    if pattern is None:
        return Question(by, first, last)
    if not pattern or "*" in pattern[:-1] or not pattern.startswith(("/", "*", OTHER)):
        raise click.ClickException(f"--page `{pattern}` is not a path such as /docs, or /docs/* for all below it")
    # Pages are kept as browsers ask for them.
    return Question(by, first, last, quote(pattern, safe=string.punctuation))


def _day(text: str, option: str) -> int:
    try:
        day = (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        day = -1
    if day < 0:
        raise click.ClickException(f"{option} `{text}` is not a day such as 2026-01-31")
    return day


def _as_json(question: Question, found: Sequence[Row], total: Row) -> dict[str, object]:
    by, several = question.by, question.pattern.endswith("*")
    told = [{by.value: _told(by, one.bucket), **_numbers(question, one, question.several)} for one in found]
    return {
        "from": _date(question.first),
        "to": _date(question.last),
        "by": by.value,
        "page": question.pattern or None,
        "standard_error": round(STANDARD_ERROR, 4),
        "rows": told,
        "total": _numbers(question, total, several),
    }


def _numbers(question: Question, row: Row, several: bool) -> dict[str, int | None]:
    visitors = None if _uncounted(question, row) else row.visitors
    return {"views": row.views, "visitors_at_most" if several else "visitors": visitors}


def _uncounted(question: Question, row: Row) -> bool:
    """Whether visitors are not counted of what this row stands for."""
    return OTHER in (question.pattern, row.bucket)


def _lines(question: Question, found: Sequence[Row], total: Row) -> Iterable[str]:
    by = question.by
    pages = f" of {question.pattern}" if question.pattern else ""
    yield f"Views and visitors{pages} by {by}, {_date(question.first)} to {_date(question.last)} (UTC)"
    yield ""
    if not found:
        yield "No page was visited."
        return
    shown = found[:PAGES_SHOWN] if by is By.PAGE else list(_without_gaps(found))
    yield from _table(question, shown, total)
    if len(shown) < len(found):
        yield f"… and {len(found) - len(shown):,} more pages, all of them with --format json."
    yield ""
    full, light = _marks()
    yield f"{full} visitors  {light} views"
    yield from _explained(question)


def _explained(question: Question) -> Iterable[str]:
    """What a visitor is in this table."""
    once = "once an hour, in the total once a day" if question.by is By.HOUR else "once a day"
    yield f"Visitors are those who may be counted, each {once}; estimated, to {STANDARD_ERROR:.1%} (standard error)."
    if question.pattern.endswith("*"):
        what = "the total" if question.by is By.PAGE else "each row"
        yield f"Pages know nothing of each other: {what} counts a visitor of several of them on each."


def _table(question: Question, shown: Sequence[Row], total: Row) -> Iterable[str]:
    heads = (question.by.value, "views", "visitors, at most" if question.several else "visitors")
    cells = [_cells(question, row) for row in shown]
    last = ("total", *_cells(question, total)[1:])
    widths = [max(len(one) for one in column) for column in zip(heads, last, *cells, strict=True)]
    bars = _bars(shown, sum(widths) + 6)
    for line, bar in zip((heads, *cells, last), ("", *bars, ""), strict=True):
        name, *numbers = line
        aligned = [name.ljust(widths[0]), *(one.rjust(width) for one, width in zip(numbers, widths[1:], strict=True))]
        yield "  ".join((*aligned, bar)).rstrip()


def _cells(question: Question, row: Row) -> tuple[str, str, str]:
    visitors = "" if _uncounted(question, row) else f"{row.visitors:,}"
    return _told(question.by, row.bucket), f"{row.views:,}", visitors


def _bars(shown: Sequence[Row], taken: int) -> list[str]:
    """A bar for each row: its views, those of them that stand for visitors in full."""
    room = shutil.get_terminal_size((80, 24)).columns - taken
    longest = min(max(room, SHORTEST_BAR), LONGEST_BAR)
    most = max(max(row.views, row.visitors) for row in shown) or 1
    full, light = _marks()
    bars = []
    for row in shown:
        views, visitors = (-(-longest * number // most) for number in (row.views, row.visitors))
        bars.append((full * visitors).ljust(views, light))
    return bars


def _marks() -> tuple[str, str]:
    """What bars are drawn with, as far as the terminal can show it."""
    try:
        "".join(_BLOCKS).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return _BLOCKS


def _without_gaps(found: Sequence[Row]) -> Iterable[Row]:
    """These rows, with one for each hour or day between them in which nothing was visited."""
    by_time = {int(one.bucket): one for one in found}
    for bucket in range(min(by_time), max(by_time) + 1):
        yield by_time.get(bucket) or Row(bucket, 0, 0)


def _told(by: By, bucket: int | str) -> str:
    if isinstance(bucket, str):
        return bucket
    if by is By.DAY:
        return _date(bucket)
    return datetime.fromtimestamp(bucket * HOUR, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _date(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()
