"""Where the sidecar's time goes: one of its rows under load, with cProfile in its process or py-spy beside it."""

from __future__ import annotations

import pstats
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from cases import PROFILED
from load import send_once, shoot
from machine import HERE, BenchmarkError
from servers import Bench, Server

SHOWN = 40
"""Functions that are printed."""


def profile(name: str, tool: str, visitors: Path, seconds: int, bench: Bench, out: Path) -> None:
    """Write the profile to `out`, and print the dearest functions. Raises BenchmarkError."""
    if name not in PROFILED:
        raise BenchmarkError(f"only these can be profiled: {', '.join(PROFILED)}")
    if tool == "py-spy":
        _sampled(name, visitors, seconds, bench, out)
        return
    launcher = (sys.executable, str(HERE / "profile_serve.py"), str(out.absolute()))
    server = PROFILED[name](launcher)(bench, name)
    try:
        send_once(server.port, visitors, bench.cores.load)
        server.running.process.send_signal(signal.SIGUSR1)
        _load(server, visitors, seconds, bench)
    finally:
        server.running.stop()
    stats = pstats.Stats(str(out))
    stats.sort_stats("tottime").print_stats(SHOWN)
    stats.sort_stats("cumulative").print_stats(SHOWN)


def _load(server: Server, visitors: Path, seconds: int, bench: Bench) -> None:
    shot = shoot(server.port, visitors, 0, seconds, bench.cores.load)
    print(f"{shot.requests} requests, {shot.rate:.0f}/s while profiled", flush=True)


def _sampled(name: str, visitors: Path, seconds: int, bench: Bench, out: Path) -> None:
    """A flame graph (SVG) by py-spy, which looks from outside and distorts less."""
    beside = Path(sys.executable).parent / "py-spy"
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if not found:
        raise BenchmarkError("py-spy is not installed")
    server = PROFILED[name](())(bench, name)
    pid = str(server.running.process.pid)
    options = ["--duration", str(seconds), "--rate", "200", "--output", str(out)]
    try:
        send_once(server.port, visitors, bench.cores.load)
        watching = subprocess.Popen([found, "record", "--pid", pid, *options])
        try:
            _load(server, visitors, seconds, bench)
            watching.wait(30)
        finally:
            watching.kill()
    finally:
        server.running.stop()
