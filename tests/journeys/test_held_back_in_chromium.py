"""What a page tries without its author's help is held back until a yes, and comes alive with it; the log is proof."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.journeys.chromium import a_visitor, gone, violations, with_chromium
from tests.journeys.pages import LOCAL_POLICY, MAIN, Pages, a_page, some_pages
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, NEW_YORK, VENDOR

pytestmark = with_chromium

POLICY = LOCAL_POLICY + VENDOR.format(port=9) + 'hosts = ["vendor.localhost"]\n'


@pytest.fixture(scope="module")
def vendor() -> Iterator[Pages]:
    with some_pages() as server:
        server.pages = {"/counted.js": b"window.counted = (window.counted || 0) + 1", "/map": a_page("<p>A map")}
        yield server


@pytest.fixture(scope="module")
def site(vendor: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    strange = vendor.url.replace("127.0.0.1", "vendor.localhost")
    with some_pages() as pages:
        pages.pages["/"] = a_page(
            MAIN + f'<script src="{strange}/counted.js"></script><iframe title="Map" src="{strange}/map"></iframe>',
            lang="de",
        )
        with serving(tmp_path_factory.mktemp("sidecar"), POLICY, pages.url) as where:
            yield where.replace("127.0.0.1", "localhost")


def test_nothing_reaches_a_denied_host_before_a_yes_all_does_after_and_nothing_after_a_no(
    browser: Browser, site: str, vendor: Pages
) -> None:
    with a_visitor(browser, BERLIN, locale="de-DE") as visitor:
        page = visitor.new_page()
        vendor.asked.clear()
        page.goto(site)
        frame = page.frame_locator("iframe")
        frame.get_by_role("button", name="Zustimmen und anzeigen").wait_for()
        assert "Dieser Inhalt kommt von einer anderen Website." in frame.locator("body").inner_text()
        assert violations(page) == []
        assert vendor.asked == []
        page.get_by_role("button", name="Alle akzeptieren").click()
        gone(page)
        page.wait_for_function("window.counted === 1")
        frame.get_by_text("A map").wait_for()
        assert sorted(vendor.asked) == ["/counted.js", "/map"]
        page.goto(f"{site}/_consent/preferences")
        page.get_by_role("button", name="Alles widerrufen").click()
        page.get_by_role("status").wait_for()
        vendor.asked.clear()
        page.goto(site)
        frame.get_by_role("button", name="Zustimmen und anzeigen").wait_for()
        assert vendor.asked == []


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_frame_asks_for_what_it_needs_and_for_nothing_else(
    browser: Browser, site: str, vendor: Pages, scripts: bool
) -> None:
    with a_visitor(browser, BERLIN, java_script_enabled=scripts) as visitor:
        page = visitor.new_page()
        page.goto(site)
        page.frame_locator("iframe").get_by_role("button").click()
        page.frame_locator("iframe").get_by_text("A map").wait_for()
        state = visitor.request.get(f"{site}/_consent/state", headers={"x-forwarded-for": BERLIN}).json()
        assert {name: one["reason"] for name, one in state["purposes"].items()} == {
            "essential": "essential", "analytics": "consent-given", "cross_site": "opt-in-default",
        }  # fmt: skip


def test_where_it_is_allowed_without_an_answer_nothing_is_held_back(
    browser: Browser, site: str, vendor: Pages
) -> None:
    with a_visitor(browser, NEW_YORK) as visitor:
        page = visitor.new_page()
        page.goto(site)
        page.wait_for_function("window.counted === 1")
        page.frame_locator("iframe").get_by_text("A map").wait_for()
