"""Every kind of store counts for all processes and machines alike, and ends its hours and days."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from consent_mw.core.inventory import Item
from consent_mw.core.policy import DAY
from consent_mw.core.statistics import GRACE, HOUR, NO_KEY, PAGES_AN_HOUR, SITE, By, Question, Row, Seen, rows
from consent_mw.errors import StoreError
from consent_mw.world.store import Store, read_inventory, read_statistics
from tests.world.store.conftest import Place
from tests.world.store.rows import done
from tests.world.test_statistics import ANN, BOB, CEM, NOON, OVER, TODAY, seen


def told(place: Place, by: By, pattern: str = "") -> list[Row]:
    """What somebody else reads of it."""
    question = Question(by, TODAY - 9, TODAY + 9, pattern)
    (stored,) = read_statistics(place.url, [question])
    return rows(question, stored)


def test_what_several_saw_is_told_as_of_one(place: Place) -> None:
    stores = [place.open(), place.open()]
    keys = [done(store.statistics_key(TODAY)) for store in stores]
    assert keys[0] == keys[1]
    for store, people in zip(stores, ([ANN, BOB], [BOB, CEM]), strict=True):
        done(store.add_views([seen(keys[0], SITE, *people, more=1), seen(keys[0], "/a", *people, more=1)], NOON))
    assert told(place, By.HOUR) == [Row(NOON // HOUR, 6, 3)]
    assert told(place, By.DAY) == [Row(TODAY, 6, 3)]
    assert told(place, By.PAGE) == [Row("/a", 6, 3)]


def test_what_is_added_at_the_same_time_is_all_counted(place: Place) -> None:
    stores = [place.open(), place.open()]
    key = done(stores[0].statistics_key(TODAY))

    def add(number: int) -> None:
        for one in range(20):
            done(stores[number % 2].add_views([seen(key, SITE, f"visitor-{number}-{one}")], NOON))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(4)))
    (row,) = told(place, By.DAY)
    assert (row.views, abs(row.visitors - 80) <= 4) == (80, True)


def test_numbers_take_the_place_of_sketches_when_hour_and_day_are_over(store: Store, place: Place) -> None:
    key = done(store.statistics_key(TODAY))
    done(store.add_views([seen(key, SITE, ANN, BOB), seen(key, "/a/b", ANN), seen(key, "/c", BOB)], NOON))
    done(store.add_views([seen(key, SITE, BOB, CEM, at=NOON + HOUR)], NOON + 2 * HOUR))
    before = [told(place, by) for by in By]
    done(store.end_statistics(OVER, 0.0))
    assert done(store.statistics_key(TODAY)) == NO_KEY
    assert [told(place, by) for by in By] == before
    assert told(place, By.DAY) == [Row(TODAY, 4, 3)]
    assert told(place, By.PAGE, "/a/*") == [Row("/a/b", 1, 1)]
    done(store.add_views([seen(key, SITE, ANN, BOB, CEM)], OVER))
    assert told(place, By.DAY) == [Row(TODAY, 7, 3)]
    done(store.end_statistics(OVER, TODAY * DAY + DAY))
    assert [told(place, by) for by in By] == [[], [], []]


def test_pages_are_bounded(store: Store, place: Place) -> None:
    key = done(store.statistics_key(TODAY))
    batch = [Seen(int(NOON) // HOUR, f"/{number}", 1, b"") for number in range(PAGES_AN_HOUR + 5)]
    done(store.add_views([*batch, seen(key, SITE, ANN)], NOON))
    assert len(told(place, By.PAGE)) == PAGES_AN_HOUR + 1


def test_the_inventory_is_counted_by_all_together(place: Place) -> None:
    one, two = place.open(), place.open()
    items = [Item(TODAY, "cookie", f"c{number}", "kept", 2) for number in range(3)]
    done(one.add_inventory(items))
    done(two.add_inventory([*items[:1], Item(TODAY - 9, "cookie", "old", "kept", 1)]))
    assert done(one.inventory()) == read_inventory(place.url)
    done(one.end_statistics(NOON, (TODAY - 1) * DAY))
    assert read_inventory(place.url) == [items[0]._replace(number=4), *items[1:]]


def test_a_damaged_sketch_is_refused_and_changes_nothing(store: Store, place: Place) -> None:
    key = done(store.statistics_key(TODAY))
    done(store.add_views([seen(key, SITE, ANN)], NOON))
    with pytest.raises(StoreError):
        done(store.add_views([Seen(int(NOON) // HOUR, SITE, 5, b"no sketch")], NOON))
    assert told(place, By.DAY) == [Row(TODAY, 1, 1)]


def test_the_day_has_its_grace(store: Store, place: Place) -> None:
    key = done(store.statistics_key(TODAY))
    done(store.add_views([seen(key, SITE, ANN)], OVER - GRACE + 1))
    assert done(store.statistics_key(TODAY)) == key
    assert told(place, By.DAY) == [Row(TODAY, 1, 1)]
