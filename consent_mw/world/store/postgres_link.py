"""A connection to PostgreSQL: from a URL to a session that answers within a bound, and errors to sentences.

Rule: nothing waits longer for the server than it was given; a server that hangs is one that is gone.
Rule: a sentence names neither the URL's password nor a value that was to be stored: of what the server says only the
      kind of error is told.
Rule: off loopback the connection is encrypted, unless the URL's `sslmode` says otherwise.
"""

from __future__ import annotations

import os
import re
import time
import traceback
from collections.abc import Generator
from ipaddress import ip_address
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import psycopg
from psycopg import conninfo, errors, pq

from consent_mw.errors import StoreError, StoreFullError

T = TypeVar("T")

CONNECTS_WITHIN: Final = 3
"""Seconds that the server has to take a connection, where the URL's `connect_timeout` says nothing else."""

ANSWERS_WITHIN: Final = 5.0
"""Seconds after which a server that has not answered a statement is given up."""

STATEMENT_WITHIN: Final = 4.5
"""Seconds after which the server itself gives a statement up."""

WAITS_FOR_OTHERS: Final = 4.0
"""Seconds that a statement waits for what another machine has locked."""

HOLDS_OTHERS_UP: Final = 3.0
"""Seconds after which the server ends the transaction of a machine that has fallen silent in it."""

