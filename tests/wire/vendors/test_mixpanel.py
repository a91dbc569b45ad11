"""Mixpanel gets what its import endpoint needs, and nothing that it could derive a person or a place from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mixpanel import Mixpanel

from consent_mw.core.terms import EventKind, VendorKind
from tests.wire.vendors.sending import (
    ACCEPTED,
    AGAIN,
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

MIXPANEL = writer(VendorKind.MIXPANEL, "token", endpoint="https://api-eu.mixpanel.com/import")
TODAY = 1_795_392_000_000
"""The beginning of the day of sending, in milliseconds."""

NOBODY = {"time": TODAY, "distinct_id": "", "$insert_id": EVENT_ID, "ip": 0}
FULLY = {
    "event": "signup",
    "properties": {
        "time": 1_527_000_000_500,
        "distinct_id": "user-1",
        "$insert_id": EVENT_ID,
        "$device_id": "visitor-1",
        "$user_id": "user-1",
        "ip": "203.0.113.7",
        "$browser": "Firefox",
        "$browser_version": "126",
        "$os": "Windows",
        "$device": "desktop",
        "mp_country_code": "US",
        "$region": "CA",
        "$city": "Fresno",
        "$current_url": "https://site.example/a?utm_source=ad",
        "page_path": "/a",
        "$referrer": "https://other.example/x",
        "$referring_domain": "other.example",
        "title": "A page",
        "user_agent": "UA/1",
        "language": "de",
        "$name": "Ann B. Lee",
        "$email": " Ann.L@gmail.com",
        "utm_source": "ad",
        "query_q": "shoes",
        "plan": "pro",
        "seats": 3,
        "trial": True,
    },
}


def properties(fields: dict[str, Any]) -> Any:
    return body(MIXPANEL, one(fields))[0]["properties"]


def test_an_event_carries_all_that_is_permitted() -> None:
    assert body(MIXPANEL, one(FULL)) == [FULLY]


@pytest.mark.parametrize("kind", EventKind)
def test_of_nothing_permitted_there_is_a_neutral_event_of_nobody(kind: EventKind) -> None:
    assert body(MIXPANEL, one({}, kind)) == [{"event": "event", "properties": NOBODY}]


def test_a_token_has_no_password_and_a_service_account_names_its_project() -> None:
    project = writer(VendorKind.MIXPANEL, "robot:s3cret", endpoint="https://m/import", options={"project_id": "12"})
    made = [sent(to, one({})) for to in (MIXPANEL, project)]
    assert [(request.url, dict(request.headers)["authorization"]) for request in made] == [
        ("https://api-eu.mixpanel.com/import?strict=1", "Basic dG9rZW46"),
        ("https://m/import?strict=1&project_id=12", "Basic cm9ib3Q6czNjcmV0"),
    ]


@pytest.mark.parametrize("user", ["anonymous", "None", "-1", "0", "00000000-0000-0000-0000-000000000000"])
def test_an_id_that_mixpanel_forbids_is_none(user: str) -> None:
    assert properties({"event": "x", "user_id": user}) == NOBODY
    assert properties({"event": "x", "user_id": user, "visitor_id": "v"}) == {
        **NOBODY,
        "distinct_id": "v",
        "$device_id": "v",
    }


def test_an_app_s_names_do_not_merge_people_nor_pass_for_fields() -> None:
    props = {
        "props.ip": "1.2.3.4",
        "props.$city": "x",
        "props.mp_lib": "x",
        "props.time": 1,
        "props.distinct_id": "y",
    }
    (event,) = body(MIXPANEL, one({"event": "$merge", **props}))
    assert event == {
        "event": "event_$merge",
        "properties": {
            **NOBODY,
            "prop_ip": "1.2.3.4",
            "prop_$city": "x",
            "prop_mp_lib": "x",
            "prop_time": 1,
            "prop_distinct_id": "y",
        },
    }


def test_what_is_too_long_is_cut_and_what_is_too_much_is_left_out() -> None:
    told = properties({"title": "t" * 300, **{f"props.n{number}": number for number in range(300)}})
    assert (len(told), len(told["title"])) == (254, 255)
    assert len(properties({"visitor_id": "v" * 400})["distinct_id"]) == 64


def test_an_event_s_key_to_de_duplicate_by_has_mixpanel_s_letters() -> None:
    (told,) = body(MIXPANEL, one({}, event_id="an id, with ünusual letters and a great length"))
    assert (len(told["properties"]["$insert_id"]), told["properties"]["$insert_id"].isalnum()) == (36, True)


def test_a_body_over_the_limit_is_none() -> None:
    large = {f"props.n{number}": "x" * 255 for number in range(200)}
    with pytest.raises(ValueError, match="more than the 2000000"):
        sent(MIXPANEL, *[one(large)] * 50)


class Keeping:
    """A consumer of Mixpanel's own library that keeps what it would send."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, endpoint: str, message: str, *_: object) -> None:
        self.sent.append((endpoint, json.loads(message)))


def test_mixpanel_s_own_library_makes_the_same_event() -> None:
    consumer = Keeping()
    told = {name: value for name, value in FULLY["properties"].items() if name not in ("time", "distinct_id")}  # type: ignore[attr-defined]
    Mixpanel("token", consumer=consumer).import_data(None, "user-1", "signup", 1_527_000_000_500, told)
    ((endpoint, theirs),) = consumer.sent
    added = {name: theirs["properties"].pop(name) for name in ("token", "mp_lib", "$lib_version")}
    assert (endpoint, theirs, added["token"]) == ("imports", FULLY, "token")


PARTLY: dict[str, tuple[object, list[Any]]] = {
    "one": (
        {"code": 400, "num_records_imported": 2, "failed_records": [{"index": 1, "field": "x"}]},
        [ACCEPTED, REJECTED_ITSELF, ACCEPTED],
    ),
    "none-imported": (
        {"code": 400, "num_records_imported": 0, "failed_records": [{"index": 1}]},
        [REJECTED_ITSELF] * 3,
    ),
    "all-named": (
        {"code": 400, "failed_records": [{"index": 0}, {"index": 1}, {"index": 2}]},
        [REJECTED_ITSELF] * 3,
    ),
    "nobody-named": ({"code": 400, "error": "malformed"}, [REJECTED] * 3),
    "nonsense": ({"failed_records": [{"index": "1"}, {"index": 9}, {"index": True}, 7]}, [REJECTED] * 3),
    "cut-off": (b'{"failed_records":[{"index":', [REJECTED] * 3),
}


@pytest.mark.parametrize(("told", "expected"), PARTLY.values(), ids=PARTLY)
def test_a_400_is_a_partial_success(told: object, expected: list[Any]) -> None:
    assert answers(MIXPANEL, 400, told, 3) == expected


def test_a_status_means_what_mixpanel_says() -> None:
    assert by_status(MIXPANEL, 200, 302, 401, 403, 413, 429, 500, 502, 503) == {
        200: ACCEPTED,
        **dict.fromkeys((302, 401, 403, 413), REJECTED),
        **dict.fromkeys((429, 500, 502, 503), AGAIN),
    }
    assert (MIXPANEL.dedupes, MIXPANEL.batch_limit) == (True, 200)
