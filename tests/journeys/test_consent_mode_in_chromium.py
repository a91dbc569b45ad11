"""Google's Consent Mode is told before any tag runs, and after every change; the tags' own queue is the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.journeys.chromium import a_visitor, with_chromium
from tests.journeys.pages import LOCAL_POLICY, Pages, a_page, some_pages
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, NEW_YORK

pytestmark = with_chromium

MODE = """
[consent_mode]
analytics_storage = "analytics"
ad_storage = "cross_site"
security_storage = "essential"
wait_for_update = 500
"""
GTAG = "window.dataLayer = window.dataLayer || []; function gtag() { dataLayer.push(arguments) }"
TAG = f"<script>{GTAG} gtag('config', 'G-1')</script>"


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    with some_pages() as server:
        server.pages["/tagged"] = a_page(
            "<main><h1>Tagged</h1></main>", head='<script src="/_consent/consent.js"></script>' + TAG
        )
        yield server


def queue(page: Page) -> object:
    return page.evaluate("[...dataLayer].map((one) => [...one])")


@pytest.mark.parametrize(("place", "first"), [(BERLIN, "denied"), (NEW_YORK, "granted")], ids=["opt-in", "opt-out"])
def test_the_default_comes_first_and_an_update_after_each_change(
    browser: Browser, pages: Pages, tmp_path: Path, place: str, first: str
) -> None:
    def storage(value: str) -> dict[str, object]:
        return {"ad_storage": value, "analytics_storage": value, "security_storage": "granted"}

    with serving(tmp_path, LOCAL_POLICY + MODE, pages.url) as where, a_visitor(browser, place) as visitor:
        page = visitor.new_page()
        page.goto(where.replace("127.0.0.1", "localhost") + "/tagged")
        told = [["consent", "default", {**storage(first), "wait_for_update": 500}], ["config", "G-1"]]
        assert queue(page) == told
        page.evaluate("consent.choose({ all: true })")
        page.evaluate("consent.choose({ all: false })")
        changes = ["granted", "denied"] if first == "denied" else ["denied"]
        assert queue(page) == [*told, *(["consent", "update", storage(one)] for one in changes)]


def test_nothing_is_told_where_the_policy_does_not_ask(browser: Browser, pages: Pages, tmp_path: Path) -> None:
    with serving(tmp_path, LOCAL_POLICY, pages.url) as where, a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        page.goto(where.replace("127.0.0.1", "localhost") + "/tagged")
        assert queue(page) == [["config", "G-1"]]
