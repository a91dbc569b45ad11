"""What is asked of the store in PostgreSQL, and how the requests of a group are done together.

Rule: rows that follow each other are kept by one statement: each is a way over the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from consent_mw.errors import StoreError
from consent_mw.world.store import OutboxRow
from consent_mw.world.store.grouping import Request
from consent_mw.world.store.postgres_turn import Among, Turn

ROWS_AT_ONCE: Final = 5000
"""Rows that one transaction keeps, so that what other machines recall need not wait long for it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done in a turn. `rows` are to be kept by it, together with those of its neighbours, as `run` is
    then given them; `vendor` is claimed for."""

    run: Callable[[Turn, Sequence[OutboxRow]], Any]
    among: Among = Among.ANYTHING
    vendor: str = ""
    rows: Sequence[OutboxRow] = ()


class ApartError(Exception):
    """These requests cannot be done together."""


def parts(group: Sequence[Request[Job]]) -> Iterator[list[Request[Job]]]:
    """These requests, in parts of a bounded number of rows."""
    part: list[Request[Job]] = []
    rows = 0
    for request in group:
        if part and rows + len(request.work.rows) > ROWS_AT_ONCE:
            yield part
            part, rows = [], 0
        part.append(request)
        rows += len(request.work.rows)
    yield part


def together(turn: Turn, group: Sequence[Request[Job]]) -> list[Any]:
    """Do these requests in order, those that only keep rows as one. Raises ApartError where one of them fails."""
    answers: list[Any] = []
    waiting: list[Request[Job]] = []
    for request in [*group, None]:
        if request is not None and request.work.rows:
            waiting.append(request)
            continue
        try:
            if waiting:
                answers += _kept(turn, waiting)
                waiting = []
            if request is not None:
                answers.append(request.work.run(turn, ()))
        except StoreError:
            raise ApartError from None
    return answers


def _kept(turn: Turn, requests: Sequence[Request[Job]]) -> list[Any]:
    rows = [row for request in requests for row in request.work.rows]
    return [requests[0].work.run(turn, rows)] + [None] * (len(requests) - 1)
