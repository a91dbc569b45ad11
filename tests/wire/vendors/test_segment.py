"""Segment gets what its batch endpoint needs, and nothing that it could derive more from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from segment.analytics import Client

from consent_mw.core.permit import Permit
from consent_mw.core.terms import EventKind, Outcome, VendorKind
from consent_mw.wire.vendors import VendorAnswer, encoder
from tests.builders import a_vendor
from tests.wire.vendors.simulators import Received, Reply, serving

NOW = 1_795_434_123.0
VENDOR = a_vendor(kind=VendorKind.SEGMENT, endpoint="https://api.segment.io/v1/batch")
NEUTRAL = {"ip": "0.0.0.0", "consent": {"categoryPreferences": {"analytics": True}}}


def message(kind: EventKind, **fields: Any) -> Any:
    """The one message that is sent of an event with these fields (`props__plan` is `props.plan`)."""
    named = {name.replace("__", "."): value for name, value in fields.items()}
    body = json.loads(encoder(VENDOR, "wk", "").encode([Permit("segment", "e-1", kind, named)], NOW).body)
    assert set(body) == {"batch", "sentAt"}
    return body["batch"][0]


def test_the_write_key_is_basic_authorization_without_a_password() -> None:
    request = encoder(VENDOR, "wk", "").encode([Permit("segment", "e-1", EventKind.TRACK, {})], NOW)
    assert (request.method, request.url) == ("POST", "https://api.segment.io/v1/batch")
    assert request.headers == (("content-type", "application/json"), ("authorization", "Basic d2s6"))


def test_a_track_call_carries_all_that_is_permitted() -> None:
    fields = {"visitor_id": "v1", "user_id": "u1", "ip": "203.0.113.7", "user_agent": "UA", "language": "de"}
    fields |= {"country": "US", "city": "Boston", "email": "a@b.example", "name": "Ann", "title": "T"}
    fields |= {"props__plan": "pro", "query__utm_source": "ad", "page_path": "/x", "browser": "Firefox"}
    assert message(EventKind.TRACK, event="signup", time=1_527_000_000.5, **fields) == {
        "type": "track",
        "event": "signup",
        "messageId": "e-1",
        "timestamp": "2018-05-22T14:40:00.500Z",
        "anonymousId": "v1",
        "userId": "u1",
        "integrations": {},
        "properties": {
            "plan": "pro",
            "path": "/x",
            "title": "T",
            "browser": "Firefox",
            "query": {"utm_source": "ad"},
        },
        "context": {
            **NEUTRAL,
            "ip": "203.0.113.7",
            "userAgent": "UA",
            "locale": "de",
            "location": {"country": "US", "city": "Boston"},
            "traits": {"name": "Ann", "email": "a@b.example"},
        },
    }


def test_a_page_view_is_a_page_call() -> None:
    assert message(EventKind.PAGE_VIEW, event="page_view", visitor_id="v1", page_url="https://x.example/") == {
        "type": "page",
        "messageId": "e-1",
        "anonymousId": "v1",
        "integrations": {},
        "properties": {"url": "https://x.example/"},
        "context": NEUTRAL,
    }


def test_identifying_is_an_identify_call() -> None:
    assert message(EventKind.IDENTIFY, event="identify", user_id="u1", email="a@b.example") == {
        "type": "identify",
        "messageId": "e-1",
        "userId": "u1",
        "integrations": {},
        "traits": {"email": "a@b.example"},
        "context": {**NEUTRAL, "traits": {"email": "a@b.example"}},
    }


@pytest.mark.parametrize("kind", EventKind)
def test_an_event_of_which_nothing_is_permitted_is_neutral(kind: EventKind) -> None:
    assert message(kind) == {
        "type": "track",
        "event": "event",
        "messageId": "e-1",
        "anonymousId": "e-1",
        "integrations": {},
        "properties": {},
        "context": NEUTRAL,
    }


def test_an_app_s_property_does_not_pass_for_a_field() -> None:
    sent = message(
        EventKind.TRACK, event="x", visitor_id="v1", page_path="/x", props__path="/forged", props__ip="1.2"
    )
    assert (sent["properties"], sent["context"]) == ({"path": "/x", "ip": "1.2"}, NEUTRAL)


AGAIN = None
ANSWERS = {
    200: Outcome.ACCEPTED, 202: Outcome.ACCEPTED, 302: Outcome.REJECTED,
    400: Outcome.REJECTED, 401: Outcome.REJECTED, 403: Outcome.REJECTED, 413: Outcome.REJECTED,
    422: Outcome.REJECTED, 501: Outcome.REJECTED, 505: Outcome.REJECTED,
    408: AGAIN, 410: AGAIN, 429: AGAIN, 460: AGAIN, 500: AGAIN, 503: AGAIN, 529: AGAIN,
}  # fmt: skip


@pytest.mark.parametrize(("status", "outcome"), ANSWERS.items())
def test_a_status_means_the_same_for_every_message(status: int, outcome: Outcome | None) -> None:
    batch = [Permit("segment", "e-1", EventKind.TRACK, {})] * 3
    answers = encoder(VENDOR, "wk", "").answers(status, {"retry-after": "9"}, b"{}", batch, NOW)
    assert answers == [VendorAnswer(outcome, 0.0 if outcome else 9.0)] * 3


class Keeping:
    """A Segment that takes everything."""

    refusal = Reply(400)

    def __init__(self) -> None:
        self.taken: list[str] = []

    def take(self, request: Received) -> Reply:
        self.taken += [one["messageId"] for one in request.json["batch"]]
        return Reply(200, b"{}")


def test_segment_s_own_library_sends_the_same_message_to_the_same_place() -> None:
    ours = message(EventKind.TRACK, event="signup", time=1_527_000_000.5, visitor_id="v1", user_id="u1", props__a="b")
    rules = Keeping()
    with serving(rules) as simulator:
        client = Client("wk", host=simulator.url, sync_mode=True, max_retries=0)
        when = datetime(2018, 5, 22, 14, 40, 0, 500_000, tzinfo=UTC)
        client.track("u1", "signup", {"a": "b"}, {**ours["context"]}, when, "v1", {}, "e-1")
        (request,) = simulator.received
    (theirs,) = request.json["batch"]
    theirs["context"].pop("library")
    theirs["timestamp"] = theirs["timestamp"].replace("+00:00", "Z")
    assert (request.path, theirs) == ("/v1/batch", ours)
    assert request.header("authorization") == dict(encoder(VENDOR, "wk", "").encode([], NOW).headers)["authorization"]


def test_an_event_that_segment_would_not_take_is_told() -> None:
    fields = {f"props.p{number}": "x" * 4000 for number in range(9)}
    with pytest.raises(ValueError, match="more than"):
        encoder(VENDOR, "wk", "").encode([Permit("segment", "e-1", EventKind.TRACK, fields)], NOW)
