"""What a page's own scripts are told of consent: at once, after every change, in every tab, and when going back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.journeys.chromium import a_visitor, gone, names, with_chromium
from tests.journeys.pages import LOCAL_POLICY, MAIN, Pages, a_page, some_pages
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, NEW_YORK

pytestmark = with_chromium

API = '<script src="/_consent/consent.js"></script>'
WATCH = "<script>document.addEventListener('consentchange', one => (window.heard ??= []).push(one.detail))</script>"


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    with some_pages() as server:
        server.pages["/api"] = a_page(
            "<main><h1>Api</h1></main><script>window.atOnce = consent.allows('analytics')</script>", head=API + WATCH
        )
        server.pages["/watched"] = a_page(head=WATCH)
        server.pages["/held"] = a_page(
            MAIN + '<script type="text/plain" data-consent="analytics">window.ran = "inline"</script>'
            '<script type="text/plain" data-consent="analytics" src="/counted.js"></script>'
            '<script type="text/plain" data-consent="analytics, cross_site" src="/both.js"></script>'
            '<iframe title="Map" data-consent="analytics" data-src="/framed"></iframe>'
            '<img alt="" data-consent="analytics" data-src="javascript:alert(1)">'
            '<p data-consent="analytics" data-consent-onclick="alert(1)">Harmless.</p>'
        )
        server.pages["/counted.js"] = b"window.counted = (window.counted || 0) + 1"
        server.pages["/both.js"] = b"window.both = true"
        server.pages["/framed"] = a_page("<p>A map")
        yield server


@pytest.fixture(scope="module")
def site(pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("sidecar"), LOCAL_POLICY, pages.url) as where:
        yield where.replace("127.0.0.1", "localhost")


def elsewhere(visitor: BrowserContext, site: str, **choice: object) -> None:
    """Choose in a way that no tab hears of."""
    answer = visitor.request.post(
        f"{site}/_consent/choice", data=choice, headers={"sec-fetch-site": "same-origin", "x-forwarded-for": BERLIN}
    )
    assert answer.ok


def allows(page: Page, purpose: str = "analytics") -> bool:
    answer: bool = page.evaluate("name => consent.allows(name)", purpose)
    return answer


@pytest.mark.parametrize(("place", "allowed"), [(BERLIN, False), (NEW_YORK, True)], ids=["opt-in", "opt-out"])
def test_what_is_allowed_is_known_at_once(browser: Browser, site: str, place: str, allowed: bool) -> None:
    with a_visitor(browser, place) as visitor:
        page = visitor.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(site)))
        page.goto(f"{site}/api")
        assert page.evaluate("atOnce") is allowed
        assert "/_consent/state" not in asked
        assert not allows(page, "no_such_purpose")
        page.goto(site)
        assert allows(page) is allowed


def test_a_script_with_somebodys_state_is_nobody_elses(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        own = visitor.request.get(f"{site}/_consent/consent.js")
        assert own.headers["cache-control"] == "no-store"
        assert own.headers["cross-origin-resource-policy"] == "same-origin"
        assert '"allows":["essential"]' in own.text()
        strange = visitor.request.get(f"{site}/_consent/consent.js", headers={"sec-fetch-site": "cross-site"})
        assert strange.status == 403


def test_a_change_is_told_in_this_tab_and_in_every_other(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        first, second = visitor.new_page(), visitor.new_page()
        first.goto(f"{site}/watched")
        second.goto(f"{site}/api")
        assert not allows(second)
        first.get_by_role("button", name="Accept all").click()
        gone(first)
        second.wait_for_function("window.heard?.length === 1")
        gone(second)
        for page in (first, second):
            assert page.evaluate("heard.map(one => one.consent.status)") == ["given"]
            assert allows(page)
        second.evaluate("consent.choose({purposes: {analytics: false}})")
        first.wait_for_function("window.heard.length === 2")
        assert not allows(first)
        assert allows(first, "cross_site")
        assert first.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0


def test_saving_on_the_page_of_choices_is_told_to_other_tabs(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        first, second = visitor.new_page(), visitor.new_page()
        first.goto(f"{site}/watched")
        second.goto(f"{site}/_consent/preferences")
        second.get_by_role("button", name="Accept all").click()
        first.wait_for_function("window.heard?.length === 1")
        gone(first)
        assert allows(first)


@pytest.mark.parametrize("first", ["/api", "/"], ids=["a page without a banner", "a page with one"])
def test_going_back_after_a_withdrawal_never_shows_the_page_of_before(
    browser: Browser, site: str, first: str
) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        page.goto(site)
        if first == "/api":
            page.get_by_role("button", name="Accept all").click()
            gone(page)
        page.goto(site + first)
        page.evaluate(
            "window.before = true; addEventListener('pageshow', event => { window.kept = event.persisted })"
        )
        page.goto(f"{site}/other")
        if first == "/api":
            elsewhere(visitor, site, all=False)
            page.go_back(wait_until="commit")
            page.wait_for_function("window.before === undefined && window.consent")
            assert not allows(page)
            return
        elsewhere(visitor, site, all=True)
        page.go_back(wait_until="commit")
        gone(page)
        page.wait_for_function("consent.allows('analytics')")
        assert page.evaluate("window.kept") is True


def test_an_answer_on_another_subdomain_is_heard_when_the_tab_is_looked_at(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        page.goto(site)
        elsewhere(visitor, site, all=False)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        gone(page)


def test_what_a_page_holds_back_comes_alive_with_a_yes_and_only_that(
    browser: Browser, site: str, pages: Pages
) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        pages.asked.clear()
        page.goto(f"{site}/held")
        page.wait_for_timeout(200)
        assert not {"/counted.js", "/both.js", "/framed"} & set(pages.asked)
        page.evaluate("consent.choose({purposes: {analytics: true}})")
        page.wait_for_function("window.counted === 1 && window.ran === 'inline'")
        page.frame_locator("iframe").get_by_text("A map").wait_for()
        assert "/both.js" not in pages.asked
        assert page.locator("img").get_attribute("src") is None
        assert page.locator("p[onclick]").count() == 0
        page.evaluate("consent.choose({all: true})")
        page.wait_for_function("window.both === true")
        assert page.evaluate("window.counted") == 1


def test_where_scripts_are_vouched_for_one_by_one_others_stay_as_they_are(
    browser: Browser, site: str, pages: Pages
) -> None:
    pages.pages["/nonce"] = a_page(
        MAIN + '<script type="text/plain" data-consent="analytics" nonce="n1" src="/counted.js"></script>'
        '<script type="text/plain" data-consent="analytics" src="/both.js"></script>',
        head='<script nonce="n1" src="/_consent/consent.js"></script>',
    )
    pages.sent["/nonce"] = [
        ("Content-Security-Policy", "script-src 'nonce-n1' 'strict-dynamic'; object-src 'none'; base-uri 'none'")
    ]
    with a_visitor(browser, NEW_YORK) as visitor:
        page = visitor.new_page()
        page.goto(f"{site}/nonce")
        page.wait_for_function("window.counted === 1")
        assert page.evaluate("window.both") is None


def test_subdomains_share_an_answer(browser: Browser, pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> None:
    shared = LOCAL_POLICY.replace("[site]\n", '[site]\ncookie_domain = "shop.localhost"\n', 1)
    shared = shared.replace("__Host-vid", "__Secure-vid")
    folder = tmp_path_factory.mktemp("shared")
    with serving(folder, shared, pages.url) as where, a_visitor(browser, BERLIN) as visitor:
        first = where.replace("127.0.0.1", "www.shop.localhost")
        second = where.replace("127.0.0.1", "help.shop.localhost")
        page = visitor.new_page()
        page.goto(first)
        page.get_by_role("button", name="Accept all").click()
        gone(page)
        page.goto(second)
        assert page.locator("#cmw-banner").count() == 0
        page.goto(first)
        assert {"__Secure-consent", "__Secure-vid"} == names(visitor)
        page.goto(f"{second}/_consent/preferences")
        page.get_by_role("button", name="Withdraw everything").click()
        page.get_by_role("status").wait_for()
        page.goto(first)
        assert page.locator("#cmw-banner").count() == 0
        assert {"__Secure-consent"} == names(visitor)
