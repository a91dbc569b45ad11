"""A real Chromium: one for a whole file of tests, with a context of its own for each visitor."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"

with_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)")


@contextmanager
def a_browser(*flags: str) -> Iterator[Browser]:
    """A browser while the block runs; it keeps pages that one may go back to, as browsers do."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, *flags], ignore_default_args=["--disable-back-forward-cache"]
        )
        yield browser
        browser.close()


@contextmanager
def a_visitor(browser: Browser, place: str, **more: Any) -> Iterator[BrowserContext]:
    """A visitor who comes from this address; `headers` are sent with every request, the rest is Playwright's."""
    headers = {"x-forwarded-for": place, **more.pop("headers", {})}
    size = {"width": more.pop("width", 1280), "height": more.pop("height", 720)}
    context = browser.new_context(extra_http_headers=headers, viewport=size, user_agent=AGENT, **more)
    context.set_default_timeout(10_000)
    try:
        yield context
    finally:
        context.close()


def gone(page: Page) -> None:
    """Wait until the banner is gone; also where a page forbids scripts that are text."""
    page.locator("#cmw-banner").wait_for(state="detached")


def names(context: BrowserContext) -> set[str]:
    """The names of the cookies that this visitor holds."""
    return {str(cookie["name"]) for cookie in context.cookies()}


def violations(page: Page) -> list[str]:
    """What axe-core finds on this page: each rule with the elements that break it."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {', '.join(str(node['target']) for node in one['nodes'])}" for one in found]
