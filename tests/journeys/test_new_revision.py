"""A new revision: asked again where it is asked, announced once where it is not, and never a no forgotten."""

from __future__ import annotations

from pathlib import Path

from consent_mw.core.wording import ENGLISH
from tests.journeys.site import BERLIN, NEW_YORK, POLICY, Browser, Site, mounted

CHANGED = ENGLISH["banner.changed"]
REVISED = POLICY.replace("2026-01", "2026-02")


def later(browser: Browser, folder: Path, place: str) -> Browser:
    """The same browser after the policy has changed."""
    held = [(cookie.name, cookie.value or "") for cookie in browser._client.cookies.jar]
    browser.close()
    again = Browser(mounted(Site(), folder, REVISED), place)
    for name, value in held:
        again.hold(name, value)
    return again


def test_outside_opt_in_regions_a_change_is_announced_once(tmp_path: Path) -> None:
    browser = Browser(mounted(Site(), tmp_path), NEW_YORK)
    first = browser.get().text
    assert "cmw-banner" in first
    assert CHANGED not in first
    browser.choose(seen=True)
    assert "cmw-banner" not in browser.get().text
    browser = later(browser, tmp_path, NEW_YORK)
    told = browser.get().text
    assert "How Example uses cookies" in told
    assert CHANGED in told
    assert browser.state()["purposes"]["analytics"]["allowed"] is True
    browser.choose(seen=True)
    assert "cmw-banner" not in browser.get().text
    browser.close()


def test_a_no_outside_opt_in_regions_stands_and_the_change_is_told(tmp_path: Path) -> None:
    browser = Browser(mounted(Site(), tmp_path), NEW_YORK)
    browser.choose(all=False)
    browser = later(browser, tmp_path, NEW_YORK)
    assert CHANGED in browser.get().text
    assert {one["reason"] for one in browser.state()["purposes"].values()} == {"essential", "consent-refused"}
    browser.choose(seen=True)
    assert "cmw-banner" not in browser.get().text
    browser.close()


def test_where_it_is_asked_it_is_asked_again_and_an_older_yes_no_longer_counts(tmp_path: Path) -> None:
    browser = Browser(mounted(Site(), tmp_path), BERLIN)
    browser.choose(purposes={"analytics": True, "cross_site": False})
    assert "cmw-banner" not in browser.get().text
    browser = later(browser, tmp_path, BERLIN)
    told = browser.get().text
    assert CHANGED in told
    assert "Accept all" in told
    reasons = {name: one["reason"] for name, one in browser.state()["purposes"].items()}
    assert reasons == {
        "essential": "essential", "analytics": "opt-in-default", "cross_site": "consent-refused",
    }  # fmt: skip
    browser.choose(all=False)
    assert "cmw-banner" not in browser.get().text
    browser.close()
