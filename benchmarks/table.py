"""The tables of a benchmark's results, and whether the targets are met.

Run: `python benchmarks/table.py FILE…` prints them as Markdown; `--into README.md` puts them there. A file is that of
one part, or `results.json` of all.
Rule: every word of it comes from the file; a target of a server that was not measured is `not measured`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import TARGETS, Series, Target, as_text, spread
from report import markdown as told

TITLES = {
    "sidecar": "**sidecar**, events off",
    "sidecar-events": "**sidecar**, page views to a webhook",
    "sidecar-batches": "**sidecar**, page views to a vendor that takes batches",
    "sidecar-strangers": "**sidecar**, events off, no visitor twice",
    "sidecar-asking": "**sidecar**, events off, banner put into pages of opt-in regions",
    "nginx-plain": "nginx `proxy_pass`, upstream keepalive",
    "nginx-by-hand": "nginx, cookies by `map`, country by geoip2, `pcre_jit on`",
    "nginx-auth": "nginx `auth_request` + a small ASGI decision service",
    "haproxy": "HAProxy, plain",
    "caddy": "Caddy, plain",
    "aiohttp": "aiohttp server and client, plain",
    "starlette-httpx": "Starlette + httpx.AsyncClient under uvicorn, plain",
}
PARTS = {"sidecar": "**Reverse proxies**\n\n", "memory": "**Memory**, every request from another visitor\n\n"}
"""The titles of parts whose results have none."""

OPENS, CLOSES = "<!-- speed -->", "<!-- /speed -->"
FLAT = 0.02
"""Memory is flat where the last half of a long run adds less than this share."""


def shown(results: dict[str, Any]) -> str:
    """The tables of a file, whatever it is of: one part, or all of them."""
    if "parts" in results:
        return "\n".join(PARTS.get(name, "") + shown(one) for name, one in results["parts"].items())
    if "tables" in results:
        return told(results)
    return memory_targets(results) if "curve" in results else f"{markdown(results)}\n{targets(results)}"


def markdown(results: dict[str, Any]) -> str:
    """One row a server: medians over the rounds, their range, and ratios to nginx's plain proxy round by round."""
    rows = {row["name"]: row for row in results["rows"]}
    plain = rows.get("nginx-plain")
    lines = [
        "| reverse proxy | req/s (range) | CPU µs (range) | busy | p99 ms | RSS MiB | rate / nginx | CPU / nginx |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {TITLES.get(name, name)} | {spread(row['rate'], 0)} | {spread(row['cpu_us'], 1)} "
            f"| {_median(row['busy']):.0%} | {_median(row['p99_ms']):.1f} "
            f"| {row['rss_rest']:.0f} → {row['rss_load']:.0f} "
            f"| {as_text(_ratio(row, plain, 'rate'))} | {as_text(_ratio(row, plain, 'cpu_us'))} |"
        )
    lines += [""]
    lines += [_remark(row) for row in rows.values() if row["failed"] or row["events"]]
    lines += [f"\nskipped: {name}: {why}" for name, why in results["skipped"].items()]
    lines.append(f"\n{_disturbance(results['rows'])}")
    machine, settings = results["machine"], results["settings"]
    lines.append(
        f"\n{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, {results['at']}; "
        f"medians of {settings['rounds']} rounds of {settings['seconds']} s; "
        + ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        + "\n"
    )
    return "\n".join(lines)


def targets(results: dict[str, Any]) -> str:
    """The sidecar's figures, and whether they are met."""
    rows = {row["name"]: row for row in results["rows"]}
    own = rows.get("sidecar")

    def rate(text: str, peer: str, bound: float) -> Target:
        measured, by_cpu = (_ratio(own, rows.get(peer), what) for what in ("rate", "cpu_us"))
        return Target(text, measured, bound, at_least=True, by_cpu=1 / by_cpu if by_cpu else None)

    wanted = [
        _cpu("events off", own, 50),
        _cpu("events off, no visitor twice", rows.get("sidecar-strangers"), 50),
        _cpu("events to a webhook", rows.get("sidecar-events"), 75),
        _cpu("events in batches", rows.get("sidecar-batches"), 75),
        rate("rate to nginx's plain proxy", "nginx-plain", 0.75),
        rate("rate to nginx by hand", "nginx-by-hand", 1),
        rate("rate to nginx with `auth_request`", "nginx-auth", 2),
        rate("rate to an aiohttp proxy", "aiohttp", 5),
        rate("rate to Starlette + httpx", "starlette-httpx", 50),
        Target("p99 to nginx's plain proxy", _ratio(own, rows.get("nginx-plain"), "p99_ms"), 2, at_least=False),
        Target("memory at rest", own["rss_rest"] if own else None, 60, at_least=False, unit=" MiB"),
    ]
    return "\n".join([*TARGETS, *map(str, wanted)]) + "\n"


