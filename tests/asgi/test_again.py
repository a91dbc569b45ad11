"""A request to a mounted app that came before goes a shorter way, and neither app nor browser can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction

from consent_mw import ConsentMiddleware, load_policy
from consent_mw.asgi.arrivals import ARRIVALS_KEPT, MOST_HEADERS_KEPT
from consent_mw.core.consent import Consent
from consent_mw.core.event import Event
from consent_mw.wire.token import Keyring
from tests.journeys.site import BERLIN, FIREFOX, KEY, NEW_YORK, POLICY, VENDOR

ROUNDS = 5
"""Requests: two are looked at, and by the fourth its answer is one that came before, too."""

DAY = 20_000
NOW = DAY * 86_400.0 + 5
HOSTS = 'hosts = ["cdn.insights.example"]\n'
BARE = (
    POLICY.replace('regime = "opt-out"', 'regime = "opt-out"\nbanner = "none"').replace(
        "[client_address]", '[scope]\nexclude = ["/api/*"]\n[client_address]'
    )
    + VENDOR.format(port=9)
    + HOSTS
)

Pairs = list[tuple[bytes, bytes]]
PAGE: Pairs = [
    (b"content-type", b"text/html"), (b"etag", b'"1"'), (b"set-cookie", b"session=1"), (b"set-cookie", b"adid=1"),
    (b"set-cookie", b"_ga=1; Max-Age=99999999"),
]  # fmt: skip
DENIED = b"<https://cdn.insights.example/a.js>; rel=preload"
STYLED = b"</a.css>; rel=preload"
STYLE: Pairs = [(b"content-type", b"text/css"), (b"X-Cased", b"As Said")]


def start(headers: Pairs = PAGE, status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(said: bytes = b"<p>ok</p>", **more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": said, **more}


def hint(*links: bytes) -> dict[str, Any]:
    return {"type": "http.response.early_hint", "links": list(links)}


def cookies(*, known: bool = True, answers: dict[str, bool] | None = None) -> bytes:
    keys, held = Keyring([KEY]), ["session=1", "_ga=2", "adid=3", "other=4"]
    if known:
        held.append(f"__Host-vid={keys.new_identifier(bytes(16), DAY - 9)[1]}")
    if answers is not None:
        consent = Consent(answers, int(NOW) - 90, "2026-01", "", "2026-01", issued=int(NOW) - 90)
        held.append(f"__Host-consent={keys.sign_consent(consent)}")
    return "; ".join(held).encode()


def headers(dest: bytes = b"document", address: str = NEW_YORK, cookie: bytes | None = None, *more: Any) -> Pairs:
    return [
        (b"host", b"example.com"), (b"user-agent", FIREFOX.encode()), (b"sec-fetch-dest", dest),
        (b"accept-encoding", b"gzip"), (b"if-none-match", b'"1"'), (b"Consent-Visitor", b"forged"),
        (b"consent_visitor", b"x"), (b"x-forwarded-for", address.encode()),
        (b"cookie", cookies() if cookie is None else cookie),
        *more,
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked for, how the app answers, and how many of ROUNDS are looked at: 2, unless nothing is found."""

    asked: Pairs
    says: list[dict[str, Any]] = field(default_factory=lambda: [start(), body()])
    looks: int = 2
    path: str = "/a"
    more: dict[str, Any] = field(default_factory=dict)
    act: Callable[[Any], None] | None = None


