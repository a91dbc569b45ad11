"""The one thread of a store: what is asked together is committed together.

Rule: a future resolves only after its group is committed; nobody can cancel what was asked, so that a recall is
      never lost.
Rule: after `close` everything that was asked has an answer, and no more is taken.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from consent_mw.errors import StoreError

W = TypeVar("W")

COMMIT_WITHIN: Final = 0.03
"""Seconds that the first request of a group may wait for others; what hands rows over takes its share of 50 ms."""

GATHERED_FOR: Final = 0.003
"""Seconds that a choice waits for others where choices come together. A commit costs the same for one as for many;
the thread sleeps meanwhile, since to be woken by each costs more than it saves."""

LARGEST_GROUP: Final = 5000

IDLE_AFTER: Final = 0.5
"""Seconds without a request after which there is time to tidy up."""


@dataclass(slots=True)
class Request(Generic[W]):
    """Work that was asked for, and the future that waits for it."""

    work: W
    future: Future[Any]
    hurried: bool
    writes: bool
    committed: Callable[[], None] | None
    gathers: bool = False

    def answer(self, value: Any) -> None:
        """Tell what came of it; `committed` is called before the future resolves, and not where it fails."""
        if isinstance(value, StoreError):
            self.future.set_exception(value)
            return
        if self.committed is not None:
            self.committed()
        self.future.set_result(value)


class Grouping(Generic[W]):
    """Gathers requests in one thread and has them done in groups, in the order in which they were asked."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[Request[W] | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._closed = False
        self._together = False
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="consent_mw-store", daemon=True)
        self._thread.start()
        opened.result()

    @property
    def closed(self) -> bool:
        """Whether no more is taken."""
        return self._closed

    def ask(
        self,
        work: W,
        *,
        hurried: bool = False,
        writes: bool = True,
        committed: Callable[[], None] | None = None,
        gathers: bool = False,
    ) -> Future[Any]:
        """Have this work done and committed; `hurried` ends the wait for others, but one that `gathers` waits a
        moment for its like where the last ones came together. The future fails with StoreError; `committed` is called
        in the store's thread before the future resolves, and not where it fails."""
        future: Future[Any] = Future()
        # Running from the start: a waiter that gives up must not take back a recall, nor break set_result.
        future.set_running_or_notify_cancel()
        with self._guard:
            if not self._closed:
                self._requests.put(Request(work, future, hurried, writes, committed, gathers))
                return future
        future.set_exception(StoreError("the store is closed"))
        return future

    def close(self) -> None:
        """Finish what was asked and end the thread."""
        with self._guard:
            if not self._closed:
                self._closed = True
                self._requests.put(None)
        self._thread.join()

    # what a store does in its thread

    def _open(self) -> None:
        """Open what is kept. Raises StoreError with a sentence."""
        raise NotImplementedError

    def _commit(self, group: Sequence[Request[W]]) -> None:
        """Do these requests in order, commit them and answer each; raises nothing."""
        raise NotImplementedError

    def _rest(self) -> float | None:
        """Nothing is asked: tidy up. Returns seconds until there may be more of that, or None."""
        raise NotImplementedError

    def _between(self) -> None:
        """A group is done, and the next may be there already."""

    def _shut(self) -> None:
        """Close what was opened."""
        raise NotImplementedError

    # the thread

    def _run(self, opened: Future[None]) -> None:
        try:
            self._open()
        except BaseException as error:  # noqa: BLE001  who opens the store waits for this thread to tell
            opened.set_exception(error)
            return
        opened.set_result(None)
        open_still = True
        while open_still:
            group, open_still = self._gather()
            if group:
                self._commit(group)
            if open_still:
                self._between()
        self._shut()

    def _gather(self) -> tuple[list[Request[W]], bool]:
        """The next requests that are committed together, and whether more may follow."""
        first = self._first()
        if first is None:
            return [], False
        group = [first]
        until = time.monotonic() + COMMIT_WITHIN
        hurried = first.hurried
        if first.gathers and self._together:
            time.sleep(GATHERED_FOR)
        while len(group) < LARGEST_GROUP:
            try:
                left = 0.0 if hurried else until - time.monotonic()
                request = self._requests.get(timeout=left) if left > 0 else self._requests.get_nowait()
            except queue.Empty:
                break
            if request is None:
                return group, False
            group.append(request)
            hurried = hurried or request.hurried
        if first.gathers:
            self._together = sum(request.gathers for request in group) > 1
        return group, True

    def _first(self) -> Request[W] | None:
        patience: float | None = IDLE_AFTER
        while True:
            try:
                return self._requests.get(timeout=patience)
            except queue.Empty:
                patience = self._rest()
