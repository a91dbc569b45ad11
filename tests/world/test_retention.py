"""What is past its time goes by itself, and the chain stays whole."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from consent_mw.core.policy import Retention
from consent_mw.world import delivery
from tests.builders import a_vendor
from tests.world.ledgers import NOW, a_kept_ledger, a_row, deliver, done, findings, give_consent, kinds
from tests.world.test_delivery import Sending, run

VENDOR = a_vendor("insights", endpoint="http://127.0.0.1:9/in")


def numbers(file: Path) -> tuple[int, int]:
    """How many receipts and dead letters there are."""
    db = sqlite3.connect(file)
    [found] = db.execute("SELECT (SELECT count(*) FROM receipts), (SELECT count(*) FROM outbox)")
    db.close()
    return found


@pytest.mark.parametrize(
    ("kept", "left", "entries"),
    [
        pytest.param({}, (1, 1), ["opened", "choice", "delivery", "policy"], id="nothing"),
        pytest.param(
            {"receipts": 60}, (0, 1), ["opened", "choice", "delivery", "policy", "retention"], id="receipts"
        ),
        pytest.param(
            {"dead_letters": 60}, (1, 0), ["opened", "choice", "delivery", "policy", "retention"], id="dead letters"
        ),
        pytest.param({"ledger": 0}, (1, 1), ["retention", "retention"], id="the ledger"),
    ],
)
def test_each_kind_has_a_time_of_its_own(
    tmp_path: Path,
    kept: dict[str, int],
    left: tuple[int, int],
    entries: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "consent.db"
    store = a_kept_ledger(file)
    give_consent(store, "r1", at=NOW)
    done(store.enqueue([a_row("1")]))
    deliver(store, 1, "dead")
    for_ever = {"receipts": 10**10, "ledger": 10**10, "dead_letters": 10**10}

    async def journey() -> None:
        async with Sending(store, VENDOR, retention=Retention(**{**for_ever, **kept})):
            for _ in range(100):
                await asyncio.sleep(0.01)
                if numbers(file) == left and kinds(file) == entries:
                    return

    run(journey)
    store.close()
    assert (numbers(file), kinds(file)) == (left, entries)
    assert findings(file) == []


def test_it_is_looked_at_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "KEEPS_EVERY", 0.01)
    monkeypatch.setattr(delivery, "EXPIRES_EVERY", 0.0)
    file = tmp_path / "consent.db"
    store = a_kept_ledger(file)

    async def journey() -> None:
        async with Sending(store, VENDOR, retention=Retention(receipts=60)) as sending:
            for number in range(3):
                await asyncio.to_thread(give_consent, store, f"r{number}")
                await sending.until(lambda: numbers(file) == (0, 0))

    run(journey)
    store.close()
    assert kinds(file).count("retention") == 3
