"""For each regime and signal, with a cold cache: what a browser holds and whom it asks, before an answer, after a yes
and after it was taken back. The third parties' own logs are the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.journeys.chromium import a_visitor, names, with_chromium
from tests.journeys.pages import LOCAL_POLICY, MAIN, Pages, a_page, some_pages
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, NEW_YORK

pytestmark = with_chromium

SIGNALS = """
[signal.dnt]
effect = "ignore"
in.eea_uk = { effect = "refuse", purposes = ["analytics"] }
"""
VENDORS = """
[vendor.stats]
kind = "webhook"
purpose = "analytics"
endpoint = "http://127.0.0.1:9/in"
fields = ["event"]
hosts = ["stats.localhost"]
[vendor.ads]
kind = "webhook"
purpose = "cross_site"
endpoint = "http://127.0.0.1:9/in"
fields = ["event"]
hosts = ["ads.localhost"]
"""
COOKIES = {"analytics": "_ga", "cross_site": "adid"}

NOTHING: frozenset[str] = frozenset()
ANALYTICS, CROSS_SITE = frozenset({"analytics"}), frozenset({"cross_site"})
BOTH = ANALYTICS | CROSS_SITE


@dataclass(frozen=True)
class World:
    """The site's address, and the third parties by the purpose that they serve."""

    site: str
    parties: dict[str, Pages]

    def look(self, visitor: BrowserContext) -> tuple[set[str], set[str]]:
        """Read the page in a new tab: the purposes whose cookie is held then, and those whose party was asked."""
        for one in self.parties.values():
            one.asked.clear()
        page = visitor.new_page()
        page.goto(self.site, wait_until="networkidle")
        page.close()
        held = names(visitor)
        return (
            {purpose for purpose, cookie in COOKIES.items() if cookie in held},
            {purpose for purpose, party in self.parties.items() if party.asked},
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with some_pages() as stats, some_pages() as ads, some_pages() as pages:
        for party in (stats, ads):
            party.pages = {"/tag.js": b"window.tagged = (window.tagged || 0) + 1"}
        tags = "".join(
            f'<script src="{party.url.replace("127.0.0.1", host)}/tag.js"></script>'
            for party, host in ((stats, "stats.localhost"), (ads, "ads.localhost"))
        )
        pages.pages["/"] = a_page(MAIN + tags)
        pages.sent["/"] = [("Set-Cookie", f"{name}=1") for name in ("session", *COOKIES.values())]
        policy = LOCAL_POLICY + SIGNALS + VENDORS
        with serving(tmp_path_factory.mktemp("sidecar"), policy, pages.url) as where:
            site = where.replace("127.0.0.1", "localhost")
            yield World(site, {"analytics": stats, "cross_site": ads})


def answer(visitor: BrowserContext, world: World, route: str, place: str) -> None:
    said = {"sec-fetch-site": "same-origin", "x-forwarded-for": place}
    told = visitor.request.post(f"{world.site}/_consent/{route}", data={"all": True}, headers=said)
    assert told.ok


@pytest.mark.parametrize(
    ("place", "signal", "before", "after"),
    [
        pytest.param(BERLIN, {}, NOTHING, BOTH, id="opt-in"),
        pytest.param(BERLIN, {"dnt": "1"}, NOTHING, CROSS_SITE, id="opt-in with DNT, which refuses analytics here"),
        pytest.param(BERLIN, {"sec-gpc": "1"}, NOTHING, ANALYTICS, id="opt-in with GPC, which refuses cross_site"),
        pytest.param(NEW_YORK, {}, BOTH, BOTH, id="opt-out"),
        pytest.param(NEW_YORK, {"dnt": "1"}, BOTH, BOTH, id="opt-out with DNT, which is ignored there"),
        pytest.param(NEW_YORK, {"sec-gpc": "1"}, ANALYTICS, ANALYTICS, id="opt-out with GPC"),
    ],
)
def test_what_is_denied_is_neither_held_nor_asked_for(
    browser: Browser, world: World, place: str, signal: dict[str, str], before: frozenset[str], after: frozenset[str]
) -> None:
    with a_visitor(browser, place, headers=signal) as visitor:
        assert world.look(visitor) == (before, before)
        answer(visitor, world, "choice", place)
        assert world.look(visitor) == (after, after)
        answer(visitor, world, "withdraw", place)
        assert world.look(visitor) == (NOTHING, NOTHING)
        assert "session" in names(visitor)
