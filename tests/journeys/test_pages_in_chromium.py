"""Our own pages in a real browser: in any state and language, on any screen, with and without scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.journeys.chromium import a_visitor, gone, names, violations, with_chromium
from tests.journeys.pages import LOCAL_POLICY, Pages, some_pages
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, VENDOR

pytestmark = with_chromium

ABROAD = 'country = "US"\ntransfer_basis = "DPF"\nhosts = ["cdn.example.net"]\n'
POLICY = (
    LOCAL_POLICY.replace('policy_url = "/privacy"', 'policy_url = "/privacy"\ncontact = "privacy@example.com"')
    + VENDOR.format(port=9)
    + ABROAD
    + '[[clause]]\nid = "gpc"\ntext = "We honour Global Privacy Control"\n'
).replace("[signal.gpc]\n", '[signal.gpc]\nclause = ["gpc"]\n')
CASES = """
[[case]]
name = "a Californian with GPC is not followed to other sites"
given = { country = "US", region = "CA", gpc = true }
expect = { reasons = { cross_site = "signal-refuses" } }
"""
ROUTES = ("preferences", "policy", "receipts", "data")


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    with some_pages() as server:
        yield server


@pytest.fixture(scope="module")
def site(pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("sidecar")
    (folder / "policy.cases.toml").write_text(CASES)
    with serving(folder, POLICY, pages.url) as where:
        yield where.replace("127.0.0.1", "localhost")


def answer(page: Page, site: str, name: str = "Accept all") -> None:
    page.goto(site)
    page.get_by_role("button", name=name).click()
    gone(page)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("scheme", "width", "language"), [("light", 1280, "en"), ("dark", 320, "ar")])
def test_axe_finds_nothing_before_and_after_an_answer(
    browser: Browser, site: str, route: str, scheme: Any, width: int, language: str
) -> None:
    with a_visitor(browser, BERLIN, headers={"sec-gpc": "1"}, width=width, color_scheme=scheme) as visitor:
        page = visitor.new_page()
        for answered in (False, True):
            if answered:
                answer(page, site)
            page.goto(f"{site}/_consent/{route}?lang={language}&saved=1&erased=1")
            for one in page.locator("summary").all():
                one.click()
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_refused_request_is_a_page_like_the_others(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN, locale="de-DE") as visitor:
        page = visitor.new_page()
        page.goto(f"{site}/_consent/nowhere")
        assert page.get_by_role("heading", level=1).inner_text() == "Das hat nicht funktioniert"
        assert "Diese Seite gibt es nicht." in page.locator("main").inner_text()
        assert violations(page) == []


@pytest.mark.parametrize("route", ROUTES)
def test_a_page_is_in_the_language_asked_for_and_in_any_other_by_a_link(
    browser: Browser, site: str, route: str
) -> None:
    with a_visitor(browser, BERLIN, locale="fr-FR", java_script_enabled=False) as visitor:
        page = visitor.new_page()
        shown = page.goto(f"{site}/_consent/{route}")
        assert shown is not None
        assert "Accept-Language" in shown.headers["vary"]
        assert page.locator("html").get_attribute("lang") == "fr"
        page.get_by_text("Langue : français").or_(page.get_by_text("Langue: français")).click()
        page.get_by_role("link", name="Ελληνικά").click()
        assert page.locator("html").get_attribute("lang") == "el"
        page.get_by_role("link", name="Οι επιλογές σας").click()
        assert page.locator("html").get_attribute("lang") == "el"


def test_every_language_fits_a_small_screen(browser: Browser, site: str) -> None:
    from consent_mw.core.wording import TRANSLATED

    with a_visitor(browser, BERLIN, width=320) as visitor:
        page = visitor.new_page()
        for language in TRANSLATED:
            page.goto(f"{site}/_consent/preferences?lang={language}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, language
            assert page.locator("html").get_attribute("lang") == language


def test_the_policy_page_says_all_in_plain_words(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        page.goto(f"{site}/_consent/policy")
        told = page.locator("body").inner_text()
        for said in (
            "Learn which pages are read.", "_ga and whatever comes after it", "395 days", "Insights", "United States",
            "DPF", "cdn.example.net", "what happened, when, this browser's identifier, the page's path, country",
            "European Economic Area and United Kingdom", "counts as a no to: Cross site",
            "We honour Global Privacy Control", "Carried out by: Global Privacy Control", "privacy@example.com",
        ):  # fmt: skip
            assert said in told, said
        page.get_by_text("Where this is carried out, and how it is tested").click()
        assert page.get_by_role("listitem").get_by_text("a Californian with GPC is not followed").is_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_what_is_stored_can_be_seen_taken_along_and_erased(browser: Browser, site: str, scripts: bool) -> None:
    with a_visitor(browser, BERLIN, java_script_enabled=scripts, accept_downloads=True) as visitor:
        page = visitor.new_page()
        page.goto(f"{site}/_consent/data")
        assert "Nothing is stored about this browser." in page.locator("main").inner_text()
        page.goto(f"{site}/_consent/preferences")
        page.get_by_role("button", name="Accept all").click()
        page.get_by_role("status").wait_for()
        page.goto(site)
        page.goto(f"{site}/_consent/data")
        told = page.locator("main").inner_text()
        for said in ("Identifier of this browser", "Your consent", "Receipts of your choices", "analytics"):
            assert said.lower() in told.lower(), said
        with page.expect_download() as download:
            page.get_by_role("link", name="Download as a file").click()
        kept = json.loads(download.value.path().read_text(encoding="utf-8"))
        assert download.value.suggested_filename == "data.json"
        assert len(kept["receipts"]) == 1
        assert kept["consent"]["purposes"] == {"analytics": True, "cross_site": True}
        page.get_by_role("button", name="Erase it").click()
        page.get_by_role("status").filter(has_text="It is erased.").wait_for()
        assert names(visitor) <= {"session"}


def test_receipts_show_each_choice_and_its_signed_form(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        answer(page, site)
        page.goto(f"{site}/_consent/preferences")
        page.get_by_role("button", name="Withdraw everything").click()
        page.get_by_role("status").wait_for()
        page.goto(f"{site}/_consent/receipts")
        assert page.get_by_role("heading", level=2).all_inner_texts() == ["Receipt 2", "Receipt 1"]
        first = page.locator("article").first
        assert "Analytics and Cross site" in first.inner_text()
        first.get_by_text("Signed form").click()
        assert first.get_by_role("textbox", name="Signed form").input_value().count(".") == 2
