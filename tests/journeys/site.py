"""A small site behind the middleware, and a browser that visits it over ASGI; a receiver that is a real socket."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from consent_mw import ConsentMiddleware

T = TypeVar("T")
S = TypeVar("S", bound=http.server.ThreadingHTTPServer)

KEY = "a-key-of-the-tests-0123456789"
BERLIN = "85.214.132.117"
LONDON = "212.58.244.20"
NEW_YORK = "74.125.224.72"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

POLICY = """
schema = 1
revision = "2026-01"
[site]
name = "Example"
origin = "https://example.com"
policy_url = "https://example.com/privacy"
same_party = ["example.com", "*.example.com"]
[client_address]
trusted = ["127.0.0.0/8"]
[purpose.essential]
text = "Keep you signed in."
essential = true
[purpose.analytics]
text = "Learn which pages are read."
[purpose.cross_site]
text = "Recognise you on other sites."
[jurisdiction.eea_uk]
regions = ["EEA", "GB"]
regime = "opt-in"
[jurisdiction.elsewhere]
regions = ["*"]
regime = "opt-out"
[signal.gpc]
effect = "refuse"
purposes = ["cross_site"]
[identifier]
cookie = "__Host-vid"
purpose = "analytics"
lasts = "395d"
[[cookie]]
name = "session"
purpose = "essential"
[[cookie]]
name = "_ga*"
purpose = "analytics"
lasts = "395d"
secure = true
same_site = "lax"
[[cookie]]
name = "adid"
purpose = "cross_site"
[feature.send_times]
purpose = "analytics"
denied_in = ["eea_uk"]
"""

VENDOR = """
[vendor.insights]
kind = "webhook"
purpose = "analytics"
endpoint = "http://127.0.0.1:{port}/in"
fields = ["event", "time", "visitor_id", "page_path", "ip", "country", "user_id", "name", "email", "props.plan"]
fields_in.eea_uk = ["event", "time", "visitor_id", "page_path", "country", "user_id"]
"""

Pairs = list[tuple[bytes, bytes]]


class Site:
    """An ASGI app that answers every path with a page, and keeps the headers it was asked with."""

    def __init__(self) -> None:
        self.asked: list[Pairs] = []
        self.headers: Pairs = [(b"content-type", b"text/html; charset=utf-8")]
        self.body = b"<!doctype html><html><head><title>Hi</title></head><body class=a><p>Hello</p></body></html>"
        self.status = 200
        self.visit: Any = None
        self.on_visit: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        self.asked.append(list(scope["headers"]))
        self.visit = scope.get("consent_mw")
        if self.on_visit is not None:
            self.on_visit(self.visit)
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": self.body[:40], "more_body": True})
        await send({"type": "http.response.body", "body": self.body[40:]})

    def header(self, name: bytes) -> list[bytes]:
        """The values of this header in the last request that reached the app."""
        return [value for key, value in self.asked[-1] if key == name]


class Browser:
    """Visits the site from an address; keeps cookies as a browser does (by httpx's jar)."""

    def __init__(self, middleware: ConsentMiddleware, address: str, **headers: str) -> None:
        self._middleware = middleware
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(middleware, client=("127.0.0.1", 1)),
            base_url="https://example.com",
            headers={"x-forwarded-for": address, "user-agent": FIREFOX, **headers},
        )

    def get(self, path: str = "/", *, document: bool = True, **headers: str) -> httpx.Response:
        """GET a path, as a document unless told otherwise."""
        said = {"sec-fetch-dest": "document" if document else "empty"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self._run(self._client.get(path, headers=said))

    def post(self, path: str, **options: Any) -> httpx.Response:
        """POST from a page of this site."""
        headers = {"sec-fetch-site": "same-origin", **options.pop("headers", {})}
        return self._run(self._client.post(path, headers=headers, **options))

    def choose(self, **choice: Any) -> httpx.Response:
        """POST choice as JSON."""
        return self.post("/_consent/choice", json=choice)

    def state(self) -> Any:
        """GET state."""
        return self.get("/_consent/state", document=False).json()

    @property
    def cookies(self) -> set[str]:
        """The names of the cookies that the browser holds."""
        return {cookie.name for cookie in self._client.cookies.jar}

    def hold(self, name: str, value: str) -> None:
        """Put a cookie into the browser, as a script would."""
        self._client.cookies.set(name, value, domain="example.com", path="/")

    def close(self) -> None:
        """End the visit, and stop the middleware that this browser started."""
        self._run(self._middleware.gate.stop())
        self.leave()

    def leave(self) -> None:
        """End the visit; the middleware goes on."""
        self._run(self._client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, visit: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(visit, self._loop).result(30)


class Receiver(http.server.ThreadingHTTPServer):
    """A vendor: takes every POST and remembers what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.arrived = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Taker)

    def wait_for(self, number: int, seconds: float = 5.0) -> list[dict[str, Any]]:
        """The events received, once there are this many (or the time is up)."""
        with self.arrived:
            self.arrived.wait_for(lambda: len(self.events) >= number, seconds)
            return list(self.events)


class _Taker(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        sent = json.loads(body)
        with self.server.arrived:
            self.server.events.extend(sent if isinstance(sent, list) else [sent])
            self.server.arrived.notify_all()
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def listening(server: S) -> Iterator[S]:
    """This server, in a thread of its own while the block runs."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A vendor that listens while the block runs."""
    with listening(Receiver()) as server:
        yield server


def mounted(site: Site, folder: Path, policy: str = POLICY) -> ConsentMiddleware:
    """The middleware over this site, with its policy and its store in the folder."""
    file = folder / "policy.toml"
    file.write_text(policy)
    return ConsentMiddleware(site, policy=file, keys=[KEY], store=f"sqlite:///{folder / 'consent.db'}")
