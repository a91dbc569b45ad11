"""Plausible gets the visitor's address and agent by header, and a drop that it hides behind 202 is one."""

from __future__ import annotations

from typing import Any

import pytest

from consent_mw.core.terms import EventKind, VendorKind
from tests.wire.vendors.sending import (
    ACCEPTED,
    AGAIN,
    DROPPED,
    FULL,
    REJECTED,
    UNKNOWN,
    answers,
    body,
    by_status,
    one,
    sent,
    writer,
)

PLAUSIBLE = writer(
    VendorKind.PLAUSIBLE, "", endpoint="https://plausible.io/api/event", options={"domain": "site.example"}
)


def headers(fields: dict[str, Any]) -> dict[str, str]:
    told = dict(sent(PLAUSIBLE, one(fields)).headers)
    assert told.pop("content-type") == "application/json"
    return told


def test_an_event_carries_all_that_is_permitted_and_plausible_knows() -> None:
    assert headers(dict(FULL)) == {"x-forwarded-for": "203.0.113.7", "user-agent": "UA/1"}
    assert body(PLAUSIBLE, one(FULL)) == {
        "domain": "site.example",
        "name": "signup",
        "url": "https://site.example/a?utm_source=ad&q=shoes",
        "referrer": "https://other.example/x",
        "props": {
            "plan": "pro",
            "seats": "3",
            "trial": "true",
            "title": "A page",
            "browser": "Firefox 126",
            "os": "Windows",
            "device": "desktop",
            "language": "de",
            "country": "US",
            "region": "CA",
            "city": "Fresno",
        },
    }


@pytest.mark.parametrize("kind", EventKind)
def test_of_nothing_permitted_there_is_a_neutral_event_of_nobody(kind: EventKind) -> None:
    assert headers({}) == {"x-forwarded-for": "0.0.0.0"}
    assert body(PLAUSIBLE, one({}, kind)) == {
        "domain": "site.example",
        "name": "event",
        "url": "https://site.example/",
    }


def test_a_page_view_is_a_pageview_and_no_other_event_is() -> None:
    assert body(PLAUSIBLE, one({"event": "page_view"}, EventKind.PAGE_VIEW))["name"] == "pageview"
    assert body(PLAUSIBLE, one({"event": "pageview"}))["name"] == "event_pageview"


def test_the_first_of_several_domains_makes_the_url_of_a_path() -> None:
    both = writer(VendorKind.PLAUSIBLE, "", options={"domain": "a.example, all.example"})
    assert body(both, one({"page_path": "/x"}))["url"] == "https://a.example/x"


AGENTS = {"a\r\nx-evil: 1": "ax-evil: 1", "Größe/1 ": "Gre/1", "\x00": None, "x" * 5000: "x" * 1000}


@pytest.mark.parametrize(("agent", "written"), AGENTS.items(), ids=["line-end", "letters", "nothing-left", "long"])
def test_a_visitor_s_agent_is_no_way_into_the_headers(agent: str, written: str | None) -> None:
    assert headers({"user_agent": agent}).get("user-agent") == written


@pytest.mark.parametrize("address", ["unknown", "1.2.3.4, 5.6.7.8", "1.2.3.4\r\nx: y"])
def test_what_is_no_address_is_none(address: str) -> None:
    assert headers({"ip": address}) == {"x-forwarded-for": "0.0.0.0"}
    assert headers({"ip": address, "ip_truncated": "2001:db8::"}) == {"x-forwarded-for": "2001:db8::"}


def test_properties_are_counted_and_cut_in_bytes() -> None:
    props = {f"props.n{number}": "ü" * 1500 for number in range(40)}
    told = body(
        PLAUSIBLE, one({"event": "x", "props." + "k" * 400: 1, **props, "page_url": "https://x/" + "u" * 3000})
    )
    assert (len(told["props"]), len(told["url"])) == (30, 2000)
    assert {len(key.encode()) for key in told["props"]} <= {300, 2, 3}
    assert {len(value) for value in told["props"].values()} == {1, 1000}


@pytest.mark.parametrize(("said", "answer"), [("1", DROPPED), ("0", ACCEPTED), ("", ACCEPTED)])
def test_a_202_may_hide_a_drop(said: str, answer: object) -> None:
    assert answers(PLAUSIBLE, 202, b"ok", x_plausible_dropped=said) == [answer]


def test_what_plausible_may_have_counted_is_not_sent_again() -> None:
    assert by_status(PLAUSIBLE, 200, 202, 307, 400, 404, 408, 429, 500, 502, 503) == {
        **dict.fromkeys((200, 202), ACCEPTED),
        **dict.fromkeys((307, 400, 404), REJECTED),
        **dict.fromkeys((408, 429, 503), AGAIN),
        **dict.fromkeys((500, 502), UNKNOWN),
    }
    assert answers(writer(VendorKind.PLAUSIBLE, "", resend=True), 500, retry_after="9") == [AGAIN]
    assert (PLAUSIBLE.dedupes, PLAUSIBLE.batch_limit) == (False, 1)
