"""The policy of a decision through both forms of consent_mw, and the reports that come back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from consent_mw.wire.permissions import ADVERTISING
from tests.journeys.content import HTML, Answer, Form, answered, as_middleware, as_sidecar
from tests.journeys.site import BERLIN, POLICY, Browser, Pairs, Site, mounted

VENDOR = """
[vendor.counter]
kind = "webhook"
purpose = "analytics"
endpoint = "http://127.0.0.1:9/in"
fields = ["event", "time"]
hosts = ["cdn.counter.test"]
[csp]
mode = "enforce"
sources = ["'self'", "img.example.com"]
"""
REPORTED = "; report-uri /_consent/csp; report-to consent-mw"
INLINE = "data: blob: 'unsafe-inline' 'unsafe-eval'"
OURS = f"default-src 'self' img.example.com {INLINE}{REPORTED}"
OURS_ALLOWING = f"default-src 'self' img.example.com cdn.counter.test {INLINE}{REPORTED}"
ENDPOINTS = (b"reporting-endpoints", b'consent-mw="/_consent/csp"')
PERMISSIONS = (b"permissions-policy", ", ".join(f"{one}=()" for one in ADVERTISING).encode())
THEIRS = (b"content-security-policy", b"script-src 'self' cdn.counter.test; default-src 'none'")
NARROWED = f"script-src 'self'; default-src 'none'{REPORTED}"
NO = answered()
YES = answered(yes=True)


@pytest.fixture(scope="module", params=[as_middleware, as_sidecar], ids=["middleware", "sidecar"])
def form(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Form]:
    make: Callable[..., AbstractContextManager[Form]] = request.param
    with make(tmp_path_factory.mktemp("csp"), POLICY + VENDOR) as one:
        yield one


def guarded(answer: Answer) -> Pairs:
    """What an answer says of what the browser may do."""
    names = (b"content-security-policy", b"permissions-policy", b"reporting-endpoints")
    return [(name, value) for name, value in answer.headers if name.startswith(names)]


def visit(form: Form, *said: tuple[bytes, bytes], cookie: str = NO, status: int = 200, **asked: str) -> Pairs:
    """What comes of a page that says this."""
    form.said.status, form.said.headers, form.said.parts = status, [HTML, *said], [b"<p>Hi"]
    return guarded(form.ask(cookie=cookie, **asked))


def csp(text: str) -> tuple[bytes, bytes]:
    return b"content-security-policy", text.encode()


def test_a_page_says_what_its_visitor_allows(form: Form) -> None:
    assert visit(form) == [csp(OURS), ENDPOINTS, PERMISSIONS]
    assert visit(form, cookie=YES) == [csp(OURS_ALLOWING), ENDPOINTS]


def test_the_same_head_says_something_else_to_each(form: Form) -> None:
    said = [visit(form, THEIRS, cookie=cookie) for cookie in (NO, YES, NO, YES, NO, YES)]
    no = [csp(NARROWED), ENDPOINTS, PERMISSIONS]
    yes = [csp(THEIRS[1].decode() + REPORTED), ENDPOINTS]
    assert said == [no, yes] * 3


def test_a_frame_is_a_page_and_nothing_else_is(form: Form) -> None:
    assert visit(form, sec_fetch_dest="iframe") == [csp(OURS), ENDPOINTS, PERMISSIONS]
    assert visit(form, THEIRS, sec_fetch_dest="empty") == [THEIRS]
    form.said.headers = [(b"content-type", b"application/json"), THEIRS]
    assert guarded(form.ask(cookie=NO)) == [THEIRS]


def test_an_error_page_is_a_page(form: Form) -> None:
    assert visit(form, status=404) == [csp(OURS), ENDPOINTS, PERMISSIONS]


def test_not_modified_leaves_what_the_browser_holds(form: Form) -> None:
    assert visit(form, status=304) == []
    assert visit(form, THEIRS, status=304) == [csp(NARROWED), ENDPOINTS]


def test_a_head_is_answered_as_its_page_would_be(form: Form) -> None:
    form.said.status, form.said.headers = 200, [HTML]
    assert guarded(form.ask(method="HEAD", cookie=NO)) == [csp(OURS), ENDPOINTS, PERMISSIONS]


def test_a_page_with_a_banner_lets_our_own_files_in_and_carries_its_nonce(form: Form) -> None:
    nonce = (b"content-security-policy", b"default-src 'none'; script-src 'nonce-abc'")
    form.said.status, form.said.headers, form.said.parts = 200, [HTML, nonce], [b"<body>Hi"]
    answer = form.ask()
    opened = (
        "default-src 'none'; script-src 'nonce-abc'; style-src example.com/_consent/static/; "
        "connect-src example.com/_consent/"
    )
    assert guarded(answer) == [csp(opened + REPORTED), ENDPOINTS, PERMISSIONS]
    assert (answer.body.count(b' nonce="'), answer.body.count(b'<script nonce="abc" ')) == (1, 1)


@pytest.mark.parametrize("make", [as_middleware, as_sidecar], ids=["middleware", "sidecar"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[site]", "[site]\nshared_pages = true"),
        ('revision = "2026-01"', 'revision = "2026-01"\nmode = "report"'),
        ("[client_address]", '[scope]\nexclude = ["/"]\n[client_address]'),
        ('mode = "enforce"', 'mode = "off"'),
    ],
    ids=["shared-pages", "report-mode", "excluded", "off"],
)
def test_where_no_policy_is_written_the_sites_own_stands(
    tmp_path: Path, make: Callable[..., AbstractContextManager[Form]], before: str, after: str
) -> None:
    with make(tmp_path, (POLICY + VENDOR).replace(before, after)) as form:
        assert (visit(form), visit(form, THEIRS)) == ([], [THEIRS])


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    made = Browser(mounted(Site(), tmp_path, POLICY + VENDOR), BERLIN)
    yield made
    made.close()


def report(*blocked: str) -> bytes:
    return json.dumps([{"type": "csp-violation", "body": {"blockedURL": one}} for one in blocked]).encode()


ODD = report("https://odd.test")
ONE = json.dumps({"csp-report": {"blocked-uri": "https://cdn.counter.test/a?b"}}).encode()
REPORTS = {"content-type": "application/reports+json"}
SILENT = {**REPORTS, "sec-fetch-site": ""}
AN_ODD_ONE = {"csp_violation:other:": 1}


def counts(browser: Browser) -> dict[str, int]:
    told = browser._middleware.gate.counts
    return {name: number for name, number in told.items() if name.startswith("csp_")}


@pytest.mark.parametrize(
    ("body", "headers", "status", "counted"),
    [
        (ONE, {"content-type": "application/csp-report"}, 204, {"csp_violation:counter:analytics": 1}),
        (
            report("https://cdn.counter.test/x", "inline", "wss://odd.test:99/?q=ann@example.com"),
            SILENT,
            204,
            {"csp_violation:counter:analytics": 1, "csp_violation:other:": 2},
        ),
        (ODD, {**SILENT, "origin": "null"}, 204, AN_ODD_ONE),
        (ODD, {**SILENT, "origin": "https://example.com"}, 204, AN_ODD_ONE),
        (ODD, {**SILENT, "origin": "https://evil.test"}, 403, {}),
        (ODD, {**REPORTS, "sec-fetch-site": "cross-site"}, 403, {}),
        (ODD, {**REPORTS, "sec-fetch-site": "same-site"}, 403, {}),
        (ONE, {"content-type": "application/json"}, 415, {}),
        (b"x" * 300_000, REPORTS, 413, {}),
        (b"{", REPORTS, 400, {}),
        (b"\xff", REPORTS, 400, {}),
        (b"[1, null, {}]", REPORTS, 204, {}),
    ],
    ids=[
        "one", "several-from-nowhere", "from-null", "by-origin", "another-origin", "another-site",
        "another-subdomain",        "wrong-type", "too-large", "no-json", "no-text", "no-report",
    ],
)  # fmt: skip
def test_reports_are_counted_by_vendor_and_purpose(
    browser: Browser, body: bytes, headers: dict[str, str], status: int, counted: dict[str, int]
) -> None:
    answer = browser.post("/_consent/csp", content=body, headers=headers)
    assert (answer.status_code, counts(browser), "set-cookie" in answer.headers) == (status, counted, False)


def test_a_flood_of_reports_costs_nobody_a_choice(browser: Browser) -> None:
    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < 2000:
        statuses.append(browser.post("/_consent/csp", content=ONE, headers=REPORTS).status_code)
    assert (set(statuses[:240]), statuses[-1]) == ({204}, 429)
    assert browser.choose(all=False).status_code == 200
