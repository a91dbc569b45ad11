"""What is reported is what `permit` permits, and nothing that waits is forgotten."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_mw.asgi.exchange import Exchange
from consent_mw.asgi.gate import Gate
from consent_mw.asgi.gathering import SOURCES, query_of
from consent_mw.asgi.ids import Ids
from consent_mw.asgi.reporting import HANDED_OVER_AT
from consent_mw.core.event import Event
from consent_mw.core.permit import Permit, permit
from consent_mw.core.policy import IdentifierRule, Policy, Vendor
from consent_mw.core.terms import SIMPLE_FIELDS, EventKind
from consent_mw.wire.query import named_parameters
from consent_mw.wire.token import Keyring
from consent_mw.world.store import OutboxRow, Store, open_store
from tests.builders import ANALYTICS, CROSS_SITE, NOW, a_policy, a_vendor, line

KEYS = ["a-key-that-is-long-enough"]
VISITOR = Keyring(KEYS).new_identifier(b"v" * 16, NOW // 86_400)[1]
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
NEW_YORK = "74.64.0.1"


def a_gate(*vendors: Vendor, store: str = "sqlite:///unused.db", **more: Any) -> Gate:
    identifier = IdentifierRule("__Host-vid", "analytics", 395 * 86_400, line(30))
    policy = a_policy(vendors=vendors, identifier=identifier, **more)
    return Gate(policy, Keyring(KEYS), store, clock=lambda: float(NOW))


def an_exchange(gate: Gate, target: str = "/pricing", **headers: str) -> Exchange:
    """A page asked for by a known visitor in New York."""
    sent = {"host": "site.example", "sec-fetch-dest": "document", "user-agent": AGENT, **headers}
    sent.setdefault("cookie", f"__Host-vid={VISITOR}")
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in sent.items()]
    return gate.admit(b"GET", target.encode("latin-1"), pairs, NEW_YORK)


def shown(rows: list[OutboxRow]) -> list[tuple[Any, ...]]:
    """The rows without their own ids, bodies read."""
    return [(*row[1:4], json.loads(row.body), *row[5:]) for row in rows]


def expected(exchange: Exchange, event: Event, vendor: Vendor) -> tuple[Any, ...] | None:
    """The row of this event for this vendor, by `permit` alone: given all there is, it takes what may leave."""
    decision, identifier = exchange.decision, exchange.identifier
    assert decision is not None
    named = frozenset(field[6:] for field in vendor.fields if field.startswith("query.")) - {"*"}
    told = {field: value for field, source in SOURCES.items() if (value := source(exchange, named))}
    everything = Event(
        event.name,
        event.props,
        event.kind,
        {**told, **event.values},
        {**named_parameters(query_of(exchange), frozenset("*")), **event.query},
        event.id,
        event.time or float(NOW),
    )
    allowed = permit(everything, decision, vendor)
    if not isinstance(allowed, Permit):
        return None
    digest = exchange.gate.keyring.digest("visitor", identifier.id) if identifier is not None else ""
    whose = (digest, exchange.consent.receipt, decision.jurisdiction.name, vendor.purpose, decision.policy.digest)
    return (vendor.name, event.id, event.kind.value, dict(allowed.fields), *whose, float(NOW), 0, False)


fields = st.lists(
    st.sampled_from([*sorted(SIMPLE_FIELDS), "props.*", "props.plan", "query.*", "query.q", "query.utm_source"]),
    min_size=1,
    unique=True,
)
texts = st.sampled_from(
    ["", "pro", "ann@example.com", "4111 1111 1111 1111", 'a"\\\n', "größe", "\ud800x", "a" * 300]
)
events = st.builds(
    Event,
    name=st.sampled_from(["page_view", "signup", "mail ann@example.com", "größe\ud800"]),
    props=st.dictionaries(st.sampled_from(["plan", "seats", "ann@example.com"]), texts | st.integers(), max_size=2),
    kind=st.sampled_from(EventKind),
    values=st.dictionaries(st.sampled_from(["page_path", "title", "country"]), texts, max_size=1),
    query=st.dictionaries(st.sampled_from(["q", "other"]), texts, max_size=1),
    id=st.uuids().map(str),
    time=st.sampled_from([0.0, 12.5, float("nan")]),
)
targets = st.sampled_from(["/", "/a?q=1&utm_source=ad", "/u/ann@example.com", "/reset/x1", "/x#y?q=2", "/\xe9" * 200])


@settings(max_examples=60, deadline=None)
@given(st.lists(fields, min_size=1, max_size=3), st.lists(events, max_size=3), targets, st.booleans(), st.data())
def test_what_is_reported_is_what_permit_permits(
    lists: list[list[str]], told: list[Event], target: str, known: bool, data: st.DataObject
) -> None:
    purposes = st.sampled_from([ANALYTICS.name, CROSS_SITE.name])
    vendors = [
        a_vendor(f"v{number}", fields=tuple(listed), purpose=data.draw(purposes))
        for number, listed in enumerate(lists)
    ]
    gate = a_gate(*vendors, redact=("/reset/*",))
    referrer = data.draw(st.sampled_from(["", "https://a.example/x?q=3#f", "no url", "https://b.example/reset/y"]))
    language = data.draw(st.sampled_from(["", "de-DE,de;q=0.5", "\xe9"]))
    more = {} if known else {"cookie": "x=1"}
    exchange = an_exchange(gate, target, referer=referrer, accept_language=language, **more)
    if exchange.visit is not None and data.draw(st.booleans()):
        exchange.visit.identify(user_id="u1", name="Ann", email="ann@example.com")
    plain = [Event("page_view", kind=EventKind.PAGE_VIEW, id="p1"), *told]
    assert exchange.decision is not None
    wanted = [row for vendor in vendors for event in plain if (row := expected(exchange, event, vendor)) is not None]
    for _ in range(2):  # the second time by what is remembered
        made = shown(gate.reporter._rows(exchange, exchange.decision, plain))
        assert sorted(made, key=str) == sorted(wanted, key=str)
        assert [row[1] for row in made if row[0] == "v0"] == [row[1] for row in wanted if row[0] == "v0"]


def test_a_url_carries_no_parameter_that_only_another_vendor_may_get() -> None:
    one, other = a_vendor("one", fields=("page_url", "query.q")), a_vendor("other", fields=("page_url",))
    gate = a_gate(one, other)
    exchange = an_exchange(gate, "/a?q=1")
    assert exchange.decision is not None
    rows = gate.reporter._rows(exchange, exchange.decision, [Event("x")])
    assert {row.vendor: json.loads(row.body) for row in rows} == {
        "one": {"page_url": "https://site.example/a?q=1", "query.q": "1"},
        "other": {"page_url": "https://site.example/a"},
    }


def test_a_vendor_that_gets_nothing_is_counted_and_gets_no_row() -> None:
    gate = a_gate(a_vendor("one"), a_vendor("none", fields=()))
    exchange = an_exchange(gate)
    assert exchange.decision is not None
    rows = gate.reporter._rows(exchange, exchange.decision, [Event("x"), Event("y")])
    assert [row.vendor for row in rows] == ["one", "one"]
    assert gate.counts == {"event_refused:none": 2}


def test_another_policy_is_heeded_at_once_though_its_digest_is_the_same() -> None:
    gate = a_gate(a_vendor(fields=("event", "country")))
    before = an_exchange(gate)
    policy: Policy = a_policy(vendors=(a_vendor(fields=("event",)),))
    assert before.decision is not None
    told = [json.loads(row.body) for row in gate.reporter._rows(before, before.decision, [Event("x")])]
    gate.adopt(policy)
    after = an_exchange(gate)
    assert after.decision is not None
    told += [json.loads(row.body) for row in gate.reporter._rows(after, after.decision, [Event("x")])]
    assert told == [{"event": "x", "country": "US"}, {"event": "x"}]


def test_other_signing_keys_leave_the_digest_of_a_visitor_as_it_was() -> None:
    gate = a_gate(a_vendor())
    exchange = an_exchange(gate)
    first = gate.reporter.subjects(exchange)
    gate.adopt(gate.policy, Keyring(["another-key-that-is-long-enough"]))
    assert first == gate.reporter.subjects(exchange) != []


def test_another_key_of_digests_makes_another_digest_of_the_same_visitor() -> None:
    gate = a_gate(a_vendor())
    exchange = an_exchange(gate)
    first = gate.reporter.subjects(exchange)
    gate.lasting.key = bytes(32)
    assert exchange.identifier is not None
    assert gate.reporter.subjects(exchange) == [gate.digest("visitor", exchange.identifier.id)] != first


# handing over


def run(gate: Gate, journey: Any) -> None:
    async def whole() -> None:
        await gate.start(strict=True)
        try:
            async with asyncio.timeout(10):
                await journey(gate)
        finally:
            await gate.stop(0.0)

    asyncio.run(whole())


def opened(gate: Gate) -> Store:
    assert gate.store is not None
    return gate.store


def a_page(gate: Gate) -> Exchange:
    exchange = an_exchange(gate)
    gate.reporter.report(exchange, 200, page=True)
    return exchange


async def waiting(gate: Gate) -> int:
    return await asyncio.wrap_future(opened(gate).pending())


async def until(gate: Gate, number: int) -> None:
    for _ in range(1000):
        if await waiting(gate) == number:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("this never held")


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A gate whose vendor has no key yet, so that events wait."""
    return a_gate(a_vendor(key="env:NO_SUCH_KEY_IS_SET"), store=f"sqlite:///{tmp_path / 'c.db'}")


