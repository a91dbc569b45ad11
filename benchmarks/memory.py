"""Whether the sidecar's memory stays flat while strangers pass: no address, cookie or user agent comes twice.

Run: `make bench-memory`. Prints what is resident after every so many requests, and whether the last half is flat.
Rule: how much is resident is read between two chunks of load, when no request is under way.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from cases import PROFILED
from load import send_once
from machine import HERE, BenchmarkError, description
from servers import Bench, Server, open_bench
from table import memory_targets
from visitors import Visitors

SHOWS_WITHIN = 0.5
"""Seconds after the load in which what is under way ends."""


def main() -> int:
    """Measure, print and write; 1 where memory is not flat."""
    options = _options()
    try:
        with open_bench() as bench:
            results = _measured(options, bench)
    except BenchmarkError as error:
        sys.stderr.write(f"bench-memory: {error}\n")
        return 2
    options.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(memory_targets(results))
    print(f"written to {options.out}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=50_000, help="requests between two looks")
    parser.add_argument("--minutes", type=float, default=15, help="after which no further chunk is begun")
    parser.add_argument("--case", choices=sorted(PROFILED), default="sidecar", help="which row of ours")
    parser.add_argument("--out", type=Path, default=HERE / "results-memory.json")
    return parser.parse_args()


def _measured(options: argparse.Namespace, bench: Bench) -> dict[str, Any]:
    server = PROFILED[options.case](())(bench, options.case)
    try:
        curve = _curve(options, bench, server)
        answered = _answered(server.admin)
    finally:
        server.running.stop()
    failed = {kind: number for kind, number in answered.items() if kind != "2xx"}
    return {
        "machine": description(),
        "case": options.case,
        "wanted": options.requests,
        "curve": curve,
        "growth": _growth(curve),
        "answered": answered.get("2xx", 0),
        "failed": failed,
    }


def _curve(options: argparse.Namespace, bench: Bench, server: Server) -> list[tuple[int, float]]:
    """Requests sent so far and MiB resident, from rest on."""
    visitors, file = Visitors(seed=3, agents=0), bench.folder / "strangers"
    curve = [(0, round(server.running.rss(), 2))]
    end = time.monotonic() + options.minutes * 60
    while curve[-1][0] < options.requests and time.monotonic() < end:
        count = min(options.chunk, options.requests - curve[-1][0])
        visitors.write(file, count)
        send_once(server.port, file, bench.cores.load)
        time.sleep(SHOWS_WITHIN)
        curve.append((curve[-1][0] + count, round(server.running.rss(), 2)))
        print(f"{curve[-1][0]:9,} requests {curve[-1][1]:7.1f} MiB {'#' * round(curve[-1][1] / 2)}", flush=True)
    return curve


def _growth(curve: list[tuple[int, float]]) -> float:
    """MiB that a line through the last half of the curve rises over that half."""
    half = [(sent, resident) for sent, resident in curve if sent * 2 >= curve[-1][0]]
    if len(half) < 3:
        raise BenchmarkError("too few looks to tell whether memory is flat: more requests, or smaller chunks")
    slope = statistics.linear_regression([sent for sent, _ in half], [resident for _, resident in half]).slope
    return round(slope * (half[-1][0] - half[0][0]), 2)


def _answered(admin: int) -> dict[str, int]:
    """How many answers of each class the sidecar counted."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r'consent_mw_responses_total\{class="([^"]+)"\} ([0-9.e+]+)', text)
    return {kind: int(float(number)) for kind, number in found}


if __name__ == "__main__":
    sys.exit(main())
