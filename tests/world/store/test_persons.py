"""What is kept about a person is found by whoever may look for it, and a recall holds for what comes after it, in
every kind of store."""

from __future__ import annotations

from typing import Any

from consent_mw.world.store import OutboxRow, PairRow, ReceiptRow, Store
from consent_mw.world.store.recalls import KEPT_FOR, ON_THE_WAY
from tests.world.store import rows
from tests.world.store.conftest import Place
from tests.world.store.rows import NOW as AT
from tests.world.store.rows import done

SOON = AT + ON_THE_WAY / 2
LATER = AT + ON_THE_WAY


def a_row(identity: str, **more: Any) -> OutboxRow:
    return rows.a_row(identity, **{"created": AT - 1, **more})


def receipt(identity: str, root: str = "") -> ReceiptRow:
    return ReceiptRow(identity, root or identity, "", int(AT), "jws")


def kept_of(store: Store, *made: OutboxRow) -> list[str]:
    """The ids of those of these rows that are kept."""
    done(store.enqueue(made))
    known = {row.id for row in made}
    return [row.id for row in done(store.queued(["ann", "r1", "r2", "r3", "x1"])) if row.id in known]


# recalls


def test_what_was_decided_before_a_recall_is_not_kept_after_it(store: Store) -> None:
    done(store.recall(["ann"], at=AT))
    rows = [
        a_row("before"),
        a_row("soon", created=SOON),
        a_row("later", created=LATER),
        a_row("another's", visitor="", receipt="x1"),
        a_row("before, by an answer of hers", receipt="x1"),
        a_row("soon, by an answer since", receipt="x1", created=SOON),
    ]
    assert kept_of(store, *rows) == ["later", "another's", "soon, by an answer since"]


def test_a_recall_holds_for_its_purposes_alone(store: Store) -> None:
    done(store.recall(["ann"], purposes=["analytics"], at=AT))
    assert kept_of(store, a_row("1"), a_row("2", purpose="cross_site")) == ["2"]


def test_a_recall_holds_for_every_receipt_of_the_browser_there_was(store: Store) -> None:
    for row in (receipt("r1"), receipt("r2", "r1"), receipt("x1")):
        done(store.add_receipt(row))
    done(store.recall(["r2"], at=AT))
    done(store.add_receipt(receipt("r3", "r1")))
    rows = [a_row(one, visitor="", receipt=one, created=SOON) for one in ("r1", "r2", "r3", "x1")]
    assert kept_of(store, *rows) == ["r3", "x1"]


def test_a_recall_that_names_no_time_forbids_nothing(store: Store) -> None:
    done(store.recall(["ann"]))
    assert kept_of(store, a_row("1")) == ["1"]


def test_a_recall_of_another_process_holds_as_well(store: Store, place: Place) -> None:
    other = place.open()
    assert kept_of(store, a_row("1")) == ["1"]
    done(other.recall(["ann"], at=AT))
    assert kept_of(store, a_row("2"), a_row("3", visitor="bob")) == []
    assert done(store.find(["bob"])) == ["bob"]


def test_a_recall_is_forgotten_when_nothing_older_can_come(store: Store) -> None:
    done(store.recall(["ann"], at=AT))
    done(store.recall(["bob"], at=AT + KEPT_FOR + 1))
    done(store.expire(receipts_before=0.0, dead_before=0.0))
    assert kept_of(store, a_row("1"), a_row("2", visitor="bob")) == ["1"]


# pairs


def test_a_pair_that_was_allowed_before_a_recall_is_not_kept(store: Store) -> None:
    done(store.recall(["ann"], purposes=["analytics"], at=AT))
    done(store.keep_pair(PairRow("ann", "u1", "", AT - 1), "analytics"))
    assert done(store.pairs(["ann"])) == []
    done(store.keep_pair(PairRow("ann", "u1", "", AT - 1), "cross_site"))
    assert done(store.pairs(["ann"])) == [PairRow("ann", "u1", "", AT - 1)]


def test_old_pairs_go_with_old_receipts(store: Store) -> None:
    for visitor, at in (("ann", AT), ("bob", AT + 9)):
        done(store.keep_pair(PairRow(visitor, "u1", "", at), "analytics"))
    assert done(store.expire(receipts_before=AT + 9, dead_before=0.0)) == 1
    assert [row.visitor for row in done(store.pairs(["ann", "bob"]))] == ["bob"]


# finding


def test_one_id_leads_to_the_others_of_its_browser(store: Store) -> None:
    for row in (receipt("r1"), receipt("r2", "r1"), receipt("x1")):
        done(store.add_receipt(row))
    done(store.keep_pair(PairRow("ann", "u1", "r1", AT), "analytics"))
    done(store.keep_pair(PairRow("bob", "u1", "", AT), "analytics"))
    done(store.enqueue([a_row("1", visitor="bob", receipt="x1"), a_row("2", body=b'{"user_id":"u2"}', receipt="r2")]))
    found = {one: done(store.find([one])) for one in ("ann", "r1", "r2", "bob", "x1", "nobody", "")}
    hers, his = ["ann", "r1", "r2"], ["bob", "x1"]
    assert found == {"ann": hers, "r1": hers, "r2": hers, "bob": his, "x1": his, "nobody": ["nobody"], "": []}
    assert [done(store.find([], user)) for user in ("u1", "u2", "u3")] == [sorted(hers + his), hers, []]


def test_erasing_by_one_id_takes_what_it_leads_to(store: Store) -> None:
    done(store.add_receipt(receipt("r1")))
    done(store.keep_pair(PairRow("ann", "u1", "r1", AT), "analytics"))
    done(store.enqueue([a_row("1"), a_row("2", visitor="bob")]))
    assert done(store.erase(["r1"])) == 3
    assert (done(store.receipt("r1")), done(store.pairs(["ann"]))) == (None, [])
    assert [row.id for row in done(store.queued(["ann", "bob"]))] == ["2"]


def test_a_queued_event_that_only_names_its_user_is_found_by_that_name(store: Store) -> None:
    body = b'{"user_id":"u1"}'
    done(store.enqueue([a_row("1", visitor="", body=body), a_row("2", visitor="bob", body=body), a_row("3")]))
    assert [row.id for row in done(store.queued(["bob"], "u1"))] == ["1", "2"]
    assert [row.id for row in done(store.queued(["bob"]))] == ["2"]
    assert done(store.erase([], user_id="u1")) == 2
    assert [row.id for row in done(store.queued(["ann", "bob"], "u1"))] == ["3"]


# a browser that loses its identifier


def test_what_waits_of_a_visitor_is_found_by_the_first_receipt_once_the_identifier_is_gone(store: Store) -> None:
    done(store.enqueue([a_row("1"), a_row("2", visitor="bob")]))
    done(store.keep_pair(PairRow("ann", "u1", "", AT), "analytics"))
    done(store.add_receipt(receipt("r1"), visitor="ann"))
    done(store.add_receipt(receipt("r2", "r1")))
    assert [row.receipt for row in done(store.pairs(["ann"]))] == ["r1"]
    assert done(store.recall(["r2"])) == ["event-1"]


def test_a_row_that_has_a_receipt_keeps_it(store: Store) -> None:
    done(store.enqueue([a_row("1", receipt="x1")]))
    done(store.add_receipt(receipt("r1"), visitor="ann"))
    assert [row.receipt for row in done(store.queued(["ann"]))] == ["x1"]
