"""The servers under test: how each is started, and what it promises to do with cookies."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from machine import HERE, BenchmarkError, Cores, Running, fill, free_port
from visitors import KEY

DATABASE = next((HERE.parent / "consent_mw" / "data").glob("*.mmdb"))
GEOIP2 = Path("/usr/lib/nginx/modules/ngx_http_geoip2_module.so")
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
    """What all servers of one run share: the folder, the cores, the origin's and the sink's port."""

    folder: Path
    cores: Cores
    origin: int = field(default_factory=free_port)
    sink: int = field(default_factory=free_port)

    @property
    def values(self) -> dict[str, object]:
        """What templates may name."""
        user = "user root;" if os.geteuid() == 0 else ""
        return {
            "FOLDER": self.folder,
            "ORIGIN": self.origin,
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


@dataclass(frozen=True, slots=True)
class Case:
    """One row. `filters`: denied cookies must be gone; `edits`: pages in opt-in regions must carry a banner;
    `distinct`: no two requests come from the same visitor; `slow`: measured in every other round only."""

    name: str
    start: Start
    filters: bool = False
    edits: bool = False
    distinct: bool = False
    slow: bool = False


def start_origin(bench: Bench) -> Running:
    """The site, and the sink for events, on the load's core. Raises BenchmarkError."""
    conf = bench.written("peers/origin.conf", "origin.conf", {})
    running = Running.start("origin", _nginx(bench, conf), bench.cores.load, bench.folder)
    running.wait_for(bench.origin)
    return running


def sidecar(*, events: str = "", banner: str = "none", launcher: tuple[str, ...] = ()) -> Start:
    """How to start the sidecar; `events` names the kind of vendor that gets page views, `launcher` replaces
    `python -m consent_mw.cli`."""

    def start(bench: Bench, name: str) -> Server:
        vendor = VENDOR.format(kind=events, port=bench.sink) if events else ""
        policy = bench.written("policy.toml", f"{name}.toml", {"BANNER": banner, "VENDOR": vendor})
        port, admin = free_port(), free_port()
        command = [*(launcher or (sys.executable, "-m", "consent_mw.cli")), "serve", "--policy", str(policy)]
        command += ["--upstream", f"http://127.0.0.1:{bench.origin}", "--listen", f"127.0.0.1:{port}"]
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


def _events_off(launcher: tuple[str, ...] = ()) -> Start:
    return sidecar(launcher=launcher)


def _events_on(launcher: tuple[str, ...] = ()) -> Start:
    return sidecar(events="webhook", launcher=launcher)


def _batched(launcher: tuple[str, ...] = ()) -> Start:
    return sidecar(events="segment", launcher=launcher)


def _asking(launcher: tuple[str, ...] = ()) -> Start:
    return sidecar(banner="ask", launcher=launcher)


PROFILED: Mapping[str, Callable[[tuple[str, ...]], Start]] = {
    "sidecar": _events_off,
    "sidecar-strangers": _events_off,
    "sidecar-events": _events_on,
    "sidecar-batches": _batched,
    "sidecar-asking": _asking,
}
"""Our own rows, by how they are started."""

CASES = (
    Case("sidecar", _events_off(), filters=True),
    Case("nginx-plain", nginx("nginx-plain.conf")),
    Case("sidecar-events", _events_on(), filters=True),
    Case("sidecar-batches", _batched(), filters=True),
    Case("sidecar-strangers", _events_off(), filters=True, distinct=True),
    Case("sidecar-asking", _asking(), filters=True, edits=True),
    Case("nginx-by-hand", nginx("nginx-by-hand.conf", needs=GEOIP2), filters=True),
)


def versions() -> dict[str, str]:
    """The versions of the programs that are here."""
    asked = {"nginx": ["nginx", "-v"], "wrk": ["wrk", "-v"]}
    found: dict[str, str] = {}
    for name, command in asked.items():
        if shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
            number = re.search(r"\d+\.\d+[\w.\-+]*", said.stdout + said.stderr)
            found[name] = number[0] if number else "unknown"
    return found


def _nginx(bench: Bench, conf: Path) -> list[str]:
    if not shutil.which("nginx"):
        raise BenchmarkError("nginx is not installed")
    return ["nginx", "-p", str(bench.folder), "-c", str(conf), "-e", str(bench.folder / f"{conf.stem}-start.log")]
