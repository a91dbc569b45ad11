"""What the sidecar costs beside its peers: every server in turn, several rounds, within one run.

Run: `make bench-sidecar`. Prints the table and the targets, and writes what was measured as JSON.
Rule: the server under test is alone on its core; the load generator and the site share another.
Rule: a round measures every server once, so that what drifts drifts for all; figures are medians, ratios are those
      of each round's pairs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from cases import CASES, Case, versions
from machine import HERE, BenchmarkError, description
from profiling import profile
from rounds import Row, count_events, in_order, measure, warm_up
from servers import Bench, open_bench
from table import markdown, targets
from verify import verify
from visitors import Visitors

STRANGERS = 140_000
"""Visitors who come once, and three in ten of them for the first time."""


def main() -> int:
    """Measure, print and write."""
    options = _options()
    try:
        if options.profile:
            _profile(options)
            return 0
        results = _measured(options)
    except BenchmarkError as error:
        sys.stderr.write(f"bench-sidecar: {error}\n")
        return 2
    options.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(markdown(results))
    print(targets(results))
    print(f"written to {options.out}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of load per server and round")
    parser.add_argument("--visitors", type=int, default=2_000, help="distinct ones who come back, over and over")
    parser.add_argument("--only", default="", help="names of servers, comma-separated")
    parser.add_argument("--out", type=Path, default=HERE / "results-sidecar.json")
    parser.add_argument("--profile", default="", metavar="NAME", help="profile this row of ours instead")
    parser.add_argument("--profiler", choices=["cProfile", "py-spy"], default="cProfile")
    parser.add_argument("--profile-out", type=Path, default=Path("sidecar.prof"), help="an SVG for py-spy")
    return parser.parse_args()


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    wanted = {one for one in options.only.split(",") if one}
    unknown = wanted - {case.name for case in CASES}
    if unknown:
        raise BenchmarkError(f"no such server: {', '.join(sorted(unknown))}")
    cases = [case for case in CASES if not wanted or case.name in wanted]
    began = time.time()
    with open_bench() as bench, contextlib.ExitStack() as stack:
        files = _visitor_files(bench.folder, options.visitors, distinct=any(case.distinct for case in cases))
        rows, skipped = _started(bench, cases, stack)
        for row in rows:
            warm_up(row, files[row.case.distinct], bench)
        for number in range(options.rounds):
            for row in in_order(rows, number):
                measure(row, files[row.case.distinct], options.seconds, bench)
                print(f"round {number + 1}: {row}", flush=True)
        for row in rows:
            count_events(row, bench)
    return {
        "machine": description(),
        "versions": versions(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "settings": {"rounds": options.rounds, "seconds": options.seconds, "visitors": options.visitors},
        "rows": [row.as_json() for row in rows],
        "skipped": skipped,
    }


def _profile(options: argparse.Namespace) -> None:
    with open_bench() as bench:
        distinct = options.profile == "sidecar-strangers"
        visitors = _visitor_files(bench.folder, options.visitors, distinct=distinct)[distinct]
        profile(options.profile, options.profiler, visitors, options.seconds, bench, options.profile_out)


def _visitor_files(folder: Path, count: int, *, distinct: bool) -> dict[bool, Path]:
    """The file of visitors who come back, and the one of visitors who come once."""
    files = {False: folder / "visitors", True: folder / "strangers"}
    Visitors(new=0.0).write(files[False], count)
    if distinct:
        Visitors(seed=2).write(files[True], STRANGERS)
    return files


def _started(bench: Bench, cases: list[Case], stack: contextlib.ExitStack) -> tuple[list[Row], dict[str, str]]:
    """Every server that can be had and keeps its promises, stopped; and why the others cannot be had."""
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    for case in cases:
        try:
            server = case.start(bench, case.name)
        except BenchmarkError as error:
            skipped[case.name] = str(error)
            print(f"skipped: {error}", flush=True)
            continue
        stack.callback(server.running.stop)
        rest = server.running.rss()
        try:
            verify(case, server.port)
        except BenchmarkError as error:
            skipped[case.name] = str(error)
            print(f"not measured, it does not do the job: {error}", flush=True)
            server.running.freeze()
            continue
        server.running.freeze()
        rows.append(Row(case, server, rest))
    return rows, skipped


if __name__ == "__main__":
    sys.exit(main())
