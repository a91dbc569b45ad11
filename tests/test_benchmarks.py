"""The benchmarks tell the truth: their visitors are what they claim, and a verdict follows from what was measured."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from consent_mw.core.consent import Consent
from consent_mw.wire.token import Keyring

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def measured(name: str, rate: list[float | None], cpu: list[float | None], **others: object) -> dict[str, Any]:
    """A row as the benchmark writes it."""
    row = {"name": name, "rate": rate, "cpu_us": cpu, "busy": [1.0], "p99_ms": [2.0] * len(rate), "rss_rest": 50}
    return {**row, "others": [0.0], "rss_load": 60, "failed": 0, "events": {}, **others}


def results(*rows: dict[str, Any]) -> dict[str, Any]:
    """What a run writes."""
    machine = {"processor": "one", "cores": 2, "kernel": "6", "python": "3.11"}
    settings = {"rounds": 2, "seconds": 1, "visitors": 1}
    told = {"machine": machine, "settings": settings, "at": "2026-01-01T00:00:00Z", "versions": {}, "skipped": {}}
    return {**told, "rows": list(rows)}


def table(folder: Path, content: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    """What `table.py` says of these results."""
    (folder / "results.json").write_text(json.dumps(content))
    command = [sys.executable, str(BENCHMARKS / "table.py"), str(folder / "results.json"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def verdicts(printed: str) -> dict[str, tuple[str, str]]:
    """Each target's measured figure and verdict."""
    rows = re.findall(r"^\| ([^|]+) \| [≥≤][^|]+ \|([^|]*)\|[^|]*\| ([^|]+) \|$", printed, re.MULTILINE)
    return {text: (found.strip(), verdict) for text, found, verdict in rows}


def test_verdicts_follow_from_what_was_measured(tmp_path: Path) -> None:
    rows = [
        measured("sidecar", [100.0, 300.0], [50.0, 70.0], p99_ms=[4.0, 8.0]),
        measured("nginx-plain", [100.0, 400.0], [10.0, 10.0]),
        measured("sidecar-events", [10.0, 10.0], [74.0, 75.0]),
        measured("sidecar-strangers", [10.0, 10.0], [123.0, 125.0]),
        measured("starlette-httpx", [2.0, None], [900.0, None]),
    ]
    assert verdicts(table(tmp_path, results(*rows)).stdout) == {
        "CPU of a request, events off": ("60.00 µs", "**not met**"),
        "CPU of a request, events off, no visitor twice": ("124.00 µs", "**not met**"),
        "CPU of a request, events to a webhook": ("74.50 µs", "met"),
        "CPU of a request, events in batches": ("", "not measured"),
        "rate to nginx's plain proxy": ("0.88", "met"),
        "rate to nginx by hand": ("", "not measured"),
        "rate to nginx with `auth_request`": ("", "not measured"),
        "rate to an aiohttp proxy": ("", "not measured"),
        "rate to Starlette + httpx": ("50.00", "met"),
        "p99 to nginx's plain proxy": ("3.00", "**not met**"),
        "memory at rest": ("50.00 MiB", "met"),
    }


@pytest.mark.parametrize(("growth", "verdict"), [(1.0, "met"), (1.3, "**not met**")])
def test_memory_is_flat_where_it_hardly_grows(tmp_path: Path, growth: float, verdict: str) -> None:
    curve = [(0, 50.0), (10, 61.0), (20, 62.0)]
    content = {"curve": curve, "growth": growth, "wanted": 20, "answered": 20, "failed": {}}
    assert verdicts(table(tmp_path, content).stdout) == {
        "memory at rest": ("50.00 MiB", "met"),
        "growth over the last half of 20": (f"{growth:.2f} MiB", verdict),
        "requests from distinct visitors": ("20", "met"),
    }


