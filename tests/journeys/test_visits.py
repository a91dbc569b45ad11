"""Whole visits through the middleware: what is set, dropped, said and forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journeys.site import BERLIN, NEW_YORK, POLICY, Browser, Site, mounted

Visiting = Callable[..., Browser]


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def visiting(site: Site, tmp_path: Path) -> Iterator[Visiting]:
    browsers: list[Browser] = []
    middleware = mounted(site, tmp_path)

    def visit(address: str, **headers: str) -> Browser:
        browsers.append(Browser(middleware, address, **headers))
        return browsers[-1]

    yield visit
    for browser in browsers:
        browser.close()


def set_cookie_names(answer: object) -> list[str]:
    lines = answer.headers.get_list("set-cookie")  # type: ignore[attr-defined]  # httpx.Response
    return [line.partition("=")[0] for line in lines]


def test_a_berliner_gets_no_identifier_before_a_yes(visiting: Visiting) -> None:
    berliner = visiting(BERLIN)
    page = berliner.get("/")
    assert set_cookie_names(page) == []
    assert page.headers["tk"] == "N;none"
    assert page.headers["cache-control"] == "private, no-cache"


def test_a_new_yorker_gets_an_identifier_once(visiting: Visiting) -> None:
    visitor = visiting(NEW_YORK)
    first, second = visitor.get("/"), visitor.get("/")
    assert set_cookie_names(first) == ["__Host-vid"]
    line = first.headers.get_list("set-cookie")[0]
    assert "; HttpOnly" in line
    assert "; Secure" in line
    assert "; SameSite=Lax" in line
    assert "; Path=/" in line
    assert set_cookie_names(second) == []


def test_the_app_hears_the_decision_and_nobody_can_forge_it(visiting: Visiting, site: Site) -> None:
    forged = {"consent-allows": "cross_site", "consent_jurisdiction": "elsewhere", "Consent-Visitor": "me"}
    visiting(BERLIN, **forged).get("/")
    heard = [(name, value) for name, value in site.asked[-1] if name.replace(b"_", b"-").startswith(b"consent-")]
    assert heard == [
        (b"consent-jurisdiction", b"eea_uk"),
        (b"consent-allows", b"essential"),
        (b"consent-features", b""),
    ]


def test_cookies_are_filtered_both_ways_by_purpose(visiting: Visiting, site: Site) -> None:
    site.headers += [(b"set-cookie", b"session=1; Path=/"), (b"set-cookie", b"_ga=2"), (b"set-cookie", b"odd=3")]
    berliner = visiting(BERLIN)
    for name in ("session", "_ga_X", "odd"):
        berliner.hold(name, "v")
    page = berliner.get("/")
    assert site.header(b"cookie") == [b"session=v"]
    assert page.headers.get_list("set-cookie") == ["session=1; Path=/"]


def test_a_yes_sets_the_identifier_and_a_withdrawal_takes_all_back(visiting: Visiting) -> None:
    berliner = visiting(BERLIN)
    state = berliner.choose(purposes={"analytics": True}).json()
    assert state["purposes"]["analytics"] == {"allowed": True, "reason": "consent-given"}
    berliner.get("/")
    assert berliner.cookies == {"__Host-consent", "__Host-vid"}
    berliner.hold("_ga", "1")
    state = berliner.post("/_consent/withdraw", json={}).json()
    assert state["consent"]["status"] == "refused"
    berliner.get("/")
    assert berliner.cookies == {"__Host-consent"}


def test_gpc_keeps_a_new_yorker_out_of_cross_site(visiting: Visiting) -> None:
    state = visiting(NEW_YORK, **{"sec-gpc": "1"}).state()
    assert state["purposes"]["cross_site"] == {"allowed": False, "reason": "signal-refuses"}
    assert state["purposes"]["analytics"] == {"allowed": True, "reason": "opt-out-default"}


def test_dnt_is_ignored_and_said_to_be(visiting: Visiting) -> None:
    assert visiting(NEW_YORK, dnt="1").get("/").headers["tk"] == "D;ignored"


def test_a_forged_address_does_not_pick_a_laxer_region(visiting: Visiting) -> None:
    state = visiting("unknown, " + "not-an-address").state()
    assert state["jurisdiction"] == "eea_uk"


def test_a_subresource_is_not_touched(visiting: Visiting, site: Site) -> None:
    site.headers = [(b"content-type", b"text/css"), (b"cache-control", b"public, max-age=60"), (b"etag", b'"1"')]
    answer = visiting(NEW_YORK).get("/style.css", document=False)
    assert [pair for pair in answer.headers.raw if pair[0] != b"x"] == site.headers
    assert answer.content == site.body


def test_a_banner_asks_a_berliner_until_there_is_an_answer(visiting: Visiting) -> None:
    berliner = visiting(BERLIN)
    asked = berliner.get("/").text
    assert 'value="accept"' in asked
    assert 'value="reject"' in asked
    berliner.post("/_consent/choice", data={"all": "reject", "return": "/here"})
    assert 'value="accept"' not in berliner.get("/").text


def test_a_form_leads_back_to_the_site_and_nowhere_else(visiting: Visiting) -> None:
    berliner = visiting(BERLIN)
    there = berliner.post("/_consent/choice", data={"all": "accept", "return": "/shop?a=1"})
    assert (there.status_code, there.headers["location"]) == (303, "/shop?a=1")
    for elsewhere in (
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/a\r\nb: c",
    ):
        answer = berliner.post("/_consent/choice", data={"all": "reject", "return": elsewhere})
        assert answer.headers["location"].startswith("/_consent/preferences")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"sec-fetch-site": "cross-site", "content-type": "text/plain"}, b"x" * 20_000, 413),
        ({"content-type": "application/json", "content-length": "9" * 5000}, b"{}", 413),
        ({"sec-fetch-site": "cross-site", "content-type": "text/plain"}, b"{}", 415),
        ({"sec-fetch-site": "cross-site", "content-type": "application/json"}, b"{}", 403),
        ({"sec-fetch-site": "same-site", "content-type": "application/json"}, b"{}", 403),
        ({"sec-fetch-site": "", "content-type": "application/json"}, b"{}", 403),
        ({"sec-fetch-site": "", "origin": "https://evil.example", "content-type": "application/json"}, b"{}", 403),
        ({"sec-fetch-site": "", "origin": "null", "content-type": "application/json"}, b"{}", 403),
        ({"content-type": "application/json"}, b"{", 400),
        ({"content-type": "application/json"}, b"[]", 400),
        ({"content-type": "application/json"}, b"[" * 9000, 400),
        ({"content-type": "application/json"}, b'{"purposes":{"nope":true}}', 400),
        ({"content-type": "application/json"}, b'{"purposes":{"analytics":"yes"}}', 400),
        ({"content-type": "application/x-www-form-urlencoded"}, b"all=perhaps", 400),
    ],
    ids=[
        "too-large-comes-first", "no-number-that-anybody-reads",
        "wrong-type-comes-second", "another-site", "a-sibling", "no-evidence",
        "another-origin", "opaque-origin", "broken-json", "a-list", "deep-json", "unknown-purpose", "not-a-bool",
        "unknown-all",
    ],
)  # fmt: skip
def test_what_is_not_heard_changes_nothing(
    visiting: Visiting, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = visiting(BERLIN).post("/_consent/choice", headers=headers, content=body)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers


def test_the_origin_stands_in_where_fetch_metadata_is_missing(visiting: Visiting) -> None:
    headers = {"sec-fetch-site": "", "origin": "https://example.com"}
    assert visiting(BERLIN).post("/_consent/choice", headers=headers, json={"all": False}).status_code == 200


def test_a_receipt_is_written_once_per_change_and_verifies(visiting: Visiting) -> None:
    from consent_mw.wire.receipts import verify

    berliner = visiting(BERLIN)
    for _ in range(2):
        berliner.choose(all=True)
    berliner.choose(all=False)
    receipts = berliner.get("/_consent/receipts", document=False, accept="application/json").json()["receipts"]
    keys = berliner.get("/_consent/keys.json", document=False).json()
    assert [one["purposes"]["analytics"] for one in receipts] == [False, True]
    assert all(verify(one["jws"], keys) is not None for one in receipts)


@pytest.mark.parametrize("purposes", [{}, {"essential": False}, {"essential": True}], ids=str)
def test_what_answers_nothing_writes_no_receipt(visiting: Visiting, purposes: dict[str, bool]) -> None:
    berliner = visiting(BERLIN)
    assert berliner.choose(purposes=purposes).json()["consent"] == {"status": "unknown", "at": None, "receipt": None}
    assert (berliner.state()["ask"], berliner.cookies) == (True, set())


def test_a_choice_in_part_keeps_the_other_answers(visiting: Visiting) -> None:
    berliner = visiting(BERLIN)
    berliner.choose(all=True)
    state = berliner.choose(purposes={"cross_site": False}).json()
    assert {name: one["allowed"] for name, one in state["purposes"].items()} == {
        "essential": True,
        "analytics": True,
        "cross_site": False,
    }
    assert state["consent"]["status"] == "partial"


def test_a_page_has_no_foreign_validator_and_no_range(visiting: Visiting, site: Site) -> None:
    site.headers += [(b"etag", b'"abc"'), (b"last-modified", b"Mon, 01 Jan 2024 00:00:00 GMT")]
    visitor = visiting(NEW_YORK)
    tag = visitor.get("/").headers["etag"]
    assert tag != '"abc"'
    assert "last-modified" not in visitor.get("/").headers
    visitor.choose(seen=True)
    fresh = visitor.get("/").headers["etag"]
    visitor.get("/", if_none_match=fresh, range="bytes=0-1")
    assert site.header(b"if-none-match") == [b'"abc"']
    assert site.header(b"range") == []
    visitor.choose(all=False)
    visitor.get("/", if_none_match=fresh)
    assert site.header(b"if-none-match") == []


def test_a_minor_is_tracked_no_more(visiting: Visiting, site: Site) -> None:
    visitor = visiting(NEW_YORK)
    visitor.get("/")
    site.headers.append((b"consent-minor", b"?1"))
    page = visitor.get("/")
    assert "consent-minor" not in page.headers
    site.headers.pop()
    state = visitor.state()
    assert state["purposes"]["analytics"] == {"allowed": False, "reason": "minor"}
    visitor.get("/")
    assert "__Host-vid" not in visitor.cookies


def test_a_bot_a_frame_and_a_prefetch_get_no_identifier(visiting: Visiting) -> None:
    bot = visiting(
        NEW_YORK, **{"user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}
    )
    assert set_cookie_names(bot.get("/")) == []
    visitor = visiting(NEW_YORK)
    assert set_cookie_names(visitor.get("/", sec_fetch_dest="iframe")) == []
    assert set_cookie_names(visitor.get("/", sec_purpose="prefetch")) == []


def test_report_mode_changes_nothing(site: Site, tmp_path: Path) -> None:
    site.headers += [(b"set-cookie", b"_ga=1"), (b"etag", b'"1"')]
    reporting = Browser(mounted(site, tmp_path, 'mode = "report"\n' + POLICY), BERLIN)
    reporting.hold("odd", "1")
    page = reporting.get("/")
    reporting.close()
    assert page.content == site.body
    assert page.headers.get_list("set-cookie") == ["_ga=1"]
    assert page.headers["etag"] == '"1"'
    assert page.headers["tk"].startswith("!")
    assert site.header(b"cookie") == [b"odd=1"]


def test_excluded_paths_pass_untouched(site: Site, tmp_path: Path) -> None:
    site.headers += [(b"set-cookie", b"odd=1")]
    browser = Browser(mounted(site, tmp_path, POLICY + '[scope]\nexclude = ["/api/*"]\n'), BERLIN)
    answers = [browser.get(path) for path in ("/api/x", "/api/../secret", "/page")]
    browser.close()
    assert [one.headers.get_list("set-cookie") for one in answers] == [["odd=1"], [], []]


def test_the_well_known_resources_say_what_holds(visiting: Visiting) -> None:
    visitor = visiting(NEW_YORK)
    dnt = visitor.get("/.well-known/dnt/", document=False)
    assert dnt.headers["content-type"] == "application/tracking-status+json"
    assert dnt.json()["tracking"] == "?"
    assert dnt.json()["policy"] == "https://example.com/privacy"
    ignored = visitor.get("/.well-known/dnt/ignored", document=False).json()
    assert ignored["tracking"] == "D"
    assert visitor.get("/.well-known/dnt/nope", document=False).status_code == 404
    assert visitor.get("/.well-known/gpc.json", document=False).json()["gpc"] is True
