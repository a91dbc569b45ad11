"""What a page view's event costs on the request path, in the store's writer and in delivery; what a dead vendor does.

Run: `make bench-events`; BENCH="--outage 1000000" is the long form. All of it in one run, and in one process but for
the vendor: absolute figures are the machine's, so compare within a run.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from report import Part, Table, Target, arguments, ratio_of

from consent_mw.asgi.gate import Gate
from consent_mw.sidecar.front import SEARCHED_AFTER
from consent_mw.wire.response_head import head_of
from consent_mw.wire.token import Keyring
from consent_mw.world.policy_file import load_policy

KEY = "a key of the benchmark, long enough"
VISITORS = 5000
SLICE = 200
"""Requests between two turns of the event loop."""

POLICY = """
schema = 1
revision = "1"
[site]
name = "Bench"
origin = "https://example.com"
policy_url = "/privacy"
[purpose.essential]
text = "Work."
essential = true
[purpose.analytics]
text = "Count."
[jurisdiction.elsewhere]
regions = ["*"]
regime = "opt-out"
banner = "none"
[identifier]
cookie = "__Host-vid"
purpose = "analytics"
lasts = "395d"
"""
VENDOR = """
[vendor.bench]
kind = "{kind}"
purpose = "analytics"
endpoint = "http://127.0.0.1:{port}/in"
key = "k"
fields = ["event", "time", "visitor_id", "page_path", "browser", "country"]
"""
SINK = """
import asyncio, uvloop
class Sink(asyncio.Protocol):
    def connection_made(self, transport): self.transport, self.left, self.head = transport, 0, b""
    def data_received(self, data):
        while data:
            if self.left:
                taken = min(self.left, len(data))
                self.left, data = self.left - taken, data[taken:]
            else:
                head, end, rest = (self.head + data).partition(b"\\r\\n\\r\\n")
                if not end:
                    self.head = head
                    return
                self.head, data = b"", rest
                self.left = int(head.lower().partition(b"content-length: ")[2].split(b"\\r\\n")[0])
            if not self.left:
                self.transport.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n")
async def main():
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", PORT)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(3600)
uvloop.run(main())
"""
ANSWER = head_of(200, [(b"content-type", b"text/html"), (b"content-length", b"2048")])
AGENT = b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


class Sink:
    """A vendor on loopback, or none: a port where nobody listens."""

    def __init__(self, port: int = 0) -> None:
        source = SINK.replace("PORT", str(port))
        self._process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass
class Bench:
    """A gate and its visitors."""

    gate: Gate
    thread: int
    pages: list[tuple[bytes, list[tuple[bytes, bytes]], str]] = field(default_factory=list)
    asked: int = 0

    @classmethod
    async def started(cls, folder: Path, vendor: str, name: str) -> Bench:
        file = folder / f"{name}.toml"
        file.write_text(POLICY + vendor)
        gate = Gate(load_policy(file), Keyring([KEY]), f"sqlite:///{folder}/{name}.db")
        before = set(threading.enumerate())
        await gate.start(strict=True)
        (writer,) = (one for one in set(threading.enumerate()) - before if one.name == "consent_mw-store")
        bench = cls(gate, writer.native_id or 0)
        today = int(time.time()) // 86_400
        for number in range(VISITORS):
            token = gate.keyring.new_identifier(number.to_bytes(16, "big"), today)[1].encode()
            headers = [(b"host", b"example.com"), (b"user-agent", AGENT), (b"sec-fetch-dest", b"document")]
            headers.append((b"cookie", b"session=1; __Host-vid=" + token))
            bench.pages.append((b"/page/%d" % (number % 50), headers, f"74.64.{number // 250}.{number % 250}"))
        return bench

    def ask(self, number: int) -> float:
        """CPU seconds of the loop's thread for this many pages."""
        gate, pages = self.gate, self.pages
        began = time.thread_time()
        for at in range(self.asked, self.asked + number):
            target, headers, peer = pages[at % VISITORS]
            gate.admit(b"GET", target, headers, peer).respond(ANSWER)
        self.asked += number
        return time.thread_time() - began

    def writer(self) -> float:
        """CPU seconds that the store's thread has used."""
        return int(Path(f"/proc/self/task/{self.thread}/schedstat").read_text("ascii").split()[0]) / 1e9

    async def pending(self) -> int:
        return await self.gate.store_result(lambda store: store.pending())

    async def kept(self) -> None:
        """Wait until the store has done what it was asked; counting what waits would itself cost something."""
        await self.gate.store_result(lambda store: store.receipt(""))

    async def delivered(self) -> None:
        while await self.pending():  # noqa: ASYNC110  the store tells nobody
            await asyncio.sleep(0.02)


