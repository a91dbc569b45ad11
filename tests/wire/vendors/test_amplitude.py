"""Amplitude gets what its own library sends, without what that adds, and tells by index what it does not take."""

from __future__ import annotations

from typing import Any

import pytest
from amplitude import Amplitude as Library
from amplitude import BaseEvent

from consent_mw.core.terms import EventKind, VendorKind
from consent_mw.wire.vendors import VendorAnswer
from tests.wire.vendors.sending import (
    ACCEPTED,
    AGAIN,
    DROPPED_ITSELF,
    EVENT_ID,
    FULL,
    REJECTED,
    REJECTED_ITSELF,
    answers,
    body,
    by_status,
    one,
    sent,
    writer,
)
from tests.wire.vendors.simulators import serving
from tests.wire.vendors.simulators.amplitude import Amplitude

AMPLITUDE = writer(VendorKind.AMPLITUDE, "key", endpoint="https://api.eu.amplitude.com/2/httpapi")
EVENT = {
    "event_type": "signup",
    "insert_id": EVENT_ID,
    "time": 1_527_000_000_500,
    "user_id": "user-1",
    "device_id": "visitor-1",
    "ip": "203.0.113.7",
    "user_agent": "UA/1",
    "os_name": "Windows",
    "language": "de",
    "country": "US",
    "region": "CA",
    "city": "Fresno",
    "user_properties": {"name": "Ann B. Lee", "email": " Ann.L@gmail.com"},
    "event_properties": {
        "browser": "Firefox 126",
        "device": "desktop",
        "page_url": "https://site.example/a?utm_source=ad",
        "page_path": "/a",
        "referrer_url": "https://other.example/x",
        "referrer_host": "other.example",
        "title": "A page",
        "utm_source": "ad",
        "query_q": "shoes",
        "plan": "pro",
        "seats": 3,
        "trial": True,
    },
}


def event(fields: dict[str, Any], kind: EventKind = EventKind.TRACK) -> Any:
    return body(AMPLITUDE, one(fields, kind))["events"][0]


def test_an_upload_carries_all_that_is_permitted() -> None:
    assert body(AMPLITUDE, one(FULL)) == {"api_key": "key", "events": [EVENT], "options": {"min_id_length": 1}}
    assert sent(AMPLITUDE, one(FULL)).headers == (("content-type", "application/json"),)


@pytest.mark.parametrize("kind", EventKind)
def test_of_nothing_permitted_there_is_a_neutral_event_of_nobody(kind: EventKind) -> None:
    assert event({}, kind) == {"event_type": "event", "insert_id": EVENT_ID, "device_id": EVENT_ID}


def test_identifying_is_amplitude_s_own_event() -> None:
    told = event({"event": "identify", "user_id": "u", "email": "a@b.example"}, EventKind.IDENTIFY)
    assert told == {
        "event_type": "$identify",
        "insert_id": EVENT_ID,
        "user_id": "u",
        "user_properties": {"email": "a@b.example"},
    }


@pytest.mark.parametrize("name", ["$identify", "$groupidentify", "[Amplitude] Page Viewed"])
def test_an_app_s_event_is_none_of_amplitude_s(name: str) -> None:
    assert event({"event": name})["event_type"] == f"event_{name}"


@pytest.mark.parametrize("user", ["anonymous", "NA", "lmy47d", "{}", "unknown"])
def test_an_id_that_amplitude_forbids_is_none(user: str) -> None:
    assert event({"event": "x", "user_id": user}) == {
        "event_type": "x",
        "insert_id": EVENT_ID,
        "device_id": EVENT_ID,
    }


def test_the_sender_s_address_is_never_asked_for() -> None:
    assert "ip" not in event({"event": "x", "ip": "$remote"})


def test_amplitude_s_own_library_makes_the_same_event() -> None:
    rules = Amplitude()
    with serving(rules) as simulator:
        library = Library("key")
        library.configuration.server_url = simulator.url + "/2/httpapi"
        told: dict[str, Any] = {**EVENT}
        library.track(BaseEvent(told.pop("event_type"), **told))
        library.shutdown()
        for _ in range(200):
            if simulator.received or simulator.over.wait(0.05):
                break
        assert simulator.complaints == []
        (theirs,) = simulator.received[0].json["events"]
        assert simulator.received[0].json["api_key"] == "key"
    theirs.pop("library")
    assert (theirs, rules.taken) == (EVENT, [f"signup/visitor-1/{EVENT_ID}"])


WRONG: dict[str, tuple[object, list[Any]]] = {
    "invalid": (
        {"code": 400, "events_with_invalid_fields": {"time": [1]}, "events_with_missing_fields": {}},
        [VendorAnswer(None), REJECTED_ITSELF, VendorAnswer(None)],
    ),
    "missing-and-silenced": (
        {"code": 400, "events_with_missing_fields": {"event_type": [0]}, "silenced_events": [2]},
        [REJECTED_ITSELF, VendorAnswer(None), DROPPED_ITSELF],
    ),
    "ids": ({"code": 400, "events_with_invalid_id_lengths": {"user_id": [0, 1, 2]}}, [REJECTED_ITSELF] * 3),
    "the-request": ({"code": 400, "error": "Invalid API key", "missing_field": "api_key"}, [REJECTED] * 3),
    "nonsense": ({"events_with_invalid_fields": [9, "0"], "silenced_events": {"x": 1}}, [REJECTED] * 3),
}


@pytest.mark.parametrize(("told", "expected"), WRONG.values(), ids=WRONG)
def test_a_400_names_what_is_wrong_and_the_rest_is_sent_again(told: object, expected: list[Any]) -> None:
    assert answers(AMPLITUDE, 400, told, 3) == expected


def test_a_429_names_whose_events_wait() -> None:
    busy = {"code": 429, "throttled_events": [1]}
    assert answers(AMPLITUDE, 429, busy, 2) == [VendorAnswer(None), VendorAnswer(None, 30.0, named=True)]
    over = {**busy, "exceeded_daily_quota_users": {"u": 1}}
    assert answers(AMPLITUDE, 429, over, 2, retry_after="9") == [AGAIN, VendorAnswer(None, 300.0, named=True)]
    assert answers(AMPLITUDE, 429, {"code": 429}, 2, retry_after="9") == [AGAIN] * 2


def test_a_status_means_what_amplitude_says() -> None:
    assert by_status(AMPLITUDE, 200, 302, 401, 403, 413, 408, 500, 502, 503, 504) == {
        200: ACCEPTED,
        **dict.fromkeys((302, 401, 403, 413), REJECTED),
        **dict.fromkeys((408, 500, 502, 503, 504), AGAIN),
    }
    assert (AMPLITUDE.dedupes, AMPLITUDE.batch_limit) == (True, 200)


def test_a_body_over_the_limit_is_none() -> None:
    large = {f"props.n{number}": "x" * 1024 for number in range(100)}
    with pytest.raises(ValueError, match="more than the 990000"):
        sent(AMPLITUDE, *[one(large)] * 10)
