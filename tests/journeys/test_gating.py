"""Third parties that a decision denies are out of the page, whole and streamed, plain and coded, in both forms."""

from __future__ import annotations

import gzip
import http.client
import importlib
import re
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.content import HTML, Answer, Form, answered, as_middleware, as_sidecar
from tests.journeys.site import BERLIN, NEW_YORK, POLICY, VENDOR, Pairs
from tests.sidecar import raw

POLICY_WITH_HOSTS = POLICY + VENDOR.format(port=1).replace(
    "fields =", 'hosts = ["cdn.insights.test", "*.pixels.test"]\nfields ='
)
ROWS = b"".join(b"<tr><td>row %d<td>of a table\n" % number for number in range(100))
PAGE = (
    b"<!doctype html><html><head><title>T</title><script src=https://cdn.insights.test/a.js></script></head><body>"
    + ROWS
    + b"<script type=text/plain data-consent=analytics data-src=/stats.js></script><img src=//x.pixels.test/p>"
)
DENIED = PAGE.replace(
    b"<script src", b'<script data-consent="analytics" type="text/plain" data-consent-src'
).replace(b"<img src", b"<img data-consent-src")  # fmt: skip
ALLOWED = PAGE.replace(b"type=text", b"data-consent-type=text").replace(b"data-src", b"src")
BROWSERS = "gzip, deflate, br, zstd"
NO = answered()
YES = answered(yes=True)
MARK = re.compile(rb'^W/"1-cmws[0-9a-f]{20}"$')


@pytest.fixture(scope="module", params=["middleware", "sidecar"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Form]:
    made: dict[str, Any] = {"middleware": as_middleware, "sidecar": as_sidecar}
    form: AbstractContextManager[Form] = made[request.param](tmp_path_factory.mktemp("gating"), POLICY_WITH_HOSTS)
    with form as one:
        yield one


@pytest.fixture
def form(running: Form) -> Form:
    """The form, whose origin answers the page again."""
    said = running.said
    said.headers, said.parts, said.status, said.between = [HTML, (b"etag", b'"1"')], [PAGE], 200, lambda _: None
    return running


def sized(form: Form, page: bytes = PAGE) -> None:
    form.said.headers.append((b"content-length", b"%d" % len(page)))
    form.said.parts = [page]


def plain(answer: Answer) -> bytes:
    coding = answer.one(b"content-encoding")
    return answer.body if coding is None else zlib.decompress(answer.body, {b"gzip": 31, b"deflate": 15}[coding])


@pytest.mark.parametrize("cut", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("cookie", "comes"), [(NO, DENIED), (YES, ALLOWED)], ids=["after a no", "after a yes"]
)  # fmt: skip
def test_a_page_is_gated_by_the_answer(form: Form, cookie: str, comes: bytes, cut: bool) -> None:
    if cut:
        form.said.parts = [PAGE[at : at + 37] for at in range(0, len(PAGE), 37)]
    else:
        sized(form)
    for _ in range(3):
        answer = form.ask(cookie=cookie, accept_encoding=BROWSERS)
        assert (plain(answer), answer.one(b"content-encoding")) == (comes, None)
        assert answer.one(b"content-length") is None
        assert MARK.match(answer.one(b"etag") or b"")
        assert (answer.one(b"cache-control") or b"").startswith(b"private, no-cache")
    assert form.said.asked_with(b"accept-encoding") == [b"gzip, deflate"]


def test_a_page_with_a_banner_is_gated_too(form: Form) -> None:
    page = plain(form.ask(accept_encoding=BROWSERS))
    start, end = page.find(b"<link"), page.rfind(b"</section>")
    assert b"cmw-banner" in page[start:end]
    assert b"src=https://cdn" not in page.replace(b"data-consent-src", b"")
    assert page.endswith(DENIED[-200:])


def test_what_an_opt_out_region_allows_runs_before_an_answer(form: Form) -> None:
    page = plain(form.ask(x_forwarded_for=NEW_YORK))
    assert page.endswith(ALLOWED[-200:])
    assert b"<script src=https://cdn.insights.test/a.js>" in page


def brotli(data: bytes) -> bytes:
    return importlib.import_module("brotli").compress(data)  # type: ignore[no-any-return]  # no type stubs


def zstandard(data: bytes) -> bytes:
    try:
        return importlib.import_module("compression.zstd").compress(data)  # type: ignore[no-any-return]  # as above
    except ImportError:
        return importlib.import_module("backports.zstd").compress(data)  # type: ignore[no-any-return]  # as above


@pytest.mark.parametrize(
    ("coding", "code"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"br", brotli), (b"zstd", zstandard)]
)
@pytest.mark.parametrize("cut", [True, False], ids=["streamed", "whole"])
def test_a_coded_page_is_no_exception(form: Form, coding: bytes, code: Any, cut: bool) -> None:
    body = code(PAGE)
    form.said.headers.append((b"content-encoding", coding))
    if cut:
        form.said.parts = [body[at : at + 50] for at in range(0, len(body), 50)]
    else:
        sized(form, body)
    for cookie, comes in ((NO, DENIED), (YES, ALLOWED)):
        answer = form.ask(cookie=cookie, accept_encoding=BROWSERS)
        assert (plain(answer), answer.one(b"content-encoding")) == (comes, b"gzip")
        assert answer.all(b"vary") == [b"Cookie, DNT, Sec-GPC, Accept-Encoding, Accept-Language"]