def test_tables_go_to_their_place_in_a_page_again_and_again(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- speed -->\nold\n<!-- /speed -->\nafter\n")
    content = results(measured("sidecar", [1.0], [1.0]))
    assert table(tmp_path, content, "--into", str(page)).returncode == 0
    once = page.read_text()
    table(tmp_path, content, "--into", str(page))
    assert page.read_text() == once
    printed = table(tmp_path, content).stdout
    assert once == f"before\n<!-- speed -->\n\n{printed}<!-- /speed -->\nafter\n"


def test_visitors_send_what_the_benchmark_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from visitors import KEY, REVISION, Visitors

    made = Visitors(agents=0)
    heads = [made.request().decode("ascii").split("\r\n") for _ in range(300)]
    assert {len(lines) for lines in heads} == {1 + 15 + 2}
    fields = [dict(line.split(": ", 1) for line in lines[1:-2]) for lines in heads]
    assert {len(one["Cookie"]) for one in fields} == {600}
    assert {one["Sec-Fetch-Dest"] for one in fields} == {"document"}
    assert len({one["X-Forwarded-For"] for one in fields}) == 300
    keys = Keyring([KEY])
    jars = [dict(pair.split("=", 1) for pair in one["Cookie"].split("; ")) for one in fields]
    known = [jar["__Host-vid"] for jar in jars if "__Host-vid" in jar]
    chosen = [keys.read_consent(jar["__Host-consent"]) for jar in jars if "__Host-consent" in jar]
    assert len(known) > 100
    assert None not in [keys.read_identifier(token) for token in known]
    assert {isinstance(one, Consent) and (one.revision, one.answers["analytics"]) for one in chosen} == {
        (REVISION, True),
        (REVISION, False),
    }


def a_part() -> dict[str, Any]:
    """What a part writes: one figure of three rounds, one of one, and a target of each kind."""
    rows = {"**ours**": {"CPU µs": [3.0, 1.0, 2.0]}, "peer": {"CPU µs": [1500.0], "rate": [7.0]}}
    table = {"title": "case", "columns": {"CPU µs": 1, "rate": 0}, "plotted": "CPU µs", "rows": rows}
    target = {"unit": " µs", "by_cpu": None, "shown": ".1f", "at_least": False}
    targets = [
        {**target, "text": "ours", "measured": 2.0, "bound": 2.0},
        {**target, "text": "peer", "measured": 1500.0, "bound": 3.0},
        {**target, "text": "another", "measured": None, "bound": 3.0},
    ]
    told = {
        "name": "some",
        "title": "Some",
        "at": "2026-01-01T00:00:00Z",
        "notes": ["Said."],
        "skipped": {"x": "why"},
    }
    return {**told, "tables": [table], "targets": targets}


PART = """\
**Some** (2026-01-01)

| case | CPU µs | rate |
|---|---|---|
| **ours** | 2.0 (1.0-3.0) |  |
| peer | 1,500.0 | 7 |

Said.

skipped: x: why

| target | wanted | measured | by CPU | |
|---|---|---|---|---|
| ours | ≤ 2.0 µs | 2.0 µs |  | met |
| peer | ≤ 3.0 µs | 1500.0 µs |  | **not met** |
| another | ≤ 3.0 µs | | | not measured |

"""


def test_a_part_shows_medians_ranges_and_verdicts(tmp_path: Path) -> None:
    assert table(tmp_path, a_part()).stdout == PART
    assert table(tmp_path, {"parts": {"some": a_part()}}).stdout == PART


def test_plots_have_a_bar_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from plot import plots_of

    curve = {"curve": [(0, 50.0), (10, 61.0)]}
    found = {"parts": {"some": a_part(), "sidecar": results(measured("caddy", [1.0], [2.0])), "memory": curve}}
    texts = {
        name: ["".join(one.itertext()) for one in ET.fromstring(svg).iter() if one.tag.endswith("text")]
        for name, svg in plots_of(found).items()
    }
    assert texts == {
        "some-1": ["Some, case: CPU µs", "ours", "2.0", "peer", "1,500"],
        "sidecar-1": ["Reverse proxies: CPU µs of a request", "Caddy, plain", "2.0"],
        "memory-1": ["MiB resident, by requests of strangers", "0", "50.0", "10", "61.0"],
    }


def test_make_has_a_target_for_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from run import PARTS

    made = re.search(r"addprefix bench-,([\w ]+)\)", (BENCHMARKS.parent / "Makefile").read_text("utf-8"))
    assert made is not None
    assert made[1].split() == list(PARTS)
    assert [script for script, *_ in PARTS.values() if not (BENCHMARKS / script).exists()] == []


def test_askers_send_what_their_kind_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from askers import KEY, Askers, Kind

    kinds = [Kind("/a", answered=True), Kind("/b", known=False), Kind("/c.css", style=True, agents=400)]
    heads = [[one.decode() for one in Askers(kind).requests(400)] for kind in kinds]
    fields = [[dict(line.split(": ", 1) for line in one.split("\r\n")[1:-2]) for one in sent] for sent in heads]
    assert {len(one) for sent in fields for one in sent} == {15}
    assert {len(one["Cookie"]) for sent in fields for one in sent} == {600}
    assert [len({one["User-Agent"] for one in sent}) for sent in fields] == [24, 24, 400]
    keys = Keyring([KEY])
    jars = [[dict(pair.split("=", 1) for pair in one["Cookie"].split("; ")) for one in sent] for sent in fields]
    assert [{"__Host-vid" in jar for jar in sent} for sent in jars] == [{True}, {False}, {True}]
    assert {keys.read_identifier(jar["__Host-vid"]) is None for jar in jars[0]} == {False}
    assert {keys.read_consent(jar["__Host-consent"]) is None for jar in jars[0]} == {False}


@pytest.mark.parametrize(("country", "analytics"), [("AMERICAN", True), ("GERMAN", False)])
def test_what_is_written_by_hand_keeps_the_cookies_that_ours_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, country: str, analytics: bool
) -> None:
    script = f"""
import asyncio, json, sys
sys.path[:0] = [{str(BENCHMARKS)!r}, {str(BENCHMARKS / "peers")!r}]
import askers, middleware
from pathlib import Path
from servers import Bench
from machine import Cores
middleware.written(Bench(Path({str(tmp_path)!r}), Cores(0, 0)))
import mounted
kind = askers.Kind("/x/a", askers.{country}, known=False)
async def asked(name):
    scope = middleware.scope_of(next(askers.Askers(kind).requests(1)))
    # What the peer signed would say yes; here nobody has answered.
    scope["headers"] = [(n, v.replace(b"consent=", b"other=")) for n, v in scope["headers"]]
    got = {{}}
    async def send(message):
        if message["type"] == "http.response.start":
            got["set"] = [v.partition(b"=")[0].decode() for n, v in message["headers"] if n == b"set-cookie"]
    async def app(inner, receive, send):
        sent = next((v for n, v in inner["headers"] if n == b"cookie"), b"").decode()
        got["arrived"] = [one.partition("=")[0] for one in sent.split("; ")]
        await mounted.bare(inner, receive, send)
    made = mounted.APPS[name]
    setattr(made, "app" if name == "plain" else "_app", app)
    async def receive():
        return {{"type": "http.request"}}
    await made(scope, receive, send)
    if name == "plain":
        await made.gate.stop(0)
    got["set"] = [one for one in got["set"] if one != "__Host-vid"]
    return got
print(json.dumps([asyncio.run(asked("plain")), asyncio.run(asked("hand"))]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    ours, by_hand = json.loads(done.stdout)
    more = ["_ga"] if analytics else []
    assert ours == by_hand == {
        "arrived": ["session", "csrf_token", *more, *(["ad_id"] if analytics else []), "cart"],
        "set": ["cart", *more],
    }  # fmt: skip
