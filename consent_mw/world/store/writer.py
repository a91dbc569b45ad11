"""The one thread that reads and writes a SQLite file.

Rule: a request that fails takes back its own part only, and never the thread.
Rule: when nothing is asked, and every few seconds when much is, the write-ahead log is emptied, so that it holds
      nothing of what is gone; a store that had failed is tried again.
Rule: who asks hears within a second of a file that another process holds.
Rule: nothing is written into a file that another program truncated or wrote over: it would be lost with it, or found
      among what is not ours. The file is read through a descriptor that stays open, since closing one would take
      SQLite's locks with it (fcntl(2)).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol
from urllib.parse import quote

from consent_mw.errors import StoreError
from consent_mw.world.store.grouping import IDLE_AFTER, Grouping, Request

EMPTIED_EVERY: Final = 5.0
"""Seconds after which the write-ahead log is emptied although there is no rest."""

BUSY_FOR: Final = 5.0
"""Seconds that another process may hold the file before opening it fails."""

HELD_FOR: Final = 0.75
HELD_AGAIN_FOR: Final = 0.05
"""Seconds that another process may hold the file before a request fails, and while it has been held for that long."""

LOOKED_AGAIN_AFTER: Final = 0.02
LOOKS: Final = 5
"""Seconds between looks at a file that does not look right, and how often: it may just be growing."""

_HEADER: Final = struct.Struct(">16s H 6x I I 60x I")
"""Of a SQLite file (its format, 1.3): what it is, bytes in a page, changes, pages, and the changes as of which the
pages were counted."""
_MAGIC: Final = b"SQLite format 3\0"
_HELD: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_UNSOUND: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Journal(Protocol):
    """What is written at the end of a transaction that its requests made notes for."""

    def noted(self) -> int:
        """How much was noted in this transaction."""

    def back(self, noted: int) -> None:
        """Forget what was noted since."""

    def write(self, db: sqlite3.Connection) -> None:
        """Write what was noted."""

    def stands(self, db: sqlite3.Connection) -> bool:
        """Whether what was written last is still there."""

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
        self._emptied = time.monotonic()
        self._patience = BUSY_FOR
        self._raw = -1
        self._file: tuple[int, int] | None = None
        self._left: tuple[int, int] | None = None
        self._spoilt = False
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
        if self._path != ":memory:":
            self._raw = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            self._file, self._left = _looks(self._path)

    def _shut(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        if self._raw >= 0:
            os.close(self._raw)

    def _rest(self) -> float | None:
        return None if self._tidy() else IDLE_AFTER

    def _between(self) -> None:
        if time.monotonic() - self._emptied > EMPTIED_EVERY:
            self._tidy()

    def _tidy(self) -> bool:
        """Empty the log, and write again where that had failed. Returns whether nothing is left to do."""
        db = self._db
        self._emptied = time.monotonic()
        if self._lost():
            self._healthy = False
            return False
        try:
            if not self._healthy:
                db.execute(self._probe)
                self._wait_for_others(HELD_FOR)
            # Who reads may hold this up; it is tried again.
            self._wait_for_others(HELD_AGAIN_FOR)
            busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            self._wait_for_others(HELD_FOR)
        except sqlite3.Error:
            self._healthy = False
            return False
        self._leave()
        self._healthy = True
        return not busy

    def _wait_for_others(self, seconds: float) -> None:
        """Wait this long for a lock that another process has."""
        if seconds != self._patience:
            self._patience = seconds
            self._db.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def _lost(self) -> str:
        """Why what is written would be lost, if it would: in no file, in one that nobody will open again, or in one
        that another program wrote into."""
        if self._path == ":memory:":
            return ""
        file, left = _looks(self._path)
        if file != self._file:
            return "its file is no longer there"
        if not self._spoilt and (left != self._left or not _is_whole(self._raw)):
            self._spoilt = not self._stands()
            self._left = left
        return "its file was changed by another program" if self._spoilt else ""

    def _leave(self) -> None:
        """Remember how the file looks."""
        if self._path != ":memory:":
            self._left = _looks(self._path)[1]

    def _stands(self) -> bool:
        """Whether this file, which another process wrote into, is still ours, as far as can be told at once."""
        for _ in range(LOOKS):
            if _is_whole(self._raw):
                break
            time.sleep(LOOKED_AGAIN_AFTER)
        else:
            return False
        if self._journal is None:
            return True
        # What the connection has read before it would not read again.
        try:
            with contextlib.closing(sqlite3.connect(f"file:{quote(self._path)}?mode=ro", uri=True, timeout=0)) as db:
                return self._journal.stands(db)
        except sqlite3.Error as error:
            return _code(error) in _HELD

    def _commit(self, group: Sequence[Request[Work]]) -> None:
        db, journal = self._db, self._journal
        writes = any(request.writes for request in group)
        before = db.total_changes
        try:
            if writes and (lost := self._lost()):
                raise StoreError(lost)
            db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            answers = [_do(db, request, journal) for request in group]
            if journal is not None:
                journal.write(db)
            db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  the thread outlives whatever one group meets
            self._healthy = self._healthy and not writes
            self._spoilt = self._spoilt or _code(error) in _UNSOUND
            answers = [StoreError(f"the store failed: {error}")] * len(group)
            if journal is not None:
                journal.lost()
            with contextlib.suppress(sqlite3.Error):
                if db.in_transaction:
                    db.execute("ROLLBACK")
                if _code(error) in _HELD:
                    self._wait_for_others(HELD_AGAIN_FOR)
        else:
            if writes:
                self._leave()
                self._wait_for_others(HELD_FOR)
            if journal is not None:
                journal.kept()
            # A claim of nothing succeeds on a full disk as well.
            self._healthy = self._healthy or db.total_changes != before
        for request, answer in zip(group, answers, strict=True):
            request.answer(answer)


def _code(error: Exception) -> int:
    """What SQLite calls this error; 0 where it is none of SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _looks(path: str) -> tuple[tuple[int, int], tuple[int, int]] | tuple[None, None]:
    """Which file stands at this path, if one does; its size and when it was written last."""
    try:
        found = os.stat(path)  # noqa: PTH116  with every transaction: a Path costs more than the look
    except OSError:
        return None, None
    return (found.st_dev, found.st_ino), (found.st_size, found.st_mtime_ns)


def _is_whole(raw: int) -> bool:
    """Whether this is a SQLite file with as many pages as it says."""
    try:
        header, size = os.pread(raw, _HEADER.size, 0), os.fstat(raw).st_size
    except OSError:
        return False
    if len(header) < _HEADER.size:
        return False
    magic, page, changes, pages, counted = _HEADER.unpack(header)
    holds: int = pages * (65_536 if page == 1 else page)
    return magic == _MAGIC and (changes != counted or holds <= size)


def _do(db: sqlite3.Connection, request: Request[Work], journal: Journal | None) -> Any:
    """The answer to one request; where it fails for reasons of its own, its StoreError, and none of its changes."""
    db.execute("SAVEPOINT request")
    noted = journal.noted() if journal is not None else 0
    try:
        answer = request.work(db)
    except sqlite3.OperationalError:
        # A full or failing disk: nothing of this group can be trusted to be there.
        raise
    except Exception as error:  # one visitor's value must not fail the others' requests
        if _code(error) in _UNSOUND:
            raise
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
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)
