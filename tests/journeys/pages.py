"""A site of several pages for a real browser, which keeps a log of what it was asked for."""

from __future__ import annotations

import http.server
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.journeys.site import POLICY, listening

LOCAL_POLICY = POLICY.replace("https://example.com/privacy", "/privacy").replace(
    'origin = "https://example.com"\n', ""
)
"""The policy of the journeys for a site that is reached by whatever address the kernel gives."""

MAIN = "<main><h1>Shop</h1><p>Everything is on sale.</p><a href='/other'>Another page</a></main>"


def a_page(body: str = MAIN, *, lang: str = "en", head: str = "") -> bytes:
    """A page of the site."""
    return (
        f"<!doctype html><html lang={lang}><head><meta charset=utf-8><title>Shop</title>"
        f"<meta name=viewport content='width=device-width'><link rel=icon href='data:,'>{head}</head>"
        f"<body>{body}</body></html>"
    ).encode()


class Pages(http.server.ThreadingHTTPServer):
    """Answers each path of `pages` with its bytes, as HTML or by its suffix; `sent` are fields of its answers."""

    daemon_threads = True

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {"/": a_page(), "/other": a_page("<main><h1>Other</h1></main>")}
        self.sent: dict[str, list[tuple[str, str]]] = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Answering)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Pages

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        body = self.server.pages.get(path, b"")
        self.send_response(200 if path in self.server.pages else 404)
        kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}.get(path.rpartition(".")[2])
        said = self.server.sent.get(path, [])
        if not any(name == "Content-Type" for name, _ in said):
            self.send_header("Content-Type", kind or "text/html; charset=utf-8")
        for name, value in said:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def some_pages() -> Iterator[Pages]:
    """A site that listens while the block runs."""
    with listening(Pages()) as server:
        yield server
