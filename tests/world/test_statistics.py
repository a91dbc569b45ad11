"""The store counts for all processes alike, keeps nothing of a person, and destroys a day's key with its day."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from consent_mw.core.hyperloglog import Sketch
from consent_mw.core.policy import DAY, Retention
from consent_mw.core.statistics import GRACE, HOUR, OTHER, PAGES_AN_HOUR, SITE, By, Question, Row, Seen, Tally, rows
from consent_mw.errors import StoreError
from consent_mw.world.delivery import Delivery
from consent_mw.world.store import Store, open_store, read_statistics, statistics
from tests.builders import a_policy

TODAY = 20_000
NOON = TODAY * DAY + 12 * HOUR
OVER = (TODAY + 1) * DAY + GRACE
KEY = b"a key of the tests, for all days"
ANN, BOB, CEM = "ann-UvYDlZ7nP0qBsm", "bob-x4hLrT9cWkEyUq", "cem-0aVnS6dJtGiKfo"


def done(future: Future[Any]) -> Any:
    return future.result(10)


def opened(store: Store, day: int = TODAY) -> bytes:
    """Begin this day. Its views are counted under a key of the tests': under a random one two visitors may share a
    register, once in 4,096 times."""
    assert len(done(store.statistics_key(day))) == 32
    return KEY


def seen(key: bytes, page: str, *people: str, at: float = NOON, more: int = 0) -> Seen:
    """One view by each of these people, and more by nobody who may be counted."""
    tally = Tally(page, key)
    for one in people:
        tally.see(1, one)
    tally.see(more, "")
    return tally.seen(int(at) // HOUR)


def told(file: Path, by: By, pattern: str = "", *, first: int = TODAY - 9, last: int = TODAY + 9) -> list[Row]:
    question = Question(by, first, last, pattern)
    (stored,) = read_statistics(f"sqlite:///{file}", [question])
    return rows(question, stored)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "consent.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{file}")
    yield opened
    opened.close()


def at_rest(folder: Path) -> bytes:
    """Every byte of the store's files."""
    return b"".join(one.read_bytes() for one in sorted(folder.iterdir()))


def test_a_day_has_one_key_for_all_who_ask_and_every_day_another(store: Store) -> None:
    keys = [done(store.statistics_key(day)) for day in (TODAY, TODAY, TODAY + 1)]
    assert [len(key) for key in keys] == [32, 32, 32]
    assert keys[0] == keys[1] != keys[2]