def test_a_whole_page_that_concerns_nobody_goes_out_as_it_came(form: Form) -> None:
    page = b"<!doctype html><title>t</title><p>Hello <img src=/a.png> <script>go()</script>"
    sized(form, page)
    for _ in range(3):
        answer = form.ask(cookie=NO, accept_encoding=BROWSERS)
        # Only the sidecar has the body at hand when the head goes out.
        length = b"%d" % len(page) if form.port else None
        assert (answer.body, answer.one(b"content-length")) == (page, length)
        assert MARK.match(answer.one(b"etag") or b"")
    # The same head, another body of the same length: what was remembered of the one does not hold for the other.
    other = b"<img src=//x.pixels.test/p>".ljust(len(page))
    form.said.parts = [other]
    answer = form.ask(cookie=NO, accept_encoding=BROWSERS)
    assert (answer.body, answer.one(b"content-length")) == (other.replace(b"src", b"data-consent-src"), None)
    form.said.parts = [page]
    assert form.ask(cookie=NO, accept_encoding=BROWSERS).body == page


def test_frames_are_gated(form: Form) -> None:
    assert plain(form.ask(cookie=NO, sec_fetch_dest="iframe")) == DENIED


LINKS: list[tuple[bytes, list[bytes]]] = [
    (b"<https://cdn.insights.test>; rel=preconnect", []),
    (b"</a.css>; rel=preload; as=style, <//x.pixels.test/p>;rel=\"prefetch\", <https://other.test>; rel=preconnect",
     [b"</a.css>; rel=preload; as=style, <https://other.test>; rel=preconnect"]),
    (b'</a>; rel=next; title="a, b", <https://cdn.insights.test/>; rel=canonical',
     [b'</a>; rel=next; title="a, b", <https://cdn.insights.test/>; rel=canonical']),
    (b"</a>; rel=preload; imagesrcset=\"/b 1x, https://x.pixels.test/c 2x\"", []),
    (b"</a>; title=\"open, <https://cdn.insights.test>; rel=preload", []),
]  # fmt: skip


@pytest.mark.parametrize(("said", "comes"), LINKS, ids=["one", "of three", "canonical", "a set", "malformed"])
def test_links_to_a_denied_host_are_taken_out_of_the_head(form: Form, said: bytes, comes: list[bytes]) -> None:
    form.said.headers += [(b"link", said), (b"link", b"</x>; rel=preload")]
    assert form.ask(cookie=NO).all(b"link") == [*comes, b"</x>; rel=preload"]
    assert form.ask(cookie=YES).all(b"link") == [said, b"</x>; rel=preload"]
    assert form.ask(cookie=NO, document=False).all(b"link") == [*comes, b"</x>; rel=preload"]
    assert form.ask(cookie=NO, sec_fetch_dest="image").all(b"link") == [said, b"</x>; rel=preload"]


def test_a_head_that_leads_on_to_a_denied_host_does_not(form: Form) -> None:
    form.said.headers += [(b"refresh", b"0;url=https://cdn.insights.test/")]
    assert form.ask(cookie=NO).all(b"refresh") == []
    assert form.ask(cookie=YES).all(b"refresh") == [b"0;url=https://cdn.insights.test/"]


def test_a_frame_that_is_denied_asks_and_shows_itself_after_a_yes(form: Form) -> None:
    frame = b"<iframe data-src=/video data-consent=cross_site width=9></iframe>"
    sized(form, frame)
    page = form.ask(cookie=NO, path="/a?b=1").body
    assert b"data-src=/video data-consent=cross_site width=9></iframe>" in page
    for one in (
        b"action=&quot;/_consent/choice&quot;", b"name=&quot;purpose&quot; value=&quot;cross_site&quot;",
        b"name=&quot;keep&quot;", b"name=&quot;return&quot; value=&quot;/a&quot;", b"target=&quot;_top&quot;",
        b"<button",
    ):  # fmt: skip
        assert one in page, one
    assert form.ask(cookie=YES).body == frame.replace(b"data-src", b"src")


