"""What a person may ask for, and what holds when a disk or a key fails."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from consent_mw import ConsentMiddleware, KeysError
from tests.journeys.site import BERLIN, KEY, NEW_YORK, POLICY, Browser, Site, mounted


def set_cookies(answer: Any) -> list[str]:
    return [line.partition("=")[0] for line in answer.headers.get_list("set-cookie")]


def test_a_person_sees_all_that_is_stored_and_can_erase_it(tmp_path: Path) -> None:
    berliner = Browser(mounted(Site(), tmp_path), BERLIN)
    berliner.choose(all=True)
    berliner.get("/")
    stored = berliner.get("/_consent/data", document=False, accept="application/json").json()
    assert stored["consent"]["purposes"] == {"analytics": True, "cross_site": True}
    assert stored["identifier"] is not None
    assert len(stored["receipts"]) == 1
    berliner.post("/_consent/erase", json={})
    assert berliner.cookies == set()
    assert berliner.state()["consent"] == {"status": "unknown", "at": None, "receipt": None}
    berliner.close()
    with sqlite3.connect(tmp_path / "consent.db") as db:
        assert db.execute("SELECT count(*) FROM receipts").fetchone() == (0,)
    db.close()


def test_with_the_store_down_a_no_is_honoured_and_a_yes_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "consent.db").mkdir()
    site = Site()
    visitor = Browser(mounted(site, tmp_path), NEW_YORK)
    page = visitor.get("/")
    assert page.status_code == 200
    assert set_cookies(page) == []
    yes = visitor.choose(all=True)
    assert (yes.status_code, set_cookies(yes)) == (503, [])
    no = visitor.choose(all=False)
    assert no.status_code == 200
    assert visitor.state()["purposes"]["analytics"] == {"allowed": False, "reason": "consent-refused"}
    assert visitor.state()["consent"]["receipt"] is None
    visitor.close()


def test_anonymous_posts_from_one_address_are_limited_but_a_no_still_holds(tmp_path: Path) -> None:
    middleware = mounted(Site(), tmp_path)
    crowd = Browser(middleware, BERLIN)
    answers = []
    for _ in range(70):
        crowd._client.cookies.clear()
        answers.append(crowd.choose(all=False))
    limited = answers[-1]
    crowd.close()
    assert {one.status_code for one in answers} == {200, 429}
    assert limited.status_code == 429
    assert set_cookies(limited) == ["__Host-consent"]
    with sqlite3.connect(tmp_path / "consent.db") as db:
        assert db.execute("SELECT count(*) FROM receipts").fetchone()[0] < 70
    db.close()


def test_a_rotated_key_still_verifies_what_the_old_one_signed(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    store = f"sqlite:///{tmp_path / 'consent.db'}"
    before = Browser(ConsentMiddleware(Site(), policy=file, keys=[KEY], store=store), BERLIN)
    before.choose(all=True)
    held = {cookie.name: cookie.value or "" for cookie in before._client.cookies.jar}
    before.close()
    statuses = {}
    for label, keys in (("rotated", [KEY, "a newer key of the tests"]), ("foreign", ["a newer key of the tests"])):
        after = Browser(ConsentMiddleware(Site(), policy=file, keys=keys, store=store), BERLIN)
        for name, value in held.items():
            after.hold(name, value)
        statuses[label] = after.state()["consent"]["status"]
        after.close()
    assert statuses == {"rotated": "given", "foreign": "unknown"}


def test_a_new_revision_asks_again_without_forgetting_a_no(tmp_path: Path) -> None:
    berliner = Browser(mounted(Site(), tmp_path), BERLIN)
    berliner.choose(purposes={"analytics": True, "cross_site": False})
    held = {cookie.name: cookie.value or "" for cookie in berliner._client.cookies.jar}
    berliner.close()
    revised = Browser(mounted(Site(), tmp_path, POLICY.replace("2026-01", "2026-02")), BERLIN)
    for name, value in held.items():
        revised.hold(name, value)
    state = revised.state()
    revised.close()
    assert state["consent"]["status"] == "outdated"
    assert state["ask"] is True
    assert {name: one["reason"] for name, one in state["purposes"].items()} == {
        "essential": "essential",
        "analytics": "opt-in-default",
        "cross_site": "consent-refused",
    }


def test_subdomains_share_an_answer_where_the_policy_says_so(tmp_path: Path) -> None:
    policy = POLICY.replace('policy_url = "', 'cookie_domain = "example.com"\npolicy_url = "').replace(
        "__Host-vid", "__Secure-vid"
    )
    berliner = Browser(mounted(Site(), tmp_path, policy), BERLIN)
    line = berliner.choose(all=True).headers.get_list("set-cookie")[0]
    berliner.close()
    assert line.startswith("__Secure-consent=")
    assert "; Domain=example.com" in line


@pytest.mark.parametrize("garbage", ["x", "a.b.c", "é", "%00", "." * 5000, "eyJhIjoxfQ.AAAA"])
def test_a_broken_token_is_absence(tmp_path: Path, garbage: str) -> None:
    browser = Browser(mounted(Site(), tmp_path), BERLIN)
    cookie = f"__Host-consent={garbage}; __Host-vid={garbage}".encode()
    page = browser._run(browser._client.get("/", headers=[(b"cookie", cookie), (b"sec-fetch-dest", b"document")]))
    browser.close()
    assert page.status_code == 200


def test_without_keys_there_is_no_middleware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONSENT_MW_KEYS", raising=False)
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    with pytest.raises(KeysError, match="CONSENT_MW_KEYS"):
        ConsentMiddleware(Site(), policy=file)


def test_erasing_leaves_a_bare_no_where_there_was_one(tmp_path: Path) -> None:
    visitor = Browser(mounted(Site(), tmp_path), NEW_YORK)
    visitor.choose(all=False)
    visitor.post("/_consent/erase", json={})
    state = visitor.state()
    visitor.close()
    assert state["purposes"]["analytics"] == {"allowed": False, "reason": "consent-refused"}
    assert state["consent"]["receipt"] is None


def test_a_policy_that_begins_to_share_answers_forgets_none(tmp_path: Path) -> None:
    visitor = Browser(mounted(Site(), tmp_path), NEW_YORK)
    visitor.choose(all=False)
    held = {cookie.name: cookie.value or "" for cookie in visitor._client.cookies.jar}
    visitor.close()
    policy = POLICY.replace('policy_url = "', 'cookie_domain = "example.com"\npolicy_url = "').replace(
        "__Host-vid", "__Secure-vid"
    )
    site = Site()
    later = Browser(mounted(site, tmp_path, policy), NEW_YORK)
    for name, value in held.items():
        later.hold(name, value)
    state = later.state()
    later.get("/")
    later.close()
    assert state["consent"]["status"] == "refused"
    assert site.header(b"cookie") == []


def test_what_an_excluded_path_says_to_us_does_not_reach_the_browser(tmp_path: Path) -> None:
    site = Site()
    site.headers.append((b"consent-identify", b'email="ann@example.com"'))
    browser = Browser(mounted(site, tmp_path, POLICY + '[scope]\nexclude = ["/api/*"]\n'), BERLIN)
    answer = browser.get("/api/x")
    browser.close()
    assert "consent-identify" not in answer.headers
    assert answer.content == site.body


def test_a_page_asked_for_by_a_script_is_not_shared_as_the_page_of_all(tmp_path: Path) -> None:
    site = Site()
    site.headers.append((b"cache-control", b"public, max-age=600"))
    browser = Browser(mounted(site, tmp_path), BERLIN)
    answer = browser.get("/", document=False, accept="*/*")
    browser.close()
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.content == site.body


def test_a_minor_is_not_asked(tmp_path: Path) -> None:
    site = Site()
    site.headers.append((b"consent-minor", b"?1"))
    berliner = Browser(mounted(site, tmp_path), BERLIN)
    page = berliner.get("/")
    state = berliner.state()
    berliner.close()
    assert b"cmw-banner" not in page.content
    assert (state["ask"], state["purposes"]["analytics"]["reason"]) == (False, "minor")
