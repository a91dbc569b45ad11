"""Awaiting what the store answers, at less than asyncio's own chain of futures costs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def awaited(pending: Future[T]) -> asyncio.Future[T]:
    """A future of this loop that resolves as this one does, which whoever gives up does not cancel."""
    loop, here = asyncio.get_running_loop(), threading.get_ident()
    waiter: asyncio.Future[T] = loop.create_future()

    def tell() -> None:
        if waiter.done():
            return
        error = pending.exception()
        if error is None:
            waiter.set_result(pending.result())
        else:
            waiter.set_exception(error)

    def done(_: Future[T]) -> None:
        if threading.get_ident() == here:
            tell()
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
            loop.call_soon_threadsafe(tell)

    pending.add_done_callback(done)
    return waiter
