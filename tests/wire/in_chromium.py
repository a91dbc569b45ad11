"""Pages in a real Chromium, and every connection that they make to a vendor's hosts.

Each page has a host of the vendor's to itself (`d7.vendor.test`), so that what arrives there tells which page called.
"""

from __future__ import annotations

import contextlib
import http.server
import re
import shutil
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

AT_ONCE = 20
"""Pages that are looked at together, each in a frame."""
_NAME = re.compile(rb"\bd([0-9]+)\.vendor\.test", re.IGNORECASE)


class Sink(socketserver.ThreadingTCPServer):
    """The vendor's hosts: hears whoever connects, remembers which page it was (-1: none said), and says nothing."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.called: list[int] = []
        super().__init__(("127.0.0.1", 0), _Call)


class _Call(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.settimeout(0.3)
        try:
            said = self.request.recv(65_536)
        except OSError:
            said = b""
        found = _NAME.search(said)
        sink: Any = self.server
        sink.called.append(int(found[1]) if found else -1)
        try:
            # An empty answer ends the load sooner than a connection that is cut, which is tried again.
            self.request.sendall(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except OSError:
            return


class Site(http.server.ThreadingHTTPServer):
    """Serves the pages that are under test, and a page of frames that holds some of them."""

    daemon_threads = True

    def __init__(self) -> None:
        self.pages: dict[str, tuple[bytes, str]] = {}
        super().__init__(("127.0.0.1", 0), _Page)


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site: Any = self.server
        body, kind = site.pages.get(self.path.partition("?")[0], (b"", "text/plain"))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        """Say nothing."""


class Chromium:
    """A browser in which the vendor's hosts are the sink."""

    def __init__(self, browser: Any, site: Site, sink: Sink) -> None:
        self._site = site
        self._sink = sink
        self._pages = {
            scripting: browser.new_context(java_script_enabled=scripting).new_page() for scripting in (True, False)
        }

    def calls(
        self, pages: Sequence[bytes], *, scripting: bool = True, kind: str = "text/html; charset=utf-8"
    ) -> set[int]:
        """The numbers of the pages that called the vendor; -1 is among them where one did not say which it is."""
        found: set[int] = set()
        for first in range(0, len(pages), AT_ONCE):
            found |= self._calls(range(first, min(first + AT_ONCE, len(pages))), pages, scripting, kind)
        return found

    def charsets(self, kinds: Sequence[str], body: bytes) -> list[str]:
        """The encodings in which it reads these bytes, sent with each of these types."""
        return [
            one for first in range(0, len(kinds), AT_ONCE) for one in self._charsets(kinds[first:][:AT_ONCE], body)
        ]

    def _charsets(self, kinds: Sequence[str], body: bytes) -> list[str]:
        site = self._site
        site.pages = {f"/{number}": (body, kind) for number, kind in enumerate(kinds)}
        frames = "".join(f'<iframe src="/{number}"></iframe>' for number in range(len(kinds)))
        site.pages["/"] = (f"<!doctype html>{frames}".encode(), "text/html; charset=utf-8")
        page = self._pages[True]
        page.goto(f"http://127.0.0.1:{site.server_port}/", wait_until="load", timeout=20_000)
        found: list[str] = page.evaluate(
            "[...document.querySelectorAll('iframe')].map(f => f.contentDocument.characterSet)"
        )
        return found

    def _calls(self, numbers: range, pages: Sequence[bytes], scripting: bool, kind: str) -> set[int]:
        self._sink.called.clear()
        site = self._site
        site.pages = {f"/{number}": (pages[number], kind) for number in numbers}
        frames = "".join(f'<iframe src="/{number}"></iframe>' for number in numbers)
        site.pages["/"] = (f"<!doctype html>{frames}".encode(), "text/html")
        page = self._pages[scripting]
        page.goto(f"http://127.0.0.1:{site.server_port}/", wait_until="load", timeout=20_000)
        page.wait_for_timeout(150)
        return set(self._sink.called)


@contextmanager
def chromium() -> Iterator[Chromium]:
    """A running Chromium, or the test is skipped with a word."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    site, sink = Site(), Sink()
    for server in (site, sink):
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    rules = f"MAP *.vendor.test 127.0.0.1:{sink.server_address[1]}"
    try:
        with sync_api.sync_playwright() as driver:
            args = ["--no-sandbox", f"--host-resolver-rules={rules}", "--proxy-server=direct://"]
            browser = driver.chromium.launch(executable_path=path, args=args)
            try:
                yield Chromium(browser, site, sink)
            finally:
                browser.close()
    finally:
        for server in (site, sink):
            server.shutdown()
            server.server_close()
