"""Whatever strangers send, what is remembered of it is bounded: every container that gate, sidecar and modules have
is found by walking from one object to the next, and held to its bound."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import pytest

from consent_mw import load_policy
from consent_mw.asgi import enforcement, ruleset
from consent_mw.asgi.gate import Gate
from consent_mw.asgi.limiter import ADDRESSES_KEPT
from consent_mw.asgi.reporting import HANDED_OVER_AT
from consent_mw.asgi.ruleset import SETTLED_KEPT
from consent_mw.asgi.statistics import VIEWS_KEPT
from consent_mw.core.consent import Consent
from consent_mw.sidecar.admission import ADMISSIONS_KEPT
from consent_mw.wire.fields import LINES_KEPT
from consent_mw.wire.known import known
from consent_mw.wire.remembered import Remembered
from consent_mw.wire.token import Keyring
from consent_mw.world.access_log import AccessLog
from consent_mw.world.upstream.heads import HEADS_KEPT
from tests.journeys.site import KEY, POLICY
from tests.sidecar.test_instructions import DAY, Ends

STRANGERS = 17_500
"""More than twice of what any bound but that of visitors' digests is."""

TWICE = 5_000
"""Of them come again at once, so that more is remembered of them."""

GREW = 100
SAMPLE = 20
VENDOR = """
[vendor.insights]
kind = "segment"
purpose = "analytics"
endpoint = "http://127.0.0.1:9/in"
key = "k"
fields = ["event", "page_path", "page_url", "referrer_url", "visitor_id", "browser", "query.*", "language"]
"""
BOUNDS = {
    "client.plane.admissions._known": 2 * ADMISSIONS_KEPT,
    "connection._heads._known": 2 * HEADS_KEPT,
    "gate.limiter._buckets": ADDRESSES_KEPT,
    "gate.reporter._waiting": HANDED_OVER_AT,
    "gate.rules._countries": SETTLED_KEPT,
    "gate.rules._enforcements[]._kept": enforcement.NAMES_KEPT,
    "gate.rules._enforcements[]._plans": enforcement.PLANS_KEPT,
    "gate.rules._rules": ruleset.NAMES_KEPT,
    "gate.statistics._views": VIEWS_KEPT,
    "wire.fields:_request_names": LINES_KEPT,
    "wire.fields:_response_names": LINES_KEPT,
    "wire.fields:_request_lines": LINES_KEPT,
    "wire.fields:_response_lines": LINES_KEPT,
}
"""How many entries what has no bound of its own may have."""

NOT_ALWAYS_FILLED = {"gate.reporter._waiting", "wire.fields:_request_lines", "wire.fields:_response_lines"}
"""What is handed over again and again, and what the native core does without."""

OF_OURS = {"world.device:_resolver": 1, "world.wording:texts_in": 40}
"""What visitors cannot add to: the one resolver, the languages that we speak."""

LARGEST = 65_536
KNOWN = type(known(1))


def request(number: int, keys: Keyring) -> bytes:
    """A request that has nothing in common with another's but its host."""
    consent = Consent(
        {"analytics": True, "cross_site": number % 2 == 0}, DAY * 86_400 - number, "2026-01", f"{number:022d}"
    )
    token = keys.new_identifier(number.to_bytes(16, "big"), DAY - number % 90)[1]
    cookies = f"c{number}=1; theme={number}; __Host-vid={token}; __Host-consent={keys.sign_consent(consent)}"
    kind = ("document", "style", "iframe", f"x{number}")[number % 4]
    return (
        f"GET /page-{number}?q{number}={number} HTTP/1.1\r\nHost: example.com\r\nUser-Agent: agent/{number}\r\n"
        f"Accept-Language: x-{number}\r\nAccept: text/x{number}\r\nReferer: https://r{number}.example/{number}\r\n"
        f'Sec-Fetch-Dest: {kind}\r\nX-H{number}: {number}\r\nIf-None-Match: "{number}"\r\n'
        f"X-Forwarded-For: {number % 223 + 1}.{number // 250 % 250}.{number % 250}.7\r\nCookie: {cookies}\r\n\r\n"
    ).encode()


def answer(number: int) -> bytes:
    """An answer that has nothing in common with another."""
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: text/html; x={number}\r\nSet-Cookie: s{number}=1; Path=/{number}\r\n"
        f'X-A{number}: {number}\r\nVary: X-H{number}\r\nCache-Control: max-age={number}\r\nETag: "{number}"\r\n'
        f"Link: <https://l{number}.example/>; rel=preconnect\r\n"
        f"Content-Security-Policy: script-src 'nonce-{number}' https://s{number}.example\r\n"
        f"Content-Length: 2\r\n\r\nok"
    ).encode()


