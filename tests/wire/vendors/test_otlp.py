"""OTLP receivers get log records that the protocol's own definitions read."""

from __future__ import annotations

from typing import Any

import pytest

from consent_mw.core.terms import EventKind, VendorKind
from tests.wire.vendors.sending import (
    ACCEPTED,
    AGAIN,
    EVENT_ID,
    FULL,
    REJECTED,
    UNKNOWN,
    answers,
    by_status,
    one,
    sent,
    writer,
)
from tests.wire.vendors.simulators.otlp import records

OTLP = writer(VendorKind.OTLP, "", endpoint="http://127.0.0.1:4318/v1/logs", options={"service_name": "shop"})


def record(fields: dict[str, Any], kind: EventKind = EventKind.TRACK) -> Any:
    (read,) = records(sent(OTLP, one(fields, kind)).body)
    return read


def attributes(read: Any) -> dict[str, Any]:
    return {told.key: getattr(told.value, told.value.WhichOneof("value")) for told in read.attributes}


def test_a_record_carries_all_that_is_permitted() -> None:
    read = record({**FULL, "props.ratio": 0.5, "props.huge": 10**25})
    assert (read.event_name, read.time_unix_nano, read.observed_time_unix_nano, read.severity_number) == (
        "signup",
        1_527_000_000_500_000_000,
        1_795_434_123_000_000_000,
        9,
    )
    assert attributes(read) == {
        "log.record.uid": EVENT_ID,
        "consent.purpose": "analytics",
        "enduser.pseudo.id": "visitor-1",
        "user.id": "user-1",
        "client.address": "203.0.113.7",
        "user_agent.original": "UA/1",
        "user_agent.name": "Firefox 126",
        "user_agent.os.name": "Windows",
        "device.type": "desktop",
        "browser.language": "de",
        "geo.country.iso_code": "US",
        "geo.region.iso_code": "US-CA",
        "geo.locality.name": "Fresno",
        "url.full": "https://site.example/a?utm_source=ad",
        "url.path": "/a",
        "page.title": "A page",
        "referrer.url": "https://other.example/x",
        "referrer.host": "other.example",
        "user.full_name": "Ann B. Lee",
        "user.email": " Ann.L@gmail.com",
        "url.query.utm_source": "ad",
        "url.query.q": "shoes",
        "props.plan": "pro",
        "props.seats": 3,
        "props.trial": True,
        "props.ratio": 0.5,
        "props.huge": str(10**25),
    }


@pytest.mark.parametrize("kind", EventKind)
def test_of_nothing_permitted_there_is_a_neutral_record(kind: EventKind) -> None:
    read = record({}, kind)
    told = {"log.record.uid": EVENT_ID, "consent.purpose": "analytics"}
    assert (read.event_name, read.time_unix_nano, attributes(read)) == ("event", 0, told)


def test_a_request_says_which_service_and_nothing_of_a_host() -> None:
    from google.protobuf.json_format import Parse
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    read = Parse(sent(OTLP, one({}), one({})).body, ExportLogsServiceRequest())
    (resource,) = read.resource_logs
    (scope,) = resource.scope_logs
    assert [(told.key, told.value.string_value) for told in resource.resource.attributes] == [
        ("service.name", "shop")
    ]
    assert (scope.scope.name, len(scope.log_records)) == ("consent_mw", 2)


def test_a_key_is_a_bearer_token() -> None:
    assert sent(OTLP, one({})).headers == (("content-type", "application/json"),)
    keyed = writer(VendorKind.OTLP, "k-1")
    assert sent(keyed, one({})).headers[1:] == (("authorization", "Bearer k-1"),)


PARTLY: dict[str, tuple[object, list[Any]]] = {
    "all-taken": ({}, [ACCEPTED] * 2),
    "empty": (b"", [ACCEPTED] * 2),
    "a-warning": ({"partialSuccess": {"errorMessage": "soon"}}, [ACCEPTED] * 2),
    "some": ({"partialSuccess": {"rejectedLogRecords": "1"}}, [UNKNOWN] * 2),
    "all": ({"partialSuccess": {"rejectedLogRecords": 2}}, [REJECTED] * 2),
    "nonsense": ({"partialSuccess": {"rejectedLogRecords": "many"}}, [UNKNOWN] * 2),
}


@pytest.mark.parametrize(("told", "expected"), PARTLY.values(), ids=PARTLY)
def test_a_partial_success_is_not_sent_again(told: object, expected: list[Any]) -> None:
    assert answers(OTLP, 200, told, 2) == expected


def test_only_four_statuses_are_tried_again_and_500_is_none_of_them() -> None:
    assert by_status(OTLP, 200, 302, 400, 401, 404, 408, 413, 500, 501, 429, 502, 503, 504) == {
        200: ACCEPTED,
        **dict.fromkeys((302, 400, 401, 404, 408, 413, 500, 501), REJECTED),
        **dict.fromkeys((429, 502, 503, 504), AGAIN),
    }
    assert (OTLP.dedupes, OTLP.batch_limit) == (False, 200)
