"""The store of another process answers as the store itself does, and its absence is an answer too."""

from __future__ import annotations

import asyncio
import marshal
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest

from consent_mw.errors import StoreError, StoreFullError
from consent_mw.world.store import OutboxRow, ReceiptRow, Settlement, Store, open_store
from consent_mw.world.store.remote import CALLS, MOST_ASKED, RemoteStore, StoreDesk

T = TypeVar("T")
NOW = 1_527_000_000.0
ROW_REST = ("seg", "e1", "page_view", b"{}", "ann", "", "eea", "analytics", "p1", NOW)
RECEIPT = ReceiptRow("r1", "r1", "", int(NOW), "jws")
ROW = OutboxRow("1", "seg", "e1", "page_view", b"\x00{}", "ann", "r1", "eea", "analytics", "p1", NOW)


class Wire:
    """A remote store and the desk that it asks, over messages that really go through bytes."""

    def __init__(self, store: Store) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.queued = 0
        self.remote = RemoteStore(self._to_desk)
        self.desk = StoreDesk(store, self._to_remote, self._kept)

    def _to_desk(self, message: tuple[Any, ...]) -> None:
        self.sent.append(message)
        self.desk.hear(marshal.loads(marshal.dumps(message))[1])

    def _to_remote(self, message: tuple[Any, ...]) -> None:
        self.remote.hear(*marshal.loads(marshal.dumps(message))[1:])

    def _kept(self) -> None:
        self.queued += 1


def wired(file: Path, work: Callable[[Wire], Awaitable[T]], *, max_size: int = 1_000_000) -> T:
    """What comes of this work with a store of a real file behind the wire."""

    async def run() -> T:
        store = open_store(f"sqlite:///{file}", max_size=max_size)
        try:
            return await asyncio.wait_for(work(Wire(store)), 20)
        finally:
            await asyncio.to_thread(store.close)

    return asyncio.run(run())


async def done(future: Future[T]) -> T:
    return await asyncio.wrap_future(future)


def test_every_call_of_a_store_can_be_asked_from_afar() -> None:
    public = {name for name in vars(Store) if not name.startswith("_")}
    assert public == {name for name in vars(RemoteStore) if not name.startswith("_")} - {"hear", "lost"}
    assert public - CALLS == {"healthy", "dropped", "head", "taken_back", "close"}


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    async def work(wire: Wire) -> list[object]:
        store = wire.remote
        await done(store.add_receipt(RECEIPT))
        await done(store.enqueue([ROW]))
        return [
            await done(store.receipt("r1")),
            await done(store.receipt("none")),
            await done(store.receipts("r1")),
            await done(store.pending("seg")),
            await done(store.next_due("seg")),
            await done(store.claim("seg", 10, NOW, 60.0)),
            await done(store.held(["1", "2"])),
            await done(store.settle([Settlement("1", retry_at=NOW + 9)])),
            await done(store.next_due("seg")),
            await done(store.recall_others(["other"])),
            await done(store.erase(["ann"], receipt="r1")),
            await done(store.expire(receipts_before=NOW, dead_before=NOW)),
        ]

    claimed = OutboxRow("1", "seg", "e1", "page_view", b"\x00{}", "ann", "r1", "eea", "analytics", "p1", NOW, 1)
    told = [RECEIPT, None, [RECEIPT], 1, 0.0, [claimed], frozenset({"1"}), None, NOW + 9, {"seg": 1}, 1, 0]
    assert wired(tmp_path / "c.db", work) == told


def test_what_is_asked_in_one_turn_is_one_message_and_delivery_is_woken_once(tmp_path: Path) -> None:
    async def work(wire: Wire) -> tuple[int, int]:
        rows = [OutboxRow(str(number), *ROW_REST) for number in range(50)]
        await asyncio.gather(*(done(wire.remote.enqueue([row])) for row in rows))
        return len(wire.sent), await done(wire.remote.pending())

    assert wired(tmp_path / "c.db", work) == (1, 50)


def test_delivery_hears_of_events_that_are_kept(tmp_path: Path) -> None:
    async def work(wire: Wire) -> list[int]:
        await done(wire.remote.add_receipt(RECEIPT))
        before = wire.queued
        await done(wire.remote.enqueue([ROW]))
        return [before, wire.queued]

    assert wired(tmp_path / "c.db", work) == [0, 1]


def test_a_full_outbox_is_told_as_full(tmp_path: Path) -> None:
    async def work(wire: Wire) -> list[str]:
        with pytest.raises(StoreFullError) as full:
            await done(wire.remote.enqueue([ROW]))
        return [str(full.value)]

    assert wired(tmp_path / "c.db", work, max_size=2) == ["these events are larger than the whole outbox"]


def test_what_is_no_call_is_refused(tmp_path: Path) -> None:
    async def work(wire: Wire) -> str:
        with pytest.raises(StoreError) as refused:
            await done(wire.remote._ask("close"))
        return str(refused.value)

    assert wired(tmp_path / "c.db", work) == "`close` is not asked for from afar"


def test_a_store_that_failed_is_told_without_being_asked(tmp_path: Path) -> None:
    async def work(wire: Wire) -> list[bool]:
        store: Any = wire.desk._store
        told = [wire.remote.healthy]
        for healthy in (False, True):
            store._writer._healthy = healthy
            wire.desk.tell()
            told.append(wire.remote.healthy)
        return told

    assert wired(tmp_path / "c.db", work) == [True, False, True]


def test_with_the_other_side_gone_everything_fails_at_once() -> None:
    async def run() -> list[str]:
        store = RemoteStore(lambda message: None)
        waiting = store.enqueue([ROW])
        store.lost()
        told = []
        for future in (waiting, store.receipt("r1")):
            with pytest.raises(StoreError) as error:
                await done(future)
            told.append(str(error.value))
        assert not store.healthy
        return told

    assert asyncio.run(run()) == ["the process that keeps the store is gone", "the store is closed"]


def test_more_than_is_answered_is_not_piled_up() -> None:
    async def run() -> None:
        store = RemoteStore(lambda message: None)
        for _ in range(MOST_ASKED):
            store.pending()
        with pytest.raises(StoreError, match="does not keep up"):
            await done(store.pending())

    asyncio.run(run())


def test_closing_waits_for_what_was_asked(tmp_path: Path) -> None:
    async def work(wire: Wire) -> list[bool]:
        asked = [wire.remote.enqueue([ROW]), wire.remote.add_receipt(RECEIPT)]
        await asyncio.to_thread(wire.remote.close)
        return [one.done() and one.exception() is None for one in asked]

    assert wired(tmp_path / "c.db", work) == [True, True]
