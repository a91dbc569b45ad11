"""The benchmarks tell the truth: their visitors are what they claim, and a verdict follows from what was measured."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

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
