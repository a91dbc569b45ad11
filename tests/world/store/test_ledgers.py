"""Every kind of store tells its ledger the same, and what it tells can be verified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from consent_mw.core.ledger import policy_load
from consent_mw.wire.ledger_verifier import Verifier
from consent_mw.world.store import LedgerPart, open_ledger, open_store
from tests.world.ledgers import a_book, live
from tests.world.store.conftest import Place
from tests.world.store.rows import NOW, done


def part_of(url: str) -> LedgerPart:
    ledger = open_ledger(url)
    part = ledger.part(None, 1_000_000)
    ledger.close()
    return part


def told(part: LedgerPart) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Kind, vendor, outcomes and content of every entry; of digests, which are under random keys, the number."""
    found = []
    for row in part.rows:
        body = json.loads(row.body)
        if isinstance(body.get("events"), dict):
            body["events"] = {outcome: len(digests) for outcome, digests in body["events"].items()}
        found.append((row.kind, row.vendor, row.outcome, body))
    return found


def test_the_life_of_a_site_is_told_alike_and_verifies(place: Place, tmp_path: Path) -> None:
    for store in (place.open(book=a_book()), open_store(f"sqlite:///{tmp_path / 'beside.db'}", book=a_book())):
        live(store)
        done(store.note([policy_load("2", "e" * 64, "enforce")]))
    part, beside = part_of(place.url), part_of(f"sqlite:///{tmp_path / 'beside.db'}")
    store.close()
    assert told(part) == told(beside)
    verifier = Verifier(a_book(), part.cut)
    verifier.take(part.rows)
    verifier.finish(part.head, part.cut)
    assert verifier.findings == []
    assert len(part.rows) > 10


def test_the_front_is_cut_and_the_rest_verifies(place: Place) -> None:
    store = place.open(book=a_book())
    live(store)
    before = part_of(place.url)
    assert (
        done(store.expire(receipts_before=0.0, dead_before=0.0, ledger_before=NOW * 2)) == len(before.rows) + 3
    )  # keys
    part = part_of(place.url)
    assert [row.kind for row in part.rows] == ["recall", "retention"]
    verifier = Verifier(a_book(), part.cut)
    verifier.take(part.rows)
    verifier.finish(part.head, part.cut)
    assert verifier.findings == []


@pytest.mark.parametrize("kind", ["", "delivery"])
def test_the_last_entries_are_picked_and_dead_letters_counted(place: Place, kind: str) -> None:
    store = place.open(book=a_book())
    live(store)
    rows = part_of(place.url).rows
    ledger = open_ledger(place.url)
    wanted = [row for row in reversed(rows) if not kind or row.kind == kind][:3]
    assert ledger.last(3, before=2**40, kind=kind, vendor="", outcome="") == wanted
    rejected = [row for row in reversed(rows) if "rejected" in row.outcome.split(",")]
    assert ledger.last(99, before=2**40, kind="", vendor="insights", outcome="rejected") == rejected
    assert ledger.dead_letters() == {}
    assert ledger.vendors() == {"insights", "crm"}
    ledger.close()


def test_secrets_and_public_keys_are_the_same_for_all(place: Place) -> None:
    one, two = place.open(), place.open()
    assert [done(one.secret("salt", b"a\x00")), done(two.secret("salt", b"b"))] == [b"a\x00", b"a\x00"]
    assert done(one.publish([["k1", "c1"]])) == [["k1", "c1"]]
    assert done(two.publish([["k2", "c2"], ["k1", "c3"]])) == [["k1", "c3"], ["k2", "c2"]]
