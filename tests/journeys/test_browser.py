"""A real browser before a real sidecar: what a person sees, presses and keeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.journeys.chromium import AGENT, a_browser, names, with_chromium
from tests.journeys.sidecar import Origin, an_origin, serving
from tests.journeys.site import BERLIN, NEW_YORK, POLICY

pytestmark = with_chromium


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with an_origin() as server:
        yield server


@pytest.fixture(scope="module")
def address(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    policy = POLICY.replace("https://example.com/privacy", "/privacy").replace('origin = "https://example.com"\n', "")
    with serving(tmp_path_factory.mktemp("sidecar"), policy, origin.url) as where:
        yield where.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def contexts() -> Iterator[Browser]:
    with a_browser() as browser:
        yield browser


def visitor(contexts: Browser, place: str, *, scripts: bool = True, width: int = 1280) -> BrowserContext:
    return contexts.new_context(
        extra_http_headers={"x-forwarded-for": place},
        java_script_enabled=scripts,
        viewport={"width": width, "height": 700},
        user_agent=AGENT,
    )


def test_before_an_answer_a_berliner_holds_no_denied_cookie(contexts: Browser, address: str, origin: Origin) -> None:
    context = visitor(contexts, BERLIN)
    page = context.new_page()
    page.goto(address)
    page.goto(address)
    assert names(context) == {"session"}
    assert origin.cookies_asked_with() == {"session"}
    context.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_a_berliner_accepts_and_takes_it_back(contexts: Browser, address: str, scripts: bool) -> None:
    context = visitor(contexts, BERLIN, scripts=scripts)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("button", name="Accept all").click()
    page.wait_for_load_state()
    page.wait_for_function("document.querySelector('#cmw-banner') === null") if scripts else None
    page.goto(address)
    assert page.locator("#cmw-banner").count() == 0
    assert {"_ga", "__Host-vid", "__Host-consent"} <= names(context)
    page.goto(f"{address}/_consent/preferences")
    page.get_by_role("button", name="Withdraw everything").click()
    page.wait_for_load_state()
    page.goto(address)
    assert names(context) == {"session", "__Host-consent"}
    context.close()


def test_a_no_is_one_key_press_away_and_as_large_as_a_yes(contexts: Browser, address: str) -> None:
    context = visitor(contexts, BERLIN, width=320)
    page = context.new_page()
    page.goto(address)
    accept, reject = page.get_by_role("button", name="Accept all"), page.get_by_role("button", name="Reject all")
    sizes = [one.bounding_box() for one in (accept, reject)]
    assert sizes[0] is not None
    assert sizes[1] is not None
    assert (sizes[0]["width"], sizes[0]["height"]) == (sizes[1]["width"], sizes[1]["height"])
    reject.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#cmw-banner') === null")
    page.goto(address)
    assert page.locator("#cmw-banner").count() == 0
    assert names(context) == {"session", "__Host-consent"}
    context.close()


def test_the_banner_shifts_nothing(contexts: Browser, address: str) -> None:
    context = visitor(contexts, BERLIN)
    page = context.new_page()
    page.goto(address)
    shifted = page.evaluate(
        "() => new Promise(done => { let sum = 0; new PerformanceObserver(list => { for (const one of"
        " list.getEntries()) sum += one.value; }).observe({type: 'layout-shift', buffered: true});"
        " setTimeout(() => done(sum), 300); })"
    )
    assert shifted == 0
    context.close()


def test_a_new_yorker_is_told_and_may_refuse(contexts: Browser, address: str) -> None:
    context = visitor(contexts, NEW_YORK)
    page = context.new_page()
    page.goto(address)
    assert {"_ga", "__Host-vid"} <= names(context)
    page.get_by_role("button", name="Reject all").click()
    page.wait_for_function("document.querySelector('#cmw-banner') === null")
    page.goto(address)
    assert names(context) == {"session", "__Host-consent"}
    context.close()
