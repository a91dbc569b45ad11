"""HTML that a script fetches to put it into a page is gated like the page; nothing else that it fetches changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.chromium import a_browser, a_visitor, with_chromium
from tests.journeys.content import HTML, Form, answered, as_middleware, as_sidecar
from tests.journeys.pages import LOCAL_POLICY, MAIN, Pages, a_page, some_pages
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, NEW_YORK, VENDOR
from tests.journeys.test_gating import POLICY_WITH_HOSTS

NO, YES = answered(), answered(yes=True)
PART = (
    b"<div><img src=//x.pixels.test/p></div><script src=https://cdn.insights.test/a.js></script>"
    b"<script type=text/plain data-consent=analytics data-src=/stats.js></script>"
)
DENIED = PART.replace(b"<script src", b'<script data-consent="analytics" type="text/plain" data-consent-src').replace(
    b"<img src", b"<img data-consent-src"
)
ALLOWED = PART.replace(b"type=text", b"data-consent-type=text").replace(b"data-src", b"src")
KEPT = (b"cache-control", b"public, max-age=60")
STREAM = (b"content-type", b"text/vnd.turbo-stream.html; charset=utf-8")
ENFORCED = POLICY_WITH_HOSTS + '[csp]\nmode = "enforce"\n'


@pytest.fixture(scope="module", params=["middleware", "sidecar"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Form]:
    made: dict[str, Any] = {"middleware": as_middleware, "sidecar": as_sidecar}
    form: AbstractContextManager[Form] = made[request.param](tmp_path_factory.mktemp("parts"), ENFORCED)
    with form as one:
        yield one


@pytest.fixture
def form(running: Form) -> Form:
    """The form, whose origin answers the part of a page again."""
    said = running.said
    said.headers, said.parts, said.status = [HTML, KEPT, (b"etag", b'"1"'), (b"last-modified", b"x")], [PART], 200
    return running


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("kind", [HTML, STREAM], ids=["HTML", "a stream of Turbo's"])
@pytest.mark.parametrize("dest", ["empty", ""], ids=["by a script", "by who does not say"])
def test_what_a_script_fetches_is_gated(form: Form, method: str, kind: tuple[bytes, bytes], dest: str) -> None:
    form.said.headers[0] = kind
    for cookie, comes in (("", DENIED), (NO, DENIED), (YES, ALLOWED)):
        answer = form.ask(method=method, cookie=cookie, sec_fetch_dest=dest, accept="*/*")
        assert (answer.body, answer.one(b"cache-control")) == (comes, b"private, no-cache")
        assert answer.all(b"vary") == [b"Cookie, DNT, Sec-GPC, Accept-Encoding, Accept-Language"]
        assert (answer.one(b"last-modified"), answer.one(b"tk")) == (None, None)
        assert answer.one(b"content-security-policy") is None
        assert (answer.one(b"etag") or b"").endswith(b'f"')


def test_it_is_gated_as_it_streams(form: Form) -> None:
    form.said.parts = [PART[at : at + 11] for at in range(0, len(PART), 11)]
    assert form.ask(cookie=NO, document=False).body == DENIED


def test_no_identifier_comes_with_it(form: Form) -> None:
    assert form.ask(document=False, x_forwarded_for=NEW_YORK).all(b"set-cookie") == []


@pytest.mark.parametrize(
    ("kind", "dest"),
    [(b"application/json", "empty"), (b"text/plain", "empty"), (b"text/html", "image"), (b"text/html", "script")],
)
def test_what_is_put_into_no_page_as_html_stays_as_it_is(form: Form, kind: bytes, dest: str) -> None:
    form.said.headers[0] = (b"content-type", kind)
    for _ in range(2):
        answer = form.ask(cookie=NO, sec_fetch_dest=dest, if_none_match='"1", W/"2"', accept_encoding="gzip")
        assert (answer.body, answer.one(b"etag")) == (PART, b'"1"')
        assert form.said.asked_with(b"if-none-match") == [b'"1", W/"2"']
        assert (answer.one(b"cache-control") == KEPT[1]) is (kind != b"text/html")


def test_what_the_browser_holds_is_good_for_the_same_decision_alone(form: Form) -> None:
    marks = {cookie: (form.ask(cookie=cookie, document=False).one(b"etag") or b"").decode() for cookie in (NO, YES)}
    page = (form.ask(cookie=NO).one(b"etag") or b"").decode()
    assert len({*marks.values(), page}) == 3
    form.said.status = 304
    form.said.headers = [(b"etag", b'"1"'), KEPT]
    for held, asked in ((marks[NO], [b'"1"']), (marks[YES], []), (page, []), ('"9", ' + marks[NO], [b'"9", "1"'])):
        answer = form.ask(cookie=NO, document=False, if_none_match=held)
        assert form.said.asked_with(b"if-none-match") == asked
        if asked:
            assert (answer.one(b"etag"), answer.one(b"cache-control")) == (marks[NO].encode(), b"private, no-cache")
    form.ask(cookie=NO, if_none_match=marks[NO])
    assert form.said.asked_with(b"if-none-match") == []


def test_a_coding_that_nobody_undoes_is_not_asked_for(form: Form) -> None:
    form.ask(cookie=NO, document=False, accept_encoding="gzip;q=0.5, dcb, deflate")
    assert form.said.asked_with(b"accept-encoding") == [b"gzip;q=0.5, deflate"]
    form.ask(cookie=NO, sec_fetch_dest="image", accept_encoding="gzip;q=0.5, dcb, deflate")
    assert form.said.asked_with(b"accept-encoding") == [b"gzip;q=0.5, dcb, deflate"]


def test_a_frame_in_it_leads_back_to_the_page_that_it_is_in(form: Form) -> None:
    form.said.parts = [b"<iframe src=//x.pixels.test/p></iframe>"]
    part = form.ask(cookie=NO, document=False, path="/part", referer="https://example.com/shop?a=1").body
    assert b"name=&quot;return&quot; value=&quot;/shop&quot;" in part
    assert b"/part" not in part


def test_where_pages_are_the_same_for_all_so_is_this(tmp_path: Path) -> None:
    shared = POLICY_WITH_HOSTS.replace("[site]\n", "[site]\nshared_pages = true\n", 1)
    with as_middleware(tmp_path, shared) as form:
        form.said.headers, form.said.parts = [HTML, KEPT, (b"etag", b'"1"')], [PART]
        answer = form.ask(cookie=NO, document=False, if_none_match='"1"', accept_encoding="dcb")
        assert (answer.body, answer.headers) == (PART, form.said.headers)
        assert form.said.asked_with(b"accept-encoding") == [b"dcb"]


LOCAL = LOCAL_POLICY + VENDOR.format(port=9) + 'hosts = ["vendor.localhost"]\n'
PUT_IN = {
    "html": "holder.innerHTML = part",
    "template": "t = document.createElement('template'); t.innerHTML = part; holder.append(t.content)",
    "document": "d = new DOMParser().parseFromString(part, 'text/html'); holder.append(...d.body.childNodes)",
    "shadow": "holder.attachShadow({mode: 'open'}).innerHTML = part",
    "drawing": "drawing.innerHTML = part",
    "range": "holder.append(document.createRange().createContextualFragment(part))",
}
PARTS = {
    "/html": "<div><img src='{u}/{w}'><noscript><img src='{u}/{w}'></noscript><script src='{u}/{w}'></script></div>",
    "/drawn": "<g><image href='{u}/{w}'/><style><img src='{u}/{w}'></style></g>",
    "/row": "<tr><td background='{u}/{w}'><img srcset='{u}/{w} 1x'></td></tr>",
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[Pages]:
    with some_pages() as server:
        yield server


@pytest.fixture(scope="module")
def site(vendor: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    strange = vendor.url.replace("127.0.0.1", "vendor.localhost")
    with some_pages() as pages:
        pages.pages["/"] = a_page(MAIN + "<div id=holder></div><svg id=drawing></svg>")
        for path, part in PARTS.items():
            for way in PUT_IN:
                pages.pages[f"{path}/{way}"] = part.replace("{u}", strange).replace("{w}", way).encode()
        with serving(tmp_path_factory.mktemp("sidecar"), LOCAL, pages.url) as where:
            yield where.replace("127.0.0.1", "localhost")


@with_chromium
@pytest.mark.parametrize("place", [BERLIN, NEW_YORK], ids=["denied", "allowed"])
def test_nothing_denied_is_asked_for_by_what_a_script_puts_into_a_page(site: str, vendor: Pages, place: str) -> None:
    vendor.asked.clear()
    with a_browser() as browser, a_visitor(browser, place) as visitor:
        page = visitor.new_page()
        for path in PARTS:
            for way, put in PUT_IN.items():
                page.goto(site)
                page.evaluate(f"fetch('{path}/{way}').then(got => got.text()).then(part => {{ {put} }})")
                page.wait_for_timeout(60)
        page.wait_for_timeout(200)
    assert {path.strip("/") for path in vendor.asked} == (set() if place == BERLIN else set(PUT_IN))
