"""Snowplow gets text values under the keys of its schema, and asks nobody for an address."""

from __future__ import annotations

import json
from typing import Any

import pytest
from snowplow_tracker import Emitter, StructuredEvent, Subject, Tracker

from consent_mw.core.terms import EventKind, VendorKind
from consent_mw.wire.vendors import Encoder
from tests.wire.vendors.sending import (
    ACCEPTED,
    AGAIN,
    FULL,
    REJECTED,
    UUID,
    body,
    by_status,
    one,
    sent,
    writer,
)
from tests.wire.vendors.simulators import serving
from tests.wire.vendors.simulators.snowplow import KEYS, Snowplow

ENDPOINT = "https://c.example/com.snowplowanalytics.snowplow/tp2"
SCHEMA = "iglu:com.example/visit/jsonschema/1-0-0"
PLAIN = writer(VendorKind.SNOWPLOW, "", endpoint=ENDPOINT, options={"app_id": "shop"})
RICH = writer(VendorKind.SNOWPLOW, "", endpoint=ENDPOINT, options={"context_schema": SCHEMA})
ALWAYS = {"tv": "consent_mw", "p": "srv", "eid": UUID, "stm": "1795434123000"}
FULLY = {
    **ALWAYS,
    "aid": "shop",
    "e": "se",
    "se_ca": "Forms",
    "se_ac": "signup",
    "se_la": "top",
    "se_va": "2.5",
    "dtm": "1527000000500",
    "uid": "user-1",
    "duid": "visitor-1",
    "ip": "203.0.113.7",
    "ua": "UA/1",
    "lang": "de",
    "url": "https://site.example/a?utm_source=ad&q=shoes",
    "page": "A page",
    "refr": "https://other.example/x",
}
STRUCTURED = {"props.category": "Forms", "props.label": "top", "props.value": 2.5}


def payload(to: Encoder, fields: dict[str, Any], kind: EventKind = EventKind.TRACK) -> dict[str, str]:
    told = body(to, one(fields, kind))
    assert told["schema"] == "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
    (data,) = told["data"]
    assert set(data) <= set(KEYS.split())
    assert {type(value) for value in data.values()} == {str}
    return dict(data)


def test_a_payload_carries_all_that_the_protocol_has_a_key_for() -> None:
    assert payload(PLAIN, {**FULL, **STRUCTURED}) == FULLY


def test_the_collector_is_told_to_take_no_address() -> None:
    assert sent(PLAIN, one({})).headers == (
        ("content-type", "application/json; charset=utf-8"),
        ("sp-anonymous", "*"),
    )


@pytest.mark.parametrize("kind", EventKind)
def test_of_nothing_permitted_there_is_a_neutral_event_of_nobody(kind: EventKind) -> None:
    assert payload(RICH, {}, kind) == {**ALWAYS, "e": "se", "se_ac": "event", "se_ca": "event"}


def test_a_page_view_is_one() -> None:
    fields = {"event": "page_view", "page_path": "/x", "props.value": 1}
    assert payload(PLAIN, fields, EventKind.PAGE_VIEW) == {
        **ALWAYS,
        "aid": "shop",
        "e": "pv",
        "url": "https://site.example/x",
    }


def test_what_has_no_key_goes_into_the_operator_s_own_context() -> None:
    told = payload(RICH, {**FULL, **STRUCTURED})
    assert json.loads(told["co"]) == {
        "schema": "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-1",
        "data": [
            {
                "schema": SCHEMA,
                "data": {
                    "plan": "pro",
                    "seats": 3,
                    "trial": True,
                    "browser": "Firefox 126",
                    "os": "Windows",
                    "device": "desktop",
                    "country": "US",
                    "region": "CA",
                    "city": "Fresno",
                    "name": "Ann B. Lee",
                    "email": " Ann.L@gmail.com",
                },
            }
        ],
    }


def test_a_value_that_is_no_number_is_none() -> None:
    assert "se_va" not in payload(PLAIN, {"event": "x", "props.value": "many"})


def test_snowplow_s_own_tracker_says_the_same_in_the_same_places() -> None:
    rules = Snowplow(anonymous=False)
    with serving(rules) as simulator:
        host, _, port = simulator.url.removeprefix("http://").partition(":")
        failed: list[Any] = []
        emitter = Emitter(host, protocol="http", port=int(port), on_failure=lambda *told: failed.append(told))
        who = Subject().set_user_id("user-1").set_domain_user_id("visitor-1").set_ip_address("203.0.113.7")
        who = who.set_useragent("UA/1").set_lang("de").set_platform("srv")
        event = StructuredEvent("Forms", "signup", label="top", value=2.5)
        Tracker("", emitter, subject=who, app_id="shop").track(event)
        emitter.flush()
        assert (simulator.complaints, failed, len(rules.taken)) == ([], [], 1)
        (theirs,) = simulator.received[0].json["data"]
    assert simulator.received[0].path == "/com.snowplowanalytics.snowplow/tp2"
    same = {name for name in FULLY if name not in ("tv", "eid", "dtm", "stm", "url", "page", "refr")}
    assert {name: theirs[name] for name in same} == {name: FULLY[name] for name in same}
    assert {"tv", "eid", "dtm", "stm"} <= set(theirs)


def test_a_status_means_what_snowplow_s_trackers_take_it_for() -> None:
    assert by_status(PLAIN, 200, 400, 401, 403, 410, 422, 404, 413, 429, 500, 501, 503) == {
        200: ACCEPTED,
        **dict.fromkeys((400, 401, 403, 410, 422), REJECTED),
        **dict.fromkeys((404, 413, 429, 500, 501, 503), AGAIN),
    }
    assert (PLAIN.dedupes, PLAIN.batch_limit) == (True, 50)


def test_a_body_over_the_limit_is_none() -> None:
    with pytest.raises(ValueError, match="more than the 190000"):
        sent(PLAIN, *[one({"page_url": "https://x/" + "u" * 4000})] * 50)
