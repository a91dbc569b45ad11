"""Chromium under the policy of a decision, before a real sidecar: the log of the third parties is the evidence."""

from __future__ import annotations

import http.server
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from consent_mw.wire.permissions import ADVERTISING
from tests.journeys.chromium import CHROMIUM, FLAGS
from tests.journeys.site import BERLIN, POLICY, listening
from tests.sidecar.certificates import write_pair
from tests.sidecar.raw import a_sidecar, counted
from tests.sidecar.shop import until

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)")

VENDORS = """
[vendor.counter]
kind = "webhook"
purpose = "analytics"
endpoint = "http://127.0.0.1:{port}/in"
fields = ["event", "time"]
hosts = ["cdn.counter.test"]
[vendor.support]
kind = "webhook"
purpose = "essential"
endpoint = "http://127.0.0.1:{port}/in"
fields = ["event", "time"]
hosts = ["chat.support.test"]
[csp]
mode = "{mode}"
sources = ["'self'", "img.shop.test"]
"""
LISTED, ALLOWED, DENIED, UNKNOWN = "img.shop.test", "chat.support.test", "cdn.counter.test", "odd.test"
APP = """
const settled = (element) => new Promise((done) => (element.onload = element.onerror = done));
const make = (name, attributes) => {
  const element = Object.assign(document.createElement(name), attributes);
  const loaded = settled(element);
  document.body.append(element);
  return loaded;
};
const hosts = %s;
window.tried = Promise.allSettled(hosts.flatMap((host) => [
  make("script", { src: `//${host}/a.js` }),
  make("img", { src: `//${host}/a.gif` }),
  make("link", { rel: "stylesheet", href: `//${host}/a.css` }),
  make("iframe", { src: `//${host}/a.html` }),
  fetch(`//${host}/a.json`, { mode: "no-cors" }),
]));
"""
PAGE = "<h1>Shop</h1><script src=/app.js></script>"
EVERYTHING = {"/a.js", "/a.gif", "/a.css", "/a.html", "/a.json"}
TYPES = {"js": "text/javascript", "css": "text/css", "gif": "image/gif", "json": "application/json"}


