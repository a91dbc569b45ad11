"""The access log: one JSON line per request, without any value that could be personal.

Rule: no address, header value or query is logged; of a path, what `[urls] redact` keeps back is hidden.
Rule: a request only notes what happened; lines are made and written by a thread of their own, a batch at a time.
Rule: of the last requests it is remembered what may be told of them (see Account), in memory and nowhere else.
Rule: a line is written whole: a batch is no longer than what a pipe takes at once, so that processes may share one.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from consent_mw.core.account import Account
from consent_mw.core.redaction import mask
from consent_mw.wire.query import clean_path

NOTES_KEPT = 10_000
"""Requests that wait for the log at most; more are not logged but counted."""

GATHERS = 0.1
"""Seconds that lines are gathered for; as long a process that is killed may owe them."""

CLOSES_WITHIN = 1.0
"""Seconds for what waits at the end."""

ACCOUNTS_KEPT = 32_768
"""Requests of which is remembered what may be told of them, twice."""

PATHS_KEPT = 2048
"""Bound of the paths whose cleaned form is remembered."""

LONGEST_SHOWN = 2048
"""Characters of a path that are logged."""

LONGEST_PATH = 2400
"""Bytes of a path's JSON, so that a line always fits a pipe's atomic write (4096 bytes on Linux)."""

_LINE = (
    b'{"time":"%b.%03dZ","id":"%b%08x","method":"%b","path":%b,'
    b'"status":%d,"ms":%.1f,"bytes":%d,"jurisdiction":"%b"}\n'
)

_NUMBER = re.compile(r"[0-9a-f]{8,16}")

Note = tuple[float, bytes, bytes, int, float, int, Account | None]


Generation = tuple[int, list[Account | None]]
"""The number of its first request, and what is remembered of each."""


class Lately:
    """What is remembered of the last requests, by number: in two generations, of which the older one goes when the
    younger one is full, and whenever one has `turned`. One thread notes, and one turns; any may ask."""

    def __init__(self, limit: int = ACCOUNTS_KEPT) -> None:
        self.turned = 0
        self._done = 0
        self._limit = limit
        self._old: Generation = (1, [])
        self._young: Generation = (1, [])

    def note(self, account: Account | None) -> int:
        """Remember this of the next request; its number."""
        first, accounts = self._young
        number = first + len(accounts)
        turned = self.turned
        if turned == self._done and len(accounts) < self._limit:
            accounts.append(account)
            return number
        self._old = self._young if turned - self._done < 2 else (number, [])
        self._young = (number, [account])
        self._done = turned
        return number

    def get(self, number: int) -> Account | None:
        """What is remembered of the request of this number. Raises LookupError."""
        left = max(0, 2 - (self.turned - self._done))
        for first, accounts in (self._young, self._old)[:left]:
            if first <= number < first + len(accounts):
                return accounts[number - first]
        raise LookupError(number)


class AccessLog:
    """Writes to a file descriptor, or nowhere where that is None. `redact` gives the patterns in force; `lost` counts
    the requests that nobody took the line of."""

    def __init__(self, descriptor: int | None, redact: Callable[[], Sequence[str]] = tuple) -> None:
        self.lost = 0
        self.on = descriptor is not None
        self._notes: deque[Note] = deque()
        self._redact = redact
        self._waits = True
        self._wake = threading.Event()
        self._end = threading.Event()
        self._lately = Lately()
        self._prefix = secrets.token_hex(6).encode()
        self._second, self._told = 0, b""
        self._shown = lru_cache(PATHS_KEPT)(_shown)
        self._writer: threading.Thread | None = None
        if descriptor is not None:
            # A pipe that nobody reads blocks whoever writes: a thread of its own, never the requests.
            arguments = (descriptor,)
            self._writer = threading.Thread(target=self._run, args=arguments, name="access-log", daemon=True)
            self._writer.start()

    def write(
        self, *, method: bytes, target: bytes, status: int, seconds: float, sent: int, account: Account | None
    ) -> None:
        """Note one request. A log that cannot be written stops no request."""
        if not self.on:
            return
        notes = self._notes
        if len(notes) >= NOTES_KEPT:
            self.lost += 1
            return
        notes.append((time.time(), method, target, status, seconds, sent, account))
        if self._waits:
            self._waits = False
            self._wake.set()

    def account(self, request: str) -> Account | None:
        """What is remembered of the request whose line has this id: None where nothing was decided about it. Raises
        LookupError where it is not remembered."""
        number = request[len(self._prefix) :]
        if not request.isascii() or not request.startswith(self._prefix.decode()) or not _NUMBER.fullmatch(number):
            raise LookupError(request)
        return self._lately.get(int(number, 16))

    def turn(self) -> None:
        """Another policy is in force: forget what was decided by those before the last one."""
        self._lately.turned += 1

    def close(self) -> None:
        """Write what waits; a pipe that nobody reads is given a second."""
        if self._writer is not None:
            self._end.set()
            self._wake.set()
            self._writer.join(CLOSES_WITHIN)

    def _run(self, descriptor: int) -> None:
        try:
            while not self._end.is_set():
                self._wake.wait()
                self._wake.clear()
                self._end.wait(GATHERS)
                # Set before the notes are taken: who notes after that wakes us again.
                self._waits = True
                self._write(descriptor)
        except OSError:
            # Nobody reads any more: the reader's end, not the requests'.
            self.on = False

    def _write(self, descriptor: int) -> None:
        redact = tuple(self._redact())
        batch = bytearray()
        while self._notes:
            line = self._line(self._notes.popleft(), redact)
            if len(batch) + len(line) > select.PIPE_BUF:
                _write_whole(descriptor, bytes(batch))
                batch.clear()
            batch += line
        _write_whole(descriptor, bytes(batch))

    def _line(self, note: Note, redact: tuple[str, ...]) -> bytes:
        at, method, target, status, seconds, sent, account = note
        second = int(at)
        if second != self._second:
            self._second = second
            self._told = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
        return _LINE % (
            self._told,
            (at - second) * 1000,
            self._prefix,
            self._lately.note(account),
            method[:32],
            self._shown(target.partition(b"?")[0], redact),
            status,
            seconds * 1000,
            sent,
            account.decision.jurisdiction.name.encode() if account is not None else b"",
        )


def _shown(path: bytes, redact: tuple[str, ...]) -> bytes:
    """The path as JSON, with what is kept back, and what looks like personal data, hidden."""
    plain = mask(clean_path(path.decode("latin-1"), redact)[:LONGEST_SHOWN])[0]
    shown = json.dumps(plain)
    return (shown if len(shown) <= LONGEST_PATH else json.dumps(plain[: LONGEST_PATH // 6])).encode()


def _write_whole(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
