"""Every kind of store keeps what it said it keeps, and nothing of what is gone."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from consent_mw.errors import StoreError, StoreFullError
from consent_mw.world.store import Settlement, Store
from consent_mw.world.store.recent import RECENT_KEPT
from tests.world.store.conftest import Place
from tests.world.store.rows import NOW, a_receipt, a_row, claimed, done

# receipts


def test_the_receipts_of_one_browser_come_oldest_first(store: Store) -> None:
    first, other = a_receipt("r1"), a_receipt("x1")
    second = a_receipt("r2", root="r1", previous="r1")
    for row in (first, other, second):
        done(store.add_receipt(row))
    assert done(store.receipts("r1")) == [first, second]
    assert done(store.receipt("r2")) == second
    assert done(store.receipt("nobody")) is None


def test_the_same_receipt_twice_is_kept_once(store: Store) -> None:
    done(store.add_receipt(a_receipt("r1")))
    done(store.add_receipt(a_receipt("r1")))
    assert done(store.receipts("r1")) == [a_receipt("r1")]


# order, leases, retries


def test_rows_come_back_whole_and_in_order(store: Store) -> None:
    rows = [a_row(str(number), visitor=f"v{number}", body=b'{"event":"x"}') for number in range(3)]
    done(store.enqueue(rows))
    found = done(store.claim("insights", 2, NOW, 60.0))
    assert found == [a_row("0", visitor="v0", body=b'{"event":"x"}', attempts=1), found[1]]
    assert [row.id for row in found] == ["0", "1"]


def test_a_claimed_row_is_nobody_elses_until_its_lease_ends(store: Store) -> None:
    done(store.enqueue([a_row("1")]))
    assert claimed(store) == ["1"]
    assert claimed(store, NOW + 59) == []
    again = done(store.claim("insights", 10, NOW + 61, 60.0))
    assert [(row.id, row.attempts, row.interrupted) for row in again] == [("1", 2, True)]


@pytest.mark.parametrize("person", [{"visitor": "ann"}, {"visitor": "", "receipt": "r1"}], ids=["visitor", "receipt"])
def test_a_later_event_waits_for_the_earlier_one_of_its_person(store: Store, person: dict[str, str]) -> None:
    done(store.enqueue([a_row("1", **person), a_row("2", **person), a_row("3", visitor="bob")]))
    assert claimed(store, limit=1) == ["1"]
    assert claimed(store) == ["3"]
    done(store.settle([Settlement("1", retry_at=NOW + 100)]))
    assert claimed(store, NOW + 50) == []
    assert claimed(store, NOW + 100) == ["1", "2", "3"]


def test_strangers_do_not_wait_for_each_other(store: Store) -> None:
    done(store.enqueue([a_row("1", visitor=""), a_row("2", visitor="")]))
    assert claimed(store, limit=1) == ["1"]
    assert claimed(store) == ["2"]


def test_a_vendor_is_given_only_its_own_rows(store: Store) -> None:
    done(store.enqueue([a_row("1"), a_row("2", vendor="crm")]))
    assert claimed(store, vendor="crm") == ["2"]
    assert [done(store.pending(name)) for name in ("", "insights", "crm", "nobody")] == [2, 1, 1, 0]


def test_a_row_that_was_not_tried_has_no_more_attempts(store: Store) -> None:
    done(store.enqueue([a_row("1")]))
    claimed(store)
    done(store.settle([Settlement("1", retry_at=NOW, tried=False)]))
    assert [row.attempts for row in done(store.claim("insights", 1, NOW, 60.0))] == [1]


def test_the_next_due_time_is_that_of_the_first_row_of_a_person(store: Store) -> None:
    assert done(store.next_due("insights")) is None
    done(store.enqueue([a_row("1"), a_row("2")]))
    claimed(store)
    done(store.settle([Settlement("1", retry_at=NOW + 300), Settlement("2", retry_at=NOW + 1)]))
    assert done(store.next_due("insights")) == NOW + 300


def test_a_dead_row_stays_but_holds_nobody_up(store: Store) -> None:
    done(store.enqueue([a_row("1"), a_row("2")]))
    claimed(store, limit=1)
    done(store.settle([Settlement("1", "dead")]))
    assert done(store.pending()) == 1
    assert claimed(store) == ["2"]


def test_the_same_row_twice_is_kept_once(store: Store) -> None:
    done(store.enqueue([a_row("1"), a_row("1")]))
    done(store.enqueue([a_row("1")]))
    assert done(store.pending()) == 1


# recall and erasure


def test_a_recall_takes_what_is_not_yet_committed(store: Store) -> None:
    store.enqueue([a_row("1"), a_row("2", visitor="bob")])
    recalled = store.recall(["ann"])
    assert done(recalled) == ["event-1"]
    assert done(store.pending()) == 1


def test_a_recall_takes_what_is_claimed_and_settling_does_not_bring_it_back(store: Store) -> None:
    done(store.enqueue([a_row("1"), a_row("2")]))
    claimed(store)
    assert done(store.held(["1", "2"])) == {"1", "2"}
    assert sorted(done(store.recall(["ann"]))) == ["event-1", "event-2"]
    assert done(store.held(["1", "2"])) == frozenset()
    done(store.settle([Settlement("1", retry_at=NOW), Settlement("2", "dead")]))
    assert (done(store.pending()), claimed(store, NOW + 1000)) == (0, [])


def test_a_recall_finds_what_other_receipts_of_the_same_browser_carried(store: Store) -> None:
    done(store.add_receipt(a_receipt("r1")))
    done(store.add_receipt(a_receipt("r2", root="r1", previous="r1")))
    rows = [a_row("1", visitor="", receipt="r1"), a_row("2", visitor="", receipt="x"), a_row("3", visitor="")]
    done(store.enqueue(rows))
    assert done(store.recall(["r2"])) == ["event-1"]
    assert claimed(store) == ["2", "3"]


def test_a_recall_of_purposes_leaves_the_others(store: Store) -> None:
    done(store.enqueue([a_row("1"), a_row("2", purpose="cross_site")]))
    assert done(store.recall(["ann"], purposes=["cross_site"])) == ["event-2"]
    assert done(store.recall(["ann"], purposes=[])) == []
    assert claimed(store) == ["1"]


def test_a_recall_of_nobody_takes_nothing(store: Store) -> None:
    done(store.enqueue([a_row("1", visitor=""), a_row("2", visitor="", receipt="")]))
    assert done(store.recall([""])) == []
    assert done(store.recall([])) == []
    assert done(store.pending()) == 2


def test_a_withdrawal_takes_the_dead_letters_as_well(store: Store) -> None:
    done(store.enqueue([a_row("1")]))
    claimed(store)
    done(store.settle([Settlement("1", "dead")]))
    assert done(store.recall(["ann"])) == ["event-1"]


def test_a_recall_is_done_though_nobody_waits_for_it(store: Store) -> None:
    done(store.enqueue([a_row("1")]))

    async def impatient() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(store.recall(["ann"])), 0)

    asyncio.run(impatient())
    assert done(store.pending()) == 0


def test_an_erasure_takes_rows_and_every_receipt_of_the_browser(store: Store) -> None:
    done(store.add_receipt(a_receipt("r1")))
    done(store.add_receipt(a_receipt("r2", root="r1", previous="r1")))
    done(store.add_receipt(a_receipt("x1")))
    done(store.enqueue([a_row("1"), a_row("2", visitor="", receipt="r1"), a_row("3", visitor="bob")]))
    assert done(store.erase(["ann", "r2"], receipt="r2")) == 4
    assert (done(store.receipts("r1")), done(store.receipts("x1"))) == ([], [a_receipt("x1")])
    assert claimed(store) == ["3"]


def test_rows_of_other_vendors_are_recalled_and_counted(store: Store) -> None:
    done(store.enqueue([a_row("1"), a_row("2", vendor="old"), a_row("3", vendor="old")]))
    assert done(store.recall_others(["insights"])) == {"old": 2}
    assert done(store.recall_others(["insights"])) == {}
    assert claimed(store) == ["1"]


def test_what_is_past_its_retention_goes(store: Store) -> None:
    done(store.add_receipt(a_receipt("r1", at=100)))
    done(store.add_receipt(a_receipt("r2", at=300)))
    done(store.enqueue([a_row("1"), a_row("2")]))
    done(store.settle([Settlement("1", "dead")]))
    assert done(store.expire(receipts_before=200, dead_before=NOW + 1)) == 2
    assert (done(store.receipt("r1")), done(store.receipt("r2")) is not None) == (None, True)
    assert done(store.pending()) == 1


# the bound


def test_a_full_outbox_turns_new_events_away_and_takes_them_again_later(place: Place) -> None:
    store = place.open(max_size=100)
    done(store.enqueue([a_row("1", body=b"x" * 60)]))
    with pytest.raises(StoreFullError):
        done(store.enqueue([a_row("2", body=b"x" * 60)]))
    done(store.add_receipt(a_receipt("r1")))
    assert store.healthy
    done(store.settle([Settlement("1", "accepted")]))
    done(store.enqueue([a_row("2", body=b"x" * 60)]))
    assert (claimed(store), store.dropped) == (["2"], 0)


def test_a_full_outbox_may_drop_the_oldest_and_counts_them(place: Place) -> None:
    store = place.open(max_size=100, drop_oldest=True)
    for number in range(5):
        done(store.enqueue([a_row(str(number), visitor="", body=b"x" * 30)]))
    assert (claimed(store), store.dropped) == (["2", "3", "4"], 2)
    with pytest.raises(StoreFullError):
        done(store.enqueue([a_row("large", body=b"x" * 101)]))
    assert (done(store.pending()), store.dropped) == (3, 2)


def test_the_bound_is_remembered_and_shared_by_two_openings(place: Place) -> None:
    one, two = place.open(max_size=100), place.open(max_size=100)
    done(one.enqueue([a_row("1", body=b"x" * 60)]))
    with pytest.raises(StoreFullError):
        done(two.enqueue([a_row("2", body=b"x" * 60)]))
    done(two.settle([Settlement("1", "accepted")]))
    done(one.enqueue([a_row("2", body=b"x" * 60)]))
    assert done(two.recall(["ann"])) == ["event-2"]


# failures


def test_a_closed_store_says_so_and_closes_again(place: Place) -> None:
    store = place.open()
    last = store.enqueue([a_row("1")])
    store.close()
    store.close()
    assert last.done()
    assert last.exception() is None
    with pytest.raises(StoreError, match="closed"):
        done(store.pending())
    assert not store.healthy


@pytest.mark.parametrize(
    "row",
    [
        {"visitor": "\ud800"},
        {"created": float("nan")},
        {"purpose": None},
        {"attempts": 2**70},
        {"vendor": [1]},
    ],
    ids=["lone-surrogate", "not-a-number", "nothing", "huge-number", "no-text"],
)
def test_a_row_that_cannot_be_kept_fails_alone(store: Store, row: dict[str, Any]) -> None:
    before = store.enqueue([a_row("1")])
    bad = store.enqueue([a_row("2"), a_row("3", **row)])
    after = store.enqueue([a_row("4")])
    with pytest.raises(StoreError):
        done(bad)
    done(before)
    done(after)
    assert claimed(store) == ["1", "4"]
    assert store.healthy


def test_a_cancelled_future_does_not_end_the_store(store: Store) -> None:
    future = store.enqueue([a_row("1")])
    assert not future.cancel()
    done(future)
    assert done(store.pending()) == 1


def test_a_lone_event_is_committed_within_fifty_milliseconds(store: Store) -> None:
    done(store.pending())
    began = time.perf_counter()
    done(store.enqueue([a_row("1")]))
    assert time.perf_counter() - began < 0.5


def test_a_vendor_with_a_long_queue_slows_nobody_down(store: Store) -> None:
    rows = [a_row(str(number), visitor=f"v{number % 900}", receipt=f"r{number % 900}") for number in range(20_000)]
    done(store.enqueue(rows))
    claimed(store, limit=200)
    began = time.perf_counter()
    claimed(store, limit=200)
    done(store.recall(["v1", "r1"]))
    done(store.next_due("insights"))
    assert time.perf_counter() - began < 1.0


def test_a_queue_of_strangers_stays_quick_and_a_recall_in_it_too(store: Store) -> None:
    rows = [a_row(f"{number:06}", visitor=f"v{number * 7919 % 20_000}") for number in range(20_000)]
    for at in range(0, len(rows), 2000):
        done(store.enqueue(rows[at : at + 2000]))
    done(store.settle([Settlement("000000", "dead")]))
    assert claimed(store, limit=5000) == [f"{number:06}" for number in range(1, 5001)]
    assert done(store.recall(["v7919", "v0"])) == ["event-000000", "event-000001"]
    assert done(store.pending()) == 19_998


def test_a_row_that_was_claimed_by_another_process_is_ambiguous_here_as_well(place: Place) -> None:
    one, two = place.open(), place.open()
    done(one.enqueue([a_row("1"), a_row("2", visitor="bob"), a_row("3", visitor="cem")]))
    assert claimed(two, limit=1) == ["1"]
    assert done(two.recall(["bob"])) == ["event-2"]
    again = done(one.claim("insights", 10, NOW + 61, 60.0))
    assert [(row.id, row.attempts, row.interrupted) for row in again] == [("1", 2, True), ("3", 1, False)]


def test_a_row_is_the_same_whether_it_was_remembered_or_read(place: Place) -> None:
    rows = [a_row("1", body=b'\xff\x00{"a":"\x1f"}', receipt="r1", kind="k", created=1_795_434_123.125)]
    rows.append(a_row("2", visitor="", body=b"", policy="gr\u00f6\u00dfe \x1e,"))
    store = place.open()
    done(store.enqueue(rows))
    remembered = done(store.claim("insights", 10, NOW, 0.0))
    done(store.settle([Settlement(row.id, retry_at=0.0, tried=False) for row in rows]))
    read = done(store.claim("insights", 10, NOW, 0.0))
    assert remembered == read == [row._replace(attempts=1) for row in rows]


def test_more_rows_than_are_remembered_come_in_order(store: Store) -> None:
    rows = [a_row(f"{number:06}", visitor=f"v{number}") for number in range(2 * RECENT_KEPT)]
    for at in range(0, len(rows), 1000):
        done(store.enqueue(rows[at : at + 1000]))
    found = [identity for _ in range(10) for identity in claimed(store, limit=1000)]
    assert found == [row.id for row in rows]


FIRST = """DROP INDEX outbox_by_visitor; DROP INDEX outbox_by_receipt;
CREATE INDEX outbox_by_person ON outbox (person, vendor, seq) WHERE person <> '';
CREATE INDEX outbox_by_receipt ON outbox (receipt) WHERE receipt <> '';
CREATE TRIGGER outbox_grows AFTER INSERT ON outbox
  BEGIN UPDATE size SET bytes = bytes + length(NEW.body); END;
CREATE TRIGGER outbox_shrinks AFTER DELETE ON outbox
  BEGIN UPDATE size SET bytes = bytes - length(OLD.body); END;"""
"""What the first version had instead of what the second has."""


# what is on its way


def test_what_was_claimed_and_is_recalled_is_known_at_once_to_whoever_sends_it(place: Place) -> None:
    if place.remote:
        pytest.skip("rows are sent from where the store is")
    store = place.open()
    done(store.enqueue([a_row("1"), a_row("2", visitor="bob"), a_row("3", visitor="cleo")]))
    assert claimed(store, limit=2) == ["1", "2"]
    told: list[bool] = []
    store.recall(["ann", "cleo"]).add_done_callback(lambda _: told.append(store.taken_back(["2", "1"])))
    done(store.pending())
    assert (told, store.taken_back(["2"]), store.taken_back(["3"])) == ([True], False, False)
    done(store.erase(["bob"]))
    assert store.taken_back(["2"])