EXTENSIONS: dict[str, Any] = {"http.response.pathsend": {}, "tls": {}}
GPC = (b"sec-gpc", b"1")
NO = {"analytics": False, "cross_site": False}
YES = {"analytics": True, "cross_site": True}
CASES = {
    "page of who is known": Case(headers()),
    "page of a newcomer": Case(headers(cookie=cookies(known=False))),
    "page of who has no cookies": Case(headers(cookie=b"")),
    "page under a signal": Case(headers(b"document", NEW_YORK, None, GPC)),
    "page of who refused": Case(headers(cookie=cookies(answers=NO))),
    "page of who agreed, in Berlin": Case(headers(address=BERLIN, cookie=cookies(answers=YES))),
    "page with a banner, in Berlin": Case(headers(address=BERLIN)),
    "page fetched ahead": Case(headers(b"document", NEW_YORK, None, (b"sec-purpose", b"prefetch"))),
    "page that must be gated": Case(
        headers(cookie=cookies(answers=NO)), [start(), body(b'<script type="text/plain" data-consent="analytics">')]
    ),
    "page that must not be edited": Case(
        headers(cookie=cookies(answers=NO)), [start([*PAGE, (b"cache-control", b"no-transform")]), body()]
    ),
    "page in parts": Case(headers(), [start(), body(b"<p>", more_body=True), body(b"ok</p>")]),
    "page that says that it is unchanged": Case(headers(), [start(PAGE[:2], 304), body(b"")]),
    "page that fails": Case(headers(), [start(PAGE, 500), body()]),
    "page with trailers": Case(headers(), [start(), body(), {"type": "http.response.trailers", "headers": []}]),
    "page without an extension that would pass us by": Case(headers(), more={"extensions": EXTENSIONS}),
    "page with hints": Case(headers(cookie=cookies(answers=NO)), [hint(DENIED), hint(STYLED), start(), body()]),
    "frame": Case(headers(b"iframe")),
    "style": Case(headers(b"style"), [start(STYLE), body()]),
    "style that sets cookies": Case(headers(b"style"), [start([*STYLE, *PAGE[2:]]), body()]),
    "style by cookies": Case(headers(b"style"), [start([*STYLE, (b"vary", b"Cookie")]), body()]),
    "answer of another kind than was asked for": Case(headers(), [start(STYLE), body()]),
    "answer that speaks": Case(headers(), [start([*PAGE, (b"consent-event", b'signup;plan="pro"')]), body()]),
    "app that speaks": Case(headers(), act=lambda visit: visit.emit(Event("signup"))),
    "app that tells of a minor": Case(headers(), act=lambda visit: visit.declare_minor()),
    "query": Case(headers(), more={"query_string": b"a=b"}),
    "query in the raw path": Case(headers(), more={"raw_path": b"/a?b"}, looks=ROUNDS),
    "no raw path": Case(headers(), more={"raw_path": None}),
    "our own route": Case(headers(), path="/_consent/state", looks=ROUNDS),
    "well-known": Case(headers(), path="/.well-known/gpc.json", looks=ROUNDS),
    "excluded": Case(headers(), path="/api/a", looks=ROUNDS),
    "another method": Case(headers(), more={"method": "POST"}, looks=ROUNDS),
    "HEAD": Case(headers(), more={"method": "HEAD"}, looks=ROUNDS),
    "no peer": Case(headers(), more={"client": None}),
    "many headers": Case(headers() + [(b"x-more", b"1")] * MOST_HEADERS_KEPT, looks=ROUNDS),
    "much": Case([*headers(), (b"x-more", b"1" * 4096)], looks=ROUNDS),
    "a line feed in a header": Case([*headers(), (b"x-more", b"1\n2")], looks=ROUNDS),
    "headers that are lists": Case([list(pair) for pair in headers()], looks=ROUNDS),  # type: ignore[misc]  # some apps do
}  # fmt: skip


