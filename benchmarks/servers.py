"""The servers under test: how each is started, alone on its core."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from machine import HERE, BenchmarkError, Cores, Running, fill, free_port, two_cores
from visitors import KEY

DATABASE = next((HERE.parent / "consent_mw" / "data").glob("*.mmdb"))
VENDOR = """
[vendor.counter]
kind     = "{kind}"
purpose  = "analytics"
endpoint = "http://127.0.0.1:{port}/events"
key      = "key-of-the-benchmark"
fields   = ["event", "time", "visitor_id", "page_path", "browser", "country"]
"""


@dataclass(slots=True)
class Bench:
    """What all servers of one run share: the folder, the cores, the site at `port`, the vendor at `sink`."""

    folder: Path
    cores: Cores
    port: int = field(default_factory=free_port)
    sink: int = field(default_factory=free_port)
    origin: Running | None = None

    @property
    def values(self) -> dict[str, object]:
        """What templates may name."""
        user = "user root;" if os.geteuid() == 0 else ""
        return {
            "FOLDER": self.folder,
            "ORIGIN": self.port,
            "SINK": self.sink,
            "USER": user,
            "HERE": HERE,
            "DATABASE": DATABASE,
        }

    def written(self, template: str, name: str, values: Mapping[str, object]) -> Path:
        """A file in the folder, made of this template."""
        file = self.folder / name
        file.write_text(fill(HERE / template, {**self.values, **values}), "utf-8")
        return file


@dataclass(slots=True)
class Server:
    """A started server under test. `admin` is its admin port, or 0."""

    running: Running
    port: int
    admin: int = 0


Start = Callable[[Bench, str], Server]


@contextmanager
def open_bench() -> Iterator[Bench]:
    """A bench whose origin and sink run, on the load's core. Raises BenchmarkError."""
    # Whoever ends the benchmark must not leave stopped servers behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with TemporaryDirectory() as name:
        bench = Bench(Path(name), two_cores())
        conf = bench.written("peers/origin.conf", "origin.conf", {})
        bench.origin = Running.start("origin", _nginx(bench, conf), bench.cores.load, bench.folder)
        try:
            bench.origin.wait_for(bench.port)
            yield bench
        finally:
            bench.origin.stop()


def sidecar(*, events: str = "", banner: str = "none", launcher: tuple[str, ...] = ()) -> Start:
    """How to start the sidecar; `events` names the kind of vendor that gets page views, `launcher` replaces
    `python -m consent_mw.cli`."""

    def start(bench: Bench, name: str) -> Server:
        vendor = VENDOR.format(kind=events, port=bench.sink) if events else ""
        policy = bench.written("policy.toml", f"{name}.toml", {"BANNER": banner, "VENDOR": vendor})
        port, admin = free_port(), free_port()
        command = [*(launcher or (sys.executable, "-m", "consent_mw.cli")), "serve", "--policy", str(policy)]
        command += ["--upstream", f"http://127.0.0.1:{bench.port}", "--listen", f"127.0.0.1:{port}"]
        command += ["--admin", f"127.0.0.1:{admin}", "--store", f"sqlite:///{bench.folder}/{name}.db"]
        command += ["--access-log", "off", "--drain", "2s"]
        running = Running.start(name, command, bench.cores.server, bench.folder, {"CONSENT_MW_KEYS": KEY})
        running.wait_for(port)
        return Server(running, port, admin)

    return start


def nginx(template: str, *, needs: Path | None = None) -> Start:
    """How to start nginx with this configuration."""

    def start(bench: Bench, name: str) -> Server:
        if needs is not None and not needs.exists():
            raise BenchmarkError(f"{needs.name} is not installed")
        port = free_port()
        conf = bench.written(f"peers/{template}", template, {"PORT": port})
        running = Running.start(name, _nginx(bench, conf), bench.cores.server, bench.folder)
        running.wait_for(port)
        return Server(running, port)

    return start


def nginx_asking() -> Start:
    """How to start nginx with `auth_request`, and the decision service that it asks, in one session."""

    def start(bench: Bench, name: str) -> Server:
        _require_module("uvicorn")
        port, socket = free_port(), bench.folder / "decision.sock"
        conf = bench.written("peers/nginx-auth.conf", "nginx-auth.conf", {"PORT": port})
        service = [*_uvicorn("decision"), "--uds", str(socket)]
        both = f"{shlex.join(service)} & exec {shlex.join(_nginx(bench, conf))}"
        env = {"DECISION_DATABASE": str(DATABASE)}
        running = Running.start(name, ["sh", "-c", both], bench.cores.server, bench.folder, env)
        running.wait_for(port)
        running.wait_until(socket.exists)
        return Server(running, port)

    return start


def program(name_of: str, template: str, *options: str) -> Start:
    """How to start a program of one's own that takes this file after these options."""

    def start(bench: Bench, name: str) -> Server:
        if not shutil.which(name_of):
            raise BenchmarkError(f"{name_of} is not installed")
        port = free_port()
        conf = bench.written(f"peers/{template}", template, {"PORT": port})
        home = {"HOME": str(bench.folder)}
        running = Running.start(name, [name_of, *options, str(conf)], bench.cores.server, bench.folder, home)
        running.wait_for(port)
        return Server(running, port)

    return start


def starlette_httpx() -> Start:
    """How to start the proxy of Starlette and httpx."""

    def start(bench: Bench, name: str) -> Server:
        _require_module("uvicorn")
        port = free_port()
        env = {"PEER_UPSTREAM": f"http://127.0.0.1:{bench.port}"}
        command = [*_uvicorn("starlette_httpx"), "--host", "127.0.0.1", "--port", str(port)]
        running = Running.start(name, command, bench.cores.server, bench.folder, env)
        running.wait_for(port)
        return Server(running, port)

    return start


def aiohttp_proxy() -> Start:
    """How to start the proxy of aiohttp."""

    def start(bench: Bench, name: str) -> Server:
        _require_module("aiohttp")
        port = free_port()
        script = str(HERE / "peers" / "aiohttp_proxy.py")
        command = [sys.executable, script, str(port), f"http://127.0.0.1:{bench.port}"]
        running = Running.start(name, command, bench.cores.server, bench.folder)
        running.wait_for(port)
        return Server(running, port)

    return start


def _uvicorn(module: str) -> list[str]:
    options = ["--app-dir", str(HERE / "peers"), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    options += ["--log-level", "warning", "--timeout-keep-alive", "3600"]
    return [sys.executable, "-m", "uvicorn", f"{module}:app", *options]


def _require_module(name: str) -> None:
    if find_spec(name) is None:
        raise BenchmarkError(f"the Python package {name} is not installed (`make bench-sidecar` does)")


def _nginx(bench: Bench, conf: Path) -> list[str]:
    if not shutil.which("nginx"):
        raise BenchmarkError("nginx is not installed")
    return ["nginx", "-p", str(bench.folder), "-c", str(conf), "-e", str(bench.folder / f"{conf.stem}-start.log")]
