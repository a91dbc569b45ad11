"""A page view is counted once, under a name that may leave, and with its visitor only where that is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from consent_mw.asgi import statistics
from consent_mw.asgi.exchange import Exchange
from consent_mw.asgi.gate import Gate
from consent_mw.asgi.statistics import VIEWS_KEPT, page_name
from consent_mw.core.policy import DAY, IdentifierRule, Scope
from consent_mw.core.statistics import HOUR, By, Question, Seen, rows
from consent_mw.core.terms import Mode, Signal
from consent_mw.errors import StoreError
from consent_mw.wire.response_head import head_of
from consent_mw.wire.token import Keyring
from consent_mw.world.store import Store, open_store, read_statistics
from tests.builders import ANALYTICS, ESSENTIAL, NOW, a_consent, a_policy, a_purpose, a_signal, a_vendor, line

KEYRING = Keyring(["a-key-that-is-long-enough"])
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
NEW_YORK, BERLIN = "74.64.0.1", "85.214.132.117"
PAGE = head_of(200, [(b"content-type", b"text/html")])


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


class World:
    """A gate before a real store, whose statistics are told by page at the end."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.clock = Clock()
        self.url = f"sqlite:///{folder}/consent.db"
        identifier = IdentifierRule("__Host-vid", "analytics", 395 * DAY, line(30))
        policy = a_policy(a_signal(Signal.GPC, "analytics"), **{"identifier": identifier, **more})
        self.policy = policy
        # Lent, so that nobody delivers, and ends days by the clock of this machine.
        self.gate = Gate(policy, KEYRING, store=open_store(self.url), clock=self.clock)

    def ask(self, target: str = "/", *, method: str = "GET", peer: str = NEW_YORK, **headers: str) -> Exchange:
        """A document is asked for; `visitor` names the browser, `cookie` is what else it sends."""
        visitor = headers.pop("visitor", "")
        sent = {"host": "site.example", "sec-fetch-dest": "document", "user-agent": FIREFOX}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if visitor:
            token = KEYRING.new_identifier(visitor.encode().ljust(16), NOW // DAY)[1]
            sent["cookie"] = "; ".join(filter(None, (f"__Host-vid={token}", headers.get("cookie", ""))))
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
        return self.gate.admit(method.encode(), target.encode("latin-1"), pairs, peer)

    def view(self, target: str = "/", **more: str) -> None:
        """A page is asked for and answered."""
        self.ask(target, **more).respond(PAGE)

    def run(self, visit: Callable[[], Awaitable[None] | None]) -> World:
        """Start the gate, visit, stop it."""

        async def life() -> None:
            await self.gate.start(strict=True)
            done = visit()
            if done is not None:
                await done
            await self.gate.stop(0.0)

        asyncio.run(asyncio.wait_for(life(), 20))
        return self

    def told(self, by: By = By.PAGE) -> list[tuple[Any, ...]]:
        """What is stored."""
        question = Question(by, 0, NOW // DAY + 99)
        return [tuple(row) for row in rows(question, read_statistics(self.url, [question])[0])]


def consent(**answers: bool) -> str:
    return f"__Host-consent={KEYRING.sign_consent(a_consent(at=NOW - HOUR, **answers))}"


def test_views_are_counted_by_page_and_visitors_once(tmp_path: Path) -> None:
    world = World(tmp_path)

    def visit() -> None:
        for visitor, target in (("ann", "/"), ("ann", "/"), ("bob", "/?q=1"), ("ann", "/b")):
            world.view(target, visitor=visitor)

    assert world.run(visit).told() == [("/", 3, 2), ("/b", 1, 1)]
    assert world.told(By.DAY) == [(NOW // DAY, 4, 2)]
    assert world.told(By.HOUR) == [(NOW // HOUR, 4, 2)]


def test_a_new_browser_is_a_visitor_from_its_first_page_on(tmp_path: Path) -> None:
    world = World(tmp_path)

    def visit() -> None:
        exchange = world.ask("/")
        (line,) = [one[1] for one in exchange.respond(PAGE).fields if one[0].lower() == b"set-cookie"]
        world.view("/", cookie=line.decode().partition(";")[0])

    assert world.run(visit).told() == [("/", 2, 1)]


@pytest.mark.parametrize(
    "more",
    [
        {"peer": BERLIN},
        {"cookie": consent(analytics=False)},
        {"sec_gpc": "1"},
        {"peer": "no address"},
        {"cookie": f"__Host-consent={KEYRING.sign_consent(a_consent(analytics=True, more={'minor': True}))}"},
    ],
    ids=["opt-in and no answer", "a no", "a signal", "an unreadable address", "a minor"],
)
def test_without_consent_a_view_counts_and_its_visitor_does_not(tmp_path: Path, more: dict[str, str]) -> None:
    world = World(tmp_path)
    asked = world.run(lambda: world.view("/", visitor="ann", **more))
    assert asked.told() == [("/", 1, 0)]


def test_a_yes_in_berlin_counts_the_visitor(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(lambda: world.view("/", visitor="ann", peer=BERLIN, cookie=consent(analytics=True)))
    assert world.told() == [("/", 1, 1)]


def test_without_an_identifier_in_the_policy_only_views_count(tmp_path: Path) -> None:
    world = World(tmp_path, identifier=None)
    assert world.run(lambda: world.view("/", visitor="ann")).told() == [("/", 1, 0)]


def test_it_is_the_purpose_of_the_identifier_that_counts(tmp_path: Path) -> None:
    identifier = IdentifierRule("__Host-vid", "statistics", 395 * DAY, line(30))
    purposes = (ESSENTIAL, ANALYTICS, a_purpose("statistics"))
    world = World(tmp_path, identifier=identifier, purposes=purposes)

    def visit() -> None:
        world.view("/", visitor="ann", sec_gpc="1")  # refuses analytics
        world.view("/", visitor="bob", cookie=consent(statistics=False))

    assert world.run(visit).told() == [("/", 2, 1)]


@pytest.mark.parametrize(
    ("more", "status", "fields"),
    [
        ({"user_agent": GOOGLEBOT}, 200, []),
        ({"sec_purpose": "prefetch;prerender"}, 200, []),
        ({"sec_fetch_dest": "iframe"}, 200, []),
        ({"sec_fetch_dest": "empty"}, 200, []),
        ({"method": "HEAD"}, 200, []),
        ({"method": "POST"}, 200, []),
        ({}, 404, []),
        ({}, 302, []),
        ({}, 500, []),
        ({}, 200, [(b"content-type", b"application/pdf")]),
        ({"target": "/api/x"}, 200, []),
    ],
    ids=[
        "a bot", "a prefetch", "a frame", "a fetch", "HEAD", "POST", "not found", "elsewhere", "an error", "no HTML",
        "excluded",
    ],
)  # fmt: skip
def test_what_is_no_view_is_not_counted(
    tmp_path: Path, more: dict[str, str], status: int, fields: list[tuple[bytes, bytes]]
) -> None:
    world = World(tmp_path, scope=Scope(exclude=("/api/*",)))

    def visit() -> None:
        world.ask(**{"target": "/", "visitor": "ann", **more}).respond(
            head_of(status, fields or [(b"content-type", b"text/html")])
        )
        world.view("/seen")

    assert world.run(visit).told() == [("/seen", 1, 1)]


def test_a_page_that_is_still_fresh_is_a_view(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.run(lambda: void(world.ask("/", visitor="ann").respond(head_of(304, [])))).told() == [("/", 1, 1)]


def test_in_report_mode_nothing_is_counted(tmp_path: Path) -> None:
    world = World(tmp_path, mode=Mode.REPORT)
    assert world.run(lambda: world.view("/", visitor="ann")).told() == []


def test_a_visitor_who_is_erased_is_not_counted_with_that_answer(tmp_path: Path) -> None:
    world = World(tmp_path, vendors=(a_vendor(),))

    def visit() -> None:
        for target in ("/app", "/header"):
            exchange = world.ask(target, visitor="ann")
            if target == "/app" and exchange.visit is not None:
                exchange.visit.erase()
            told = [(b"consent-erase", b"?1")] if target == "/header" else []
            exchange.respond(head_of(200, [(b"content-type", b"text/html"), *told]))

    assert world.run(visit).told() == [("/app", 1, 0), ("/header", 1, 0)]


def test_a_visitor_whom_the_app_calls_a_minor_is_not_counted(tmp_path: Path) -> None:
    world = World(tmp_path)

    def visit() -> None:
        head = head_of(200, [(b"content-type", b"text/html"), (b"consent-minor", b"?1")])
        world.ask("/", visitor="ann").respond(head)

    assert world.run(visit).told() == [("/", 1, 0)]


NAMES = {
    b"/pricing": "/pricing",
    b"/": "/",
    b"/reset/t0ken": "/reset/*",
    b"/%72eset/t0ken": "/reset/*",
    b"/secret": "*",
    b"/u/ann@example.com": "/u/[email]",
    b"/u/ann%40example.com": "/u/[email]",
    b"/pay/4111111111111111": "/pay/[card]",
    b"/s/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc123def456": "/s/[token]",
    b"/gr%C3%B6%C3%9Fe": "/gr%C3%B6%C3%9Fe",
    b"/gr\xc3\xb6\xc3\x9fe": "/gr%C3%B6%C3%9Fe",
    b"/\x1b[31m\x9b0m": "/%1B[31m%9B0m",
    b"/a b": "/a%20b",
    b"https://other.example/x": "(other)",
    b"": "(other)",
}


@pytest.mark.parametrize(("path", "name"), NAMES.items(), ids=[repr(one)[2:-1] for one in NAMES])
def test_a_page_is_told_as_it_may_leave(path: bytes, name: str) -> None:
    assert page_name(path, ("/reset/*", "/secret")) == name


def test_a_path_that_is_too_long_is_one_of_the_others(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(lambda: world.view("/" + "x" * 300, visitor="ann"))
    assert (world.told(), world.told(By.DAY)) == ([("(other)", 1, 0)], [(NOW // DAY, 1, 1)])


def test_views_belong_to_the_hour_and_the_day_in_which_they_were(tmp_path: Path) -> None:
    world = World(tmp_path)
    midnight = (NOW // DAY + 1) * DAY

    def visit() -> None:
        for at in (NOW, NOW + HOUR, midnight - 1, midnight + 1):
            world.clock.now = at
            world.view("/", visitor="ann")

    world.run(visit)
    hours = [NOW // HOUR, NOW // HOUR + 1, midnight // HOUR - 1, midnight // HOUR]
    assert world.told(By.HOUR) == [(hour, 1, 1) for hour in hours]
    assert world.told(By.DAY) == [(NOW // DAY, 3, 1), (NOW // DAY + 1, 1, 1)]


def test_a_view_is_stored_within_seconds_and_the_days_key_forgotten_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "STORED_WITHIN", 0.02)
    world = World(tmp_path)

    async def visit() -> None:
        world.view("/", visitor="ann")
        await until(lambda: bool(world.told()))
        keys = world.gate.statistics._tallies._keys
        assert list(keys) == [NOW // DAY]
        world.clock.now += 2 * DAY
        await until(lambda: not keys)

    assert world.run(visit).told() == [("/", 1, 1)]


class Failing:
    """A store that takes no views until it is told to; all else it does."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.fails = True
        self.asked = 0

    def add_views(self, seen: list[Seen], now: float) -> Future[None]:
        self.asked += 1
        if not self.fails:
            return self.store.add_views(seen, now)
        failed: Future[None] = Future()
        failed.set_exception(StoreError("no room"))
        return failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def failing(world: World) -> Failing:
    """Put a failing store before this world's gate."""
    assert world.gate._lent is not None
    store = Failing(world.gate._lent)
    world.gate._lent = store
    return store


def test_what_a_store_did_not_take_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "STORED_WITHIN", 0.02)
    world = World(tmp_path)
    store = failing(world)

    async def visit() -> None:
        seen = []
        for number in (1, 2, 3):
            seen.append(number)
            world.view("/", visitor="ann")
            await until(lambda: store.asked >= len(seen))
        store.fails = False

    assert world.run(visit).told() == [("/", 3, 1)]
    assert "view_lost" not in world.gate.counts


def test_what_no_store_takes_is_given_up_in_the_end_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "STORED_WITHIN", 0.02)
    monkeypatch.setattr(statistics, "TALLIED_KEPT", 2)
    world = World(tmp_path)
    store = failing(world)

    async def visit() -> None:
        for number in range(4):
            world.view(f"/{number}", visitor="ann")
        await until(lambda: world.gate.counts["view_lost"] == 4)
        store.fails = False
        world.view("/after", visitor="ann")

    assert world.run(visit).told() == [("/after", 1, 1)]
    assert world.gate.counts["view_lost"] == 4


def test_more_than_is_kept_is_counted_as_lost(tmp_path: Path) -> None:
    world = World(tmp_path)

    def visit() -> None:
        for number in range(VIEWS_KEPT + 5):
            world.gate.statistics.view(world.ask(f"/{number % 50}", visitor=f"v{number}"), enforcement)

    exchange = world.ask("/")
    enforcement = exchange.enforcement
    assert enforcement is not None
    world.run(visit)
    assert world.gate.counts["view_lost"] == 5
    assert sum(row[1] for row in world.told()) == VIEWS_KEPT


def test_without_a_store_pages_go_on_and_what_is_not_counted_is(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    world = World(tmp_path)
    gate = world.gate = Gate(world.policy, KEYRING, f"sqlite:///{tmp_path}/none", clock=world.clock)

    async def life() -> None:
        await gate.start()
        assert world.ask("/", visitor="ann").respond(PAGE).fields
        await gate.stop(0.0)

    asyncio.run(life())
    assert gate.counts["view_lost"] == 1


async def until(holds: Callable[[], bool]) -> None:
    """Wait until this holds; who calls has a bound."""
    while not holds():  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.01)


def void(_: object) -> None:
    """Nothing."""
