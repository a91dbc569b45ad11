"""The banner in a real browser: what it costs a page, how it looks on any screen, how it is worked by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from consent_mw.core.wording import TRANSLATED
from tests.journeys.chromium import a_visitor, gone, names, violations, with_chromium
from tests.journeys.pages import LOCAL_POLICY, Pages, a_page, some_pages
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, NEW_YORK, VENDOR

pytestmark = with_chromium

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; img-src data:"
)
POLICY = LOCAL_POLICY + VENDOR.format(port=9)
ANSWERS = "#cmw-banner > form button"
SCREENS = {
    "desktop": (1280, 720),
    "phone": (360, 740),
    "small phone": (320, 568),
    "200 % zoom": (640, 360),
    "400 %": (320, 256),
}

SCRIPTS = pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])

ENTRIES = """kind => new Promise(done => {
  const found = [];
  new PerformanceObserver(list => { for (const one of list.getEntries()) found.push({
    value: one.value, tag: one.element?.localName, inBanner: Boolean(one.element?.closest('#cmw-banner')),
    after: one.hadRecentInput,
  }) }).observe({type: kind, buffered: true});
  setTimeout(() => done(found), 400);
})"""


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    with some_pages() as server:
        server.pages["/deutsch"] = a_page("<main><h1>Laden</h1></main>", lang="de-AT")
        server.pages["/arabic"] = a_page("<main><h1>متجر</h1></main>", lang="ar")
        server.pages["/tiny"] = a_page("<p>Hi")
        server.pages["/strict"] = a_page()
        server.sent["/strict"] = [("Content-Security-Policy", STRICT)]
        server.pages["/long"] = a_page("<main>" + "<p>Everything.</p>" * 200 + "<button id=last>Buy</button></main>")
        server.pages["/logo.svg"] = (
            b"<svg xmlns='http://www.w3.org/2000/svg' width='160' height='40'><circle r='20'/></svg>"
        )
        server.pages["/brand.css"] = b":root { --consent-accent: rgb(120, 0, 60); --consent-on-accent: #fff }"
        yield server


@pytest.fixture(scope="module")
def site(pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("sidecar"), POLICY, pages.url) as where:
        yield where.replace("127.0.0.1", "localhost")


def boxes(page: Page) -> list[dict[str, float]]:
    return [one.bounding_box() or {} for one in page.locator(ANSWERS).all()]


def looks(page: Page) -> list[dict[str, str]]:
    """How each button of the banner looks, but for what the mouse and its place change."""
    computed = """one => { const style = getComputedStyle(one); return Object.fromEntries(
      ['color', 'backgroundColor', 'borderColor', 'borderWidth', 'font', 'padding', 'height', 'width', 'opacity',
       'boxShadow', 'borderRadius', 'textDecoration', 'cursor'].map(name => [name, style[name]])) }"""
    found: list[dict[str, str]] = [one.evaluate(computed) for one in page.locator(ANSWERS).all()]
    return found


@pytest.mark.parametrize("path", ["/", "/tiny", "/long", "/deutsch"])
@pytest.mark.parametrize("place", [BERLIN, NEW_YORK], ids=["asked", "told"])
def test_the_banner_shifts_nothing_and_is_never_the_largest_paint(
    browser: Browser, site: str, path: str, place: str
) -> None:
    with a_visitor(browser, place) as visitor:
        page = visitor.new_page()
        page.goto(site + path)
        page.locator("#cmw-banner").wait_for()
        assert page.evaluate(ENTRIES, "layout-shift") == []
        largest = page.evaluate(ENTRIES, "largest-contentful-paint")
        assert largest
        assert not [one for one in largest if one["inBanner"]]
        assert page.locator("#cmw-banner").evaluate("one => getComputedStyle(one).opacity") == "1"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_on_any_screen_yes_and_no_are_alike_and_nothing_is_cut_off(
    browser: Browser, site: str, screen: str, scheme: Any
) -> None:
    width, height = SCREENS[screen]
    with a_visitor(browser, BERLIN, width=width, height=height, color_scheme=scheme) as visitor:
        page = visitor.new_page()
        page.goto(f"{site}/long")
        first, second = boxes(page)
        assert (first["width"], first["height"], first["y"]) == (second["width"], second["height"], second["y"])
        assert first["height"] >= 44
        assert first["x"] + first["width"] <= second["x"]
        yes, no = looks(page)
        assert yes == no
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        covered = page.locator("#cmw-banner").bounding_box()
        assert covered is not None
        assert covered["height"] <= height * 0.86
        page.locator("#last").scroll_into_view_if_needed()
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        last = page.locator("#last").bounding_box()
        assert last is not None
        assert last["y"] + last["height"] <= covered["y"]
        page.locator("#cmw-banner summary").click()
        for one in page.locator("#cmw-banner").locator("a, button, summary, input[type=checkbox]").all():
            one.focus()
            seen, covered = one.bounding_box(), page.locator("#cmw-banner").bounding_box()
            assert seen is not None
            assert covered is not None
            assert covered["height"] <= height * 0.86
            assert seen["y"] >= covered["y"] - 1
            assert seen["y"] + seen["height"] <= height + 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("place", "path", "headers"),
    [
        (BERLIN, "/", {}),
        (BERLIN, "/arabic", {"sec-gpc": "1", "dnt": "1"}),
        (NEW_YORK, "/", {}),
        (NEW_YORK, "/deutsch", {"sec-gpc": "1"}),
    ],
    ids=["asked", "asked with signals, right to left", "told", "told with a signal"],
)
def test_axe_finds_nothing(
    browser: Browser, site: str, place: str, path: str, headers: dict[str, str], scheme: Any
) -> None:
    width = 1280 if scheme == "light" else 320
    with a_visitor(browser, place, headers=headers, width=width, color_scheme=scheme) as visitor:
        page = visitor.new_page()
        page.goto(site + path)
        page.wait_for_timeout(100)
        assert violations(page) == []
        page.locator("#cmw-banner summary").click()
        assert violations(page) == []


def test_the_banner_speaks_the_pages_language_and_its_direction(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN, locale="fr-FR") as visitor:
        page = visitor.new_page()
        page.goto(f"{site}/deutsch")
        assert page.get_by_role("button", name="Alle ablehnen").count() == 1
        page.get_by_role("link", name="Entscheidungen zum Datenschutz").click()
        assert page.locator("html").get_attribute("lang") == "de"
        page.goto(f"{site}/arabic")
        banner = page.locator("#cmw-banner")
        assert (banner.get_attribute("lang"), banner.get_attribute("dir")) == ("ar", "rtl")
        told, form = page.locator(".cmw-told").bounding_box(), banner.locator("> form").bounding_box()
        assert told is not None
        assert form is not None
        assert told["x"] > form["x"]


def test_a_page_that_names_no_language_gets_what_the_browser_asks_for(
    browser: Browser, site: str, pages: Pages
) -> None:
    pages.pages["/plain"] = b"<!doctype html><title>x</title><p>Hi"
    with a_visitor(browser, BERLIN, locale="fr-FR") as visitor:
        page = visitor.new_page()
        answer = page.goto(f"{site}/plain")
        assert page.get_by_role("button", name="Tout refuser").count() == 1
        assert answer is not None
        assert "Accept-Language" in answer.headers["vary"]


def test_every_language_fits_the_smallest_screen(browser: Browser, site: str, pages: Pages) -> None:
    with a_visitor(browser, BERLIN, width=320, height=568) as visitor:
        page = visitor.new_page()
        for language in ("en", *TRANSLATED):
            pages.pages[f"/in-{language}"] = a_page(lang=language)
            page.goto(f"{site}/in-{language}")
            assert page.locator("#cmw-banner").get_attribute("lang") == language
            yes, no = boxes(page)
            assert (yes["width"], yes["height"], yes["y"]) == (no["width"], no["height"], no["y"]), language
            page.locator("#cmw-banner summary").click()
            cut = page.locator("#cmw-banner").evaluate(
                "one => [one, ...one.querySelectorAll('*')].filter(it => it.scrollWidth > it.clientWidth + 1 &&"
                " it.clientWidth).map(it => it.outerHTML)"
            )
            assert (language, cut) == (language, [])


def test_a_strict_policy_of_the_site_needs_no_exception(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{site}/strict")
        assert page.locator("#cmw-banner").evaluate("one => getComputedStyle(one).position") == "fixed"
        page.get_by_role("button", name="Reject all").click()
        gone(page)
        assert said == []
        assert names(visitor) == {"__Host-consent"}


@SCRIPTS
@pytest.mark.parametrize("lang", ["en", "ar"])
def test_where_a_pages_own_policy_forbids_its_style_it_is_a_plain_form_that_covers_nothing(
    browser: Browser, site: str, pages: Pages, scripts: bool, lang: str
) -> None:
    meta = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; {}form-action 'self'\">"
    pages.pages["/meta"] = a_page(lang=lang, head=meta.format("script-src 'self'; " if scripts else ""))
    with a_visitor(browser, BERLIN, width=320, height=568) as visitor:
        page = visitor.new_page()
        page.goto(f"{site}/meta")
        banner = page.locator("#cmw-banner")
        assert banner.evaluate("one => getComputedStyle(one).position") == "static"
        boxes_of_choices = opened(page)
        above, main = banner.bounding_box(), page.locator("main").bounding_box()
        assert above is not None
        assert main is not None
        assert above["y"] + above["height"] <= main["y"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        yes, no = looks(page)
        for differs in ("width", "font"):
            assert yes.pop(differs) == no.pop(differs) or differs == "width"
        assert yes == no
        rows = [one.bounding_box() for one in boxes_of_choices]
        assert rows[0]["y"] < rows[1]["y"]
        assert banner.locator("hr").is_visible()
        assert violations(page) == []
        banner.locator("> form button").last.click()
        gone(page)
        assert names(visitor) == {"__Host-consent"}


def test_it_is_not_printed(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        page.goto(site)
        assert page.locator("#cmw-banner").is_visible()
        page.emulate_media(media="print")
        assert not page.locator("#cmw-banner").is_visible()


def test_by_keyboard_the_banner_comes_first_and_traps_nobody(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        page.goto(site)
        passed = []
        for _ in range(6):
            page.keyboard.press("Tab")
            passed.append(page.evaluate("document.activeElement.textContent"))
        assert passed == [
            "privacy choices", "cookie policy", "Accept all", "Reject all", "Choose by purpose", "Another page",
        ]  # fmt: skip
        banner = page.get_by_role("region", name="Privacy choices")
        assert banner.count() == 1
        assert banner.get_attribute("aria-modal") is None


def test_escape_puts_it_away_for_this_page_and_is_no_answer(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        page.goto(site)
        page.get_by_role("button", name="Accept all").focus()
        page.keyboard.press("Escape")
        gone(page)
        assert page.evaluate("document.activeElement.localName") == "main"
        assert names(visitor) == set()
        page.goto(site)
        assert page.locator("#cmw-banner").count() == 1


def test_after_an_answer_it_says_so_and_the_keyboard_is_back_in_the_page(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        page.goto(site)
        page.get_by_role("button", name="Reject all").focus()
        page.keyboard.press("Enter")
        gone(page)
        assert page.evaluate("document.activeElement.localName") == "main"
        page.get_by_role("status").filter(has_text="Your choice is saved.").wait_for()


def test_nothing_moves_for_who_wants_no_motion(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN, reduced_motion="reduce") as visitor:
        page = visitor.new_page()
        page.goto(site)
        moving = page.evaluate("document.getAnimations().map(one => one.effect.getKeyframes().flatMap(Object.keys))")
        assert not {"transform", "translate", "top", "bottom", "inset"} & {name for one in moving for name in one}


def opened(page: Page) -> list[Any]:
    """Opens what the banner folds away; the boxes in it."""
    page.locator("#cmw-banner summary").click()
    return page.locator("#cmw-banner").get_by_role("checkbox").all()


@SCRIPTS
def test_purposes_are_one_step_further_in_the_banner_with_nothing_ticked(
    browser: Browser, site: str, scripts: bool
) -> None:
    with a_visitor(browser, BERLIN, java_script_enabled=scripts) as visitor:
        page = visitor.new_page()
        page.goto(f"{site}/other")
        save = page.get_by_role("button", name="Save these choices")
        assert not save.is_visible()
        assert [one.is_checked() for one in opened(page)] == [False, False]
        page.get_by_label("Analytics").check()
        save.click()
        gone(page)
        page.goto(f"{site}/_consent/preferences")
        assert [one.is_checked() for one in page.get_by_role("checkbox").all()] == [True, False]
        assert "Given for some purposes, refused for others" in page.locator("main").inner_text()


@SCRIPTS
def test_nothing_ticked_is_a_no_to_everything(browser: Browser, site: str, scripts: bool) -> None:
    with a_visitor(browser, NEW_YORK, java_script_enabled=scripts) as visitor:
        page = visitor.new_page()
        page.goto(site)
        assert [one.is_checked() for one in opened(page)] == [False, False]
        page.get_by_role("button", name="Save these choices").click()
        gone(page)
        page.goto(f"{site}/_consent/preferences")
        assert "Refused for every purpose" in page.locator("main").inner_text()


@SCRIPTS
def test_enter_on_a_box_says_yes_to_nothing_else(browser: Browser, site: str, scripts: bool) -> None:
    with a_visitor(browser, BERLIN, java_script_enabled=scripts) as visitor:
        page = visitor.new_page()
        page.goto(site)
        opened(page)
        page.get_by_label("Analytics").press("Space")
        page.get_by_label("Analytics").press("Enter")
        gone(page)
        page.goto(f"{site}/_consent/preferences")
        assert [one.is_checked() for one in page.get_by_role("checkbox").all()] == [True, False]


def test_unfolding_the_purposes_moves_nothing_of_the_page(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN) as visitor:
        page = visitor.new_page()
        page.goto(f"{site}/long")
        before = page.locator("#last").bounding_box(), page.evaluate("[scrollX, scrollY]")
        opened(page)
        page.wait_for_timeout(100)
        assert (page.locator("#last").bounding_box(), page.evaluate("[scrollX, scrollY]")) == before
        shifted = [one for one in page.evaluate(ENTRIES, "layout-shift") if not one["after"]]
        assert shifted == []


@pytest.mark.parametrize("screen", SCREENS)
def test_many_purposes_scroll_by_themselves(browser: Browser, pages: Pages, tmp_path: Path, screen: str) -> None:
    many = "".join(f'[purpose.more_{one}]\ntext = "Reason {one}."\n' for one in range(14))
    width, height = SCREENS[screen]
    with (
        serving(tmp_path, POLICY + many, pages.url) as where,
        a_visitor(browser, BERLIN, width=width, height=height) as visitor,
    ):
        page = visitor.new_page()
        page.goto(where)
        assert len(opened(page)) == 16
        for one in [*page.get_by_role("checkbox").all(), page.get_by_role("button", name="Save these choices")]:
            one.focus()
            box, banner = one.bounding_box(), page.locator("#cmw-banner").bounding_box()
            assert box is not None
            assert banner is not None
            assert banner["height"] <= height * 0.86
            assert banner["y"] - 1 <= box["y"] <= height + 1 - box["height"]
        yes, no = boxes(page)
        assert (yes["width"], yes["height"]) == (no["width"], no["height"])


@SCRIPTS
def test_the_page_of_choices_is_a_link_away_with_nothing_ticked(browser: Browser, site: str, scripts: bool) -> None:
    with a_visitor(browser, BERLIN, java_script_enabled=scripts) as visitor:
        page = visitor.new_page()
        page.goto(f"{site}/other")
        page.get_by_role("link", name="privacy choices").click()
        ticks = page.get_by_role("checkbox").all()
        assert [one.is_checked() for one in ticks] == [False, False]
        page.get_by_label("Analytics").check()
        page.get_by_role("button", name="Save these choices").click()
        page.get_by_role("status").filter(has_text="Your choice is saved.").wait_for()
        page.get_by_role("link", name="Back to the page you came from").click()
        page.wait_for_url("**/other")
        assert page.locator("#cmw-banner").count() == 0
        assert {"__Host-vid", "__Host-consent"} == names(visitor)


def test_an_honoured_signal_is_told(browser: Browser, site: str) -> None:
    with a_visitor(browser, BERLIN, headers={"sec-gpc": "1"}) as visitor:
        page = visitor.new_page()
        page.goto(site)
        told = page.locator("#cmw-banner").inner_text()
        assert (
            "Opt-out request honored: your browser sends Global Privacy Control, so this is off: Cross site." in told
        )


def test_the_sites_look_is_the_banners_and_moves_nothing(
    browser: Browser, pages: Pages, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dressed = POLICY.replace("[site]\n", '[site]\nstylesheet = "/brand.css"\nlogo = "/logo.svg"\n', 1)
    with (
        serving(tmp_path_factory.mktemp("dressed"), dressed, pages.url) as where,
        a_visitor(browser, BERLIN) as visitor,
    ):
        page = visitor.new_page()
        page.goto(where)
        page.wait_for_function("document.querySelector('#cmw-banner img').complete")
        assert {one["backgroundColor"] for one in looks(page)} == {"rgb(120, 0, 60)"}
        assert page.evaluate(ENTRIES, "layout-shift") == []
        assert not [one for one in page.evaluate(ENTRIES, "largest-contentful-paint") if one["inBanner"]]
        page.goto(f"{where}/_consent/preferences")
        assert page.locator("header img").get_attribute("src") == "/logo.svg"
        button = page.get_by_role("button", name="Save these choices")
        assert button.evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(120, 0, 60)"
