"""What a policy holds does not show on the request path: ten times of it take as many instructions."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consent_mw import ConsentMiddleware, load_policy
from consent_mw.asgi.gate import Gate
from consent_mw.wire.fields import forget_lines
from consent_mw.wire.token import Keyring
from consent_mw.world.access_log import AccessLog
from tests.journeys.site import BERLIN, KEY, POLICY
from tests.sidecar.test_instructions import ANSWER, BROWSER, DAY, Counter, Ends, scope_of

COUNTRIES = re.findall("..", "BRCAAUJPINMXARCLCOPEZANGKEEGMATNTRUAGE")
VENDOR = '[vendor.v{0}]\nkind = "webhook"\npurpose = "{1}"\nendpoint = "http://127.0.0.1:9/in"\nfields = ["event"]\n'
COOKIE = '[[cookie]]\nname = "{0}"\npurpose = "analytics"\n'
PLACE = '[jurisdiction.j{0}]\nregions = ["{1}"]\nregime = "opt-in"\nbanner = "none"\n'
CLAUSE = '[[clause]]\nid = "c{0}"\ntext = "Sentence {0}."\ninformational = "It is none."\n'
FEATURE = '[feature.f{0}]\npurpose = "analytics"\ndenied_in = ["eea_uk"]\n'


def rules(count: int) -> str:
    return "".join(COOKIE.format(f"rule_{number:03d}") for number in range(count))


def prefixes(count: int) -> str:
    return "".join(COOKIE.format(f"rule_{number:03d}_*") for number in range(count))


def vendors(count: int) -> str:
    return "".join(VENDOR.format(number, "analytics") for number in range(count))


def places(count: int) -> str:
    return "".join(PLACE.format(number, COUNTRIES[number]) for number in range(min(count, len(COUNTRIES))))


def clauses(count: int) -> str:
    return "".join(CLAUSE.format(number) for number in range(count))


def features(count: int) -> str:
    return "".join(FEATURE.format(number) for number in range(count))


def asked(number: int, address: str, kind: bytes = b"document") -> bytes:
    """A request of somebody who never answered, with cookies that no rule names."""
    return (
        b"GET /articles/%d HTTP/1.1\r\nHost: example.com\r\n%bSec-Fetch-Dest: %b\r\nAccept: */*\r\n"
        b"X-Forwarded-For: %b.%d\r\n"
        b"Cookie: session=%d; other_%d=1; rule_001=1; _ga=GA1.2.%d\r\n\r\n"
    ) % (
        number % 9 + 1, BROWSER, kind, address.rpartition(".")[0].encode(), number % 200 + 10,
        number + 1000, number, number + 1000,
    )  # fmt: skip


VISITS = 30
"""How many are counted, and what their sums may differ by: a store of the process that is full is emptied within
some of them, while one instruction more for each would be as many."""


def counted(folder: Path, text: str) -> dict[str, int]:
    """Instructions that people take who come for the first time, and who come again: of a page and a part of one, in
    both forms."""
    file = folder / "policy.toml"
    file.write_text(POLICY.replace('regime = "opt-in"', 'regime = "opt-in"\nbanner = "none"') + text)
    return asyncio.run(_counted(lambda: Gate(load_policy(file), Keyring([KEY]), clock=lambda: DAY * 86_400.0), file))


async def _counted(gate: Callable[[], Gate], file: Path) -> dict[str, int]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        kind = b"text/html" if dict(scope["headers"])[b"sec-fetch-dest"] == b"document" else b"text/css"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def nothing(*_: Any) -> Any:
        return None

    # What other tests left there is forgotten at some point, which takes a few instructions.
    forget_lines()
    middleware = ConsentMiddleware(app, policy=file, keys=[KEY])
    middleware.gate = gate()
    middleware.gate.started = True
    ends, told = Ends(gate(), AccessLog(None)), {}
    for kind, answer in ((b"document", ANSWER % b"text/html"), (b"style", ANSWER % b"text/css")):
        for number in range(30):
            # The first of them have the decision made that all later ones find.
            ends.visit(asked(number, BERLIN, kind), answer)
            await middleware(scope_of(asked(number, BERLIN, kind)), nothing, nothing)
        for again in ("first", "again"):
            counter = Counter()
            for number in range(100, 100 + VISITS):
                raw = asked(number, BERLIN, kind)
                with counter:
                    ends.visit(raw, answer)
            told[f"sidecar, {kind.decode()}, {again}"] = counter.count
            counter = Counter()
            for number in range(100, 100 + VISITS):
                scope = scope_of(asked(number, BERLIN, kind))
                with counter:
                    await middleware(scope, nothing, nothing)
            told[f"mounted, {kind.decode()}, {again}"] = counter.count
    return told


def least(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """The fewer instructions of each kind."""
    assert one.keys() == other.keys()
    return {kind: min(count, other[kind]) for kind, count in one.items()}


@pytest.mark.parametrize("part", [rules, prefixes, vendors, places, clauses, features], ids=lambda one: one.__name__)
def test_ten_times_of_it_takes_no_instruction_more(tmp_path: Path, part: Callable[[int], str]) -> None:
    if sys.gettrace() is not None:
        pytest.skip("somebody else is tracing")
    few, many = [counted(tmp_path, part(count)) for count in (10, 100)]
    # Once more, since the first of a process may have something to make that is then there for all.
    few, many = (least(one, counted(tmp_path, part(count))) for one, count in ((few, 10), (many, 100)))
    assert {kind: many[kind] - count for kind, count in few.items() if abs(many[kind] - count) >= VISITS} == {}
    assert many.keys() == few.keys()
    assert min(few.values()) > 1000
