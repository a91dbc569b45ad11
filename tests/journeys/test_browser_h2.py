"""A real browser before a real sidecar, over TLS and HTTP/2: the same consent, and one connection for all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.journeys.chromium import FLAGS, names
from tests.journeys.sidecar import Origin, an_origin, serving
from tests.journeys.site import BERLIN, NEW_YORK, POLICY
from tests.sidecar.certificates import write_pair

CHROMIUM = shutil.which("chromium")
PROTOCOLS = "() => performance.getEntries().map(entry => entry.nextHopProtocol).filter(one => one)"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def origin() -> Iterator[Origin]:
    with an_origin() as server:
        yield server


@pytest.fixture
def address(origin: Origin, tmp_path: Path) -> Iterator[str]:
    certificate, key = write_pair(tmp_path, "a.example")
    policy = POLICY.replace("https://example.com/privacy", "/privacy").replace('origin = "https://example.com"\n', "")
    with serving(tmp_path, policy, origin.url, "--tls-cert", certificate, "--tls-key", key) as where:
        assert where.startswith("https://")
        yield where.replace("127.0.0.1", "localhost")


def test_a_new_yorker_is_recognised_and_an_unlisted_cookie_is_dropped(
    browser: Browser, address: str, origin: Origin
) -> None:
    context = browser.new_context(ignore_https_errors=True, extra_http_headers={"x-forwarded-for": NEW_YORK})
    context.add_cookies(
        [{"name": "odd", "value": "1", "url": address}, {"name": "session", "value": "1", "url": address}]
    )
    page = context.new_page()
    page.goto(address)
    assert {"session", "_ga", "__Host-vid", "odd"} == names(context)
    page.goto(address)
    assert origin.cookies_asked_with() == {"session", "_ga"}
    assert set(page.evaluate(PROTOCOLS)) == {"h2"}
    context.close()


def test_a_berliner_accepts_over_http_2(browser: Browser, address: str) -> None:
    context = browser.new_context(ignore_https_errors=True, extra_http_headers={"x-forwarded-for": BERLIN})
    page = context.new_page()
    page.goto(address)
    assert names(context) == {"session"}
    page.get_by_role("button", name="Accept all").click()
    page.wait_for_function("document.querySelector('#cmw-banner') === null")
    page.goto(address)
    assert {"_ga", "__Host-vid", "__Host-consent"} <= names(context)
    context.close()
