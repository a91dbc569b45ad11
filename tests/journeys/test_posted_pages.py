"""A page that answers a form is gated, asks and is nobody else's like any other, and is no visit of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.journeys.chromium import a_browser, a_visitor, gone, with_chromium
from tests.journeys.content import HTML, Form, answered, as_middleware, as_sidecar
from tests.journeys.pages import LOCAL_POLICY, Pages, a_page, some_pages
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, NEW_YORK, VENDOR
from tests.journeys.test_gating import DENIED, PAGE, POLICY_WITH_HOSTS

NO = answered()
ENFORCED = POLICY_WITH_HOSTS + '[csp]\nmode = "enforce"\n'
LOCAL = LOCAL_POLICY + VENDOR.format(port=9) + 'hosts = ["vendor.localhost"]\n'


@pytest.fixture(scope="module", params=["middleware", "sidecar"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Form]:
    made: dict[str, Any] = {"middleware": as_middleware, "sidecar": as_sidecar}
    form: AbstractContextManager[Form] = made[request.param](tmp_path_factory.mktemp("posted"), ENFORCED)
    with form as one:
        yield one


@pytest.fixture
def form(running: Form) -> Form:
    """The form, whose origin answers the page again."""
    said = running.said
    said.headers, said.parts, said.status = [HTML, (b"cache-control", b"max-age=60")], [PAGE], 200
    return running


@pytest.mark.parametrize(
    "asked",
    [{}, {"sec_fetch_dest": "iframe"}, {"sec_fetch_dest": "", "accept": "text/html,*/*;q=0.8"}],
    ids=["a document", "a frame", "who does not say"],
)
def test_the_page_that_answers_a_form_is_gated_and_nobody_elses(form: Form, asked: dict[str, str]) -> None:
    answer = form.ask(method="POST", cookie=NO, accept_encoding="br", **asked)
    assert answer.body == DENIED
    assert answer.one(b"cache-control") == b"private, no-cache"
    assert b"Cookie" in (answer.one(b"vary") or b"")
    assert b"insights" not in (answer.one(b"content-security-policy") or b"insights")
    assert answer.one(b"tk") is not None
    assert form.said.asked_with(b"accept-encoding") == [b"identity"]


def test_the_page_that_answers_a_form_asks(form: Form) -> None:
    page = form.ask(method="POST", path="/send", referer="https://example.com/contact?name=Ann").body
    assert b'id="cmw-banner"' in page
    assert b'name="return" value="/contact"' in page
    assert b"Ann" not in page


@pytest.mark.parametrize(
    "referrer", ["", "https://elsewhere.test/contact", "nonsense", "https://example.com@elsewhere.test/x"]
)
def test_a_banner_on_what_was_posted_from_elsewhere_leads_to_the_start(form: Form, referrer: str) -> None:
    page = form.ask(method="POST", path="/send", referer=referrer).body
    assert b'name="return" value="/"' in page
    assert b"/send" not in page


def test_the_answer_to_a_form_sets_no_identifier(form: Form) -> None:
    for method, sets in (("POST", False), ("GET", True)):
        cookies = form.ask(method=method, x_forwarded_for=NEW_YORK).all(b"set-cookie")
        assert any(one.startswith(b"__Host-vid=") for one in cookies) is sets


def test_what_is_changed_under_a_condition_is_changed_under_it_alone(form: Form) -> None:
    form.ask(method="POST", cookie=NO, if_match='"1"', if_unmodified_since="Tue, 24 Nov 2026 10:00:00 GMT")
    assert form.said.asked_with(b"if-match") == [b'"1"']
    assert form.said.asked_with(b"if-unmodified-since") == [b"Tue, 24 Nov 2026 10:00:00 GMT"]


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_what_is_no_page_is_answered_as_it_came(form: Form, method: str) -> None:
    form.said.headers = [(b"content-type", b"application/json")]
    answer = form.ask(method=method, cookie=NO, document=method == "POST")
    assert (answer.body, answer.one(b"cache-control")) == (PAGE, None)


@pytest.fixture(scope="module")
def vendor() -> Iterator[Pages]:
    with some_pages() as server:
        server.pages = {"/counted.js": b"window.counted = (window.counted || 0) + 1", "/dot.gif": b"GIF89a"}
        yield server


@pytest.fixture(scope="module")
def site(vendor: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    strange = vendor.url.replace("127.0.0.1", "vendor.localhost")
    with some_pages() as pages:
        pages.pages["/"] = a_page("<form method=post action=/send><input name=a><button>Send</button></form>")
        pages.pages["/send"] = a_page(
            f'<h1>Thanks</h1><script src="{strange}/counted.js"></script><img alt="" src="{strange}/dot.gif">'
        )
        with serving(tmp_path_factory.mktemp("sidecar"), LOCAL, pages.url) as where:
            yield where.replace("127.0.0.1", "localhost")


@with_chromium
@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_nothing_denied_is_asked_for_by_the_answer_to_a_form(site: str, vendor: Pages, scripts: bool) -> None:
    with a_browser() as browser, a_visitor(browser, BERLIN, java_script_enabled=scripts) as visitor:
        page = visitor.new_page()
        page.goto(site)
        vendor.asked.clear()
        with page.expect_navigation():
            page.get_by_role("button", name="Send").click()
        page.get_by_role("heading", name="Thanks").wait_for()
        page.wait_for_timeout(300)
        assert vendor.asked == []
        page.get_by_role("button", name="Accept all").click()
        gone(page)
        page.wait_for_load_state("load")
        # Without scripts the answer leads back to the form; what it comes from is allowed from then on.
        assert page.url.rstrip("/") == (site + "/send" if scripts else site)
        if scripts:
            page.wait_for_function("window.counted === 1")
            return
        with page.expect_navigation():
            page.get_by_role("button", name="Send").click()
        page.wait_for_load_state("load")
        assert vendor.asked == ["/dot.gif"]
