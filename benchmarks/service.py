"""What the consent service costs: the state a page's script asks for, and a choice that is kept for good.

Run: `make bench-service`. Through the real sidecar, and mounted in an app under granian.
Rule: a choice is answered when its receipt is committed; each comes from another person at another address.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from askers import GERMAN, Askers, Kind
from load import send_once, shoot
from machine import BenchmarkError, Running
from middleware import app_under, written
from report import Part, Target, arguments
from servers import Bench, open_bench, sidecar

STATE, CHOICE = "`GET state`", "`POST choice`, its receipt committed"
KINDS = {
    STATE: Kind("/_consent/state", answered=True),
    CHOICE: Kind("/_consent/choice", GERMAN, known=False, body='{"all": true}'),
}
CHOOSE = 40_000
"""People who choose, once each; in a slice none of them comes twice."""

COME_BACK = 1_000
COLUMNS = {"CPU µs": 1, "req/s": 0, "p99 ms": 1}


def main() -> int:
    """Measure, print and write."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=int, default=2, help="of each slice")
    options = parser.parse_args()
    part = Part("service", "Consent service")
    try:
        with open_bench() as bench:
            written(bench)
            for title, server in (
                ("through the sidecar", _sidecar(bench)),
                ("mounted, under granian", _mounted(bench)),
            ):
                try:
                    measured(part, title, server, bench, options)
                except BenchmarkError as error:
                    part.skipped[title] = str(error)
    except BenchmarkError as error:
        part.skipped["all"] = str(error)
    for table in part.tables:
        for row, bound in ((STATE, 60), (CHOICE, 300)):
            text, figure = f"CPU of {row}, {table.title}", table.figure(row, "CPU µs")
            part.targets.append(Target(text, figure, bound, at_least=False, unit=" µs", shown=".0f"))
    part.notes.append(
        "Measured elsewhere, on the machine of an earlier day: the back end of c15t takes 614 µs for its state (238 "
        "without its database) and 4,431 µs to record a choice in SQLite."
    )
    part.finish(options.out)
    return 0


@contextmanager
def _sidecar(bench: Bench) -> Iterator[tuple[Running, int]]:
    server = sidecar()(bench, "service")
    try:
        server.running.freeze()
        yield server.running, server.port
    finally:
        server.running.stop()


def _mounted(bench: Bench) -> contextlib.AbstractContextManager[tuple[Running, int]]:
    return app_under("granian", "plain", bench)


def measured(part: Part, title: str, started: Any, bench: Bench, options: Any) -> None:
    """Measure both kinds of requests at this server. Raises BenchmarkError."""
    table = part.table(title, COLUMNS, "CPU µs")
    with started as (running, port):
        for row, kind in KINDS.items():
            people = CHOOSE if kind.body else COME_BACK
            file = Askers(kind).write(bench.folder / "asks", people)
            running.thaw()
            if not kind.body:
                send_once(port, file, bench.cores.load)
            place = 0
            for number in range(options.rounds):
                before, kept = running.fine_cpu(), receipts(bench)
                shot = shoot(port, file, place, options.seconds, bench.cores.load)
                used, place = running.fine_cpu() - before, shot.position
                if kind.body and receipts(bench) - kept < shot.requests:
                    raise BenchmarkError(f"{shot.requests} choices, {receipts(bench) - kept} receipts")
                table.add(row, "CPU µs", used / shot.requests * 1e6)
                table.add(row, "req/s", shot.rate)
                table.add(row, "p99 ms", shot.p99)
                if shot.failed:
                    part.skipped[f"{row}, {title}"] = f"{shot.failed} of {shot.requests} failed"
                print(f"{title}: {row}: {table.rows[row]['CPU µs'][number]:.0f} µs", flush=True)
            running.freeze()


def receipts(bench: Bench) -> int:
    """How many receipts are kept, in all stores of this run."""
    kept = 0
    for name in ("service", "plain"):
        file = bench.folder / f"{name}.db"
        if file.exists():
            with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as db:
                kept += db.execute("SELECT count(*) FROM receipts").fetchone()[0]
    return kept


if __name__ == "__main__":
    sys.exit(main())
