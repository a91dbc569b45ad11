"""PostHog gets what its own library sends, without what that adds, and never the sender's address."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from posthog.capture_mode import CaptureMode
from posthog.client import Client

from consent_mw.core.terms import EventKind, VendorKind
from consent_mw.wire.vendors import VendorAnswer
from tests.wire.vendors.sending import (
    ACCEPTED,
    AGAIN,
    DROPPED,
    DROPPED_ITSELF,
    EVENT_ID,
    FULL,
    REJECTED,
    UNKNOWN,
    UUID,
    answers,
    body,
    by_status,
    one,
    sent,
    writer,
)
from tests.wire.vendors.simulators import serving
from tests.wire.vendors.simulators.posthog import Posthog

BATCH = writer(VendorKind.POSTHOG, "phc_1", endpoint="https://eu.i.posthog.com/batch/")
NEWER = writer(VendorKind.POSTHOG, "phc_1", endpoint="https://eu.i.posthog.com/i/v1/analytics/events")
PROPERTIES = {
    "$raw_user_agent": "UA/1",
    "$device_type": "desktop",
    "$browser_language": "de",
    "$geoip_country_code": "US",
    "$geoip_subdivision_1_code": "CA",
    "$geoip_city_name": "Fresno",
    "$current_url": "https://site.example/a?utm_source=ad",
    "$pathname": "/a",
    "$referrer": "https://other.example/x",
    "$referring_domain": "other.example",
    "title": "A page",
    "utm_source": "ad",
    "query_q": "shoes",
    "plan": "pro",
    "seats": 3,
    "trial": True,
    "$ip": "203.0.113.7",
    "$geoip_disable": True,
    "$browser": "Firefox",
    "$browser_version": "126",
    "$os": "Windows",
    "$device_id": "visitor-1",
    "$set": {"name": "Ann B. Lee", "email": " Ann.L@gmail.com"},
}
EVENT = {"event": "signup", "uuid": UUID, "distinct_id": "user-1", "timestamp": "2018-05-22T14:40:00.500Z"}
NOBODY = {"$ip": "0.0.0.0", "$geoip_disable": True}


def event(fields: dict[str, Any], kind: EventKind = EventKind.TRACK) -> Any:
    return body(BATCH, one(fields, kind))["batch"][0]


def test_a_batch_carries_all_that_is_permitted() -> None:
    assert body(BATCH, one(FULL)) == {
        "api_key": "phc_1",
        "batch": [{**EVENT, "properties": {**PROPERTIES, "$process_person_profile": True}}],
        "sent_at": "2026-11-23T11:42:03.000Z",
    }
    assert sent(BATCH, one(FULL)).headers == (("content-type", "application/json"),)


def test_the_newer_endpoint_has_the_key_in_a_header_and_options_apart() -> None:
    assert body(NEWER, one(FULL)) == {
        "created_at": "2026-11-23T11:42:03.000Z",
        "batch": [{**EVENT, "properties": PROPERTIES, "options": {"process_person_profile": True}}],
    }
    headers = dict(sent(NEWER, one(FULL)).headers)
    assert len(headers.pop("posthog-request-id")) == 36
    assert headers == {
        "content-type": "application/json",
        "authorization": "Bearer phc_1",
        "posthog-sdk-info": "consent_mw",
        "posthog-attempt": "1",
        "posthog-request-timestamp": "2026-11-23T11:42:03.000Z",
    }


@pytest.mark.parametrize("kind", EventKind)
def test_of_nothing_permitted_there_is_a_neutral_event_of_nobody(kind: EventKind) -> None:
    assert event({}, kind) == {
        "event": "event",
        "uuid": UUID,
        "distinct_id": EVENT_ID,
        "properties": {**NOBODY, "$process_person_profile": False},
    }


def test_kinds_have_posthog_s_names_and_identifying_joins_the_visitor() -> None:
    view = event({"event": "page_view", "visitor_id": "v"}, EventKind.PAGE_VIEW)
    identified = event({"event": "identify", "visitor_id": "v", "user_id": "u"}, EventKind.IDENTIFY)
    assert (view["event"], view["distinct_id"]) == ("$pageview", "v")
    assert (identified["event"], identified["distinct_id"]) == ("$identify", "u")
    assert identified["properties"] == {
        **NOBODY,
        "$device_id": "v",
        "$anon_distinct_id": "v",
        "$process_person_profile": True,
    }


def test_an_app_s_names_do_not_merge_people_nor_pass_for_fields() -> None:
    told = event({"event": "$identify", "props.$ip": "1.2.3.4", "props.$set": "x", "props.title": "t"})
    assert told["event"] == "event_$identify"
    assert told["properties"] == {
        **NOBODY,
        "prop_$ip": "1.2.3.4",
        "prop_$set": "x",
        "prop_title": "t",
        "$process_person_profile": False,
    }


@pytest.mark.parametrize("user", ["anonymous", "NULL", "0", "undefined", "distinct_id", ""])
def test_an_id_that_stands_for_nobody_is_none(user: str) -> None:
    assert event({"event": "x", "user_id": user, "visitor_id": "v"})["distinct_id"] == "v"


@pytest.mark.parametrize("mode", CaptureMode)
def test_posthog_s_own_library_says_the_same_in_the_same_places(mode: CaptureMode) -> None:
    rules = Posthog()
    with serving(rules) as simulator:
        client = Client("phc_1", host=simulator.url, sync_mode=True, gzip=False, max_retries=0, capture_mode=mode)
        client.capture(
            "signup",
            distinct_id="user-1",
            uuid=UUID,
            timestamp=datetime(2018, 5, 22, 14, 40, 0, 500_000, tzinfo=UTC),
            properties={**PROPERTIES, "$process_person_profile": True},
        )
        client.shutdown()
        assert (simulator.complaints, rules.taken) == ([], [f"signup/{UUID}"])
        (theirs,) = simulator.received[0].json["batch"]
        envelope = set(simulator.received[0].json)
    to = BATCH if mode is CaptureMode.V0 else NEWER
    (ours,) = body(to, one(FULL))["batch"]
    # Their library overwrites this with the system of the server that it runs on.
    told = {name: value for name, value in ours["properties"].items() if name != "$os"}
    assert {name: theirs["properties"].get(name) for name in told} == told
    assert {name: theirs[name] for name in ("event", "uuid", "distinct_id")} == {
        name: ours[name] for name in ("event", "uuid", "distinct_id")
    }
    assert datetime.fromisoformat(theirs["timestamp"]) == datetime.fromisoformat(ours["timestamp"])
    assert theirs.get("options") == ours.get("options")
    assert {name.lower().replace("_", "") for name in envelope} >= {
        name.replace("_", "") for name in body(to, one(FULL))
    }


RESULTS: dict[str, tuple[object, VendorAnswer]] = {
    "ok": ({"result": "ok"}, ACCEPTED),
    "warning": ({"result": "warning", "details": "x"}, ACCEPTED),
    "drop": ({"result": "drop"}, DROPPED_ITSELF),
    "retry": ({"result": "retry"}, VendorAnswer(None)),
    "another-word": ({"result": "maybe"}, UNKNOWN),
    "another-type": ({"result": ["ok"]}, UNKNOWN),
    "no-object": ("ok", UNKNOWN),
}


@pytest.mark.parametrize(("told", "answer"), RESULTS.values(), ids=RESULTS)
def test_the_newer_endpoint_tells_of_each_event(told: object, answer: VendorAnswer) -> None:
    assert answers(NEWER, 200, {"results": {UUID: told}}) == [answer]


@pytest.mark.parametrize("told", [None, b"<html>", [], {"results": []}, {}, b"[" * 100_000])
def test_an_answer_that_tells_nothing_of_an_event_leaves_it_unknown(told: object) -> None:
    assert answers(NEWER, 200, told) == [UNKNOWN]


def test_a_quota_drops_a_batch() -> None:
    assert answers(BATCH, 200, {"status": "Ok", "quota_limited": ["events"]}, 2) == [DROPPED] * 2
    assert answers(BATCH, 200, {"status": "Ok", "quota_limited": ["recordings"]}, 2) == [ACCEPTED] * 2


def test_a_status_means_what_posthog_says() -> None:
    found = by_status(BATCH, 200, 302, 400, 401, 404, 413, 408, 429, 500, 502, 503, 504)
    assert found == {
        200: ACCEPTED,
        **dict.fromkeys((302, 400, 401, 404, 413), REJECTED),
        **dict.fromkeys((408, 429, 500, 502, 503, 504), AGAIN),
    }
    assert by_status(NEWER, 402, 404, 415) == {402: REJECTED, 404: AGAIN, 415: REJECTED}
