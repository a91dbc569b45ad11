"""A day's numbers are the union of its hours; nobody is the same from one day, or one page, to the next."""

from __future__ import annotations

import pytest

from consent_mw.core.hyperloglog import Sketch
from consent_mw.core.policy import DAY
from consent_mw.core.statistics import (
    GRACE,
    NO_KEY,
    OTHER,
    SITE,
    By,
    Question,
    Row,
    Stored,
    Tally,
    day_is_over,
    is_over,
    merged,
    rows,
    sound,
    visitors,
)

KEY, NEXT_KEY = b"a" * 32, b"b" * 32
PEOPLE = [f"visitor-{number}" for number in range(30)]


def sketch(page: str, *people: str, key: bytes = KEY) -> bytes:
    """The stored sketch of one view by each of these people."""
    tally = Tally(page, key)
    for one in people:
        tally.see(1, one)
    return tally.seen(0).sketch


def test_views_are_all_counted_and_visitors_once() -> None:
    tally = Tally("/a", KEY)
    for visitor, views in (("ann", 2), ("bob", 1), ("ann", 3), ("", 4)):
        tally.see(views, visitor)
    seen = tally.seen(7)
    assert (seen.hour, seen.page, seen.views) == (7, "/a", 10)
    assert visitors([(7, "/a", seen.sketch)]) == {(7, "/a"): 2}


def test_nobody_who_may_not_be_counted_leaves_a_trace() -> None:
    tally = Tally("/a", KEY)
    tally.see(3, "")
    assert tuple(tally.seen(7)) == (7, "/a", 3, b"")


def test_without_a_key_and_on_other_pages_no_visitor_counts() -> None:
    assert [sketch("/a", "ann", key=NO_KEY), sketch(OTHER, "ann")] == [b"", b""]


def test_machines_with_one_key_make_the_sketch_that_one_would_have_made() -> None:
    left, right = sketch("/a", *PEOPLE[:20]), sketch("/a", *PEOPLE[10:])
    assert merged(left, right) == merged(right, left) == sketch("/a", *PEOPLE)


def test_a_person_is_another_one_on_every_page_and_day() -> None:
    alone = [sketch(page, "ann", key=key) for page in (SITE, "/a", "/b") for key in (KEY, NEXT_KEY)]
    assert len(set(alone)) == 6
    # Not two halves of one hash either: what chooses the register differs as well.
    assert len({one[1:3] for one in alone}) == 6


def test_a_page_and_a_visitor_cannot_be_taken_for_others() -> None:
    assert sketch("/a", "bc") != sketch("/ab", "c")


def test_a_day_is_the_union_of_its_hours() -> None:
    parts = [
        (2, "/a", sketch("/a", *PEOPLE[:20])),
        (2, "/a", sketch("/a", *PEOPLE[10:])),
        (2, "/b", sketch("/b", *PEOPLE[:5])),
        (3, "/a", sketch("/a", *PEOPLE[:4], key=NEXT_KEY)),
    ]
    assert visitors(parts) == {(2, "/a"): 30, (2, "/b"): 5, (3, "/a"): 4}


def test_a_damaged_sketch_saw_nobody_so_that_its_day_can_end() -> None:
    damaged, whole = b"\x07damaged", sketch("/a", "ann")
    assert visitors([(2, "/a", damaged), (2, "/a", whole), (2, "/b", damaged)]) == {(2, "/a"): 1, (2, "/b"): 0}
    assert merged(damaged, whole) == merged(whole, damaged) == whole


def test_a_damaged_sketch_is_not_taken_from_another_process() -> None:
    assert sound(sketch("/a", "ann")) == sketch("/a", "ann")
    with pytest.raises(ValueError, match=r"^a damaged sketch$"):
        sound(sketch("/a", "ann")[:-1])


def test_a_day_is_over_when_its_grace_has_passed() -> None:
    assert [day_is_over(2, 3 * DAY + GRACE - 1), day_is_over(2, 3 * DAY + GRACE)] == [False, True]
    assert [is_over(7, 7 + GRACE - 1), is_over(7, 7 + GRACE)] == [False, True]


def test_hours_add_what_is_over_and_what_is_not() -> None:
    stored = Stored([(73, 5), (47, 9)], [(47, 3)], [(73, SITE, sketch(SITE, *PEOPLE[:4]))])
    assert rows(Question(By.HOUR, 1, 3), stored) == [Row(47, 9, 3), Row(73, 5, 4)]


def test_days_count_who_came_in_several_hours_once() -> None:
    parts = [(3, SITE, sketch(SITE, *PEOPLE[:4])), (3, SITE, sketch(SITE, *PEOPLE[2:6]))]
    stored = Stored([(3, 9), (1, 8)], [(1, 2)], parts)
    assert rows(Question(By.DAY, 1, 3), stored) == [Row(1, 8, 2), Row(3, 9, 6)]


def test_pages_come_by_their_views_and_add_up_over_days() -> None:
    parts = [(3, "/a", sketch("/a", *PEOPLE[:4])), (3, "/a", sketch("/a", *PEOPLE[2:6]))]
    stored = Stored([("/b", 7), ("/a", 9), ("/c", 9)], [("/a", 10), ("/b", 1)], parts)
    assert rows(Question(By.PAGE, 1, 3), stored) == [Row("/a", 9, 16), Row("/c", 9, 0), Row("/b", 7, 1)]


def test_a_row_stands_for_several_pages_where_a_pattern_is_told_by_time() -> None:
    asked = [Question(by, 1, 2, pattern).several for by in By for pattern in ("", "/a", "/a*")]
    assert asked == [False, False, True, False, False, True, False, False, False]


def test_the_key_of_a_day_is_all_that_ties_a_visitor_to_a_sketch() -> None:
    assert Sketch.from_bytes(sketch("/a", "ann")).estimate() > 0.5
    assert sketch("/a", "ann") == sketch("/a", "ann")
    assert sketch("/a", "ann") != sketch("/a", "ann", key=NEXT_KEY)