class World(http.server.ThreadingHTTPServer):
    """The site and everybody else: who was asked for what, by the host that the browser named."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.headers: list[tuple[str, str]] = []
        self.page = PAGE
        self.hosts = [LISTED, ALLOWED, DENIED]
        super().__init__(("127.0.0.1", 0), _Answers)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def reached(self, host: str) -> set[str]:
        """What this host was asked for."""
        return {path for name, path in self.asked if name == host}


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: World

    def do_GET(self) -> None:
        world, host = self.server, self.headers["host"].partition(":")[0]
        world.asked.append((host, self.path))
        kind = TYPES.get(self.path.rpartition(".")[2], "text/html")
        body = ""
        if host == "localhost":
            page = world.page if self.path == "/" else PAGE
            body = APP % json.dumps(world.hosts) if self.path == "/app.js" else f"<!doctype html>{page}"
        self.send_response(200)
        for name, value in world.headers if host == "localhost" and kind == "text/html" else ():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(scope="module")
def served() -> Iterator[World]:
    with listening(World()) as server:
        yield server


@pytest.fixture
def world(served: World) -> World:
    """The world, where nothing happened yet."""
    served.asked.clear()
    served.headers = []
    served.page = PAGE
    served.hosts = [LISTED, ALLOWED, DENIED]
    return served


@pytest.fixture(scope="module")
def browser(served: World) -> Iterator[Browser]:
    everybody = f"--host-resolver-rules=MAP *.test 127.0.0.1:{served.port}"
    flags = [*FLAGS, everybody, "--short-reporting-delay"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield launched
        launched.close()


@contextmanager
def a_firewall(
    folder: Path, world: World, mode: str, *flags: str, origin: str = "", more: str = ""
) -> Iterator[tuple[int, int]]:
    """A sidecar before the site under this mode: its port and its admin port."""
    policy = POLICY.replace("https://example.com/privacy", "/privacy")
    policy = policy.replace('origin = "https://example.com"\n', f'origin = "{origin}"\n' if origin else "")
    policy += more + VENDORS.format(port=world.port, mode=mode)
    with a_sidecar(folder, world.port, *flags, policy=policy) as (_, port, admin):
        yield port, admin


@pytest.fixture(scope="module")
def firewalls(served: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[int, int]]]:
    """A sidecar for each mode: its port and its admin port."""
    with ExitStack() as stack:
        yield {
            mode: stack.enter_context(a_firewall(tmp_path_factory.mktemp(mode), served, mode))
            for mode in ("off", "report", "enforce")
        }


@pytest.fixture
def enforcing(firewalls: dict[str, tuple[int, int]]) -> str:
    """The address of the site behind the one that enforces."""
    return f"http://localhost:{firewalls['enforce'][0]}/"


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Callable[[], BrowserContext]]:
    """A Berliner who was never here."""
    made: list[BrowserContext] = []

    def come() -> BrowserContext:
        made.append(browser.new_context(ignore_https_errors=True, extra_http_headers={"x-forwarded-for": BERLIN}))
        return made[-1]

    yield come
    for one in made:
        one.close()


def opened(context: BrowserContext, address: str) -> Page:
    """The page, once all that it tried has come to something."""
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto(address)
    page.evaluate("window.tried")
    return page


def test_what_a_no_denies_is_not_asked_for_and_what_a_yes_allows_is(
    world: World, enforcing: str, visitor: Callable[[], BrowserContext]
) -> None:
    page = opened(visitor(), enforcing)
    before = [world.reached(host) for host in (LISTED, ALLOWED, DENIED)]
    page.get_by_role("button", name="Accept all").click()
    page.locator("#cmw-banner").wait_for(state="detached")
    world.asked.clear()
    page.goto(enforcing)
    page.evaluate("window.tried")
    after_yes = [world.reached(host) for host in (LISTED, ALLOWED, DENIED)]
    page.evaluate("fetch('/_consent/withdraw', {method: 'POST'}).then(answer => answer.text())")
    world.asked.clear()
    page.goto(enforcing)
    page.evaluate("window.tried")
    after_no = [world.reached(host) for host in (LISTED, ALLOWED, DENIED)]
    everything: set[str] = EVERYTHING
    assert (before, after_yes, after_no) == (
        [everything, everything, set()],
        [everything, everything, everything],
        [everything, everything, set()],
    )


def test_a_frame_of_the_site_is_held_to_it_too(
    world: World, enforcing: str, visitor: Callable[[], BrowserContext]
) -> None:
    world.page = "<h1>Shop</h1><iframe src=/inner></iframe><script>window.tried = 1</script>"
    page = opened(visitor(), enforcing)
    page.frames[1].evaluate("window.tried")
    assert [world.reached(host) for host in (ALLOWED, DENIED)] == [EVERYTHING, set()]


def test_browsers_do_no_advertising_by_themselves_before_a_yes(
    world: World, enforcing: str, visitor: Callable[[], BrowserContext]
) -> None:
    page = opened(visitor(), enforcing)
    asked = "names => names.filter(one => document.featurePolicy.features().includes(one))"
    known = page.evaluate(asked, list(ADVERTISING))
    if not known:
        pytest.skip("this Chromium does no advertising by itself")
    allowed = "names => names.filter(one => document.featurePolicy.allowsFeature(one))"
    before = page.evaluate(allowed, known)
    page.get_by_role("button", name="Accept all").click()
    page.locator("#cmw-banner").wait_for(state="detached")
    page.goto(enforcing)
    assert (before, page.evaluate(allowed, known)) == ([], known)


def test_a_policy_of_the_sites_lets_a_denied_vendor_pass_no_longer(
    world: World, enforcing: str, visitor: Callable[[], BrowserContext]
) -> None:
    world.headers = [
        ("Content-Security-Policy", f"default-src 'self' {DENIED} {ALLOWED} {UNKNOWN}"),
        ("Content-Security-Policy", f"img-src 'self' {DENIED} {ALLOWED}, frame-ancestors 'self'"),
    ]
    world.hosts = [ALLOWED, DENIED, UNKNOWN, LISTED]
    opened(visitor(), enforcing)
    reached = [world.reached(host) for host in world.hosts]
    # `sources` are for a site that says nothing itself; this one does not list them.
    assert reached == [EVERYTHING, set(), EVERYTHING - {"/a.gif"}, set()]


@pytest.mark.parametrize("mode", ["off", "report", "enforce"])
@pytest.mark.parametrize(
    "policy",
    [
        "default-src 'none'; script-src 'nonce-r4nd0m'; form-action 'none'; base-uri 'none'",
        "default-src 'none'; script-src 'nonce-r4nd0m' 'strict-dynamic'; style-src 'nonce-other'",
        "default-src 'none', script-src 'none'; style-src https://elsewhere.test/",
    ],
    ids=["a-nonce", "strict-dynamic", "nothing-at-all"],
)
def test_the_banner_works_under_a_strict_policy(
    world: World,
    firewalls: dict[str, tuple[int, int]],
    visitor: Callable[[], BrowserContext],
    policy: str,
    mode: str,
) -> None:
    world.headers = [("Content-Security-Policy", policy)]
    world.page = "<h1>Shop</h1><script nonce=r4nd0m>window.tried = 1</script>"
    address = f"http://localhost:{firewalls[mode][0]}/"
    context = visitor()
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(address)
    assert page.evaluate("getComputedStyle(document.querySelector('#cmw-banner')).position") == "fixed"
    page.get_by_role("button", name="Reject all").click()
    page.locator("#cmw-banner").wait_for(state="detached", timeout=8000)
    assert page.evaluate("typeof window.consent.allows") == "function"
    assert "__Host-consent" in {cookie["name"] for cookie in context.cookies()}
    assert [one for one in complaints if f"'{address}_consent" in one] == []


def test_without_scripts_the_banner_is_a_form_that_a_strict_policy_lets_go(
    world: World, enforcing: str, browser: Browser
) -> None:
    world.headers = [("Content-Security-Policy", "default-src 'none'; form-action 'none'; sandbox allow-forms")]
    context = browser.new_context(extra_http_headers={"x-forwarded-for": BERLIN}, java_script_enabled=False)
    page = context.new_page()
    page.goto(enforcing)
    page.get_by_role("button", name="Reject all").click()
    page.wait_for_load_state()
    assert page.locator("#cmw-banner").count() == 0
    context.close()


def violations(admin: int) -> dict[str, int]:
    """What was counted of violations, by vendor."""
    line = 'consent_mw_csp_violations_total{{purpose="{}",vendor="{}"}}'
    who = {"counter": "analytics", "support": "essential", "other": ""}
    return {vendor: counted(admin, line.format(purpose, vendor)) for vendor, purpose in who.items()}


@pytest.mark.parametrize("mode", ["report", "enforce"])
def test_what_a_page_tried_is_counted_by_vendor(
    world: World, firewalls: dict[str, tuple[int, int]], visitor: Callable[[], BrowserContext], mode: str
) -> None:
    world.hosts = [ALLOWED, DENIED, UNKNOWN]
    port, admin = firewalls[mode]
    before = violations(admin)
    opened(visitor(), f"http://localhost:{port}/")
    expected = {"counter": before["counter"] + 5, "support": before["support"], "other": before["other"] + 5}
    assert until(lambda: violations(admin) == expected, 10), violations(admin)
    reached = [world.reached(host) for host in world.hosts]
    assert reached == ([EVERYTHING] * 3 if mode == "report" else [EVERYTHING, set(), set()])


def test_over_tls_a_browser_gathers_its_reports(
    world: World, tmp_path: Path, visitor: Callable[[], BrowserContext]
) -> None:
    world.hosts = [DENIED, UNKNOWN]
    certificate, key = write_pair(tmp_path, "localhost")
    flags = ("--tls-cert", certificate, "--tls-key", key)
    with a_firewall(tmp_path, world, "enforce", *flags, origin="https://localhost") as (port, admin):
        page = opened(visitor(), f"https://localhost:{port}/")
        page.close()
        assert until(lambda: violations(admin) == {"counter": 5, "support": 0, "other": 5}, 20), violations(admin)
    assert [world.reached(host) for host in world.hosts] == [set(), set()]
