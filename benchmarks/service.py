"""What the consent service costs: the state a page's script asks for, and a choice that is kept for good.

Run: `make bench-service`. Through the real sidecar, and mounted in an app under granian; django-cookie-consent, too.
Rule: a choice is answered when its receipt is committed; each comes from another person at another address.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from askers import GERMAN, Askers, Kind
from load import send_once, shoot
from machine import HERE, BenchmarkError, Running, free_port
from middleware import app_under, written
from report import Part, Target, arguments
from servers import Bench, open_bench, sidecar

STATE, CHOICE = "`GET state`", "`POST choice`, its receipt committed"
KINDS = {
    STATE: Kind("/_consent/state", answered=True),
    CHOICE: Kind("/_consent/choice", GERMAN, known=False, body='{"all": true}'),
}
PEER = "django-cookie-consent, under granian"
ITS_STATE, ITS_CHOICE = "`GET status/`", "`POST accept/`, its log committed"
ITS_KINDS = {
    ITS_STATE: Kind("/status/"),
    ITS_CHOICE: Kind("/accept/", body="all_groups=on", media="application/x-www-form-urlencoded"),
}
KEPT = (("service", "receipts"), ("plain", "receipts"), ("django", "cookie_consent_logitem"))
"""The stores of a run, and the table in which each keeps what was chosen."""

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
            for title, server, kinds in (
                ("through the sidecar", _sidecar(bench), KINDS),
                ("mounted, under granian", _mounted(bench), KINDS),
                (PEER, _django(bench), ITS_KINDS),
            ):
                try:
                    measured(part, title, server, kinds, bench, options)
                except BenchmarkError as error:
                    part.skipped[title] = str(error)
    except BenchmarkError as error:
        part.skipped["all"] = str(error)
    for table in (one for one in part.tables if one.title != PEER):
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


@contextmanager
def _django(bench: Bench) -> Iterator[tuple[Running, int]]:
    if find_spec("cookie_consent") is None:
        raise BenchmarkError("the Python package django-cookie-consent is not installed (`make bench-service` does)")
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--no-access-log", "--log-level", "warning"]
    command += ["--host", "127.0.0.1", "--port", str(port), "django_consent:app"]
    environment = {"PYTHONPATH": str(HERE / "peers")}
    running = Running.start("django", command, bench.cores.server, bench.folder, environment)
    try:
        running.wait_for(port)
        running.freeze()
        yield running, port
    finally:
        running.stop()


def measured(part: Part, title: str, started: Any, kinds: Mapping[str, Kind], bench: Bench, options: Any) -> None:
    """Measure these kinds of requests at this server. Raises BenchmarkError."""
    table = part.table(title, COLUMNS, "CPU µs")
    with started as (running, port):
        for row, kind in kinds.items():
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
    for name, table in KEPT:
        file = bench.folder / f"{name}.db"
        if file.exists():
            with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as db:
                kept += db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return kept


if __name__ == "__main__":
    sys.exit(main())
