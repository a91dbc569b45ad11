"""Validators, conditions and ranges through both forms (SPEC 4, Caches; RFC 9110 13 and 14, RFC 9111)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from consent_mw.asgi.banner import edition
from consent_mw.world.assets import Assets
from tests.journeys.content import HTML, Form, answered, as_middleware, as_sidecar
from tests.journeys.site import BERLIN, NEW_YORK, POLICY, Browser, Pairs, Site, mounted

PAGE = b"<!doctype html><html><head><title>T</title></head><body><p>text</p></body></html>"
DATE = b"Mon, 01 Jan 2024 00:00:00 GMT"
PUBLIC = (b"cache-control", b"public, max-age=600")
CSS = (b"content-type", b"text/css")
TAG = (b"etag", b'"v1"')
SCOPE = '\n[scope]\nexclude = ["/out/*"]\n'


@pytest.fixture(scope="module", params=["middleware", "sidecar"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Form]:
    made: dict[str, Any] = {"middleware": as_middleware, "sidecar": as_sidecar}
    one: AbstractContextManager[Form] = made[request.param](tmp_path_factory.mktemp(request.param), POLICY + SCOPE)
    with one as form:
        yield form


@pytest.fixture
def form(running: Form) -> Form:
    """The form, whose origin answers a cacheable page with validators again."""
    said = running.said
    said.headers, said.parts, said.status = [HTML, PUBLIC, TAG, (b"last-modified", DATE)], [PAGE], 200
    return running


def our_tag(form: Form, **visit: str) -> str:
    """The entity tag of the page that this visitor gets."""
    tag = form.ask(**visit).one(b"etag")
    assert tag is not None
    assert tag.startswith(b'W/"v1-cmws')
    return tag.decode()


def conditions(form: Form) -> dict[bytes, list[bytes]]:
    """The conditions and ranges that the last request reached the origin with."""
    names = (b"if-none-match", b"if-match", b"if-modified-since", b"if-unmodified-since", b"range", b"if-range")
    return {name: form.said.asked_with(name) for name in names if form.said.asked_with(name)}


# a page


def test_a_tag_of_the_same_decision_asks_for_the_sites_own_and_gets_a_304(form: Form) -> None:
    tag = our_tag(form)
    form.said.status, form.said.headers = 304, [PUBLIC, TAG, (b"vary", b"Origin"), (b"expires", DATE)]
    answer = form.ask(if_none_match=tag, accept_encoding="gzip")
    assert conditions(form) == {b"if-none-match": [b'"v1"']}
    assert answer.status == 304
    assert (answer.body, answer.one(b"etag")) == (b"", tag.encode())
    assert answer.all(b"vary") == [b"Origin, Cookie, DNT, Sec-GPC, Accept-Encoding, Accept-Language"]
    assert answer.all(b"cache-control") == [b"private, no-cache"]
    assert (answer.all(b"set-cookie"), answer.all(b"expires"), answer.all(b"content-length")) == ([], [], [])
    assert answer.one(b"tk") == b"N;none"


def test_a_304_says_what_the_page_said(form: Form) -> None:
    full = form.ask(accept_encoding="gzip")
    form.said.status, form.said.headers, form.said.parts = 304, [PUBLIC, TAG, (b"content-length", b"81")], []
    short = form.ask(accept_encoding="gzip", if_none_match=(full.one(b"etag") or b"").decode())
    same = (b"etag", b"vary", b"cache-control", b"tk")
    assert [short.all(name) for name in same] == [full.all(name) for name in same]
    assert short.all(b"content-length") == []


OTHERS = {
    "the site's own": '"v1"',
    "the site's own, weak": 'W/"v1"',
    "anything": "*",
    "of no decision": 'W/"v1-cmws0123456789abcdef0123"',
    "a list of others": '"v1", W/"v2", *',
    "garbage": '"v1',
    "a mark without a digest": 'W/"v1-cmws"',
}


@pytest.mark.parametrize("name", ["if-none-match", "if-match"])
@pytest.mark.parametrize("tag", OTHERS.values(), ids=OTHERS)
def test_a_tag_that_is_not_of_this_decision_goes_upstream_unconditionally(form: Form, name: str, tag: str) -> None:
    answer = form.ask(**{name: tag})
    assert conditions(form) == {}
    assert answer.status == 200


@pytest.mark.parametrize(
    "visit",
    [{"cookie": answered()}, {"cookie": answered(yes=True)}, {"x-forwarded-for": NEW_YORK}, {"sec-gpc": "1"}],
    ids=["a no", "a yes", "another region", "a signal"],
)
def test_a_tag_of_another_decision_goes_upstream_unconditionally(form: Form, visit: dict[str, str]) -> None:
    tag = our_tag(form)
    form.ask(if_none_match=tag, **visit)
    assert conditions(form) == {}
    other = our_tag(form, **visit)
    assert other != tag
    form.ask(if_none_match=f'{tag}, "v1", {other}', **visit)
    assert conditions(form) == {b"if-none-match": [b'"v1"']}


def test_a_weak_tag_of_the_sites_own_comes_back_weak(form: Form) -> None:
    form.said.headers = [HTML, (b"etag", b'W/"a,b\\"')]
    tag = (form.ask().one(b"etag") or b"").decode("latin-1")
    form.ask(if_none_match=tag)
    assert conditions(form) == {b"if-none-match": [b'W/"a,b\\"']}


def test_dates_and_ranges_of_a_page_are_not_passed(form: Form) -> None:
    dates = {"if-modified-since": DATE.decode(), "if-unmodified-since": DATE.decode()}
    answer = form.ask(**dates, range="bytes=0-9", **{"if-range": '"v1"'})
    assert conditions(form) == {}
    assert answer.status == 200
    assert (answer.all(b"last-modified"), answer.all(b"accept-ranges")) == ([], [])


@pytest.mark.parametrize(
    "visit", [{}, {"cookie": answered()}, {"sec_fetch_dest": "iframe"}], ids=["asked", "no", "frame"]
)
def test_a_page_is_private_whether_or_not_this_copy_is_changed(form: Form, visit: dict[str, str]) -> None:
    form.said.headers += [
        (b"age", b"5"), (b"expires", DATE), (b"surrogate-control", b"max-age=5"),
        (b"cdn-cache-control", b"max-age=5"), (b"cloudflare-cdn-cache-control", b"max-age=5"),
        (b"x-accel-expires", b"60"),
        (b"content-md5", b"x"), (b"repr-digest", b"x"), (b"content-digest", b"x"), (b"accept-ranges", b"bytes"),
    ]  # fmt: skip
    answer = form.ask(**visit)
    names = {name for name, _ in answer.headers} - {b"transfer-encoding", b"date", b"connection"}
    assert names == {b"content-type", b"cache-control", b"etag", b"vary", b"tk"}
    assert answer.all(b"cache-control") == [b"private, no-cache"]


@pytest.mark.parametrize("status", [404, 500, 403])
def test_a_page_of_an_error_is_a_page_too(form: Form, status: int) -> None:
    form.said.status = status
    answer = form.ask()
    assert (answer.status, answer.all(b"cache-control")) == (status, [b"private, no-cache"])
    assert b"cmw-banner" in answer.body


@pytest.mark.parametrize("status", [206, 226])
def test_a_part_of_a_page_that_nobody_asked_for_is_private_and_unedited(form: Form, status: int) -> None:
    form.said.status, form.said.parts = status, [PAGE[:9]]
    form.said.headers += [(b"content-length", b"9"), (b"content-range", b"bytes 0-8/81")]
    answer = form.ask()
    assert (answer.status, answer.body, answer.one(b"content-length")) == (status, PAGE[:9], b"9")
    assert answer.all(b"cache-control") == [b"private, no-cache"]


@pytest.mark.parametrize("status", [412, 416])
def test_a_condition_that_failed_upstream_is_passed_on(form: Form, status: int) -> None:
    form.said.status, form.said.headers, form.said.parts = status, [(b"content-range", b"bytes */81")], []
    answer = form.ask(document=False, **{"if-match": '"v0"', "range": "bytes=900-"})
    assert conditions(form) == {b"if-match": [b'"v0"'], b"range": [b"bytes=900-"]}
    assert answer.status == status
    assert (answer.all(b"cache-control"), answer.all(b"vary")) == ([], [])


# what is no page


PASSED: dict[str, dict[str, str]] = {
    "a tag": {"if-none-match": 'W/"v1", "v2"'},
    "anything": {"if-none-match": "*"},
    "a date": {"if-modified-since": DATE.decode()},
    "a range": {"range": "bytes=0-1,4-5", "if-range": '"v1"'},
    "a precondition": {"if-match": '"v1"', "if-unmodified-since": DATE.decode()},
}


@pytest.mark.parametrize("asked", PASSED.values(), ids=PASSED)
def test_conditions_and_ranges_of_anything_else_are_passed(form: Form, asked: dict[str, str]) -> None:
    form.ask(path="/style.css", document=False, **asked)
    assert conditions(form) == {name.encode(): [value.encode()] for name, value in asked.items()}


ANSWERS: dict[str, tuple[int, Pairs, bytes]] = {
    "a file": (200, [CSS, PUBLIC, TAG, (b"last-modified", DATE), (b"expires", DATE), (b"age", b"4")], b"p{}"),
    "not modified": (304, [PUBLIC, TAG, (b"expires", DATE)], b""),
    "a part": (206, [CSS, PUBLIC, TAG, (b"content-range", b"bytes 0-2/9")], b"p{}"),
    "parts": (
        206,
        [(b"content-type", b"multipart/byteranges; boundary=x"), PUBLIC, TAG],
        b"--x\r\nContent-Type: text/html\r\n\r\n<p>\r\n--x--\r\n",
    ),
    "json for any origin": (200, [(b"content-type", b"application/json"), PUBLIC, (b"vary", b"Origin")], b"{}"),
    "shared by a CDN": (200, [CSS, (b"surrogate-control", b"max-age=9"), (b"cdn-cache-control", b"max-age=9")], b""),
    "coded": (200, [CSS, PUBLIC, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")], b"any bytes"),
}


@pytest.mark.parametrize(("status", "headers", "body"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("cookie", ["", "session=1; _ga=2; odd=3"], ids=["no cookie", "cookies"])
def test_what_nobody_could_get_differently_is_not_touched(
    form: Form, status: int, headers: Pairs, body: bytes, cookie: str
) -> None:
    length = [] if status == 304 else [(b"content-length", b"%d" % len(body))]
    form.said.status, form.said.headers, form.said.parts = status, [*headers, *length], [body]
    answer = form.ask(path="/style.css", document=False, cookie=cookie)
    assert (answer.status, answer.headers, answer.body) == (status, [*headers, *length], body)


def test_an_excluded_page_is_not_touched(form: Form) -> None:
    form.said.headers += [(b"content-length", b"%d" % len(PAGE)), (b"set-cookie", b"odd=1")]
    asked = {
        "if-none-match": '"v0"',
        "range": "bytes=0-",
        "accept-encoding": "br",
        "cookie": "odd=1; __Host-consent=x",
    }
    answer = form.ask(path="/out/page", **asked)
    assert (answer.headers, answer.body) == (form.said.headers, PAGE)
    assert {name: form.said.asked_with(name.encode())[0].decode() for name in asked} == asked


@pytest.mark.parametrize(
    "headers",
    [
        [CSS, PUBLIC, (b"set-cookie", b"session=1")],
        [CSS, PUBLIC, (b"set-cookie", b"_ga=1")],
        [HTML, PUBLIC],
        [CSS, PUBLIC, (b"vary", b"Consent-Allows")],
        [(b"content-type", b"application/json"), PUBLIC, (b"vary", b"origin, consent-visitor")],
    ],
    ids=["a kept cookie", "a dropped cookie", "a page not asked for as one", "told apart", "told apart by visitor"],
)
def test_what_a_visitor_could_get_differently_is_private(form: Form, headers: Pairs) -> None:
    form.said.headers = headers
    answer = form.ask(path="/x", document=False)
    assert answer.all(b"cache-control") == [b"private, no-cache"]
    vary = dict(headers).get(b"vary")
    edited = b", Accept-Encoding, Accept-Language" if HTML in headers else b""
    assert answer.all(b"vary") == [(vary + b", " if vary else b"") + b"Cookie, DNT, Sec-GPC" + edited]


@pytest.mark.parametrize(("cookie", "touched"), [("", False), ("_ga=1", True)], ids=["no cookie", "a cookie"])
def test_what_varies_by_cookies_is_shared_only_among_those_without(form: Form, cookie: str, touched: bool) -> None:
    form.said.headers = [CSS, PUBLIC, (b"vary", b"Cookie")]
    answer = form.ask(path="/x", document=False, cookie=cookie)
    assert answer.all(b"cache-control") == [b"private, no-cache" if touched else PUBLIC[1]]


@pytest.mark.parametrize("made", [as_middleware, as_sidecar], ids=["middleware", "sidecar"])
def test_in_report_mode_nothing_is_changed_but_that_it_is_said(tmp_path: Path, made: Any) -> None:
    with made(tmp_path, 'mode = "report"\n' + POLICY) as form:
        form.said.headers = [HTML, PUBLIC, TAG, (b"set-cookie", b"odd=1"), (b"content-length", b"%d" % len(PAGE))]
        form.said.parts = [PAGE]
        asked = {"if-none-match": '"v0"', "range": "bytes=0-", "accept-encoding": "br", "cookie": "_ga=1; odd=2"}
        answer = form.ask(**asked)
        assert {name: form.said.asked_with(name.encode())[0].decode() for name in asked} == asked
        assert answer.body == PAGE
        assert [pair for pair in answer.headers if pair[0] != b"tk"] == form.said.headers
        assert (answer.one(b"tk") or b"").startswith(b"!")


# pages shared by all


def test_a_shared_page_keeps_its_validators_conditions_and_ranges(tmp_path: Path) -> None:
    with as_middleware(tmp_path, POLICY.replace("[site]", "[site]\nshared_pages = true")) as form:
        form.said.headers, form.said.parts = [HTML, PUBLIC, TAG, (b"last-modified", DATE)], [PAGE]
        asked = {"if-none-match": '"v0"', "if-modified-since": DATE.decode(), "range": "bytes=0-"}
        answer = form.ask(**asked, accept_encoding="br")
        assert conditions(form) == {name.encode(): [value.encode()] for name, value in asked.items()}
        assert (answer.headers, answer.body) == (form.said.headers, PAGE)
        assert form.said.asked_with(b"accept-encoding") == [b"br"]


def test_a_page_with_the_banner_of_another_installation_is_asked_for_anew(tmp_path: Path) -> None:
    site = Site()
    site.headers.append(TAG)
    middleware = mounted(site, tmp_path)
    browser = Browser(middleware, BERLIN)
    tag = browser.get().headers["etag"]
    heard = []
    for banner in (middleware.gate.edition, "ffff"):
        middleware.gate.edition = banner
        browser.get(if_none_match=tag)
        heard.append(site.header(b"if-none-match"))
    browser.close()
    assert heard == [[b'"v1"'], []]


def test_other_files_make_another_edition(tmp_path: Path) -> None:
    editions = set()
    for text in ("a{}", "b{}", "b{}"):
        for name in ("banner.css", "banner.js"):
            (tmp_path / name).write_text(text)
        editions.add(edition(Assets(tmp_path)))
    assert len(editions) == 2
