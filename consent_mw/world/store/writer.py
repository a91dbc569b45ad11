"""The one thread that reads and writes a SQLite file: what is asked together is committed together.

Rule: a future resolves only after its group is on disk; nobody can cancel what was asked, so a recall is never lost.
Rule: a request that fails takes back its own part only, and never the thread.
Rule: when nothing is asked, and every few seconds when much is, the write-ahead log is emptied, so that it holds
      nothing of what is gone; a store that had failed is tried again.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from consent_mw.errors import StoreError

T = TypeVar("T")

COMMIT_WITHIN: Final = 0.03
"""Seconds that the first request of a group may wait for others; what hands rows over takes its share of 50 ms."""

LARGEST_GROUP: Final = 5000

IDLE_AFTER: Final = 0.5
"""Seconds without a request after which the write-ahead log is emptied."""

EMPTIED_EVERY: Final = 5.0
"""Seconds after which the write-ahead log is emptied although there is no rest."""

BUSY_FOR: Final = 5.0
"""Seconds that another process may hold the file before a request fails."""


class Journal(Protocol):
    """What is written at the end of a transaction that its requests made notes for."""

    def noted(self) -> int:
        """How much was noted in this transaction."""

    def back(self, noted: int) -> None:
        """Forget what was noted since."""

    def write(self, db: sqlite3.Connection) -> None:
        """Write what was noted."""

    def kept(self) -> None:
        """What was written is on disk."""

    def lost(self) -> None:
        """What was written is not on disk."""


@dataclass(slots=True)
class _Request:
    work: Callable[[sqlite3.Connection], Any]
    future: Future[Any]
    hurried: bool
    writes: bool
    committed: Callable[[], None] | None


class Writer:
    """Does work on one connection in one thread. `prepare` makes or checks the schema, inside a transaction.

    Raises StoreError where the file cannot be opened, made or understood.
    """

    def __init__(
        self,
        path: str,
        prepare: Callable[[sqlite3.Connection], None],
        probe: str,
        journal: Journal | None = None,
    ) -> None:
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._closed = False
        self._healthy = True
        self._probe = probe
        self._journal = journal
        self._path = path
        self._file: tuple[int, int] | None = None
        self._emptied = time.monotonic()
        opened: Future[None] = Future()
        arguments = (path, prepare, opened)
        self._thread = threading.Thread(target=self._run, args=arguments, name="consent_mw-store", daemon=True)
        self._thread.start()
        opened.result()

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""
        return self._healthy and not self._closed

    def ask(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        hurried: bool = False,
        writes: bool = True,
        committed: Callable[[], None] | None = None,
    ) -> Future[T]:
        """Have this work done and committed; `hurried` ends the wait for others. The future fails with StoreError;
        `committed` is called in the writer's thread before the future resolves, and not where it fails."""
        future: Future[T] = Future()
        # Running from the start: a waiter that gives up must not take back a recall, nor break set_result.
        future.set_running_or_notify_cancel()
        with self._guard:
            if not self._closed:
                self._requests.put(_Request(work, future, hurried, writes, committed))
                return future
        future.set_exception(StoreError("the store is closed"))
        return future

    def close(self) -> None:
        """Finish what was asked and close the file."""
        with self._guard:
            if not self._closed:
                self._closed = True
                self._requests.put(None)
        self._thread.join()

    def _run(self, path: str, prepare: Callable[[sqlite3.Connection], None], opened: Future[None]) -> None:
        try:
            db = _open(path, prepare)
        except (sqlite3.Error, OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            opened.set_exception(StoreError(f"the store `{path}` cannot be opened: {said}"))
            return
        self._file = _identity(path)
        opened.set_result(None)
        open_still = True
        while open_still:
            group, open_still = self._gather(db)
            if group:
                self._commit(db, group)
            if open_still and time.monotonic() - self._emptied > EMPTIED_EVERY:
                self._tidy(db)
        with contextlib.suppress(sqlite3.Error):
            db.close()

    def _gather(self, db: sqlite3.Connection) -> tuple[list[_Request], bool]:
        """The next requests that go to disk together, and whether more may follow."""
        first = self._first(db)
        if first is None:
            return [], False
        group = [first]
        until = time.monotonic() + COMMIT_WITHIN
        hurried = first.hurried
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
        return group, True

    def _first(self, db: sqlite3.Connection) -> _Request | None:
        tidy = False
        while True:
            try:
                return self._requests.get(timeout=None if tidy else IDLE_AFTER)
            except queue.Empty:
                tidy = self._tidy(db)

    def _tidy(self, db: sqlite3.Connection) -> bool:
        """Empty the log, and write again where that had failed. Returns whether nothing is left to do."""
        self._emptied = time.monotonic()
        if self._is_gone():
            self._healthy = False
            return False
        try:
            if not self._healthy:
                db.execute(self._probe)
            busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error:
            self._healthy = False
            return False
        self._healthy = True
        return not busy

    def _is_gone(self) -> bool:
        """Whether what is written would be in no file, or in one that nobody will open again."""
        return self._path != ":memory:" and _identity(self._path) != self._file

    def _commit(self, db: sqlite3.Connection, group: Sequence[_Request]) -> None:
        """Do these requests in order and commit; each answers only once it is on disk."""
        journal = self._journal
        writes = any(request.writes for request in group)
        before = db.total_changes
        try:
            if writes and self._is_gone():
                raise StoreError("its file is no longer there")
            db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            answers = [_do(db, request, journal) for request in group]
            if journal is not None:
                journal.write(db)
            db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  the thread outlives whatever one group meets
            self._healthy = self._healthy and not writes
            answers = [StoreError(f"the store failed: {error}")] * len(group)
            if journal is not None:
                journal.lost()
            with contextlib.suppress(sqlite3.Error):
                if db.in_transaction:
                    db.execute("ROLLBACK")
        else:
            if journal is not None:
                journal.kept()
            # A claim of nothing succeeds on a full disk as well.
            self._healthy = self._healthy or db.total_changes != before
        for request, answer in zip(group, answers, strict=True):
            if isinstance(answer, StoreError):
                request.future.set_exception(answer)
                continue
            if request.committed is not None:
                request.committed()
            request.future.set_result(answer)


def _identity(path: str) -> tuple[int, int] | None:
    """Which file stands at this path, if one does."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _do(db: sqlite3.Connection, request: _Request, journal: Journal | None) -> Any:
    """The answer to one request; where it fails for reasons of its own, its StoreError, and none of its changes."""
    db.execute("SAVEPOINT request")
    noted = journal.noted() if journal is not None else 0
    try:
        answer = request.work(db)
    except sqlite3.OperationalError:
        # A full or failing disk: nothing of this group can be trusted to be there.
        raise
    except Exception as error:  # noqa: BLE001  one visitor's value must not fail the others' requests
        db.execute("ROLLBACK TO request")
        if journal is not None:
            journal.back(noted)
        answer = error if isinstance(error, StoreError) else StoreError(f"the store cannot take this: {error}")
    db.execute("RELEASE request")
    return answer


def _open(path: str, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    if path != ":memory:":
        # What waits here is personal data: a new file is for its owner alone.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_FOR)
    try:
        _use_log(db)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN IMMEDIATE")
        prepare(db)
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _use_log(db: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. SQLite waits for no lock here, so that of two processes which make one file
    together the second would be told that it is locked."""
    until = time.monotonic() + BUSY_FOR
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)
