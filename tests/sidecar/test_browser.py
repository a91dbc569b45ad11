"""Chromium through the sidecar, its cache cold: all that a page does works as if nothing stood in between."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.journeys.chromium import CHROMIUM, FLAGS
from tests.journeys.site import BERLIN, POLICY
from tests.sidecar.browser_site import DOWNLOAD, PAGE
from tests.sidecar.raw import a_sidecar

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site, as a process on a unix socket."""
    path = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "uvicorn", "--uds", str(path), "--log-level", "error"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen([*command, "tests.sidecar.browser_site:app"], cwd=root)
    try:
        end = time.monotonic() + 15
        while not path.exists():
            assert time.monotonic() < end, "the site did not start"
            time.sleep(0.02)
        yield f"unix:{path}"
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module")
def address(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    policy = POLICY.replace("https://example.com/privacy", "/privacy").replace('origin = "https://example.com"\n', "")
    with a_sidecar(tmp_path_factory.mktemp("sidecar"), 0, policy=policy, upstream=upstream) as (_, port, _admin):
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page in a browser that knows nothing yet; what its console complains of fails the test."""
    context = browser.new_context(extra_http_headers={"x-forwarded-for": BERLIN}, accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(8000)
    complaints: list[str] = []
    opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    statuses: set[int] = set()
    opened.on("response", lambda answer: statuses.add(answer.status))
    opened.goto(address)
    opened.wait_for_load_state("load")
    assert statuses == {200}
    yield opened
    assert complaints == []
    context.close()


def test_a_page_has_all_its_parts(page: Page) -> None:
    assert page.evaluate("document.getElementById('logo').naturalWidth") == 1
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(1, 2, 3)"
    assert page.evaluate("window.scripted") == 1
    assert {cookie["name"] for cookie in page.context.cookies()} == {"session"}


def test_a_page_asked_for_by_a_script_is_byte_for_byte_the_sites(page: Page) -> None:
    assert page.evaluate("fetch('/').then(answer => answer.text())") == PAGE


def test_parts_come_from_the_cache_the_second_time(page: Page, address: str) -> None:
    page.goto(f"{address}/?again")
    entries = "performance.getEntriesByType('resource').map(e => [new URL(e.name).pathname, e.transferSize])"
    sizes = dict(page.evaluate(entries))
    assert {name: sizes[name] for name in ("/style.css", "/app.js", "/logo.gif")} == {
        "/style.css": 0,
        "/app.js": 0,
        "/logo.gif": 0,
    }


def test_a_form_is_sent_and_followed(page: Page) -> None:
    page.fill("input[name=name]", "Ann")
    page.click("#send")
    page.wait_for_selector("#hello")
    assert page.inner_text("#hello") == "Hello Ann"


def test_a_download_is_whole(page: Page, tmp_path: Path) -> None:
    with page.expect_download() as waiting:
        page.click("#download")
    waiting.value.save_as(tmp_path / "all.bin")
    assert waiting.value.suggested_filename == "all.bin"
    assert (tmp_path / "all.bin").read_bytes() == DOWNLOAD


UPLOADS = {
    "bytes": ("new Uint8Array(5_000_000).fill(7)", None),
    "a blob": ("new Blob([new Uint8Array(5_000_000).fill(7)], {type: 'a/b'})", "a/b"),
}


@pytest.mark.parametrize(("body", "kind"), UPLOADS.values(), ids=UPLOADS)
def test_an_upload_is_whole(page: Page, body: str, kind: str | None) -> None:
    got = page.evaluate(f"fetch('/upload', {{method: 'PUT', body: {body}}}).then(answer => answer.json())")
    assert got == {"size": 5_000_000, "sha256": hashlib.sha256(b"\7" * 5_000_000).hexdigest(), "type": kind}


def test_a_form_with_a_file_is_whole(page: Page) -> None:
    got = page.evaluate(
        "(() => { const form = new FormData(); form.append('file', new Blob([new Uint8Array(1_000_000)]), 'x');"
        " return fetch('/upload', {method: 'POST', body: form}).then(answer => answer.json()) })()"
    )
    assert got["size"] > 1_000_000
    assert got["type"].startswith("multipart/form-data; boundary=")


def test_events_arrive_one_by_one(page: Page) -> None:
    got = page.evaluate(
        "new Promise(done => { const got = [], source = new EventSource('/events');"
        " source.onmessage = event => { got.push([event.lastEventId, event.data]);"
        " if (got.length === 3) { source.close(); done(got) } } })"
    )
    assert got == [["0", "0"], ["1", "1"], ["2", "2"]]


def test_a_websocket_talks_and_ends_as_the_site_says(page: Page) -> None:
    got = page.evaluate(
        "new Promise(done => { const got = [], socket = new WebSocket(`ws://${location.host}/socket`, ['echo']);"
        " socket.onopen = () => ['a', 'ä'.repeat(70000), 'end'].forEach(one => socket.send(one));"
        " socket.onmessage = event => got.push(event.data.length);"
        " socket.onclose = event => done([socket.protocol, got, event.code, event.reason, event.wasClean]) })"
    )
    assert got == ["echo", [1, 70_000, 3], 4000, "as you wish", True]


def test_many_requests_at_once_get_each_their_own(page: Page) -> None:
    got = page.evaluate(
        "Promise.all([...Array(60).keys()].map(n => fetch(`/hello?name=n${n}`).then(answer => answer.text())"
        ".then(text => text.endsWith(`Hello n${n}`))))"
    )
    assert got == [True] * 60


def test_a_page_that_is_left_while_it_streams_leaves_the_sidecar_whole(page: Page, address: str) -> None:
    for _ in range(5):
        page.evaluate("void new EventSource('/events')")
        page.goto(address)
    assert page.inner_text("h1") == "Shop"
