"""What the middleware costs over the same bare app, beside what else is put there: alone, under granian and uvicorn.

Run: `make bench-middleware`. The apps are those of `peers/mounted.py`.
Rule: a round measures the bare app and one middleware right after each other, with requests of the same kind and in
      the same process; a cost is the median of the rounds' differences.
Rule: all processor time of the server's process counts, the store's thread and what is delivered afterwards included.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from askers import GERMAN, KEY, Askers, Kind
from load import Shot, send_once, shoot
from machine import HERE, BenchmarkError, Running, free_port
from report import Part, Table, Target, arguments, ratio_of
from servers import DATABASE, VENDOR, Bench, open_bench

COLUMNS = {"added µs": 1, "CPU µs": 1, "bare µs": 1, "rate / bare": 2}
PEOPLE, STRANGERS = 1_000, 40_000
"""Those who come back fit into what is remembered; of strangers there are more than that."""

DELIVERS_WITHIN = 30.0
SETTLES_WITHIN = 2.0
SERVERS = {
    "granian": ("-m", "granian", "--interface", "asginl", "--loop", "uvloop", "--no-access-log", "--http", "1",
                "--runtime-mode", "st", "--log-level", "warning"),
    "uvicorn": ("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--lifespan", "off",
                "--log-level", "warning", "--timeout-keep-alive", "3600"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One row: the requests, and how many people send them. `slow` is called less often."""

    kind: Kind
    people: int = PEOPLE
    slow: bool = False

    @property
    def app(self) -> str:
        """The app, by the first part of the path."""
        return self.kind.path.split("/", 2)[1]

    @property
    def bare(self) -> Kind:
        """The same requests to the bare app."""
        return replace(self.kind, path=self.kind.path.replace(self.app, "bare", 1))


HAND, TURNING = "by hand: Request, itsdangerous, http.cookies, maxminddb, user_agents", "the same, 400 user agents"
SUBRESOURCE, PAGE, EVENT = "**ours**: subresource", "**ours**: page, returning", "**ours**: page, with its event"
NEW = "**ours**: page, new visitor"
PAGE_TURNING = "**ours**: page, returning, 400 user agents"
SESSION = "Starlette's SessionMiddleware"
CASES = {
    SUBRESOURCE: Case(Kind("/plain/a.css", answered=True, style=True)),
    PAGE: Case(Kind("/plain/articles/7", answered=True)),
    PAGE_TURNING: Case(Kind("/plain/articles/7", answered=True, agents=400)),
    EVENT: Case(Kind("/events/articles/7", answered=True)),
    "**ours**: page, tokens verified the first time": Case(Kind("/plain/articles/7", answered=True), STRANGERS),
    NEW: Case(Kind("/plain/articles/7", known=False), STRANGERS),
    "**ours**: opt-in page, no answer, no banner": Case(Kind("/plain/articles/7", GERMAN, known=False)),
    "**ours**: opt-in page, no answer, banner put in and coded": Case(
        Kind("/asking/articles/7", GERMAN, known=False)
    ),
    SESSION: Case(Kind("/session/articles/7")),
    "BaseHTTPMiddleware, reads a cookie, sets a field": Case(Kind("/base/articles/7")),
    HAND: Case(Kind("/hand/articles/7"), slow=True),
    TURNING: Case(Kind("/hand/articles/7", agents=400), slow=True),
}


def main() -> int:
    """Measure, print and write."""
    parser = arguments(__doc__)
    parser.add_argument("--servers", default="granian,uvicorn")
    parser.add_argument("--seconds", type=int, default=1, help="of each slice")
    options = parser.parse_args()
    part = Part("middleware", "Middleware over the same bare ASGI app")
    try:
        with open_bench() as bench:
            written(bench)
            called(part.table("called alone", {"added µs": 1, "CPU µs": 1, "bare µs": 1}, "added µs"), bench, options)
            for name in options.servers.split(","):
                served(part, name, bench, options)
    except BenchmarkError as error:
        part.skipped["under a server"] = str(error)
    judge(part)
    part.notes.append(
        f"What page views with an event cost has its delivery to a vendor in it. Rounds: {options.rounds}."
    )
    part.finish(options.out)
    return 0


