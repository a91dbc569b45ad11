"""The rows of the table: which servers are measured, and what each promises to do with cookies."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from servers import Start, aiohttp_proxy, nginx, nginx_asking, program, sidecar, starlette_httpx

GEOIP2 = Path("/usr/lib/nginx/modules/ngx_http_geoip2_module.so")
PROGRAMS = (
    ("nginx", ("nginx", "-v")),
    ("haproxy", ("haproxy", "-v")),
    ("caddy", ("caddy", "version")),
    ("wrk", ("wrk", "-v")),
)
PACKAGES = ("uvloop", "httptools", "granian", "uvicorn", "starlette", "httpx", "aiohttp")


@dataclass(frozen=True, slots=True)
class Case:
    """One row. `filters`: denied cookies must be gone; `edits`: pages in opt-in regions must carry a banner;
    `distinct`: no two requests come from the same visitor; `reports`: page views become events; `slow`: measured in
    every other round only."""

    name: str
    start: Start
    filters: bool = False
    edits: bool = False
    distinct: bool = False
    reports: bool = False
    slow: bool = False


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
    Case("sidecar-events", _events_on(), filters=True, reports=True),
    Case("sidecar-batches", _batched(), filters=True, reports=True),
    Case("sidecar-strangers", _events_off(), filters=True, distinct=True),
    Case("sidecar-asking", _asking(), filters=True, edits=True),
    Case("nginx-by-hand", nginx("nginx-by-hand.conf", needs=GEOIP2), filters=True),
    Case("nginx-auth", nginx_asking(), filters=True),
    Case("haproxy", program("haproxy", "haproxy.cfg", "-db", "-f")),
    Case("caddy", program("caddy", "Caddyfile", "run", "--adapter", "caddyfile", "--config"), slow=True),
    Case("aiohttp", aiohttp_proxy(), slow=True),
    Case("starlette-httpx", starlette_httpx(), slow=True),
)


def versions() -> dict[str, str]:
    """The versions of the programs and packages that are here."""
    found: dict[str, str] = {}
    for name, command in PROGRAMS:
        if shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
            number = re.search(r"\d+\.\d+(\.\d+)*", said.stdout + said.stderr)
            found[name] = number[0] if number else "unknown"
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