@pytest.mark.parametrize(
    ("opening", "speaks"),
    [
        (b"<html lang=de>", b"Zustimmen und anzeigen"),
        (b"<html lang=xx>", b"Autoriser et afficher"),
        (b"<html>", b"Autoriser et afficher"),
    ],
    ids=["German", "a language that nobody speaks", "not said"],
)
def test_a_frame_asks_in_the_language_of_its_page(form: Form, opening: bytes, speaks: bytes) -> None:
    sized(form, opening + b"<iframe src=//x.pixels.test/p></iframe>")
    assert speaks in form.ask(cookie=NO, accept_language="fr;q=0.9, en;q=0.5").body


UNSAFE: dict[str, Pairs] = {
    "another alphabet": [(b"content-type", b"text/html; charset=utf-16le")],
    "another language": [(b"content-type", b"application/xhtml+xml")],
    "not to be changed": [HTML, (b"cache-control", b"no-transform")],
    "a coding that nobody undoes": [HTML, (b"content-encoding", b"dcb")],
}


@pytest.mark.parametrize("headers", UNSAFE.values(), ids=UNSAFE)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "streamed"])
def test_a_page_that_cannot_be_looked_at_goes_out_with_a_policy_that_blocks(
    form: Form, headers: Pairs, whole: bool
) -> None:
    before = form.count("page_not_editable")
    form.said.headers = [*headers]
    if whole:
        sized(form)
    for _ in range(2):
        answer = form.ask(cookie=NO)
        policy = answer.one(b"content-security-policy") or b""
        assert answer.body == PAGE
        assert b"default-src" in policy
        assert b".test" not in policy
    assert before is None or form.count("page_not_editable") == before + 2
    assert form.ask(cookie=YES).one(b"content-security-policy") is None


def test_a_page_streams_through_its_gate(tmp_path: Path) -> None:
    """The origin sends each part only once the browser has read the one before."""
    read = [threading.Event() for _ in range(3)]
    with as_sidecar(tmp_path, POLICY_WITH_HOSTS) as form:
        form.said.parts = [b"<!doctype html><body>", b"<img src=//x.pixels.test/>", b"<p>two", b"<p>three"]
        form.said.between = lambda number: number == 0 or read[number - 1].wait(10) or pytest.fail("it was held back")
        with socket.create_connection(("127.0.0.1", form.port), timeout=10) as peer:
            asked = (
                f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {BERLIN}\r\nSec-Fetch-Dest: document\r\nCookie: {NO}"
            )
            peer.sendall(asked.encode() + b"\r\n\r\n")
            came = b""
            for number, ending in enumerate(
                (b"<body>", b"<img data-consent-src=//x.pixels.test/>", b"<p>two", b"<p>three")
            ):
                while ending not in came:
                    came += peer.recv(65_536)
                if number < 3:
                    read[number].set()


def test_early_hints_name_no_denied_host(tmp_path: Path) -> None:
    with as_sidecar(tmp_path, POLICY_WITH_HOSTS) as form:
        form.said.between = lambda _: None
        links = b"<https://cdn.insights.test>; rel=preconnect, </a>; rel=preload"

        with raw.connect(form.port) as peer:
            form.said.headers = [HTML, (b"content-length", b"2")]
            form.said.parts = [b"ok"]
            form.said.before = b"HTTP/1.1 103 Early Hints\r\nLink: " + links + b"\r\n\r\n"
            asked = (
                f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {BERLIN}\r\nSec-Fetch-Dest: document\r\nCookie: {NO}"
            )
            peer.sendall(asked.encode() + b"\r\nConnection: close\r\n\r\n")
            came = raw.read_all(peer)
    assert came.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("form_said", "answers"),
    [
        ("purpose=cross_site&keep=1&return=/a", {"analytics": False, "cross_site": True}),
        ("purpose=analytics&purpose=cross_site&keep=1&return=/a", {"analytics": True, "cross_site": True}),
        ("purpose=analytics&return=/a", {"analytics": True, "cross_site": False}),
    ],
    ids=["one is added", "both", "without keeping"],
)
def test_a_frame_asks_for_what_it_needs_and_keeps_the_rest(
    tmp_path: Path, form_said: str, answers: dict[str, bool]
) -> None:
    with as_sidecar(tmp_path, POLICY_WITH_HOSTS) as form:
        client = http.client.HTTPConnection("127.0.0.1", form.port, timeout=10)
        headers = {
            "cookie": NO, "x-forwarded-for": BERLIN, "sec-fetch-site": "same-origin",
            "content-type": "application/x-www-form-urlencoded",
        }  # fmt: skip
        client.request("POST", "/_consent/choice", form_said, headers)
        posted = client.getresponse()
        posted.read()
        client.close()
        assert (posted.status, posted.getheader("location")) == (303, "/a")
        cookie = (posted.getheader("set-cookie") or "").partition(";")[0]
        state = form.ask(path="/_consent/state", cookie=cookie, document=False)
    for purpose, yes in answers.items():
        assert b'"%b":{"allowed":%b' % (purpose.encode(), b"true" if yes else b"false") in state.body.replace(
            b" ", b""
        )