class Mounted:
    """A middleware before an app that keeps what it was asked, and a browser that keeps what it got."""

    def __init__(self, folder: Path, policy: str = BARE, *, forgets: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "policy.toml").write_text(policy)
        self.folder, self.forgets, self.looks, self.now = folder, forgets, 0, NOW
        self.case = CASES["style"]
        self.asked: list[Any] = []
        self.got: list[Any] = []
        self.rows: list[Any] = []
        self.middleware = ConsentMiddleware(self._app, folder / "policy.toml", [KEY], f"sqlite:///{folder / 'c.db'}")
        gate = self.gate = self.middleware.gate
        gate.now = lambda: self.now
        gate.reporter._give = self.rows.extend  # type: ignore[method-assign,assignment]  # nothing is to be delivered
        gate.admit, self._admit = self._looked, gate.admit  # type: ignore[method-assign]  # looks are counted

    def _looked(self, *request: Any) -> Any:
        self.looks += 1
        return self._admit(*request)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        visit = scope.get("consent_mw")
        told = {name: value for name, value in scope.items() if name != "consent_mw"}
        self.asked.append(
            (told | {"headers": list(scope["headers"])}, visit and (visit.visitor, visit.decision.allowed))
        )
        scope["headers"].append((b"x-late", b"1"))  # an app may write into its list
        if self.case.act is not None:
            self.case.act(visit)
        for message in self.case.says:
            await send(message)

    async def _send(self, message: Any) -> None:
        kept = dict(message)
        if "headers" in kept:
            kept["headers"] = list(message["headers"])
            if message["type"] == "http.response.start" and message is not self.case.says[0]:
                message["headers"].append((b"x-late", b"1"))  # and so may an app around us
        self.got.append(kept)

    async def visit(self, case: Case, rounds: int = ROUNDS) -> None:
        self.case = case
        for _ in range(rounds):
            if self.forgets:
                self.gate.arrivals.forget()
                self.gate.answers.forget()
            scope = {
                "type": "http", "method": "GET", "path": case.path, "raw_path": case.path.encode(),
                "query_string": b"", "headers": list(case.asked), "client": ["127.0.0.1", 1], **case.more,
            }  # fmt: skip
            await self.middleware(scope, None, self._send)  # type: ignore[arg-type]  # nothing is received
            assert scope["headers"] == case.asked

    @property
    def told(self) -> Any:
        """All that anybody could tell a difference by."""
        self.gate.reporter.hand_over()
        rows = [(row.vendor, row.kind, row.body, row.visitor, row.purpose, row.created) for row in self.rows]
        counts = {name: number for name, number in self.gate.counts.items() if number}
        return self.asked, self.got, rows, self.gate.statistics._views, counts


Visits = Callable[[Mounted], Awaitable[None]]


def told(folder: Path, visits: Visits, policy: str = BARE, *, forgets: bool = False) -> tuple[Any, int]:
    """What was told in these visits, and how many of them were looked at."""

    async def run() -> tuple[Any, int]:
        mounted = Mounted(folder, policy, forgets=forgets)
        try:
            await visits(mounted)
            return mounted.told, mounted.looks
        finally:
            await mounted.gate.stop(0)

    return asyncio.run(run())


def alike(folder: Path, visits: Visits, policy: str = BARE) -> int:
    """How many visits were looked at, where all went as if nothing were remembered."""
    anew, _ = told(folder / "anew", visits, policy, forgets=True)
    again, looks = told(folder / "again", visits, policy)
    assert again == anew
    return looks


@pytest.fixture(autouse=True)
def _all_newcomers_get_the_same_identifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent_mw.asgi.gate.secrets.token_bytes", bytes)


def test_no_hint_names_a_denied_host(tmp_path: Path) -> None:
    says = [hint(STYLED, DENIED), hint(DENIED), start(), body()]
    case = Case(headers(cookie=cookies(answers=NO)), says)
    (_, got, *_), looks = told(tmp_path, lambda mounted: mounted.visit(case))
    hints = [message for message in got if message["type"] == "http.response.early_hint"]
    assert (hints, looks) == ([hint(STYLED)] * ROUNDS, 2)


def test_what_is_allowed_is_hinted_as_it_was_said(tmp_path: Path) -> None:
    says = [hint(DENIED, STYLED), start(), body()]
    (_, got, *_), _ = told(tmp_path, lambda mounted: mounted.visit(Case(headers(), says)))
    assert [message for message in got if "links" in message] == [says[0]] * ROUNDS


@pytest.mark.parametrize("case", [CASES["page of who is known"], CASES["style"]], ids=["page", "style"])
@pytest.mark.parametrize("forgets", [True, False], ids=["anew", "again"])
def test_whatever_way_an_app_sends_it_may_send(tmp_path: Path, case: Case, *, forgets: bool) -> None:
    async def run() -> tuple[list[Any], bool]:
        mounted, looks = Mounted(tmp_path, forgets=forgets), []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            looks.append(iscoroutinefunction(send))
            for message in case.says:
                await asyncio.create_task(send(message))

        mounted.middleware.app = app
        await mounted.visit(case)
        await mounted.gate.stop(0)
        return mounted.got, all(looks)

    got, marked = asyncio.run(run())
    assert marked
    assert [message["type"] for message in got] == [message["type"] for message in case.says] * ROUNDS


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_who_comes_again_is_treated_as_before(tmp_path: Path, case: Case) -> None:
    assert alike(tmp_path, lambda mounted: mounted.visit(case)) == case.looks


