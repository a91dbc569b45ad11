"""Real shared caches in front of a real sidecar: nginx and Varnish as child processes; a site that lets them share.

Rule: each cache keeps all that HTTP permits and more: heuristics, stale answers, answers with a Set-Cookie.
"""

from __future__ import annotations

import http.client
import http.server
import itertools
import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.journeys.site import listening

PATIENCE = 20.0
"""Seconds that a cache has to start."""

NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/temp;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache levels=1 keys_zone=all:1m inactive=1h;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_cache all;
      proxy_cache_key $request_uri;
      proxy_cache_valid any 10m;
      proxy_cache_revalidate on;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 50ms;
      proxy_cache_use_stale error timeout updating http_500 http_502;
      proxy_ignore_headers {ignored};
      add_header X-Cache $upstream_cache_status always;
    }}
  }}
}}
"""
VCL = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{upstream}"; }}
sub vcl_recv {{
  if (req.method == "GET" || req.method == "HEAD") {{ return (hash); }}
  return (pass);
}}
sub vcl_backend_response {{
  if (beresp.http.Cache-Control ~ "(?i)private|no-store|no-cache") {{
    set beresp.uncacheable = true;
    set beresp.ttl = 10m;
    return (deliver);
  }}
  set beresp.grace = 1h;
  set beresp.keep = 1h;
  return (deliver);
}}
"""

Cache = Callable[[Path, int], "Any"]


@contextmanager
def nginx(folder: Path, upstream: int, *, ignored: str = "Set-Cookie") -> Iterator[int]:
    """nginx that caches by URL; gives its port."""
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""

    def command(port: int) -> list[str]:
        config.write_text(NGINX.format(user=user, folder=folder, port=port, upstream=upstream, ignored=ignored))
        return [_found("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]

    with _running(command) as port:
        yield port


def careless_cdn(folder: Path, upstream: int) -> Any:
    """A cache as CDNs are: it knows `private`, and nothing of Vary."""
    return nginx(folder, upstream, ignored="Set-Cookie Vary")


@contextmanager
def varnish(folder: Path, upstream: int, *, eager: bool = False) -> Iterator[int]:
    """Varnish with the rules it comes with, or with rules that keep all they may; gives its port."""
    rules = folder / "rules.vcl"
    rules.write_text(VCL.format(upstream=upstream))
    given = ["-f", str(rules)] if eager else ["-b", f"127.0.0.1:{upstream}"]

    def command(port: int) -> list[str]:
        flags = ["-F", "-j", "none", "-T", "none", "-n", str(folder / "varnish"), "-s", "default,16m"]
        return [_found("varnishd"), *flags, "-a", f"127.0.0.1:{port}", *given]

    with _running(command) as port:
        yield port


def eager_varnish(folder: Path, upstream: int) -> Any:
    """Varnish that keeps all it may."""
    return varnish(folder, upstream, eager=True)


def present(name: str) -> bool:
    """Whether this server is installed."""
    return bool(_found(name))


def _found(name: str) -> str:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") or ""


@contextmanager
def _running(command: Callable[[int], list[str]]) -> Iterator[int]:
    """This server on a port that the kernel just gave away, on another where somebody was faster."""
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        process = subprocess.Popen(command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not _listens(process, port):
                continue
            yield port
            return
        finally:
            process.terminate()
            process.wait(15)
    raise AssertionError("the cache did not start")


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
            continue
        # Who answers may be the one that was faster; then this process ends by itself.
        time.sleep(0.05)
        return process.poll() is None
    return False


class Shop(http.server.ThreadingHTTPServer):
    """A site that lets everything be shared: pages, files, answers told apart by what they say they vary by."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.serial = itertools.count(1)
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Shop

    def do_GET(self) -> None:
        path = self.path
        self.server.asked[path] += 1
        headers, body = self._answer(path)
        tag = f'"{path.strip("/").replace("/", "-")}"'
        if self.headers.get("if-none-match") == tag:
            self._send(304, [*headers, ("ETag", tag)], b"")
            return
        if self.headers.get("range") == "bytes=0-3" and "page" not in path:
            headers.append(("Content-Range", f"bytes 0-3/{len(body)}"))
            self._send(206, [*headers, ("ETag", tag), ("Content-Length", "4")], body[:4])
            return
        dated = ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self._send(200, [*headers, ("ETag", tag), dated, ("Content-Length", str(len(body)))], body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._send(204, [], b"")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def _answer(self, path: str) -> tuple[list[tuple[str, str]], bytes]:
        age = 1 if "brief" in path else 600
        public = ("Cache-Control", f"public, max-age={age}, s-maxage={age}")
        if path.startswith("/page/"):
            language = self.headers.get("accept-language", "")
            page = f"<!doctype html><html lang={language}><title>{path}</title><body>" + "<p>text</p>" * 150
            vary = ("Vary", "Accept-Language")
            return [("Content-Type", "text/html"), public, vary, *self._cookies("cookie" in path)], page.encode()
        if path == "/told.json":
            heard = self.headers.get("consent-jurisdiction", ""), self.headers.get("consent-allows", "")
            return [("Content-Type", "application/json"), public, ("Vary", "Consent-Allows")], repr(heard).encode()
        if path == "/personal.json":
            heard_cookies = self.headers.get("cookie", "")
            return [
                ("Content-Type", "application/json"),
                public,
                ("Vary", "Cookie"),
            ], f"heard: {heard_cookies}".encode()
        return [("Content-Type", "text/css"), public, *self._cookies("cookie" in path)], f"p{{}} {path}".encode()

    def _cookies(self, wanted: bool) -> list[tuple[str, str]]:
        names = ("session", "_ga", "adid", "odd") if wanted else ()
        return [("Set-Cookie", f"{name}=n{next(self.server.serial)}; Path=/") for name in names]

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def a_shop() -> Iterator[Shop]:
    """A shop that listens while the block runs."""
    with listening(Shop()) as server:
        yield server


class Client:
    """One kept connection to a port; answers are read whole."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers in lower case, and body."""
        connection = self._connection
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("host", "example.com")
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return response.status, [(name.lower(), value) for name, value in response.getheaders()], response.read()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()
