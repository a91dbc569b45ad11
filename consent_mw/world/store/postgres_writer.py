"""The one thread that reads and writes a PostgreSQL database for this machine.

Rule: what was asked is done again where the connection was lost, a short while long, and only where the transaction
      is known not to have been committed; where that stays unknown, it fails.
Rule: while the server is gone, what is asked fails at once, and the server is looked for every second.
Rule: a request that fails takes back its own part only.
Rule: rows that are gone are vacuumed away when there is time, and now and then when there is none.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg

from consent_mw.errors import StoreError
from consent_mw.world.store.grouping import Grouping, Request
from consent_mw.world.store.ledger import Ledger
from consent_mw.world.store.postgres_jobs import ApartError, Job, parts, together
from consent_mw.world.store.postgres_link import (
    Link,
    connected,
    failed,
    is_gone,
    is_ours,
    may_do_again,
    parameters,
    refused,
)
from consent_mw.world.store.postgres_schema import prepare
from consent_mw.world.store.postgres_tidy import Tidy, leave
from consent_mw.world.store.postgres_turn import LEAST_SKEW, Among, Turn

DONE_AGAIN_FOR: Final = 3.0
"""Seconds in which what was asked is done again, as while a server restarts."""

LOOKED_FOR_EVERY: Final = 1.0
"""Seconds between attempts to connect to a server that is gone."""

LEAVES_WITHIN: Final = 1.0
"""Seconds that the server has to take leave of a machine."""

ASKED_EVERY: Final = 5.0
"""Seconds of rest after which the server is asked whether it is there."""


class PostgresWriter(Grouping[Job]):
    """Does jobs over one connection in one thread. Raises StoreError where there is no database that is ours."""

    def __init__(self, url: str, ledger: Ledger | None = None) -> None:
        self._ledger = ledger
        self._asked = parameters(url)
        self._name = secrets.token_hex(8)
        self._link: Link | None = None
        self._number = 0
        self._begun = False
        self._doubt: tuple[int, list[Any]] | None = None
        self._skew = 0.0
        self._healthy = True
        self._gone_until = 0.0
        self._tidy = Tidy(self._asked)
        self._looked = 0.0
        self.dropped = 0
        super().__init__()

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""
        return self._healthy and not self._closed

    # the thread's life

    def _open(self) -> None:
        try:
            self._connection()
        except (psycopg.Error, StoreError) as error:
            raise refused(error) from None

    def _shut(self) -> None:
        self._tidy.close()
        if self._link is not None:
            self._link.patience = LEAVES_WITHIN
            with contextlib.suppress(psycopg.Error):
                leave(self._link, self._name)
            self._link.close()

    def _rest(self) -> float:
        """See whether the server is there, and tidy up."""
        now = time.monotonic()
        if now - self._looked >= (ASKED_EVERY if self._healthy else LOOKED_FOR_EVERY):
            self._looked = now
            self._look()
        if self._healthy:
            self._tidy.see_to_it(resting=True)
        return LOOKED_FOR_EVERY

    def _between(self) -> None:
        if self._healthy:
            self._tidy.see_to_it(resting=False)

    def _look(self) -> None:
        """Ask the server for nothing; after a failure, have it write."""
        try:
            link = self._connection()
            if self._healthy:
                link.execute("SELECT 1")
                return
            turn = Turn(link, self._name, self._skew)
            turn.begin(Among.ANYTHING, ())
            turn.grow(0)
            self._number += 1
            turn.commit(self._number)
            self._healthy = True
        except (psycopg.Error, StoreError) as error:
            self._healthy = False
            self._lose(error)

    # groups

    def _commit(self, group: Sequence[Request[Job]]) -> None:
        """Do these in one transaction, or in several where they keep very much."""
        for part in parts(group):
            self._commit_part(part)

    def _commit_part(self, group: Sequence[Request[Job]]) -> None:
        """Do these in one transaction; again, where it came to nothing through no fault of theirs."""
        writes = any(request.writes for request in group)
        until = time.monotonic() + (DONE_AGAIN_FOR if self._healthy else 0.0)
        pause = 0.02
        while True:
            try:
                answers = self._attempt(group, writes=writes)
                break
            except Exception as error:  # noqa: BLE001  the thread outlives whatever one group meets
                again = is_gone(error, self._link) or may_do_again(error)
                self._lose(error)
                if not again or time.monotonic() + pause > until:
                    answers = [self._given_up(error)] * len(group)
                    self._healthy = self._healthy and not (writes or again)
                    break
                time.sleep(pause)
                pause = min(pause * 2, 0.5)
        for request, answer in zip(group, answers, strict=True):
            request.answer(answer)

    def _attempt(self, group: Sequence[Request[Job]], *, writes: bool) -> list[Any]:
        link = self._connection()
        if self._doubt is not None:
            answers = self._resolve(link)
            if answers is not None:
                return self._kept(answers)
        if not writes:
            return [self._one(Turn(link, self._name, self._skew), request) for request in group]
        try:
            return self._transact(link, group, together)
        except Exception as error:
            if not isinstance(error, ApartError) and not is_ours(error):
                raise
            link.execute("ROLLBACK")
        return self._transact(link, group, self._apart)

    def _transact(
        self, link: Link, group: Sequence[Request[Job]], do: Callable[[Turn, Sequence[Request[Job]]], list[Any]]
    ) -> list[Any]:
        turn = Turn(link, self._name, self._skew)
        jobs = [request.work for request in group]
        if self._ledger is not None:
            self._ledger.lost()
        turn.begin(max(job.among for job in jobs), [job.vendor for job in jobs if job.vendor])
        answers = do(turn, group)
        if self._ledger is not None and self._ledger.noted():
            turn.lock("ledger")
            self._ledger.write(turn)
            turn.grow(0)
        self._number += 1
        if turn.changed:
            self._doubt = self._number, answers
        turn.commit(self._number)
        self._doubt = None
        self._healthy = self._healthy or turn.changed
        self.dropped += turn.dropped
        for table in turn.touched:
            self._tidy.deleted(table)
        return self._kept(answers)

    def _kept(self, answers: list[Any]) -> list[Any]:
        if self._ledger is not None:
            self._ledger.kept()
        return answers

    def _apart(self, turn: Turn, group: Sequence[Request[Job]]) -> list[Any]:
        answers = []
        for request in group:
            saved = turn.save()
            noted = self._ledger.noted() if self._ledger is not None else 0
            answer = self._one(turn, request)
            if isinstance(answer, StoreError):
                turn.back(saved)
                if self._ledger is not None:
                    self._ledger.back(noted)
            else:
                turn.go_on()
            answers.append(answer)
        return answers

    def _one(self, turn: Turn, request: Request[Job]) -> Any:
        """The answer to one request; its StoreError, where it fails for reasons of its own."""
        try:
            return request.work.run(turn, request.work.rows)
        except StoreError as error:
            return error
        except Exception as error:
            if not is_ours(error):
                raise
            return failed(error)

    # connections

    def _connection(self) -> Link:
        """The connection; a new one, where there is none. Raises psycopg.Error, StoreError."""
        if self._link is not None:
            return self._link
        if time.monotonic() < self._gone_until:
            raise StoreError("the store failed: the server is gone")
        try:
            link = connected(self._asked)
        except psycopg.Error:
            self._gone_until = time.monotonic() + (0.0 if self._healthy else LOOKED_FOR_EVERY)
            raise
        try:
            prepare(link)
            self._skew = _skew(link)
            self._begin(link)
        except BaseException:
            link.close()
            raise
        self._link = link
        return link

    def _begin(self, link: Link) -> None:
        """Make the first entry of an empty ledger."""
        if self._ledger is None or self._begun:
            return
        with link.transaction():
            turn = Turn(link, self._name, self._skew)
            turn.lock("ledger")
            self._ledger.begin(turn)
        self._begun = True

    def _lose(self, error: BaseException) -> None:
        """Take back what was begun, or let go of the connection, whatever this error left of it."""
        link = self._link
        if link is None:
            return
        if not is_gone(error, link):
            try:
                link.execute("ROLLBACK")
            except psycopg.Error:
                pass
            else:
                return
        self._link = None
        link.close()

    def _resolve(self, link: Link) -> list[Any] | None:
        """The answers of the transaction of which it is not known whether it was committed, if it was."""
        assert self._doubt is not None
        number, answers = self._doubt
        with link.transaction():
            # Waits for the server to end what the lost connection had begun.
            last = link.execute("SELECT last FROM machines WHERE name = %s FOR UPDATE", [self._name]).fetchone()
        self._doubt = None
        return answers if last is not None and last[0] >= number else None

    def _given_up(self, error: BaseException) -> StoreError:
        doubt, self._doubt = self._doubt, None
        if doubt is not None:
            return StoreError("the connection to the store was lost, and it is not known whether this was kept")
        return failed(error)


def _skew(link: Link) -> float:
    """Seconds that the server's clock is ahead of ours; none where they are about the same."""
    before = time.time()
    found = link.execute("SELECT extract(epoch FROM clock_timestamp())::double precision").fetchone()
    assert found is not None
    ahead = float(found[0]) - (before + time.time()) / 2
    return ahead if abs(ahead) >= LEAST_SKEW else 0.0
