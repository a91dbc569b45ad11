"""Drawings and other XML that a browser opens load nothing denied; as images they stay as they came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.journeys.chromium import a_visitor, with_chromium
from tests.journeys.content import Form, answered, as_middleware, as_sidecar
from tests.journeys.pages import LOCAL_POLICY, Pages, a_page, some_pages
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, NEW_YORK, VENDOR
from tests.journeys.test_gating import POLICY_WITH_HOSTS
from tests.sidecar.shop import until

NO, YES = answered(), answered(yes=True)
TYPES = [
    b"image/svg+xml", b"application/xml", b"text/xml; charset=utf-8", b"TEXT/XSL", b"application/atom+xml",
    b"text/plain, image/svg+xml",
]  # fmt: skip
BODY = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="https://cdn.insights.test/a.png"/></svg>'
SHARED = (b"cache-control", b"public, max-age=600")


@pytest.fixture(scope="module", params=["middleware", "sidecar"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Form]:
    made: dict[str, Any] = {"middleware": as_middleware, "sidecar": as_sidecar}
    form: AbstractContextManager[Form] = made[request.param](tmp_path_factory.mktemp("drawings"), POLICY_WITH_HOSTS)
    with form as one:
        yield one


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("dest", ["document", "iframe", "frame", "object", "embed"])
def test_what_is_opened_loads_only_what_is_known_to_be_allowed(running: Form, kind: bytes, dest: str) -> None:
    running.said.headers, running.said.parts = [(b"content-type", kind), SHARED, (b"etag", b'"1"')], [BODY]
    before = running.count("page_not_editable")
    answer = running.ask(cookie=NO, sec_fetch_dest=dest)
    policy = answer.one(b"content-security-policy") or b""
    assert (policy.startswith(b"default-src 'self' data:"), b"insights" in policy) == (True, False)
    assert (answer.body, answer.one(b"cache-control")) == (BODY, b"private, no-cache")
    assert (answer.one(b"etag") or b"").startswith(b'W/"1-cmws')
    assert running.count("page_not_editable") == before
    allowed = running.ask(cookie=YES, sec_fetch_dest=dest)
    assert (allowed.one(b"content-security-policy"), allowed.one(b"cache-control")) == (None, b"private, no-cache")


@pytest.mark.parametrize("dest", ["image", "empty", ""])
def test_what_is_not_opened_stays_as_it_is_and_shared(running: Form, dest: str) -> None:
    running.said.headers, running.said.parts = (
        [(b"content-type", b"image/svg+xml"), SHARED, (b"etag", b'"1"')],
        [BODY],
    )
    answer = running.ask(cookie=NO, sec_fetch_dest=dest, accept="image/avif,*/*;q=0.8")
    assert (answer.one(b"content-security-policy"), answer.one(b"vary"), answer.one(b"etag")) == (None, None, b'"1"')
    assert (answer.body, answer.one(b"cache-control")) == (BODY, SHARED[1])


def test_a_drawing_is_no_visit(running: Form) -> None:
    running.said.headers, running.said.parts = [(b"content-type", b"image/svg+xml")], [BODY]
    answer = running.ask(x_forwarded_for=NEW_YORK)
    assert (answer.all(b"set-cookie"), answer.one(b"tk"), answer.body) == ([], None, BODY)


LOCAL = LOCAL_POLICY + VENDOR.format(port=9) + 'hosts = ["vendor.localhost"]\n'
XHTML = "http://www.w3.org/1999/xhtml"
WAYS = {
    "/a.svg": (
        "image/svg+xml",
        '<svg xmlns="http://www.w3.org/2000/svg"><image href="{0}"/><script href="{0}"/>'
        '<style>@import "{0}";</style><foreignObject><img xmlns="' + XHTML + '" src="{0}"/></foreignObject></svg>',
    ),
    "/a.xml": (
        "application/xml",
        '<?xml-stylesheet href="{0}" type="text/css"?><a><img xmlns="' + XHTML + '" src="{0}"/></a>',
    ),
    "/text": ("text/xml", '<a><script xmlns="' + XHTML + '" src="{0}"/></a>'),
    "/page": (
        "application/xhtml+xml",
        '<html xmlns="' + XHTML + '"><body><iframe src="{0}"/><script src="{0}"/></body></html>',
    ),
}


def holder(path: str) -> str:
    """Where the page is that holds this in its frames."""
    return "/held" + path.replace(".", "-")


@pytest.fixture(scope="module")
def vendor() -> Iterator[Pages]:
    with some_pages() as server:
        server.pages = dict.fromkeys(WAYS, b"")
        yield server


@pytest.fixture(scope="module")
def site(vendor: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    strange = vendor.url.replace("127.0.0.1", "vendor.localhost")
    with some_pages() as pages:
        for path, (kind, body) in WAYS.items():
            pages.pages[path] = body.format(strange + path).encode()
            pages.sent[path] = [("Content-Type", kind)]
            holds = f'<iframe src="{path}"></iframe><object data="{path}"></object><embed src="{path}">'
            pages.pages[holder(path)] = a_page(holds)
        with serving(tmp_path_factory.mktemp("sidecar"), LOCAL, pages.url) as where:
            yield where.replace("127.0.0.1", "localhost")


@with_chromium
@pytest.mark.parametrize("path", WAYS)
@pytest.mark.parametrize("place", [BERLIN, NEW_YORK], ids=["denied", "allowed"])
def test_no_drawing_that_is_opened_calls_a_denied_host(
    browser: Browser, site: str, vendor: Pages, path: str, place: str
) -> None:
    for where in (path, holder(path)):
        with a_visitor(browser, place) as visitor:
            page = visitor.new_page()
            vendor.asked.clear()
            page.goto(site + where)
            if place == NEW_YORK:
                assert until(lambda: path in vendor.asked)
                continue
            page.wait_for_timeout(300)
            assert vendor.asked == []