def written(bench: Bench) -> None:
    """The policies that the apps load, and where to find them."""
    vendor = VENDOR.format(kind="segment", port=bench.sink)
    for name, banner, more in (("plain", "none", ""), ("asking", "ask", ""), ("events", "none", vendor)):
        bench.written("policy.toml", f"{name}.toml", {"BANNER": banner, "VENDOR": more})
    os.environ |= {"MOUNTED_FOLDER": str(bench.folder), "MOUNTED_KEY": KEY, "MOUNTED_DATABASE": str(DATABASE)}


# called alone


def called(table: Table, bench: Bench, options: Any) -> None:
    """What the calls cost, without a server: nothing is delivered, so that there is no row with events."""
    os.sched_setaffinity(0, {bench.cores.server})
    sys.path.append(str(HERE / "peers"))
    try:
        asyncio.run(_called(table, options.rounds))
    finally:
        os.sched_setaffinity(0, {bench.cores.server, bench.cores.load})


async def _called(table: Table, rounds: int) -> None:
    app = import_module("mounted").app
    for name, case in CASES.items():
        if case.app == "events":
            continue
        count = 200 if case.slow else PEOPLE
        ours = [scope_of(raw) for raw in Askers(case.kind).requests(min(case.people, count * (rounds + 1)))]
        bare = [scope_of(raw) for raw in Askers(case.bare).requests(count)]
        await spent(app, ours[:count])
        for number in range(rounds):
            # Strangers go on where they were; who comes back begins again.
            begin = count * (number + 1) % len(ours)
            without, with_it = await spent(app, bare), await spent(app, ours[begin : begin + count])
            table.add(name, "added µs", with_it - without)
            table.add(name, "CPU µs", with_it)
            table.add(name, "bare µs", without)
    for one in import_module("mounted").APPS.values():
        if hasattr(one, "gate"):
            await one.gate.stop(0)


def scope_of(raw: bytes) -> dict[str, Any]:
    """The ASGI scope of this request."""
    head = raw.partition(b"\r\n\r\n")[0]
    line, *lines = head.split(b"\r\n")
    pairs = (one.partition(b": ") for one in lines)
    path = line.split(b" ")[1]
    return {
        "type": "http", "method": "GET", "path": path.decode(), "raw_path": path, "query_string": b"",
        "scheme": "http", "headers": [(name.lower(), value) for name, _, value in pairs],
        "client": ("127.0.0.1", 1), "http_version": "1.1", "root_path": "",
    }  # fmt: skip


async def spent(app: Any, scopes: list[dict[str, Any]]) -> float:
    """CPU microseconds of a call, of all threads."""

    async def send(message: Any) -> None:
        return

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    began = time.process_time()
    for scope in scopes:
        await app(dict(scope), receive, send)
    return (time.process_time() - began) / len(scopes) * 1e6


# under a server


def served(part: Part, name: str, bench: Bench, options: Any) -> None:
    """What a request costs under this server."""
    if find_spec(name) is None:
        part.skipped[name] = f"the Python package {name} is not installed"
        return
    table = part.table(f"under {name}", COLUMNS, "added µs")
    with app_under(name, "plain", bench) as (plain, port), app_under(name, "events", bench) as (events, second):
        for row, case in CASES.items():
            running, at = (events, second) if case.app == "events" else (plain, port)
            bare, asked = (
                Askers(kind).write(bench.folder / file, case.people)
                for kind, file in ((case.bare, "asks-bare"), (case.kind, "asks"))
            )
            warm(running, at, asked, case, bench)
            place = 0
            for _ in range(options.rounds):
                without, spent_bare, _ = slice_of(plain, port, bare, 0, options.seconds, bench)
                with_it, spent_ours, place = slice_of(running, at, asked, place, options.seconds, bench)
                table.add(row, "added µs", spent_ours - spent_bare)
                table.add(row, "CPU µs", spent_ours)
                table.add(row, "bare µs", spent_bare)
                table.add(row, "rate / bare", with_it.rate / without.rate)
                if with_it.failed or without.failed:
                    part.skipped[f"{row} under {name}"] = f"{with_it.failed + without.failed} requests failed"
            added = statistics.median(table.rows[row]["added µs"])
            print(f"{name}: {row}: + {added:.1f} µs", flush=True)


