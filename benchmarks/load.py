"""The load: wrk sends a file of visitors for a while, and what it measured comes back."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from machine import HERE, BenchmarkError

CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Shot:
    """One run of wrk. Times in milliseconds; `position` is where in the file the next run goes on; `failed` counts
    answers that were no 2xx or 3xx, or none."""

    rate: float
    requests: int
    p50: float
    p99: float
    position: int
    failed: int


def shoot(port: int, visitors: Path, position: int, seconds: float, core: int) -> Shot:
    """Send for this many whole seconds. Raises BenchmarkError where wrk fails."""
    said = _wrk(port, visitors, position, f"{max(1, round(seconds))}s", "again", core)
    try:
        told = json.loads(said.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise BenchmarkError(f"wrk did not tell what it measured: {said[-300:]}") from None
    failed = told["refused"] + told["broken"]
    rate = told["requests"] / told["seconds"]
    return Shot(rate, told["requests"], told["p50"], told["p99"], told["position"], failed)


def send_once(port: int, visitors: Path, core: int) -> None:
    """Send every request of the file once; within ten minutes."""
    _wrk(port, visitors, 0, "600s", "once", core)


def _wrk(port: int, visitors: Path, position: int, duration: str, mode: str, core: int) -> str:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{duration}", "--timeout", "10s", "-s", str(HERE / "visit.lua")]
    command += [f"http://127.0.0.1:{port}/", "--", str(visitors), str(position), mode]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=660, check=False)
    finally:
        os.sched_setaffinity(0, before)
    if done.returncode:
        raise BenchmarkError(f"wrk failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout
