"""A real browser: Chromium, driven by Playwright, that looks at a site as one visitor after another.

Rule: each visitor has a profile of its own, which is gone afterwards.
Rule: where a visitor says to be from is told to the site alone, never to the third parties that its pages ask for.
Rule: names and hosts are returned; a value of a cookie or of storage never leaves the browser.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from consent_mw.errors import ServeError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Request, Route

FLAGS = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")

KNOWN_AS = ("chromium", "chromium-browser", "google-chrome")

LONGEST = 20_000
"""Milliseconds that one page is waited for."""

SETTLES = 1_500
"""Milliseconds without traffic that a page is given to ask for more."""

NOT_SENT = ("csp", "blocked_by_client", "blocked_by_administrator")
"""Why a request failed before it reached anybody. Other blocks (ORB, CORP) are of answers: somebody was asked."""

_ABSENT = (
    "a browser is needed: pip install 'consent_mw[scan]', and Chromium (`playwright install chromium`, or Debian's)"
)
_STORED = "() => [...Object.keys(localStorage), ...Object.keys(sessionStorage)]"

_ASK = """async ([path, values]) => {
  const headers = {accept: "application/json", "content-type": "application/json"};
  const said = values ? {method: "POST", body: JSON.stringify(values)} : {};
  const answer = await fetch(path, {...said, headers});
  return answer.ok ? await answer.json() : null;
}"""


@dataclass(slots=True)
class Looked:
    """What one visitor's browser held in the end, and whom it asked: names, and hosts with their port where it is not
    the scheme's own. `failed` are pages that could not be read, `picture` a PNG of the first page."""

    cookies: set[str] = field(default_factory=set)
    storage: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    picture: bytes = b""


@contextmanager
def browsing(chromium: str | None = None) -> Iterator[Browser]:
    """A running browser. Raises ServeError with a sentence where there is none."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise ServeError(_ABSENT) from None
    path = chromium or next((found for one in KNOWN_AS if (found := shutil.which(one))), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *_as_root()])
        except Error as error:
            raise ServeError(f"{_ABSENT} ({str(error).splitlines()[0]})") from None
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """One visitor to a site: an own profile, whose requests to the site carry these headers."""

    def __init__(self, browser: Browser, site: str, headers: Mapping[str, str]) -> None:
        self.looked = Looked()
        self._site = site
        self._host = host_of(site)
        self._context: BrowserContext = browser.new_context(ignore_https_errors=False)
        # A request that a policy of the page's blocks reaches nobody, and still begins as one.
        self._context.on("response", lambda answer: self._asked(answer.url))
        self._context.on("requestfailed", self._failed)

        def named(route: Route) -> None:
            route.continue_(headers={**route.request.headers, **headers})

        self._context.route(lambda url: host_of(url) == self._host, named)

    def ask(self, path: str) -> Any:
        """The JSON that the site answers with under this path; None where it answers with none."""
        return self._fetched(path, None)

    def post(self, path: str, values: Mapping[str, object]) -> Any:
        """As `ask`, of a POST with these values as JSON."""
        return self._fetched(path, dict(values))

    def read(self, paths: Sequence[str], *, picture: bool = False) -> None:
        """Read these pages in order, and give each the time to ask for more."""
        page = self._context.new_page()
        page.on("websocket", lambda socket: self._asked(socket.url))
        for number, path in enumerate(paths):
            self._read(page, path)
            if picture and not number and path not in self.looked.failed:
                self.looked.picture = page.screenshot()
        page.close()
        self.looked.cookies |= {str(one["name"]) for one in self._context.cookies()}

    def close(self) -> None:
        """Forget this visitor."""
        self._context.close()

    def _read(self, page: Page, path: str) -> None:
        from playwright.sync_api import Error

        try:
            page.goto(urljoin(self._site, path), wait_until="load", timeout=LONGEST)
            page.wait_for_timeout(SETTLES)
            self.looked.storage |= set(page.evaluate(_STORED))
        except Error:
            self.looked.failed.append(path)

    def _fetched(self, path: str, values: dict[str, object] | None) -> Any:
        """Asked from a page of the site, so that it is this visitor's browser that asks."""
        from playwright.sync_api import Error

        page = self._context.new_page()
        try:
            page.goto(urljoin(self._site, path.rpartition("/")[0] + "/keys.json"), timeout=LONGEST)
            return page.evaluate(_ASK, [path, values])
        except Error:
            return None
        finally:
            page.close()

    def _failed(self, request: Request) -> None:
        said = (request.failure or "").lower()
        if not any(one in said for one in NOT_SENT):
            self._asked(request.url)

    def _asked(self, url: str) -> None:
        host = host_of(url)
        if host and host != self._host and urlsplit(url).scheme in ("http", "https", "ws", "wss"):
            self.looked.hosts.add(host)


def host_of(url: str) -> str:
    """The host of this URL in lower case, with the port where it is not the scheme's own."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    usual = {"http": 80, "ws": 80, "https": 443, "wss": 443}.get(parts.scheme)
    name = (parts.hostname or "").lower()
    return f"{name}:{port}" if port is not None and port != usual else name


def _as_root() -> list[str]:
    return ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
