"""Laws of URLs and referrers: whatever stands in them, nothing that the policy keeps back reaches a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from consent_mw.asgi.gate import Gate
from consent_mw.asgi.routes.events import _on_page
from consent_mw.asgi.routes.page_events import told_by_json, told_by_query
from consent_mw.core.event import Event
from consent_mw.core.redaction import KINDS
from tests.asgi.test_reporting import a_gate, an_exchange
from tests.builders import a_vendor

FIELDS = (
    "event", "page_path", "page_url", "referrer_host", "referrer_url", "title", "query.utm_source", "props.*",
)  # fmt: skip
SECRET = "zqxjkvbw"
"""A word of letters alone, which no mask takes for personal data."""

words = st.sampled_from(["a", "pricing", "x-y", "caf\xe9", "%C3%A9", "a%20b", "", ".", "..", "2024", "_consent"])
paths = st.lists(words, max_size=3).map(lambda parts: "/" + "/".join(parts))


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """`/reset/`, as servers read it, and what is kept back behind it."""
    letters = [draw(st.sampled_from([one, one.upper(), f"%{ord(one):02x}", f"%25{ord(one):02X}"])) for one in "reset"]
    slash = draw(st.sampled_from(["/", "//", "/./", "/x/../", "%2f", "%5C", ";v=1/"]))
    return "/" + "".join(letters) + slash + SECRET + draw(st.sampled_from(["", "/more", ";a=b", "%2Fy"]))


kept_back: st.SearchStrategy[str] = st.one_of(
    spelled(),
    paths.map(lambda path: f"{path}?token={SECRET}"),
    paths.map(lambda path: f"{path}?utm_source=ad&x={SECRET}&utm_source={SECRET}"),
    paths.map(lambda path: f"{path}?utm_source=ad#{SECRET}"),
    paths.map(lambda path: f"{path}#/a?utm_source={SECRET}"),
    paths.map(lambda path: f"{path}?{SECRET}=1"),
)
"""The path and query of a URL in which the secret may not leave."""

addresses = st.tuples(st.sampled_from(["", f"{SECRET}@", f"u:{SECRET}@"]), kept_back)


def written(gate: Gate, *told: tuple[Any, Event]) -> str:
    """All that the rows of these events hold."""
    made = []
    for exchange, event in told:
        assert exchange.decision is not None
        made += [row.body.decode() for row in gate.reporter._rows(exchange, exchange.decision, [event])]
        gate.reporter.report(exchange, 200, page=True)
    made += [row.body.decode() for row in gate.reporter._waiting]
    gate.reporter._waiting = []
    assert made
    return "\n".join(made)


def a_site() -> Gate:
    return a_gate(a_vendor(fields=FIELDS), redact=("/reset/*",))


@settings(max_examples=150, deadline=None)
@given(kept_back, addresses)
def test_nothing_that_is_kept_back_of_a_page_or_its_referrer_is_stored(
    target: str, referrer: tuple[str, str]
) -> None:
    gate = a_site()
    for host in ("site.example", "other.example"):
        said = f"https://{referrer[0]}{host}{referrer[1]}"
        exchange = an_exchange(gate, target, referer=said)
        assert SECRET not in written(gate, (exchange, Event("x"))).lower()


WAYS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "page_path": lambda _, target: {"page_path": target},
    "page_url": lambda user, target: {"page_url": f"https://{user}site.example{target}"},
    "referrer_url": lambda user, target: {"referrer_url": f"https://{user}other.example{target}"},
}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(WAYS)), addresses, st.booleans())
def test_nothing_that_is_kept_back_is_stored_of_what_a_page_says(
    way: str, address: tuple[str, str], by_query: bool
) -> None:
    gate = a_site()
    said = {"event": "x", **WAYS[way](*address)}
    exchange = an_exchange(gate, "/_consent/events", referer=f"https://site.example{address[1]}")
    if by_query:
        from urllib.parse import urlencode

        exchange = an_exchange(gate, f"/_consent/p.gif?{urlencode(said)}")
        (told,) = told_by_query(exchange)
    else:
        (told,) = told_by_json(json.loads(json.dumps(said)), exchange)
    assert SECRET not in written(gate, (_on_page(exchange, told), told.event)).lower()


@settings(max_examples=150, deadline=None)
@given(spelled(), st.sampled_from(["", "https://site.example", "http://u:p@other.example:81"]), st.text(max_size=5))
def test_nothing_that_is_kept_back_is_stored_of_a_title_or_a_property(path: str, origin: str, before: str) -> None:
    gate = a_site()
    text = f"{before} {origin}{path}"
    event = Event(
        "x", {"link": text}, values={"title": text, "page_path": path, "referrer_url": f"https://a.b{path}"}
    )
    assert SECRET not in written(gate, (an_exchange(gate), event)).lower()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["/u/ann@example.com", "/u/ann%40example.com", "/c/4111111111111111", "/t/+4930123456"]))
)
def test_what_is_masked_is_counted_for_each_vendor_and_each_time(visited: list[str]) -> None:
    gate = a_gate(a_vendor("one", fields=("page_path",)), a_vendor("two", fields=("page_path",)))
    for path in visited:
        gate.reporter.report(an_exchange(gate, path), 200, page=True)
    expected = {kind: 2 * sum(_kind(path) == kind for path in visited) for kind in KINDS}
    assert {kind: gate.counts[f"masked_{kind}"] for kind in KINDS} == expected
    gate.reporter._waiting = []


def _kind(path: str) -> str:
    return {"u": "email", "c": "card", "t": "phone"}[path[1]]


def test_a_page_of_ours_is_nobodys_referrer() -> None:
    gate = a_site()
    for referrer in ("https://site.example/_consent/preferences?return=/x", "https://site.example/_consent"):
        assert "referrer" not in written(gate, (an_exchange(gate, "/x", referer=referrer), Event("x")))
    for referrer in ("https://site.example/_consents", "https://other.example/_consent/x"):
        assert "referrer_url" in written(gate, (an_exchange(gate, "/x", referer=referrer), Event("x")))