def _cpu(what: str, row: dict[str, Any] | None, bound: float) -> Target:
    return Target(f"CPU of a request, {what}", _figure(row, "cpu_us"), bound, at_least=False, unit=" µs")


def memory_targets(results: dict[str, Any]) -> str:
    """What is resident over the requests of strangers, and whether the figures are met."""
    curve = results["curve"]
    sent, last = curve[-1]
    step = max(1, (len(curve) - 1) // 10)
    looks = [*curve[:-1:step], curve[-1]]
    lines = [
        "| requests | " + " | ".join(f"{number:,}" for number, _ in looks) + " |",
        "|---" * (len(looks) + 1) + "|",
    ]
    lines.append("| MiB resident | " + " | ".join(f"{resident:.1f}" for _, resident in looks) + " |")
    lines.append(f"\n{results['answered']:,} answered 2xx of {sent:,} sent; others: {results['failed'] or 'none'}\n")
    wanted = [
        Target("memory at rest", curve[0][1], 60, at_least=False, unit=" MiB"),
        Target(f"growth over the last half of {sent:,}", results["growth"], FLAT * last, False, " MiB"),
        Target("requests from distinct visitors", sent, results["wanted"], at_least=True, shown=",d"),
    ]
    return "\n".join([*lines, *TARGETS, *map(str, wanted)]) + "\n"


def _remark(row: dict[str, Any]) -> str:
    """What a row's figures do not say: requests that failed, and events put off until after the load."""
    title = TITLES.get(row["name"], row["name"])
    said = [f"{row['failed']} requests failed"] if row["failed"] else []
    events = row["events"]
    if events:
        said.append(f"{events['delivered_under_load']:,} of {events['queued']:,} events delivered under load")
    if "us_each_after" in events:
        said.append(
            f"after it, {events['us_each_after']:,.0f} µs of CPU for each of {events['delivered_after']:,} more"
        )
    return f"{title}: {'; '.join(said)}"


def _disturbance(rows: Sequence[dict[str, Any]]) -> str:
    """How much else ran meanwhile. It lowers rates, those of fast servers most; CPU of a request hardly."""
    taken = [one for row in rows for one in row["others"] if one is not None]
    if not taken:
        return ""
    return f"Other programs took {statistics.median(taken):.0%} of the two cores, {max(taken):.0%} at most."


def _median(series: Series) -> float:
    return statistics.median([one for one in series if one is not None])


def _figure(row: dict[str, Any] | None, what: str) -> float | None:
    return _median(row[what]) if row else None


def _ratio(row: dict[str, Any] | None, other: dict[str, Any] | None, what: str) -> float | None:
    """The median of the rounds' ratios."""
    if row is None or other is None:
        return None
    pairs = zip(row[what], other[what], strict=True)
    return statistics.median([one / two for one, two in pairs if one is not None and two])


def main() -> int:
    """Print the tables of these files, or put them into a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--into", type=Path, help="a page with the two marks of the tables' place")
    options = parser.parse_args()
    found = [json.loads(file.read_text("utf-8")) for file in options.files]
    tables = "\n".join(map(shown, found))
    if options.into is None:
        print(tables)
        return 0
    head, opening, rest = options.into.read_text("utf-8").partition(OPENS)
    _, closing, tail = rest.partition(CLOSES)
    if not opening or not closing:
        sys.stderr.write(f"{options.into} has no place for the tables: {OPENS} and {CLOSES}\n")
        return 2
    options.into.write_text(f"{head}{OPENS}\n\n{tables}\n{CLOSES}{tail}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