def test_a_page_view_is_handed_over_soon_without_another(gate: Gate) -> None:
    async def journey(gate: Gate) -> None:
        for number in range(1, 3):
            a_page(gate)
            assert await waiting(gate) == number - 1
            await until(gate, number)

    run(gate, journey)


def test_many_page_views_are_handed_over_at_once(gate: Gate) -> None:
    async def journey(gate: Gate) -> None:
        for _ in range(HANDED_OVER_AT + 3):
            a_page(gate)
        assert await waiting(gate) == HANDED_OVER_AT

    run(gate, journey)


def test_what_waits_is_recalled_and_erased_as_well(gate: Gate) -> None:
    async def journey(gate: Gate) -> None:
        exchange = a_page(gate)
        subjects = gate.reporter.subjects(exchange)
        assert len(await gate.store_result(lambda store: store.recall(subjects))) == 1
        erased = gate.reporter._erase(a_page(gate))
        assert erased is not None
        assert await asyncio.wrap_future(erased) == 1

    run(gate, journey)


def test_what_waits_at_a_stop_is_kept(gate: Gate) -> None:
    async def journey(gate: Gate) -> None:
        a_page(gate)

    async def look(gate: Gate) -> None:
        assert await waiting(gate) == 1

    run(gate, journey)
    run(gate, look)