def held(roots: Mapping[str, Any]) -> dict[str, Any]:
    """Every container that can be reached from these, by the path to it; of alike ones the largest."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    queue = deque(roots.items())
    while queue:
        path, one = queue.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        contains = hasattr(one, "cache_info") or isinstance(one, (dict, list, set, deque, Remembered, KNOWN))
        if contains and (path not in found or size(one) > size(found[path])):
            found[path] = one
        queue.extend(inside(path, one))
    return found


def inside(path: str, one: Any) -> Iterator[tuple[str, Any]]:
    """What this object holds; of many alike things some."""
    if isinstance(one, (dict, MappingProxyType)):
        for key in list(one)[-SAMPLE:]:
            yield f"{path}[key]", key
            yield f"{path}[]", one[key]
    elif isinstance(one, (list, tuple, set, frozenset, deque)):
        for item in list(one)[-SAMPLE:]:
            yield f"{path}[]", item
    elif isinstance(one, Remembered):
        yield from ((f"{path}[]", one.get(key)) for key in list(iter(one))[-SAMPLE:])
    elif type(one).__module__.startswith("consent_mw"):
        names = [*getattr(one, "__dict__", ())]
        for kind in type(one).__mro__:
            slots = getattr(kind, "__slots__", ())
            names += [slots] if isinstance(slots, str) else slots
        for name in dict.fromkeys(names):
            if hasattr(one, name):
                yield f"{path}.{name}", getattr(one, name)


def size(one: Any) -> int:
    """How many entries it has."""
    return one.cache_info().currsize if hasattr(one, "cache_info") else len(one)


def bound(path: str, one: Any) -> int | None:
    """How many it may have; None where nobody says."""
    if hasattr(one, "cache_info"):
        most = one.cache_info().maxsize
        return None if most is None else int(most)
    if isinstance(one, Remembered):
        return 2 * one._limit
    return BOUNDS.get(path)


def roots(**more: Any) -> dict[str, Any]:
    """Where the walk begins: these, and all that the modules hold."""
    named = dict(more)
    modules = [(name, one) for name, one in list(sys.modules.items()) if name.startswith("consent_mw")]
    for name, module in modules:
        for attribute, one in vars(module).items():
            imported = callable(one) and getattr(one, "__module__", name) != name
            if not attribute.startswith("__") and not isinstance(one, (type, ModuleType)) and not imported:
                named[f"{name.removeprefix('consent_mw.')}:{attribute}"] = one
    return named


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, int], dict[str, Any]]:
    """What everything held before the strangers came, and what holds what after."""
    file = tmp_path_factory.mktemp("bounds") / "policy.toml"
    file.write_text(POLICY + VENDOR + '[csp]\nmode = "enforce"\n')
    return asyncio.run(_visited(file))


async def _visited(file: Path) -> tuple[dict[str, int], dict[str, Any]]:
    keys = Keyring([KEY])
    gate = Gate(load_policy(file), keys, clock=lambda: DAY * 86_400.0 + 5)
    ends = Ends(gate, AccessLog(None))

    def reached() -> dict[str, Any]:
        return roots(gate=gate, client=ends._client, connection=ends._connection)

    for number in range(10):
        ends.visit(request(number, keys), answer(number))
    before = {path: size(one) for path, one in held(reached()).items()}
    for number in range(10, STRANGERS):
        raw, sent = request(number, keys), answer(number)
        for _ in range(2 if number < TWICE else 1):
            ends.visit(raw, sent)
        gate.limiter.admits(f"10.{number // 62500}.{number // 250 % 250}.{number % 250}")
    return before, held(reached())


def test_what_strangers_leave_behind_is_bounded(visited: tuple[dict[str, int], dict[str, Any]]) -> None:
    before, after = visited
    grown = {path: one for path, one in after.items() if size(one) > before.get(path, 0) + GREW}
    unbounded = {path: size(one) for path, one in grown.items() if not 0 < (bound(path, one) or 0) <= LARGEST}
    assert unbounded == {}
    beyond = {path: size(one) for path, one in grown.items() if size(one) > (bound(path, one) or 0)}
    assert beyond == {}
    assert set(BOUNDS) - set(grown) <= NOT_ALWAYS_FILLED


def test_every_cache_of_a_function_has_a_bound(visited: tuple[dict[str, int], dict[str, Any]]) -> None:
    cached = {path: one.cache_info().maxsize for path, one in visited[1].items() if hasattr(one, "cache_info")}
    assert len(cached) > 10
    assert {path for path, most in cached.items() if most is None or most > LARGEST} == set(OF_OURS)
    assert {path for path, most in OF_OURS.items() if size(visited[1][path]) > most} == set()
