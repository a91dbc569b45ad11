"""A vendor in trouble is paused, one bad event is not a vendor in trouble, and no end is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consent_mw.core.terms import Outcome
from consent_mw.errors import StoreError
from consent_mw.wire.vendors import VendorAnswer
from consent_mw.world.delivery.line import TROUBLED_AFTER, Line
from consent_mw.world.delivery.turn import CONCURRENCY
from consent_mw.world.store import Store
from tests.world.ledgers import a_kept_ledger, told
from tests.world.test_delivery import Receiver, Sending, a_row, receiving, run, to

AGAIN = VendorAnswer(None)
MOST = TROUBLED_AFTER + CONCURRENCY
"""Requests that are under way at most when a pause begins, and those before it."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_kept_ledger(tmp_path / "consent.db")
    yield opened
    opened.close()


def strangers(number: int) -> list[Any]:
    return [a_row(str(one), visitor=f"v{one}") for one in range(number)]


# what an answer says of the vendor


def test_failures_of_different_events_pause_a_vendor() -> None:
    line = Line()
    for number in range(TROUBLED_AFTER):
        assert line.pause == 0
        line.judge(500, [AGAIN], str(number))
    assert (line.failures, 0 < line.pause <= 0.5) == (1, True)


def test_an_event_that_fails_over_and_over_pauses_nobody() -> None:
    line = Line()
    for _ in range(10 * TROUBLED_AFTER):
        line.judge(500, [AGAIN], "bad")
    assert (line.failures, line.pause) == (0, 0.0)


def test_a_success_in_between_begins_the_count_anew() -> None:
    line = Line()
    for number in range(10 * TROUBLED_AFTER):
        line.judge(500, [AGAIN], str(number))
        line.judge(200, [VendorAnswer(Outcome.ACCEPTED)], "good")
    assert (line.failures, line.pause) == (0, 0.0)


def test_after_a_pause_one_more_failure_is_a_longer_pause() -> None:
    line = Line()
    for number in range(TROUBLED_AFTER):
        line.judge(502, [AGAIN], str(number))
    for failures in (2, 3, 4):
        line.paused_until = 0.0
        line.judge(502, [AGAIN], "0")
        # With jitter it is half of the longest wait, at least.
        assert (line.failures, line.pause > 0.24 * 2 ** (failures - 1)) == (failures, True)


def test_what_fails_together_counts_once() -> None:
    line = Line()
    for _ in range(CONCURRENCY):
        line.judge(503, [AGAIN], "0")
    assert (line.failures, 0 < line.pause <= 0.5) == (1, True)


def test_a_longer_wait_that_the_vendor_asks_for_is_kept() -> None:
    line = Line()
    line.judge(429, [VendorAnswer(None, after=60.0)], "0")
    line.judge(429, [VendorAnswer(None, after=30.0)], "1")
    assert 59 < line.pause <= 60


def test_an_answer_that_names_events_speaks_of_those() -> None:
    line = Line()
    for number in range(TROUBLED_AFTER):
        line.judge(500, [AGAIN, VendorAnswer(None, named=True)], str(number))
    assert (line.failures, line.pause) == (0, 0.0)


# a vendor that really fails


def test_a_vendor_that_fails_at_every_event_is_not_asked_for_every_event(store: Store) -> None:
    async def journey() -> None:
        async with receiving("500 Oops") as receiver, Sending(store, to(receiver)) as sending:
            await sending.queue(*strangers(100))
            line = sending.delivery._lines["insights"]
            await sending.until(lambda: line.pause)
            assert (len(receiver.ids) <= MOST, await sending.pending()) == (True, 100)

    run(journey)


def test_a_vendor_that_recovers_gets_everything(store: Store) -> None:
    async def journey() -> None:
        answers = [*["500 Oops"] * (TROUBLED_AFTER + 1), "200 OK"]
        async with receiving(*answers) as receiver, Sending(store, to(receiver)) as sending:
            await sending.queue(*strangers(12))
            await sending.until(lambda: len(sending.told()) == 12, 18.0)
            assert sorted(receiver.ids[TROUBLED_AFTER + 1 :]) == sorted(str(one) for one in range(12))
            line = sending.delivery._lines["insights"]
            assert (line.failures, line.pause, line.failed) == (0, 0.0, set())

    run(journey)


def test_an_event_that_a_vendor_cannot_take_holds_nobody_up(store: Store) -> None:
    async def judge(receiver: Receiver, number: int, writer: asyncio.StreamWriter) -> None:
        status = "500 Oops" if receiver.ids[number] == "bad" else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())

    async def journey() -> None:
        async with receiving(judge) as receiver, Sending(store, to(receiver)) as sending:
            await sending.queue(a_row("bad", visitor="bad"))
            await sending.until(lambda: receiver.ids.count("bad") == 2)
            await sending.queue(*strangers(20))
            await sending.until(lambda: len(sending.told()) == 20)
            assert sending.delivery._lines["insights"].failures == 0

    run(journey)


# a store that fails


def test_an_end_that_could_not_be_noted_is_noted_later_and_the_event_not_sent_again(
    store: Store, tmp_path: Path
) -> None:
    """From the vendor's answer on nothing can be written for a while, as on a full disk."""

    async def ask(pragma: str) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(pragma)

        # Done together with what fails from then on, it may be told to have failed as well.
        with contextlib.suppress(StoreError):
            await asyncio.wrap_future(store._writer.ask(work, writes=False))  # type: ignore[attr-defined]

    async def fails_from_now(receiver: Receiver, number: int, writer: asyncio.StreamWriter) -> None:
        await ask("PRAGMA query_only = ON")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async def journey() -> None:
        async with receiving(fails_from_now) as receiver, Sending(store, to(receiver)) as sending:
            await sending.queue(a_row("1"))
            line = sending.delivery._lines["insights"]
            await sending.until(lambda: line.unsettled)
            assert (sending.told(), store.healthy) == ([], False)
            await ask("PRAGMA query_only = OFF")
            await sending.until(sending.told)
            assert (receiver.ids, sending.told(), await sending.pending()) == (["1"], ["accepted"], 0)

    run(journey)
    assert [(kind, outcome) for kind, _, outcome, _ in told(tmp_path / "consent.db")] == [
        ("opened", ""),
        ("policy", ""),
        ("delivery", "accepted"),
    ]
