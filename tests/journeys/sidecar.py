"""A real sidecar over real sockets: an origin, `consent-mw serve` as a process, and both ends of it."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.journeys.site import KEY, listening

LAUNCH = Path(__file__).resolve().parents[1] / "sidecar" / "launch.py"
PAGE = b"<!doctype html><html lang=en><head><title>Shop</title></head><body><main><h1>Shop</h1></main></body></html>"


class Origin(http.server.ThreadingHTTPServer):
    """A site in another language than ours: sets three cookies on its pages, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.headers: list[tuple[str, str]] = [
            ("Set-Cookie", "session=s1; Path=/; HttpOnly"),
            ("Set-Cookie", "_ga=g1; Path=/; Max-Age=99999999"),
            ("Set-Cookie", "odd=o1; Path=/"),
        ]
        super().__init__(("127.0.0.1", 0), _Pages)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def cookies_asked_with(self) -> set[str]:
        """The names of the cookies of the last page that was asked for."""
        header = next(headers.get("cookie", "") for path, headers in reversed(self.asked) if path == "/")
        return {one.partition("=")[0].strip() for one in header.split(";") if one.strip()}


class _Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Origin

    def do_GET(self) -> None:
        asked = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, asked))
        self.send_response(200 if self.path == "/" else 404)
        for name, value in self.server.headers if self.path == "/" else ():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def an_origin() -> Iterator[Origin]:
    """An origin that listens while the block runs."""
    with listening(Origin()) as server:
        yield server


@contextmanager
def serving(
    folder: Path, policy: str, upstream: str, *flags: str, changed: dict[str, dict[str, float]] | None = None
) -> Iterator[str]:
    """`consent-mw serve` before this upstream, with these constants of modules `changed`; gives its address."""
    file = folder / "policy.toml"
    file.write_text(policy)
    program = ["-m", "consent_mw.cli"] if changed is None else [str(LAUNCH), json.dumps(changed)]
    command = [sys.executable, *program, "serve", "--policy", str(file), "--upstream", upstream]
    command += ["--listen", "127.0.0.1:0", "--store", f"sqlite:///{folder / 'consent.db'}", "--drain", "2s", *flags]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "CONSENT_MW_KEYS": KEY},
    )
    assert process.stdout is not None
    try:
        found = re.search(r"listening on (\S+?),", process.stdout.readline())
        assert found, "the sidecar did not start"
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        process.stdout.close()