def test_what_two_processes_saw_is_told_as_of_one(store: Store, file: Path) -> None:
    key = opened(store)
    for people in ([ANN, BOB], [BOB, CEM]):
        batch = [seen(key, SITE, *people, more=1), seen(key, "/a", *people, more=1)]
        done(store.add_views(batch, NOON))
    assert told(file, By.HOUR) == [Row(NOON // HOUR, 6, 3)]
    assert told(file, By.DAY) == [Row(TODAY, 6, 3)]
    assert told(file, By.PAGE) == [Row("/a", 6, 3)]


def test_numbers_take_the_place_of_sketches_when_the_day_is_over(store: Store, file: Path) -> None:
    key = opened(store)
    for at, people in ((NOON, [ANN, BOB]), (NOON + HOUR, [BOB, CEM])):
        done(store.add_views([seen(key, page, *people, at=at) for page in (SITE, "/a")], at))
    before = [told(file, by) for by in By]
    done(store.end_statistics(OVER, 0))
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT count(*) FROM statistics_sketches").fetchone() == (0,)
        assert db.execute("SELECT day, key FROM statistics_days").fetchall() == [(TODAY, None)]
    db.close()
    assert [told(file, by) for by in By] == before == [
        [Row(NOON // HOUR, 2, 2), Row(NOON // HOUR + 1, 2, 2)],
        [Row(TODAY, 4, 3)],
        [Row("/a", 4, 3)],
    ]  # fmt: skip


def sketches(file: Path) -> list[tuple[Any, ...]]:
    """Of what there are sketches."""
    with contextlib.closing(sqlite3.connect(file)) as db:
        return db.execute("SELECT unit, time, page FROM statistics_sketches ORDER BY 1, 2, 3").fetchall()


def test_an_hour_that_is_over_goes_into_its_day_and_becomes_a_number(store: Store, file: Path) -> None:
    key = opened(store)
    hour = NOON // HOUR
    ends = (hour + 1) * HOUR + GRACE
    done(store.add_views([seen(key, page, ANN, BOB) for page in (SITE, "/a")], NOON))
    done(store.add_views([seen(key, SITE, BOB, CEM, at=NOON + HOUR)], ends - 1))
    assert sketches(file) == [("hour", hour, ""), ("hour", hour, "/a"), ("hour", hour + 1, "")]
    done(store.add_views([], ends))
    assert sketches(file) == [("day", TODAY, ""), ("day", TODAY, "/a"), ("hour", hour + 1, "")]
    assert told(file, By.HOUR) == [Row(hour, 2, 2), Row(hour + 1, 2, 2)]
    assert told(file, By.DAY) == [Row(TODAY, 4, 3)]
    # Who comes late for an hour is still one of the day.
    done(store.add_views([seen(key, SITE, CEM), seen(key, "/b", CEM)], ends))
    assert sketches(file) == [("day", TODAY, ""), ("day", TODAY, "/a"), ("day", TODAY, "/b"), ("hour", hour + 1, "")]
    assert told(file, By.HOUR) == [Row(hour, 3, 2), Row(hour + 1, 2, 2)]
    assert told(file, By.HOUR, "/b") == [Row(hour, 1, 1)]
    assert told(file, By.DAY) == [Row(TODAY, 5, 3)]
    assert told(file, By.PAGE) == [Row("/a", 2, 2), Row("/b", 1, 1)]


def test_a_key_is_gone_from_the_disk_with_its_day_and_no_visitor_was_ever_on_it(store: Store, file: Path) -> None:
    key = done(store.statistics_key(TODAY))
    batch = [seen(key, page, ANN, BOB) for page in (SITE, "/a")]
    done(store.add_views(batch, NOON))
    hashed = [
        hashlib.blake2s(f"{page}\0{person}".encode(), key=key, digest_size=8, person=b"views").digest()
        for page in (SITE, "/a")
        for person in (ANN, BOB)
    ]
    counted = Sketch()
    for one in hashed[:2]:
        counted.add(int.from_bytes(one, "big"))
    assert counted.to_bytes() == batch[0].sketch
    telling = [ANN.encode(), BOB.encode(), *hashed, *(one.hex().encode() for one in hashed)]
    during = at_rest(file.parent)
    assert [one for one in telling if one in during] == []
    assert key in during  # so that the look after it would find one
    done(store.end_statistics(OVER, 0))
    store.close()
    after = at_rest(file.parent)
    assert [one for one in (*telling, key, *(one.sketch for one in batch)) if one in after] == []
    (left,) = told(file, By.DAY)
    assert (left.bucket, left.views, left.visitors > 0) == (TODAY, 2, True)


def test_a_day_is_not_over_within_its_grace(store: Store, file: Path) -> None:
    made, key = done(store.statistics_key(TODAY)), KEY
    last = (TODAY + 1) * DAY - 1
    done(store.add_views([seen(key, SITE, ANN, at=last)], OVER - 1))
    assert done(store.statistics_key(TODAY)) == made
    done(store.add_views([seen(key, SITE, ANN, BOB, at=last)], OVER - 1))
    assert told(file, By.DAY) == [Row(TODAY, 3, 2)]


def test_a_day_that_is_over_gets_no_second_key(store: Store) -> None:
    assert done(store.statistics_key(TODAY))
    done(store.add_views([], OVER))
    assert done(store.statistics_key(TODAY)) == b""


def test_what_comes_too_late_still_counts_as_views(store: Store, file: Path) -> None:
    key = opened(store)
    done(store.add_views([seen(key, SITE, ANN, BOB), seen(key, "/a", ANN)], NOON))
    done(store.end_statistics(OVER, 0))
    late = [seen(key, SITE, BOB, CEM), seen(key, "/a", ANN, BOB, CEM), seen(key, "/b", CEM)]
    done(store.add_views(late, OVER + HOUR))
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT count(*) FROM statistics_sketches").fetchone() == (0,)
    db.close()
    assert told(file, By.DAY) == [Row(TODAY, 4, 2)]
    assert told(file, By.PAGE) == [Row("/a", 4, 3), Row("/b", 1, 1)]
    assert told(file, By.HOUR, "/a") == [Row(NOON // HOUR, 4, 3)]


def test_a_crash_at_the_end_of_a_day_leaves_it_whole_or_over(store: Store, file: Path) -> None:
    key = opened(store)
    done(store.add_views([seen(key, SITE, ANN)], NOON))
    with sqlite3.connect(file) as db:
        db.execute(
            "CREATE TRIGGER breaks BEFORE UPDATE OF key ON statistics_days BEGIN SELECT RAISE(ABORT, 'torn'); END"
        )
    with pytest.raises(StoreError):
        done(store.end_statistics(OVER, 0))
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT count(*) FROM statistics_sketches").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM statistics_pages").fetchone() == (0,)
        db.execute("DROP TRIGGER breaks")
    db.close()
    done(store.end_statistics(OVER, 0))
    assert told(file, By.DAY) == [Row(TODAY, 1, 1)]
    assert done(store.statistics_key(TODAY)) == b""


def test_a_visitor_cannot_fill_the_disk_with_pages(store: Store, file: Path) -> None:
    key = opened(store)
    for start in (0, 700):
        batch = [seen(key, f"/{number}", ANN) for number in range(start, start + 700)]
        done(store.add_views([seen(key, SITE, ANN, more=699), *batch], NOON))
    known = seen(key, "/7", BOB)
    done(store.add_views([seen(key, SITE, BOB), known, seen(key, "/new", BOB)], NOON))
    done(store.add_views([seen(key, "/new", BOB, at=NOON + HOUR)], NOON + HOUR))
    with sqlite3.connect(file) as db:
        number = db.execute("SELECT hour, count(*) FROM statistics_hours GROUP BY hour").fetchall()
    db.close()
    assert number == [(NOON // HOUR, PAGES_AN_HOUR + 2), (NOON // HOUR + 1, 1)]
    assert told(file, By.DAY) == [Row(TODAY, 1401, 2)]
    pages = {row.bucket: row for row in told(file, By.PAGE)}
    assert pages[OTHER] == Row(OTHER, 1400 - PAGES_AN_HOUR + 1, 0)
    assert pages["/7"] == Row("/7", 2, 2)
    assert pages["/new"] == Row("/new", 1, 1)


def test_pages_are_picked_by_name_and_by_beginning(store: Store, file: Path) -> None:
    key = opened(store)
    pages = [seen(key, page, ANN) for page in (SITE, "/", "/docs", "/docs/a", "/docs/b", "/docs%20", "/DOCS/a")]
    done(store.add_views(pages, NOON))
    picked = {
        pattern: [row.bucket for row in told(file, By.PAGE, pattern)]
        for pattern in ("/docs", "/docs/*", "/docs*", "/d%*", "/nothing")
    }
    assert picked == {
        "/docs": ["/docs"],
        "/docs/*": ["/docs/a", "/docs/b"],
        "/docs*": ["/docs", "/docs%20", "/docs/a", "/docs/b"],
        "/d%*": [],
        "/nothing": [],
    }
    assert told(file, By.DAY, "/docs/*") == [Row(TODAY, 2, 2)]
    done(store.end_statistics(OVER, 0))
    assert told(file, By.DAY, "/docs/*") == told(file, By.DAY, "/docs/*") == [Row(TODAY, 2, 2)]


def test_only_the_days_asked_for_are_told(store: Store, file: Path) -> None:
    for day in (TODAY - 1, TODAY, TODAY + 1):
        key = opened(store, day)
        ends = [day * DAY, (day + 1) * DAY - 1]
        done(store.add_views([seen(key, SITE, ANN, at=at) for at in ends], NOON))
    done(store.end_statistics(TODAY * DAY + GRACE, 0))  # one of them is over
    days = [told(file, By.DAY, first=first, last=last) for first, last in ((TODAY, TODAY), (TODAY - 1, TODAY))]
    assert days == [[Row(TODAY, 2, 1)], [Row(TODAY - 1, 2, 1), Row(TODAY, 2, 1)]]
    assert [row.bucket for row in told(file, By.HOUR, first=TODAY, last=TODAY)] == [TODAY * 24, TODAY * 24 + 23]


def test_what_is_past_its_retention_is_deleted(store: Store, file: Path) -> None:
    for day in (TODAY, TODAY + 5):
        key = opened(store, day)
        done(store.add_views([seen(key, page, ANN, at=day * DAY) for page in (SITE, "/a")], day * DAY))
    done(store.end_statistics((TODAY + 7) * DAY, (TODAY + 5) * DAY))
    with sqlite3.connect(file) as db:
        tables = {
            table: [one for (one,) in db.execute(f"SELECT DISTINCT {unit} FROM statistics_{table}")]
            for table, unit in (("hours", "hour"), ("pages", "day"), ("days", "day"), ("sketches", "time"))
        }
    db.close()
    assert tables == {"hours": [(TODAY + 5) * 24], "pages": [TODAY + 5], "days": [TODAY + 5], "sketches": []}


def test_a_damaged_sketch_is_refused_and_changes_nothing(store: Store, file: Path) -> None:
    key = opened(store)
    with pytest.raises(StoreError):
        done(store.add_views([seen(key, SITE, ANN), Seen(NOON // HOUR, "/a", 1, b"\x01\x02")], NOON))
    done(store.add_views([seen(key, SITE, ANN)], NOON))
    assert told(file, By.DAY) == [Row(TODAY, 1, 1)]
    assert store.healthy


def test_a_sketch_that_cannot_be_read_does_not_keep_its_day_from_ending(store: Store, file: Path) -> None:
    key = opened(store)
    done(store.add_views([seen(key, SITE, ANN)], NOON))
    with sqlite3.connect(file) as db:
        db.execute("UPDATE statistics_sketches SET sketch = x'ff00'")
    db.close()
    done(store.add_views([seen(key, SITE, BOB)], NOON))
    with sqlite3.connect(file) as db:
        db.execute("INSERT INTO statistics_sketches VALUES ('day', ?, '', x'ff00')", (TODAY,))
    db.close()
    done(store.end_statistics(OVER, 0))
    assert done(store.statistics_key(TODAY)) == b""
    assert told(file, By.DAY) == [Row(TODAY, 2, 1)]


def test_reading_changes_nothing_and_needs_no_leave_to_write(store: Store, file: Path) -> None:
    key = opened(store)
    done(store.add_views([seen(key, SITE, ANN)], NOON))
    store.close()
    before = file.read_bytes()
    file.chmod(0o400)
    assert told(file, By.DAY) == [Row(TODAY, 1, 1)]
    assert file.read_bytes() == before


def test_a_reader_sees_what_a_writer_that_goes_on_has_committed(store: Store, file: Path) -> None:
    key = opened(store)
    for number in (1, 2, 3):
        done(store.add_views([seen(key, SITE, f"visitor-{number}")], NOON))
        assert told(file, By.DAY) == [Row(TODAY, number, number)]


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ("", "cannot be read: there is no such file"),
        ("CREATE TABLE t (x)", "cannot be read: it is another program's database"),
        ("PRAGMA user_version = 9", "cannot be read: it was written by a newer version"),
        (
            "PRAGMA user_version = 2",
            "cannot be read: it is of an earlier version; whoever writes it next, as `serve`, brings it up to date",
        ),
        (
            "VACUUM",
            "cannot be read: it has no consent_mw tables yet; `serve` or the middleware makes them",
        ),
        (None, "cannot be read: file is not a database"),
    ],
)
def test_a_file_without_statistics_is_told_in_a_sentence(tmp_path: Path, made: str | None, sentence: str) -> None:
    file = tmp_path / "a store?.db"
    if made is None:
        file.write_bytes(b"no database at all" * 100)
    elif made:
        db = sqlite3.connect(file)
        db.execute(made)
        db.close()
    with pytest.raises(StoreError, match=f"^the store `{str(file).replace('?', '.')}` {sentence}$"):
        read_statistics(f"sqlite:///{file}", [])


def test_the_tables_hold_no_column_for_anybody() -> None:
    db = sqlite3.connect(":memory:")
    for statement in statistics.STATISTICS_TABLES:
        db.execute(statement)
    columns = {
        table: [column[1] for column in db.execute(f"PRAGMA table_info({table})")]
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    }
    db.close()
    assert columns == {
        "statistics_days": ["day", "key"],
        "statistics_hours": ["hour", "page", "views", "visitors"],
        "statistics_pages": ["day", "page", "visitors"],
        "statistics_sketches": ["unit", "time", "page", "sketch"],
    }


def test_a_key_that_a_crash_left_behind_is_destroyed_when_delivery_starts(store: Store, file: Path) -> None:
    today = int(time.time()) // DAY
    policy = a_policy(retention=Retention(statistics=30 * DAY))
    keys = {}
    for day in (today - 40, today - 2, today):
        keys[day] = done(store.statistics_key(day))
        done(store.add_views([seen(keys[day], SITE, ANN, at=day * DAY)], day * DAY))

    def left() -> list[tuple[int, bool]]:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            return db.execute("SELECT day, key IS NOT NULL FROM statistics_days ORDER BY day").fetchall()

    async def life() -> None:
        delivery = Delivery(store, lambda: policy, str)
        await delivery.start()
        async with asyncio.timeout(10):
            while len(left()) == 3:  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.02)
        await delivery.stop(0.0)

    asyncio.run(life())
    assert left() == [(today - 2, False), (today, True)]
    assert told(file, By.DAY, first=0, last=today) == [Row(today - 2, 1, 1), Row(today, 1, 1)]