def test_the_store_may_fail_between_two_visits_and_within_one(tmp_path: Path) -> None:
    async def visits(mounted: Mounted) -> None:
        page = CASES["page of who is known"]
        await mounted.visit(page)
        store, mounted.gate.store = mounted.gate.store, None
        await mounted.visit(page)
        mounted.gate.store = store
        await mounted.visit(replace(page, act=lambda visit: setattr(mounted.gate, "store", None)))
        mounted.gate.store = store

    assert alike(tmp_path, visits) == 2


def test_nothing_is_found_by_less_than_all_of_its_bytes(tmp_path: Path) -> None:
    page = CASES["page of who is known"]
    others = [
        replace(page, asked=headers(cookie=cookies(answers=NO))),
        replace(page, asked=[*page.asked, GPC]),
        replace(page, asked=page.asked[:-1]),
        replace(page, asked=headers(address=BERLIN)),
        replace(page, more={"client": ["192.0.2.1", 1]}),
        replace(page, asked=[(b"host", b"example.comuser-agent"), *page.asked[2:]]),
    ]

    async def visits(mounted: Mounted) -> None:
        await mounted.visit(page)
        for other in others:
            await mounted.visit(other, 1)

    assert alike(tmp_path, visits) == 2 + len(others)


def test_a_policy_that_comes_into_force_is_in_force_for_who_came_before(tmp_path: Path) -> None:
    async def visits(mounted: Mounted) -> None:
        page = CASES["page of who agreed, in Berlin"]
        await mounted.visit(page)
        file = mounted.folder / "policy.toml"
        file.write_text(file.read_text().replace('revision = "2026-01"', 'revision = "2026-02"'))
        mounted.gate.adopt(load_policy(file))
        await mounted.visit(page)

    assert alike(tmp_path, visits) == 4


def test_nothing_holds_longer_than_what_it_was_made_of(tmp_path: Path) -> None:
    async def visits(mounted: Mounted) -> None:
        for name in ("page of who agreed, in Berlin", "page of who is known"):
            await mounted.visit(CASES[name])
            for days in (31, 183, 400):
                mounted.now = NOW + days * 86_400
                await mounted.visit(CASES[name])
            mounted.now = NOW

    assert alike(tmp_path, visits) > 4


def test_who_came_before_is_let_through_once_the_gate_is_bypassed(tmp_path: Path) -> None:
    async def visits(mounted: Mounted) -> None:
        page = CASES["page of who is known"]
        await mounted.visit(page)
        mounted.gate.bypassed = True
        await mounted.visit(page)

    assert alike(tmp_path, visits) == 2 + ROUNDS


@pytest.mark.parametrize(
    "policy",
    [BARE.replace("[site]", 'mode = "report"\n[site]', 1), BARE.replace("[site]", "[site]\nshared_pages = true", 1)],
    ids=["in report mode", "with pages that are shared"],
)
def test_every_mode_holds_for_who_came_before(tmp_path: Path, policy: str) -> None:
    async def visits(mounted: Mounted) -> None:
        for case in CASES.values():
            await mounted.visit(case)

    assert alike(tmp_path, visits, policy) < len(CASES) * ROUNDS


def test_nobody_is_remembered_where_not_all_are_under_the_policy(tmp_path: Path) -> None:
    policy = BARE.replace("[scope]", "[scope]\npercent = 50")
    assert alike(tmp_path, lambda mounted: mounted.visit(CASES["style"]), policy) == ROUNDS


def test_however_many_come_a_bounded_number_is_remembered(tmp_path: Path) -> None:
    async def visits(mounted: Mounted) -> None:
        for number in range(2 * ARRIVALS_KEPT + 50):
            style = Case(headers(b"style", cookie=b"session=%d" % number), CASES["style"].says)
            await mounted.visit(style, 2)
        assert ARRIVALS_KEPT < len(mounted.gate.arrivals._known) <= 2 * ARRIVALS_KEPT

    told(tmp_path, visits)
