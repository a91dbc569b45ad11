"""A consent platform's string that comes with a visit is heard, and goes on as it came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.site import BERLIN, NEW_YORK, POLICY, Browser, Site, mounted

OFFICIAL = json.loads((Path(__file__).parents[1] / "data" / "industry.json").read_text())
REFUSES = next(one["string"] for one in OFFICIAL["tcf"] if one["purposes"] == [1])
PERMITS = next(one["string"] for one in OFFICIAL["tcf"] if one["purposes"] == [1, 7])
RULES = """
[signal.tcf]
refuses.analytics = [1, 7]
"""


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def visitor(site: Site, tmp_path: Path) -> Iterator[Browser]:
    browser = Browser(mounted(site, tmp_path, policy=POLICY + RULES), NEW_YORK)
    yield browser
    browser.close()


@pytest.mark.parametrize(
    ("string", "allows"),
    [
        (REFUSES, "essential, cross_site"),
        (PERMITS, "essential, analytics, cross_site"),
        ("x", "essential, analytics, cross_site"),
    ],
    ids=["refuses", "permits", "garbage"],
)
def test_a_string_refuses_by_policy_and_reaches_the_site_as_it_came(
    visitor: Browser, site: Site, string: str, allows: str
) -> None:
    page = visitor.get("/", cookie=f"session=1; euconsent-v2={string}; odd=1")
    assert site.header(b"consent-allows") == [allows.encode()]
    assert site.header(b"cookie") == [f"session=1; euconsent-v2={string}".encode()]
    assert ("__Host-vid" in str(page.headers.get_list("set-cookie"))) is ("analytics" in allows)


def test_the_site_may_set_the_string_itself_whoever_visits(site: Site, tmp_path: Path) -> None:
    site.headers.append((b"set-cookie", f"euconsent-v2={REFUSES}; Path=/".encode()))
    browser = Browser(mounted(site, tmp_path, policy=POLICY + RULES), BERLIN)
    page = browser.get("/")
    browser.close()
    assert f"euconsent-v2={REFUSES}; Path=/" in page.headers.get_list("set-cookie")


def test_two_visitors_with_the_same_address_and_other_strings_are_decided_apart(visitor: Browser, site: Site) -> None:
    heard = []
    for string in (REFUSES, PERMITS, REFUSES):
        visitor.get("/", cookie=f"euconsent-v2={string}")
        heard.append(site.header(b"consent-allows")[0])
    assert heard == [b"essential, cross_site", b"essential, analytics, cross_site", b"essential, cross_site"]
