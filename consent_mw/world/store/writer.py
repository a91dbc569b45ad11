"""The one thread that reads and writes a SQLite file.

Rule: a request that fails takes back its own part only, and never the thread.
Rule: when nothing is asked, and every few seconds when much is, the write-ahead log is emptied, so that it holds
      nothing of what is gone; a store that had failed is tried again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from consent_mw.errors import StoreError
from consent_mw.world.store.grouping import IDLE_AFTER, Grouping, Request

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


Work = Callable[[sqlite3.Connection], Any]


class Writer(Grouping[Work]):
    """Does work on one connection in one thread. `prepare` makes or checks the schema, inside a transaction.

    Raises StoreError where the file cannot be opened, made or understood.
    """

    _db: sqlite3.Connection

    def __init__(
        self,
        path: str,
        prepare: Callable[[sqlite3.Connection], None],
        probe: str,
        journal: Journal | None = None,
    ) -> None:
        self._healthy = True
        self._prepare = prepare
        self._probe = probe
        self._journal = journal
        self._path = path
        self._file: tuple[int, int] | None = None
        self._emptied = time.monotonic()
        super().__init__()

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""
        return self._healthy and not self._closed

    def _open(self) -> None:
        try:
            self._db = _open(self._path, self._prepare)
        except (sqlite3.Error, OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise StoreError(f"the store `{self._path}` cannot be opened: {said}") from None
        self._file = _identity(self._path)

    def _shut(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _rest(self) -> float | None:
        return None if self._tidy() else IDLE_AFTER

    def _between(self) -> None:
        if time.monotonic() - self._emptied > EMPTIED_EVERY:
            self._tidy()

    def _tidy(self) -> bool:
        """Empty the log, and write again where that had failed. Returns whether nothing is left to do."""
        db = self._db
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

    def _commit(self, group: Sequence[Request[Work]]) -> None:
        db, journal = self._db, self._journal
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
            request.answer(answer)


def _identity(path: str) -> tuple[int, int] | None:
    """Which file stands at this path, if one does."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _do(db: sqlite3.Connection, request: Request[Work], journal: Journal | None) -> Any:
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