def test_without_a_running_loop_nothing_waits(gate: Gate, tmp_path: Path) -> None:
    gate.store = open_store(f"sqlite:///{tmp_path / 'c.db'}")
    a_page(gate)
    assert gate.store.pending().result(5) == 1
    gate.store.close()


def test_a_timer_that_its_loop_took_along_holds_up_nobody(gate: Gate, tmp_path: Path) -> None:
    gate.store = open_store(f"sqlite:///{tmp_path / 'c.db'}")

    async def leave() -> None:
        a_page(gate)

    async def come() -> None:
        a_page(gate)
        await until(gate, 2)

    asyncio.run(leave())
    asyncio.run(come())
    gate.store.close()


def test_events_that_are_asked_for_follow_those_that_wait(gate: Gate) -> None:
    async def journey(gate: Gate) -> None:
        exchange = a_page(gate)
        number, pending = gate.reporter.enqueue([(exchange, Event("signup"))], at_once=True)
        assert pending is not None
        assert number == 1
        await asyncio.wrap_future(pending)
        rows = await asyncio.wrap_future(opened(gate).claim("segment", 9, float(NOW), 60.0))
        assert [json.loads(row.body)["event"] for row in rows] == ["page_view", "signup"]

    run(gate, journey)


def test_what_no_store_takes_is_counted(gate: Gate) -> None:
    async def journey(gate: Gate) -> None:
        await asyncio.to_thread(opened(gate).close)
        a_page(gate)
        a_page(gate)
        gate.reporter.hand_over()
        assert gate.counts["event_lost"] == 2

    run(gate, journey)


# ids


def test_ids_are_distinct_and_those_of_rows_sort() -> None:
    ids = Ids()
    made = [ids.event() for _ in range(5000)]
    rows = [ids.row() for _ in range(5000)]
    assert {len(one) for one in made} == {32}
    assert (len(set(made)), sorted(set(rows))) == (len(made), rows)


def test_a_forked_process_makes_other_ids() -> None:
    ids = Ids()
    ids.event()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, f"{ids.event()} {ids.row()}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    told = os.read(reading, 1000).decode().split()
    os.close(reading)
    assert len(told) == 2
    assert {ids.event(), ids.row()}.isdisjoint(told)