@contextmanager
def app_under(name: str, which: str, bench: Bench) -> Iterator[tuple[Running, int]]:
    """A server of one worker with the apps of this sort, stopped where it stands."""
    port = free_port()
    env = {"MOUNTED": which, "PYTHONPATH": str(HERE / "peers")}
    command = [sys.executable, *SERVERS[name], "--host", "127.0.0.1", "--port", str(port), "mounted:app"]
    running = Running.start(f"{name}-{which}", command, bench.cores.server, bench.folder, env)
    try:
        running.wait_for(port)
        running.freeze()
        yield running, port
    finally:
        running.stop()


def warm(running: Running, port: int, asked: Path, case: Case, bench: Bench) -> None:
    """Have everybody who comes back seen once."""
    if case.people > PEOPLE or case.slow:
        return
    running.thaw()
    try:
        for _ in range(3):
            send_once(port, asked, bench.cores.load)
        # What is worked out at the first use, such as the patterns of user agents, comes a little later.
        time.sleep(SETTLES_WITHIN)
        delivered(running, bench)
    finally:
        running.freeze()


def slice_of(
    running: Running, port: int, asked: Path, place: int, seconds: int, bench: Bench
) -> tuple[Shot, float, int]:
    """One slice of load: what wrk saw, CPU microseconds of a request, and where to go on."""
    running.thaw()
    try:
        before = running.fine_cpu()
        shot = shoot(port, asked, place, seconds, bench.cores.load)
        delivered(running, bench)
        used = running.fine_cpu() - before
    finally:
        running.freeze()
    if not shot.requests:
        raise BenchmarkError(f"{running.name} answered nothing: {running.last_words()}")
    return shot, used / shot.requests * 1e6, shot.position


def delivered(running: Running, bench: Bench) -> None:
    """Wait until no event of this server waits. Raises BenchmarkError where one does for too long."""
    file = bench.folder / "events.db"
    if not running.name.endswith("events") or not file.exists():
        return
    end = time.monotonic() + DELIVERS_WITHIN
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)
    try:
        while connection.execute("SELECT count(*) FROM outbox").fetchone()[0]:
            if time.monotonic() > end:
                raise BenchmarkError("events are not delivered")
            time.sleep(0.05)
    finally:
        connection.close()


def judge(part: Part) -> None:
    """The targets: CPU added under granian, and what it is to the peers'."""
    table = next((one for one in part.tables if one.title == "under granian"), Table("", {}))

    def added(row: str) -> float | None:
        return table.figure(row, "added µs")

    def cost(text: str, row: str, bound: float) -> Target:
        return Target(f"CPU added under granian, {text}", added(row), bound, at_least=False, unit=" µs", shown=".1f")

    part.targets += [
        cost("subresource", SUBRESOURCE, 3),
        cost("returning visitor's page", PAGE, 6),
        cost("returning visitor's page with its event", EVENT, 20),
        cost("new visitor's page", NEW, 25),
        Target(
            "rate to bare, returning visitor's page",
            table.figure(PAGE, "rate / bare"),
            0.9,
            at_least=True,
            by_cpu=ratio_of(table.figure(PAGE, "bare µs"), table.figure(PAGE, "CPU µs")),
        ),
        Target("cost to SessionMiddleware's", ratio_of(added(PAGE), added(SESSION)), 1 / 3, at_least=False),
        Target("cost to what is written by hand", ratio_of(added(PAGE), added(HAND)), 1 / 20, at_least=False),
        Target("cost when user agents rotate", ratio_of(added(PAGE_TURNING), added(PAGE)), 1.25, at_least=False),
    ]


if __name__ == "__main__":
    sys.exit(main())