def resident() -> float:
    """Resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096 / 1e6


async def costs(table: Table, folder: Path, kind: str, port: int, events: int, rounds: int) -> None:
    """CPU per event of each part."""
    without = await Bench.started(folder, "", f"plain-{kind}")
    with_it = await Bench.started(folder, VENDOR.format(kind=kind, port=port), f"events-{kind}")
    for bench in (without, with_it):
        bench.ask(2 * VISITORS)
    await with_it.delivered()
    for _ in range(rounds):
        await cost(table, kind, without, with_it, events // rounds)
    await without.gate.stop(0)
    await with_it.gate.stop(0)


async def cost(table: Table, kind: str, without: Bench, with_it: Bench, events: int) -> None:
    """One round of `costs`."""
    plain: list[float] = []
    busy: list[float] = []
    whole, loop, writer = time.process_time(), time.thread_time(), with_it.writer()
    for _ in range(events // SLICE):
        plain.append(without.ask(SLICE))
        busy.append(with_it.ask(SLICE))
        await asyncio.sleep(SLICE / 10_000)
    await with_it.delivered()
    writer = with_it.writer() - writer
    loop = time.thread_time() - loop - sum(plain) - sum(busy)
    whole = time.process_time() - whole - 2 * sum(plain)
    path = (statistics.median(busy) - statistics.median(plain)) / SLICE
    table.add(kind, "page µs", statistics.median(plain) / SLICE * 1e6)
    table.add(kind, "+ event µs", path * 1e6)
    table.add(kind, "store's writer µs", writer / events * 1e6)
    table.add(kind, "delivery µs", loop / events * 1e6)
    table.add(kind, "all µs", whole / events * 1e6)


async def sustained(table: Table, folder: Path, port: int, rate: int, seconds: float) -> None:
    """Whether a rate is kept up: what is committed, how late, and how late the event loop is beside it."""
    for name, vendor in (("without events", ""), ("with events", VENDOR.format(kind="segment", port=port))):
        bench = await Bench.started(folder, vendor, f"rate-{len(name)}")
        bench.ask(VISITORS)
        late: list[float] = []
        began, due, cpu = time.monotonic(), time.monotonic(), time.process_time()
        while due - began < seconds:
            bench.ask(rate // 1000)
            due += 0.001
            wakes = time.monotonic() + max(due - time.monotonic(), 0)
            await asyncio.sleep(wakes - time.monotonic())
            late.append(time.monotonic() - wakes)
        took = time.monotonic() - began
        waits = await bench.pending()
        cpu = time.process_time() - cpu
        await bench.delivered()
        late.sort()
        p50, p99 = (late[int(len(late) * share)] * 1e3 for share in (0.5, 0.99))
        asked = bench.asked - VISITORS
        told = {"a second": asked / took, "not yet delivered": waits, "% of a core": cpu / took * 100}
        told |= {"loop late p50 ms": p50, "loop late p99 ms": p99, "lost": bench.gate.counts["event_lost"]}
        for column, value in told.items():
            table.add(name, column, value)
        await bench.gate.stop(0)


async def outage(table: Table, folder: Path, events: int) -> None:
    """Memory while a vendor is down, and when it is back."""
    first = Sink()
    first.end()
    bench = await Bench.started(folder, VENDOR.format(kind="segment", port=first.port), "outage")
    bench.ask(VISITORS)
    await asyncio.sleep(0.2)
    for part in steps(events):
        began, writer = time.monotonic(), bench.writer()
        for _ in range(events // 5 // SLICE):
            bench.ask(SLICE)
            await asyncio.sleep(0.0001)
            if bench.asked % 5000 < SLICE:
                await bench.kept()
        await bench.pending()
        took, number = time.monotonic() - began, events // 5
        row = f"{part + events // 5:,} queued"
        table.add(row, "MB resident", resident())
        table.add(row, "a second", number / took)
        table.add(row, "store's writer µs", (bench.writer() - writer) / number * 1e6)
    queued = await bench.pending()
    again = Sink(first.port)
    began = time.monotonic()
    highest = 0.0
    while await bench.pending():
        highest = max(highest, resident())
        await asyncio.sleep(0.5)
    took = time.monotonic() - began
    row = f"vendor is back: {queued:,} delivered"
    table.add(row, "MB resident", highest)
    table.add(row, "a second", queued / took)
    await bench.gate.stop(0)
    again.end()


def steps(events: int) -> Iterator[int]:
    """Five parts of an outage."""
    yield from range(0, events, events // 5)


async def measured(part: Part, options: argparse.Namespace) -> None:
    """Fill the part's tables."""
    os.environ.setdefault("CONSENT_MW_LEDGER_KEY", "a-key-of-the-ledger-of-the-benchmark")
    columns = {"page µs": 2, "+ event µs": 2, "store's writer µs": 2, "delivery µs": 2, "all µs": 2}
    each = part.table("CPU of an event, by kind of vendor", columns, "all µs")
    columns = {"a second": 0, "not yet delivered": 0, "% of a core": 0, "loop late p50 ms": 2, "loop late p99 ms": 2}
    kept = part.table(f"{options.rate:,} pages a second", {**columns, "lost": 0}, "% of a core")
    down = part.table("vendor is down", {"MB resident": 1, "a second": 0, "store's writer µs": 2}, "MB resident")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, sink = Path(name), Sink()
        # As `consent-mw serve` does once it has started.
        gc.freeze()
        gc.set_threshold(*SEARCHED_AFTER)
        try:
            await costs(each, folder, "segment", sink.port, options.events, options.rounds)
            await costs(each, folder, "webhook", sink.port, options.events // 10, options.rounds)
            await sustained(kept, folder, sink.port, options.rate, options.seconds)
            await outage(down, folder, options.outage)
        finally:
            sink.end()
    first, last = (down.figure(f"{options.outage // 5 * step:,} queued", "MB resident") for step in (1, 5))
    text = f"memory with {options.outage:,} events waiting, to a fifth of them"
    part.targets.append(Target(text, ratio_of(last, first), 1.25, at_least=False))


def main() -> int:
    """Measure, print and write."""
    parser = arguments(__doc__)
    parser.add_argument("--events", type=int, default=40_000, help="of the first table")
    parser.add_argument("--rate", type=int, default=10_000, help="events a second to keep up")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--outage", type=int, default=200_000, help="events queued while the vendor is down")
    parser.add_argument("--folder", help="where the store's file is put (default: the system's temporary folder)")
    options = parser.parse_args()
    part = Part("events", "Page views as events")
    uvloop.run(measured(part, options))
    part.finish(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
