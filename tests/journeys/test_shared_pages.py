"""`shared_pages`: one page for everybody, which any cache may keep; banner and gating come to each visitor apart."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser

from tests.journeys.chromium import a_visitor, gone, names, violations, with_chromium
from tests.journeys.pages import LOCAL_POLICY, MAIN, Pages, a_page, some_pages
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, NEW_YORK
from tests.journeys.test_banner_in_chromium import ENTRIES

POLICY = LOCAL_POLICY.replace("[site]\n", "[site]\nshared_pages = true\n", 1)
SCRIPT = '<script src="/_consent/consent.js" defer></script>'
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'self'"
)
HELD = '<script type="text/plain" data-consent="analytics" src="/counted.js"></script>'


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    with some_pages() as server:
        server.pages["/"] = a_page(MAIN + HELD, head=SCRIPT)
        server.pages["/deutsch"] = a_page("<main><h1>Laden</h1></main>", lang="de", head=SCRIPT)
        server.pages["/counted.js"] = b"window.counted = (window.counted || 0) + 1"
        for path in ("/", "/deutsch"):
            server.sent[path] = [
                ("Cache-Control", "public, max-age=600"),
                ("ETag", '"1"'),
                ("Content-Security-Policy", STRICT),
            ]
        yield server


@pytest.fixture(scope="module")
def site(pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("sidecar"), POLICY, pages.url) as where:
        yield where.replace("127.0.0.1", "localhost")


def test_everybody_gets_the_same_bytes_and_any_cache_may_keep_them(site: str, pages: Pages) -> None:
    answers = [
        httpx.get(
            site.replace("localhost", "127.0.0.1"),
            headers={"sec-fetch-dest": "document", "x-forwarded-for": place, **more},
        )
        for place, more in ((BERLIN, {}), (NEW_YORK, {"sec-gpc": "1"}), (BERLIN, {"accept-language": "de"}))
    ]
    assert {one.content for one in answers} == {pages.pages["/"]}
    for one in answers:
        assert (one.headers["cache-control"], one.headers["etag"]) == ("public, max-age=600", '"1"')
        assert not {"vary", "set-cookie", "tk"} & set(one.headers)


def test_what_speaks_of_one_visitor_is_kept_by_no_cache(site: str) -> None:
    for path in ("consent.js", "banner?return=/&lang=de"):
        answer = httpx.get(
            f"{site.replace('localhost', '127.0.0.1')}/_consent/{path}", headers={"x-forwarded-for": BERLIN}
        )
        assert answer.headers["cache-control"] == "no-store"
        assert "Cookie" in answer.headers["vary"]
    assert "Alle ablehnen" in answer.text
    assert 'data-allows="essential"' in answer.text


def test_no_banner_is_due_to_who_is_not_under_the_policy_yet(
    pages: Pages, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nobody = POLICY + "[scope]\npercent = 0\n"
    with serving(tmp_path_factory.mktemp("nobody"), nobody, pages.url) as where:
        answer = httpx.get(f"{where}/_consent/consent.js", headers={"x-forwarded-for": BERLIN})
    assert '"due":false' in answer.text


@with_chromium
def test_the_banner_comes_apart_and_the_page_does_not_move(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{site}/deutsch")
        page.get_by_role("button", name="Alle ablehnen").wait_for()
        assert page.evaluate(ENTRIES, "layout-shift") == []
        assert not [one for one in page.evaluate(ENTRIES, "largest-contentful-paint") if one["inBanner"]]
        assert said == []
        assert violations(page) == []


@with_chromium
def test_an_answer_holds_on_pages_that_were_kept(browser: Browser, site: str, pages: Pages) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        pages.asked.clear()
        page.goto(site)
        page.get_by_role("button", name="Reject all").wait_for()
        assert page.evaluate("consent.allows('analytics')") is False
        assert "/counted.js" not in pages.asked
        page.get_by_role("button", name="Accept all").click()
        gone(page)
        page.wait_for_function("window.counted === 1")
        pages.asked.clear()
        page.goto(f"{site}/deutsch")
        page.goto(site)
        page.wait_for_function("window.counted === 1")
        assert "/" not in pages.asked
        assert page.locator("#cmw-banner").count() == 0
        assert names(visitor) == {"__Host-consent"}
        page.goto(f"{site}/_consent/preferences")
        page.get_by_role("button", name="Withdraw everything").click()
        page.get_by_role("status").wait_for()
        page.goto(site)
        page.wait_for_function("window.consent")
        assert page.evaluate("consent.allows('analytics')") is False
        assert page.evaluate("window.counted") is None


@with_chromium
def test_where_it_is_allowed_without_an_answer_it_runs_at_once_and_notice_is_given(
    browser: Browser, site: str
) -> None:
    with a_visitor(browser, NEW_YORK) as visitor:
        page = visitor.new_page()
        page.goto(site)
        page.wait_for_function("window.counted === 1")
        page.get_by_role("button", name="Keep as is").click()
        gone(page)
        page.goto(site)
        page.wait_for_function("window.counted === 1")
        assert page.locator("#cmw-banner").count() == 0
