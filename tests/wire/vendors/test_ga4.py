"""GA4 gets names and values by its grammar, hashed persons, denied advertising, and nothing it could derive from."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.terms import EventKind, VendorKind
from tests.wire.vendors.sending import (
    ACCEPTED,
    AGAIN,
    FULL,
    NOW,
    REJECTED,
    UNKNOWN,
    answers,
    body,
    by_status,
    one,
    sent,
    writer,
)
from tests.wire.vendors.simulators import Received, Reply
from tests.wire.vendors.simulators.ga4 import Ga4

ENDPOINT = "https://www.google-analytics.com/mp/collect"
GA4 = writer(VendorKind.GA4, "s3cret", endpoint=ENDPOINT, options={"measurement_id": "G-1A2B"})
DENIED = {"ad_user_data": "DENIED", "ad_personalization": "DENIED"}
SESSION = {"session_id": "1795433400", "engagement_time_msec": 1}


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def event(fields: dict[str, Any], kind: EventKind = EventKind.TRACK) -> Any:
    return body(GA4, one(fields, kind))["events"][0]


def test_an_event_carries_all_that_is_permitted() -> None:
    assert body(GA4, one({**FULL, "visitor_id": "123456.7654321"})) == {
        "client_id": "123456.7654321",
        "user_id": "user-1",
        "consent": DENIED,
        "user_location": {"country_id": "US", "region_id": "US-CA", "city": "Fresno"},
        "ip_override": "203.0.113.7",
        "device": {
            "category": "desktop",
            "language": "de",
            "operating_system": "Windows",
            "browser": "Firefox",
            "browser_version": "126",
        },
        "user_agent": "UA/1",
        "user_data": {
            "sha256_email_address": [hashed("annl@gmail.com")],
            "address": [{"sha256_first_name": hashed("ann"), "sha256_last_name": hashed("lee")}],
        },
        "events": [
            {
                "name": "signup",
                "timestamp_micros": 1_527_000_000_500_000,
                "params": {
                    "session_id": "1526999400",
                    "engagement_time_msec": 1,
                    "page_location": "https://site.example/a?utm_source=ad",
                    "page_referrer": "https://other.example/x",
                    "page_title": "A page",
                    "page_path": "/a",
                    "referrer_host": "other.example",
                    "utm_source": "ad",
                    "query_q": "shoes",
                    "plan": "pro",
                    "seats": 3,
                    "trial": "true",
                },
            }
        ],
    }


def test_of_nothing_permitted_there_is_a_neutral_event_of_nobody() -> None:
    told = body(GA4, one({}))
    assert (told.pop("client_id") != body(GA4, one({}, event_id="another"))["client_id"], told) == (
        True,
        {"consent": DENIED, "events": [{"name": "event", "params": SESSION}]},
    )


def test_the_secret_is_in_the_url_and_the_request_does_not_show_it() -> None:
    request = sent(GA4, one({}))
    assert request.url == ENDPOINT + "?measurement_id=G-1A2B&api_secret=s3cret"
    assert request.headers == (("content-type", "application/json"),)
    assert repr(request) == "OutgoingRequest(method='POST')"


def test_a_client_is_the_same_for_a_visitor_and_differs_from_a_user_s() -> None:
    def client(**fields: str) -> str:
        return str(body(GA4, one(fields))["client_id"])

    assert client(visitor_id="v", user_id="u") == client(visitor_id="v")
    assert len({client(visitor_id="x"), client(user_id="x"), client(visitor_id="y")}) == 3


NAMES = {
    "page_view": "page_view",
    "Sign up!": "Sign_up_",
    "1st": "event_1st",
    "session_start": "event_session_start",
    "firebase_x": "event_firebase_x",
    "_x": "event__x",
    "größe": "gr__e",
    "日本": "event___",
    "x" * 50: "x" * 40,
}


@pytest.mark.parametrize(("name", "written"), NAMES.items())
def test_a_name_follows_ga_s_grammar_and_takes_none_of_its_own(name: str, written: str) -> None:
    assert event({"event": name})["name"] == written


def test_a_property_does_not_pass_for_what_ga_or_we_say() -> None:
    props = {"props.session_id": "s", "props.page_title": "t", "props.ga_x": 1, "props.a-b": 1, "props.a_b": 2}
    assert event({"event": "x", **props})["params"] == {
        **SESSION,
        "prop_session_id": "s",
        "prop_page_title": "t",
        "prop_ga_x": 1,
        "a_b": 1,
        "prop_a_b": 2,
    }


def test_values_are_cut_and_parameters_counted() -> None:
    fields = {"title": "t" * 400, "page_url": "https://x.example/" + "u" * 2000, "props.text": "p" * 200}
    params = event({**fields, **{f"props.n{number}": number for number in range(40)}})["params"]
    assert {name: len(params[name]) for name in ("page_title", "page_location", "text")} == {
        "page_title": 300,
        "page_location": 1000,
        "text": 100,
    }
    assert len(params) == 25


@given(
    st.dictionaries(st.text(max_size=60), st.one_of(st.text(max_size=300), st.integers(), st.booleans())), st.text()
)
def test_whatever_an_app_reports_ga_would_count_it(props: dict[str, Any], name: str) -> None:
    fields = {f"props.{key}": value for key, value in props.items()}
    request = sent(GA4, one({"event": name.encode("utf-8", "replace").decode(), **_clean(fields), "visitor_id": "v"}))
    rules = Ga4()
    query = [("measurement_id", "G-1A2B"), ("api_secret", "s3cret")]
    assert rules.take(Received("POST", "/mp/collect", query, list(request.headers), request.body)) == Reply(204)


def _clean(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what a permit never holds: halves of surrogate pairs."""
    return {
        name.encode("utf-8", "replace").decode(): (
            value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        )
        for name, value in fields.items()
    }


def test_a_2xx_is_all_that_ga_says_and_what_it_may_have_counted_is_not_sent_again() -> None:
    statuses = (200, 204, 302, 400, 403, 413, 408, 429, 500, 502, 503, 504)
    found = by_status(GA4, *statuses)
    assert found == {
        **dict.fromkeys((200, 204), ACCEPTED),
        **dict.fromkeys((302, 400, 403, 413), REJECTED),
        **dict.fromkeys((408, 429, 503), AGAIN),
        **dict.fromkeys((500, 502, 504), UNKNOWN),
    }
    assert (GA4.dedupes, GA4.batch_limit) == (False, 1)


def test_a_policy_may_prefer_to_send_it_again() -> None:
    assert answers(writer(VendorKind.GA4, resend=True), 502, retry_after="9") == [AGAIN]


def test_a_time_is_told_only_if_it_is_permitted() -> None:
    assert "timestamp_micros" not in event({"event": "x"})
    assert event({"event": "x", "time": NOW})["timestamp_micros"] == int(NOW) * 1_000_000
