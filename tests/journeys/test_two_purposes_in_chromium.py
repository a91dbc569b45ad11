"""What an author marked with one purpose and is a vendor's of another one comes alive with both; the log is proof."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.journeys.chromium import a_visitor, with_chromium
from tests.journeys.pages import LOCAL_POLICY, MAIN, Pages, a_page, some_pages
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, VENDOR

pytestmark = with_chromium

POLICY = (
    LOCAL_POLICY
    + VENDOR.format(port=9)
    + 'hosts = ["cdn.insights.localhost"]\n'
    + VENDOR.format(port=9).replace("insights", "adverts").replace('"analytics"', '"cross_site"')
    + 'hosts = ["*.adverts.localhost"]\n'
)
SHARED = POLICY.replace("[site]\n", "[site]\nshared_pages = true\n", 1)
EVERYTHING = {"/live.js", "/held.js", "/map", "/dot.gif"}


@pytest.fixture(scope="module")
def vendor() -> Iterator[Pages]:
    with some_pages() as server:
        server.pages = {"/live.js": b"1", "/held.js": b"1", "/map": a_page("<p>A map"), "/dot.gif": b"GIF89a"}
        yield server


@pytest.fixture(scope="module", params=[POLICY, SHARED], ids=["gated as it streams", "the same for everybody"])
def site(request: pytest.FixtureRequest, vendor: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    adverts = vendor.url.replace("127.0.0.1", "x.adverts.localhost")
    with some_pages() as pages:
        pages.pages["/"] = a_page(
            MAIN + f'<script type="text/plain" data-consent="analytics" src="{adverts}/live.js"></script>'
            f'<script type="text/plain" data-consent=analytics data-src="{adverts}/held.js"></script>'
            f'<iframe title="Map" data-consent="analytics" data-src="{adverts}/map"></iframe>'
            f'<img alt="" data-consent="analytics" data-srcset="/here.gif 1x, {adverts}/dot.gif 2x">'
            '<script type="text/plain" data-consent="analytics" data-src="/own.js"></script>'
            '<script type="text/plain" data-consent data-src="/nobodys.js"></script>',
            head='<script src="/_consent/consent.js" defer></script>',
        )
        pages.pages["/own.js"] = b"window.own = true"
        pages.pages["/nobodys.js"] = b"window.nobodys = true"
        with serving(tmp_path_factory.mktemp("sidecar"), request.param, pages.url) as where:
            yield where.replace("127.0.0.1", "localhost")


def test_it_comes_alive_with_both_purposes_and_not_with_one(browser: Browser, site: str, vendor: Pages) -> None:
    with a_visitor(browser, BERLIN, device_scale_factor=2) as visitor:
        page = visitor.new_page()
        vendor.asked.clear()
        page.goto(site)
        page.wait_for_function("window.consent")
        page.evaluate("consent.choose({purposes: {analytics: true}})")
        page.wait_for_function("window.own")
        page.wait_for_timeout(300)
        assert vendor.asked == []
        page.reload()
        page.wait_for_function("window.own")
        page.wait_for_timeout(300)
        assert vendor.asked == []
        page.evaluate("consent.choose({all: true})")
        page.frame_locator("iframe").get_by_text("A map").wait_for()
        page.wait_for_timeout(300)
        assert set(vendor.asked) == EVERYTHING
        assert page.evaluate("window.nobodys") is None
