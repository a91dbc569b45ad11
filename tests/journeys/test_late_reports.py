"""A no holds for what began before it: a request that the site answers late is not reported after a withdrawal."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.sidecar import PAGE, serving
from tests.journeys.site import FIREFOX, NEW_YORK, POLICY, VENDOR, Receiver, listening, receiving


class SlowOrigin(http.server.ThreadingHTTPServer):
    """A site that answers `/slow` only when it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.answers = threading.Event()
        super().__init__(("127.0.0.1", 0), _Pages)


class _Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SlowOrigin

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.server.asked.set()
            self.server.answers.wait(20)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


class Visitor:
    """A browser that keeps its cookies by hand, as over TLS; each request on a connection of its own."""

    def __init__(self, url: str, address: str = NEW_YORK) -> None:
        self._url = url
        self._headers = {"x-forwarded-for": address, "user-agent": FIREFOX, "sec-fetch-site": "same-origin"}
        self.cookies: dict[str, str] = {}

    def get(self, path: str, client: httpx.Client | None = None) -> httpx.Response:
        return self._ask("GET", path, {"sec-fetch-dest": "document"}, client)

    def post(self, path: str, value: Any) -> httpx.Response:
        return self._ask("POST", path, {}, json=value)

    def _ask(
        self, method: str, path: str, more: dict[str, str], client: httpx.Client | None = None, **options: Any
    ) -> httpx.Response:
        held = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {**self._headers, **more, **({"cookie": held} if held else {})}
        ask = httpx.request if client is None else client.request
        answer = ask(method, self._url + path, headers=headers, timeout=20, **options)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if value:
                self.cookies[name] = value
        return answer


@contextmanager
def a_site(
    folder: Path, *flags: str, changed: dict[str, dict[str, float]] | None = None
) -> Iterator[tuple[str, SlowOrigin, Receiver]]:
    with receiving() as vendor, listening(SlowOrigin()) as origin:
        policy = POLICY + VENDOR.format(port=vendor.server_address[1])
        upstream = f"http://127.0.0.1:{origin.server_address[1]}"
        with serving(folder, policy, upstream, *flags, changed=changed) as url:
            yield url, origin, vendor


def paths(vendor: Receiver, number: int) -> list[str]:
    return sorted(one["data"]["page_path"] for one in vendor.wait_for(number, 10.0))


@pytest.mark.parametrize("how", ["withdraw", "choice", "erase"])
@pytest.mark.parametrize("workers", ["1", "3"])
def test_what_began_before_a_no_is_not_reported_after_it(tmp_path: Path, workers: str, how: str) -> None:
    with a_site(tmp_path, "--workers", workers) as (url, origin, vendor), ThreadPoolExecutor(1) as pool:
        visitor = Visitor(url)
        visitor.get("/first")
        assert paths(vendor, 1) == ["/first"]
        before = dict(visitor.cookies)
        slow = pool.submit(visitor.get, "/slow")
        assert origin.asked.wait(10)
        refusal = visitor.post(f"/_consent/{how}", {"all": False} if how == "choice" else {})
        origin.answers.set()
        assert (refusal.status_code, slow.result(20).status_code) == (200, 200)
        # Sent before the browser heard of its no: with the cookies from before it.
        stale = Visitor(url)
        stale.cookies = before
        assert stale.get("/stale").status_code == 200
        others = ["/first"]
        for path in ("/other", "/another"):
            Visitor(url).get(path)
            others.append(path)
            assert paths(vendor, len(others)) == sorted(others)


def test_what_came_before_is_no_younger_than_when_it_was_asked_for(tmp_path: Path) -> None:
    changed = {"consent_mw.world.store.recalls": {"ON_THE_WAY": 0.0}}
    with a_site(tmp_path, changed=changed) as (url, origin, vendor), ThreadPoolExecutor(1) as pool:
        visitor = Visitor(url)
        told = ["/first", "/second", "/second", "/second"]
        with httpx.Client(timeout=20) as client:
            # The same head again and again, on one connection: what is remembered of it is used.
            for path in told:
                visitor.get(path, client)
            assert paths(vendor, 4) == told
            slow = pool.submit(visitor.get, "/slow", client)
            assert origin.asked.wait(10)
            visitor.post("/_consent/withdraw", {})
            origin.answers.set()
            assert slow.result(20).status_code == 200
        for path in ("/other", "/another"):
            Visitor(url).get(path)
            told.append(path)
            assert paths(vendor, len(told)) == sorted(told)


def test_a_yes_after_a_no_is_reported_again_at_once(tmp_path: Path) -> None:
    with a_site(tmp_path) as (url, _, vendor):
        visitor = Visitor(url)
        visitor.get("/first")
        assert paths(vendor, 1) == ["/first"]
        kept = dict(visitor.cookies)
        visitor.post("/_consent/withdraw", {})
        visitor.post("/_consent/choice", {"all": True})
        visitor.cookies = {**kept, **visitor.cookies}
        visitor.get("/again")
        assert paths(vendor, 2) == ["/again", "/first"]
