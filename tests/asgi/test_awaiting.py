"""What the store answers reaches whoever waits, from any thread, and nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from consent_mw.asgi.awaiting import awaited
from consent_mw.errors import StoreError

Tell = Callable[[Callable[[], None]], None]


def in_another_thread(tell: Callable[[], None]) -> None:
    thread = threading.Thread(target=tell)
    thread.start()
    thread.join()


def in_this_turn(tell: Callable[[], None]) -> None:
    tell()


def later(tell: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(0.01, tell)


@pytest.mark.parametrize("how", [in_another_thread, in_this_turn, later])
def test_an_answer_and_a_failure_reach_who_waits(how: Tell) -> None:
    async def visit() -> None:
        good, bad = Future[int](), Future[int]()
        waiting, failing = awaited(good), awaited(bad)
        how(lambda: good.set_result(7))
        how(lambda: bad.set_exception(StoreError("full")))
        assert await waiting == 7
        with pytest.raises(StoreError, match="full"):
            await failing

    asyncio.run(visit())


def test_what_is_there_already_is_answered() -> None:
    async def visit() -> None:
        there = Future[int]()
        there.set_result(7)
        assert await awaited(there) == 7

    asyncio.run(visit())


def test_who_gives_up_takes_nothing_back() -> None:
    async def visit() -> None:
        pending = Future[int]()
        pending.set_running_or_notify_cancel()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(awaited(pending), 0.01)
        in_another_thread(lambda: pending.set_result(7))
        assert pending.result() == 7

    asyncio.run(visit())


def test_an_answer_that_comes_after_its_loop_has_ended_troubles_nobody(caplog: pytest.LogCaptureFixture) -> None:
    pending = Future[int]()

    async def visit() -> None:
        awaited(pending)

    asyncio.run(visit())
    in_another_thread(lambda: pending.set_result(7))
    assert caplog.records == []
