"""Rounds: one server after the other under the same load, and what each used.

Rule: a server runs only while it is measured; between its turns it is stopped where it stands.
Rule: visitors who come back have all been seen twice before anything is measured.
Rule: what is put off until after the load is measured, too: the events that still wait.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cases import Case
from load import send_once, shoot
from machine import busy_seconds
from servers import Bench, Server

WARM_UP = 1.0
DELIVERS_WITHIN = 10.0
"""Seconds of load before each measurement; seconds that waiting events are given after the last."""


@dataclass(slots=True)
class Row:
    """What was measured of one server: a figure a round in each list, None where it sat the round out."""

    case: Case
    server: Server
    rest: float
    load: float = 0.0
    position: int = 0
    rates: list[float | None] = field(default_factory=list)
    cpu: list[float | None] = field(default_factory=list)
    busy: list[float | None] = field(default_factory=list)
    p99: list[float | None] = field(default_factory=list)
    others: list[float | None] = field(default_factory=list)
    failed: int = 0
    events: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The row for the file of results."""
        return {
            "name": self.case.name,
            "rate": self.rates,
            "cpu_us": self.cpu,
            "busy": self.busy,
            "p99_ms": self.p99,
            "others": self.others,
            "rss_rest": round(self.rest, 1),
            "rss_load": round(self.load, 1),
            "failed": self.failed,
            "events": self.events,
        }

    def __str__(self) -> str:
        last = f"{self.rates[-1]:9.0f}/s {self.cpu[-1]:8.1f} µs {self.p99[-1]:8.1f} ms"
        return f"{self.case.name:18} {last}, others took {self.others[-1]:.0%} of the cores"


def in_order(rows: list[Row], number: int) -> Iterator[Row]:
    """Forwards and backwards in turn, so that nobody always follows the same one; slow ones in even rounds only."""
    for row in rows if number % 2 == 0 else reversed(rows):
        if row.case.slow and number % 2:
            for figures in (row.rates, row.cpu, row.busy, row.p99, row.others):
                figures.append(None)
            continue
        yield row


def warm_up(row: Row, visitors: Path, bench: Bench) -> None:
    """Let the server see every visitor twice, if they come back and it is fast enough for that: most of what a server
    may remember of somebody, it remembers once they came back."""
    if row.case.slow or row.case.distinct:
        return
    row.server.running.thaw()
    try:
        for _ in range(2):
            send_once(row.server.port, visitors, bench.cores.load)
    finally:
        row.server.running.freeze()


def measure(row: Row, visitors: Path, seconds: float, bench: Bench) -> None:
    """One round of this server. Raises BenchmarkError."""
    running = row.server.running
    running.thaw()
    try:
        warm = shoot(row.server.port, visitors, row.position, WARM_UP, bench.cores.load)
        before, ours, all_before = running.cpu(), _load_cpu(bench), busy_seconds(bench.cores)
        began = time.monotonic()
        shot = shoot(row.server.port, visitors, warm.position, seconds, bench.cores.load)
        passed, used = time.monotonic() - began, running.cpu() - before
        foreign = busy_seconds(bench.cores) - all_before - used - (_load_cpu(bench) - ours)
        row.load = max(row.load, running.rss())
    finally:
        running.freeze()
    row.position = shot.position
    row.failed += warm.failed + shot.failed
    each = used / shot.requests * 1e6 if shot.requests else 0.0
    row.rates.append(round(shot.rate, 1))
    row.cpu.append(round(each, 2))
    row.busy.append(round(each * shot.rate / 1e6, 3))
    row.p99.append(round(shot.p99, 3))
    row.others.append(round(max(0.0, foreign / passed / 2), 3))


def _load_cpu(bench: Bench) -> float:
    """Seconds that the site and what has been run of wrk took."""
    told = os.times()
    return (bench.origin.cpu() if bench.origin else 0.0) + told.children_user + told.children_system


def count_events(row: Row, bench: Bench) -> None:
    """Note how many events were queued and delivered under load, and what delivering one costs after it."""
    if not row.case.reports:
        return
    store = bench.folder / f"{row.case.name}.db"
    queued, waiting = _queue(store)
    running = row.server.running
    running.thaw()
    try:
        before, end, left = running.cpu(), time.monotonic() + DELIVERS_WITHIN, waiting
        while left and time.monotonic() < end:
            time.sleep(0.2)
            left = _queue(store)[1]
        used = running.cpu() - before
    finally:
        running.freeze()
    delivered = waiting - left
    row.events = {"queued": queued, "delivered_under_load": queued - waiting, "delivered_after": delivered}
    if delivered:
        row.events["us_each_after"] = round(used / delivered * 1e6, 1)


def _queue(store: Path) -> tuple[int, int]:
    """How many events were ever queued, and how many wait."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5)) as connection:
        ever = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        waiting = connection.execute("SELECT count(*) FROM outbox").fetchone()
    return (ever[0] if ever else 0), waiting[0]
