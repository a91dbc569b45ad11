"""Visits that once went wrong, each kept so that it does not go wrong again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from consent_mw.asgi.ruleset import Route
from tests.journeys.sidecar import an_origin, serving
from tests.journeys.site import BERLIN, NEW_YORK, POLICY, VENDOR, Browser, Pairs, Site, mounted, receiving


@contextmanager
def visiting(folder: Path, address: str = NEW_YORK, policy: str = POLICY) -> Iterator[Browser]:
    """A browser before a fresh site, closed at the end."""
    browser = Browser(mounted(Site(), folder, policy), address)
    try:
        yield browser
    finally:
        browser.close()


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_half_of_a_surrogate_pair_as_a_name_is_a_400(tmp_path: Path, accept: str) -> None:
    with visiting(tmp_path) as browser:
        kind = {"content-type": "application/json", "accept": accept}
        assert browser.post("/_consent/choice", content=b'{"\\ud800": 1}', headers=kind).status_code == 400


@pytest.mark.parametrize(
    "choice",
    [{"json": {"purposes": {"analytics": True, "cross_site": False}}}, {"data": {"purpose": "analytics"}}],
    ids=["json", "form"],
)
def test_the_no_beside_a_yes_is_taken_while_the_store_is_down(tmp_path: Path, choice: dict[str, Any]) -> None:
    middleware = mounted(Site(), tmp_path)
    browser = Browser(middleware, NEW_YORK)
    browser.get()
    store, middleware.gate.store = middleware.gate.store, None
    answer = browser.post("/_consent/choice", **choice)
    middleware.gate.store = store
    said = {name: one["reason"] for name, one in browser.state()["purposes"].items()}
    browser.close()
    assert answer.status_code == 503
    assert said == {"essential": "essential", "analytics": "opt-out-default", "cross_site": "consent-refused"}


def test_the_no_beside_a_yes_is_taken_above_the_limit(tmp_path: Path) -> None:
    middleware = mounted(Site(), tmp_path)
    browser = Browser(middleware, NEW_YORK)
    browser.get()
    middleware.gate.limiter.admits = lambda _: False  # type: ignore[method-assign]  # as after a flood
    answer = browser.choose(purposes={"analytics": True, "cross_site": False})
    said = browser.state()["purposes"]["cross_site"]["reason"]
    browser.close()
    assert (answer.status_code, said) == (429, "consent-refused")


def test_a_yes_alone_changes_nothing_while_the_store_is_down(tmp_path: Path) -> None:
    middleware = mounted(Site(), tmp_path)
    browser = Browser(middleware, BERLIN)
    browser.get()
    store, middleware.gate.store = middleware.gate.store, None
    answer = browser.choose(all=True)
    middleware.gate.store = store
    status = browser.state()["consent"]["status"]
    browser.close()
    assert (answer.status_code, answer.headers.get_list("set-cookie"), status) == (503, [], "unknown")


def test_a_withdrawal_above_the_limit_recalls_what_is_queued(tmp_path: Path) -> None:
    middleware = mounted(Site(), tmp_path)
    browser = Browser(middleware, NEW_YORK)
    browser.get()
    recalled: list[list[str]] = []
    recall = middleware.gate.reporter.recall

    def watched(exchange: Any, *more: Any) -> Any:
        recalled.append(middleware.gate.reporter.subjects(exchange))
        return recall(exchange, *more)

    middleware.gate.reporter.recall = watched  # type: ignore[method-assign]  # to see that it is asked
    middleware.gate.limiter.admits = lambda _: False  # type: ignore[method-assign]  # as after a flood
    answer = browser.post("/_consent/withdraw")
    browser.close()
    assert (answer.status_code, bool(recalled)) == (429, True)


def test_a_head_is_no_visit(tmp_path: Path) -> None:
    with receiving() as vendor:
        policy = POLICY + VENDOR.format(port=vendor.server_address[1])
        with visiting(tmp_path, policy=policy) as browser:
            asked = {"sec-fetch-dest": "document"}
            answer = browser._run(browser._client.head("/", headers=asked))
        assert vendor.wait_for(1, 0.3) == []
    assert answer.headers.get_list("set-cookie") == []
    assert answer.headers["cache-control"] == "private, no-cache"


def test_a_no_holds_for_a_visitor_outside_the_share(tmp_path: Path) -> None:
    site = Site()
    site.headers.append((b"set-cookie", b"_ga=1"))
    middleware = mounted(site, tmp_path, POLICY.replace("[client_address]", "[scope]\npercent = 0\n[client_address]"))
    browser = Browser(middleware, NEW_YORK)
    before = browser.get().headers.get_list("set-cookie")
    browser.choose(all=False)
    after = browser.get().headers.get_list("set-cookie")
    browser.close()
    assert before == ["_ga=1"]
    assert not any(line.startswith("_ga=1") for line in after)


@pytest.mark.parametrize(
    ("kind", "said", "kept"),
    [
        (b"text/html", [], "private, no-cache"),
        (b"text/css", [(b"set-cookie", b"_ga=1")], "private, no-cache"),
        (b"text/css", [], "public, max-age=60"),
    ],
    ids=["a page", "a cookie", "what is the same for all"],
)
def test_no_cache_gives_a_page_from_outside_the_share_to_who_is_in_it(
    tmp_path: Path, kind: bytes, said: Pairs, kept: str
) -> None:
    site = Site()
    site.headers = [(b"content-type", kind), (b"cache-control", b"public, max-age=60"), (b"etag", b'"1"'), *said]
    policy = POLICY.replace("[client_address]", "[scope]\npercent = 0\n[client_address]")
    browser = Browser(mounted(site, tmp_path, policy), NEW_YORK)
    answer = browser.get()
    browser.close()
    assert (answer.headers["cache-control"], answer.headers["etag"], answer.content) == (kept, '"1"', site.body)
    assert answer.headers.get("vary") == ("Cookie, DNT, Sec-GPC" if "private" in kept else None)
    assert answer.headers.get_list("set-cookie") == [value.decode() for _, value in said]


@pytest.mark.parametrize(
    ("path", "route"),
    [
        (b"/api/x", Route.PASS),
        (b"/api/a;b=1/x", Route.PASS),
        (b"/api/..hidden", Route.PASS),
        (b"/api%2fx", Route.FORWARD),
        (b"/api/..;/page", Route.FORWARD),
        (b"/api/%2e%2e;a=b/page", Route.FORWARD),
        (b"/api/%252e%252e/page", Route.FORWARD),
        (b"/api/%252E%252E%252fpage", Route.FORWARD),
        (b"/api/../page", Route.FORWARD),
        (b"/api//page", Route.FORWARD),
    ],
)
def test_a_path_that_servers_read_differently_is_not_excluded(tmp_path: Path, path: bytes, route: Route) -> None:
    policy = POLICY.replace("[client_address]", '[scope]\nexclude = ["/api/*"]\n[client_address]')
    assert mounted(Site(), tmp_path, policy).gate.rules.route(path) is route


def test_a_nameless_cookie_is_ruled_by_the_name_that_it_is_read_as(tmp_path: Path) -> None:
    site = Site()
    site.headers += [(b"set-cookie", line) for line in (b"=_ga=1", b"= adid =1", b"=__Host-consent=x", b"=other=1")]
    middleware = mounted(site, tmp_path, "dangerously_keep_unlisted = true\n" + POLICY)
    browser = Browser(middleware, BERLIN)
    passed = browser.get().headers.get_list("set-cookie")
    browser.close()
    assert passed == ["=other=1"]


def test_a_shared_page_that_sets_a_cookie_is_not_shared(tmp_path: Path) -> None:
    site = Site()
    site.headers += [(b"cache-control", b"public, max-age=60"), (b"set-cookie", b"session=1")]
    middleware = mounted(site, tmp_path, POLICY.replace("[site]", "[site]\nshared_pages = true"))
    browser = Browser(middleware, NEW_YORK)
    with_cookie = browser.get().headers
    site.headers.pop()
    without = browser.get().headers
    browser.close()
    assert with_cookie.get_list("set-cookie") == ["session=1"]
    assert (with_cookie["cache-control"], with_cookie["vary"]) == ("private, no-cache", "Cookie, DNT, Sec-GPC")
    assert (without["cache-control"], "vary" in without) == ("public, max-age=60", False)


def test_a_minor_on_a_shared_page_stays_a_minor(tmp_path: Path) -> None:
    site = Site()
    site.on_visit = lambda visit: visit.declare_minor()
    middleware = mounted(site, tmp_path, POLICY.replace("[site]", "[site]\nshared_pages = true"))
    browser = Browser(middleware, NEW_YORK)
    browser.get()
    reason = browser.state()["purposes"]["analytics"]["reason"]
    browser.close()
    assert reason == "minor"


def test_the_identifier_is_shared_by_subdomains_as_the_answers_are(tmp_path: Path) -> None:
    policy = POLICY.replace("[site]", '[site]\ncookie_domain = "example.com"').replace("__Host-vid", "__Secure-vid")
    browser = Browser(mounted(Site(), tmp_path, policy), NEW_YORK)
    lines = browser.get().headers.get_list("set-cookie")
    browser.close()
    assert [line.partition("=")[0] for line in lines] == ["__Secure-vid"]
    assert "; Domain=example.com;" in lines[0]


def test_the_sidecar_answers_a_withdrawal_without_a_body(tmp_path: Path) -> None:
    with an_origin() as origin, serving(tmp_path, POLICY, origin.url) as url:
        asked = {"sec-fetch-site": "same-origin"}
        answers = [httpx.post(f"{url}/_consent/{route}", headers=asked, timeout=5) for route in ("withdraw", "erase")]
    assert [one.status_code for one in answers] == [200, 200]


@pytest.mark.parametrize(
    "types",
    [
        [b"text/plain", b"text/html"],
        [b"text/html", b"text/plain"],
        [b"text/plain, text/html;charset=utf-8"],
        [],
        [b"*/*"],
        [b"unknown/unknown"],
    ],
    ids=["the last is HTML", "the first is HTML", "both in one", "none", "any", "unknown"],
)
def test_an_answer_that_some_reader_takes_for_a_page_is_private_and_loads_nothing_denied(
    tmp_path: Path, types: list[bytes]
) -> None:
    site = Site()
    site.headers = [(b"content-type", one) for one in types] + [(b"cache-control", b"public, max-age=600")]
    browser = Browser(mounted(site, tmp_path, POLICY + VENDOR.format(port=9) + 'hosts = ["cdn.example"]\n'), BERLIN)
    page = browser.get("/")
    browser.close()
    assert page.headers["cache-control"] == "private, no-cache"
    policy = page.headers.get("content-security-policy", "")
    looked_at = types[:1] == [b"text/html"]
    assert looked_at or ("default-src" in policy and "cdn.example" not in policy)


def test_an_answer_without_a_type_that_no_browser_sniffs_stays_as_it_came(tmp_path: Path) -> None:
    site = Site()
    site.headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"public, max-age=600")]
    browser = Browser(mounted(site, tmp_path), BERLIN)
    answers = [browser.get("/")]
    site.headers = [(b"cache-control", b"public, max-age=600")]
    answers.append(browser.get("/", document=False))
    browser.close()
    assert [one.headers["cache-control"] for one in answers] == ["public, max-age=600"] * 2
