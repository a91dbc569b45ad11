"""What is kept about a person in a SQLite file, and what is remembered of it beside the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_mw.world.store import OutboxRow, PairRow, ReceiptRow, Store, open_store
from consent_mw.world.store.recalls import ON_THE_WAY, Recalls
from consent_mw.world.store.schema import prepare

AT = 1_527_000_000.0
SOON = AT + ON_THE_WAY / 2
LATER = AT + ON_THE_WAY


def a_row(identity: str, **more: Any) -> OutboxRow:
    made: dict[str, Any] = {"vendor": "insights", "event_id": f"event-{identity}", "kind": "page_view", "body": b"{}"}
    made |= {"visitor": "ann", "receipt": "", "jurisdiction": "elsewhere", "purpose": "analytics", "policy": "p1"}
    return OutboxRow(**{**made, "id": identity, "created": AT - 1, **more})


def done(future: Future[Any]) -> Any:
    return future.result(10)


def receipt(identity: str, root: str = "") -> ReceiptRow:
    return ReceiptRow(identity, root or identity, "", int(AT), "jws")


def kept_of(store: Store, *rows: OutboxRow) -> list[str]:
    """The ids of those of these rows that are kept."""
    done(store.enqueue(rows))
    known = {row.id for row in rows}
    return [row.id for row in done(store.queued(["ann", "r1", "r2", "r3", "x1"])) if row.id in known]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "consent.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{file}")
    yield opened
    opened.close()


def test_a_no_said_over_and_over_fills_nothing_and_holds(store: Store, file: Path) -> None:
    for number in range(100):
        done(store.recall(["ann"], at=AT + number / 10))
    done(store.recall(["ann"], at=SOON))
    rows = [
        a_row("1", created=AT + 9.8),
        a_row("2", created=SOON + ON_THE_WAY - 1),
        a_row("3", created=SOON + ON_THE_WAY),
    ]
    assert kept_of(store, *rows) == ["3"]
    db = sqlite3.connect(file)
    assert db.execute("SELECT at FROM recalls").fetchall() == [(AT,), (SOON,)]
    db.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.booleans(), st.booleans()), max_size=12))
def test_what_is_remembered_is_what_the_file_says_whatever_was_rolled_back(
    steps: list[tuple[str, bool, bool]],
) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    prepare(db)
    remembering = Recalls()
    for number, (subject, kept, looks) in enumerate(steps):
        db.execute("BEGIN")
        remembering.remember(db, [subject], None, AT + number)
        if looks:
            remembering.forbids(db, subject, "", "analytics", AT)
        db.execute("COMMIT" if kept else "ROLLBACK")
    for subject in ("ann", "bob"):
        for decided in (AT, AT + len(steps)):
            fresh = Recalls().forbids(db, subject, "", "analytics", decided)
            assert remembering.forbids(db, subject, "", "analytics", decided) == fresh
    db.close()


def test_the_same_pair_again_writes_nothing(store: Store, file: Path) -> None:
    done(store.keep_pair(PairRow("ann", "u1", "r1", AT), "analytics"))
    db = sqlite3.connect(file)
    before = db.execute("PRAGMA data_version").fetchone()
    for row in (PairRow("ann", "u1", "r1", AT + 9), PairRow("ann", "u1", "", AT + 9)):
        done(store.keep_pair(row, "analytics"))
    assert db.execute("PRAGMA data_version").fetchone() == before
    done(store.keep_pair(PairRow("ann", "u1", "r2", AT + 9), "analytics"))
    assert db.execute("SELECT * FROM pairs").fetchall() == [("ann", "u1", "r2", AT + 9)]
    db.close()