_SESSION: Final = f"""
SET statement_timeout = '{STATEMENT_WITHIN}s'; SET lock_timeout = '{WAITS_FOR_OTHERS}s';
SET idle_in_transaction_session_timeout = '{HOLDS_OTHERS_UP}s';
SET TimeZone = 'UTC'; SET client_min_messages = 'error'; SET default_transaction_isolation = 'read committed';
SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
# A queue's statistics are always of another time: it is to be read along its indexes, and from their ends.

_GONE: Final = ("08", "57P", "25006", "0A000", "25P03")
"""SQLSTATEs after which another connection may do: lost, shut down, to a server that only reads, or that knows tables
as they were before another machine changed them."""

_AGAIN: Final = ("40", "55P03")
"""SQLSTATEs after which the same transaction may do: deadlock, a lock that another machine held."""

_OPERATOR: Final = {
    "28": "the server does not let this user in: name or password is wrong, or its pg_hba.conf forbids it",
    "3D": "there is no such database on the server: create it, owned by this user",
    "42501": "this user may not make tables in its schema: it should own the database",
    "3F": "its search_path names no schema that exists",
}


class Link(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which nothing is waited for longer than `patience` seconds."""

    patience = ANSWERS_WITHIN

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **named: Any) -> T:
        """Wait for the server's answer; without one in time, the connection is closed. Raises OperationalError."""
        try:
            return super().wait(self._bounded(gen), *arguments, **named)
        except _OverdueError:
            self.pgconn.finish()
            raise errors.OperationalError("no answer in time") from None

    def _bounded(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """This generator, which psycopg resumes at least every tenth of a second, as long as there is patience."""
        until = time.monotonic() + self.patience
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > until:
                    raise _OverdueError
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: T = end.value
            return answer


class _OverdueError(Exception):
    """The server did not answer in time."""


def parameters(url: str) -> dict[str, Any]:
    """What this URL asks to connect with. Raises StoreError."""
    try:
        parts = urlsplit(url)
        asked: dict[str, Any] = dict(conninfo.conninfo_to_dict(url))
    except (ValueError, psycopg.Error):
        # What libpq says of it may hold a part of the password.
        raise StoreError(_UNREADABLE) from None
    if parts.netloc.count("@") > 1 or "@" in parts.path or "@" in str(asked.get("host", "")):
        raise StoreError(_UNREADABLE)
    asked.setdefault("connect_timeout", os.environ.get("PGCONNECT_TIMEOUT", CONNECTS_WITHIN))
    asked.setdefault("fallback_application_name", "consent_mw")
    if "sslmode" not in asked and "PGSSLMODE" not in os.environ:
        asked["sslmode"] = "prefer" if all(map(_stays_here, _hosts(asked))) else "require"
    return asked


_UNREADABLE: Final = (
    "the URL cannot be read; it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE, where special characters of the "
    "password are written as %40 and the like"
)


def connected(asked: dict[str, Any], *, writes: bool = True) -> Link:
    """A session as this store needs it. Raises psycopg.Error."""
    try:
        link = Link.connect(**asked, autocommit=True)
    except psycopg.Error as error:
        # A socket that was given up is open for as long as the frames that hold it, which hold each other.
        traceback.clear_frames(error.__traceback__)
        raise
    try:
        if writes and link.info.parameter_status("in_hot_standby") == "on":
            raise errors.ReadOnlySqlTransaction("a standby")
        link.execute(_SESSION, prepare=False)
    except BaseException:
        link.close()
        raise
    return link


def is_gone(error: BaseException, link: Link | None) -> bool:
    """Whether another connection may do better."""
    if link is None or link.closed or link.pgconn.status != pq.ConnStatus.OK:
        return True
    return isinstance(error, psycopg.Error) and _of(error, *_GONE)


def may_do_again(error: BaseException) -> bool:
    """Whether the same transaction may succeed when it is done again."""
    return isinstance(error, psycopg.Error) and _of(error, *_AGAIN)


def is_ours(error: BaseException) -> bool:
    """Whether one request is at fault: a value that cannot be kept, in most cases."""
    if isinstance(error, psycopg.OperationalError):
        return False
    return not isinstance(error, psycopg.Error) or not _of(error, "53", "54", "57", "58", "XX", "0A", "42", "25")


def failed(error: BaseException) -> StoreError:
    """What this error is to those who asked."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, errors.DiskFull):
        return StoreFullError("the store failed: the server's disk is full")
    return StoreError(f"the store failed: {said(error)}")


def refused(error: BaseException) -> StoreError:
    """Why no store could be opened, in a sentence for the operator."""
    if isinstance(error, StoreError):
        return error
    for state, sentence in _OPERATOR.items():
        if isinstance(error, psycopg.Error) and _of(error, state):
            return StoreError(sentence)
    return StoreError(f"no connection to the server: {said(error)}")


def said(error: BaseException) -> str:
    """The kind of this error in words."""
    if not isinstance(error, psycopg.Error):
        return "a value cannot be written"
    text = str(error).lower()
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return "it is a standby, which only reads"
    if error.sqlstate is None:
        for sign, words in _SIGNS:
            if sign in text:
                return words
        return "the connection was lost"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    return f"{words} ({error.sqlstate})"


# libpq has no codes for what happens before the server answers.
_SIGNS: Final = (
    ("does not support ssl", "it speaks no TLS; where the way to it is trusted, say so with ?sslmode=disable"),
    ("certificate", "its certificate is not one that `sslmode` accepts"),
    ("no password supplied", "it asks for a password and the URL has none"),
    ("authentication failed", "it does not let this user in: name or password is wrong"),
    ("pg_hba.conf", "its pg_hba.conf does not let this user in from here"),
    ("ssl negotiation", "what listens there is no PostgreSQL"),
    ("role ", "it does not know this user"),
    ("database ", "it has no such database: create it, owned by this user"),
    ("connection slots", "it has too many connections"),
    ("too many connections", "it has too many connections"),
    ("starting up", "it is starting up"),
    ("shutting down", "it is shutting down"),
    ("translate host name", "there is no host of that name"),
    ("name or service not known", "there is no host of that name"),
    ("no address associated", "there is no host of that name"),
    ("temporary failure in name resolution", "there is no host of that name"),
    ("connection refused", "nobody listens at that host and port"),
    ("no such file or directory", "nobody listens at that socket"),
    ("timeout", "it does not answer in time"),
    ("no answer in time", "it does not answer in time"),
    ("fatal:", "it refuses the connection"),
)


def _of(error: psycopg.Error, *states: str) -> bool:
    return error.sqlstate is not None and error.sqlstate.startswith(states)


def _hosts(asked: dict[str, Any]) -> list[str]:
    named = asked.get("hostaddr") or asked.get("host") or os.environ.get("PGHOST", "")
    return str(named).split(",")


def _stays_here(host: str) -> bool:
    """Whether what is sent to this host (or socket) stays on this machine."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
