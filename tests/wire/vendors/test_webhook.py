"""Webhooks are CloudEvents 1.0 in structured mode."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event

from consent_mw.core.permit import Permit
from consent_mw.core.terms import EventKind, Outcome
from consent_mw.wire.vendors import OutgoingRequest, VendorAnswer, encoder
from tests.builders import a_vendor

NOW = 1_795_434_123.0
SIGNUP = Permit("hook", "e-1", EventKind.TRACK, {"event": "signup", "time": 1_527_000_000.5, "props.plan": "pro"})
VIEW = Permit("hook", "e-2", EventKind.PAGE_VIEW, {"page_path": "/"})

EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "https://site.example",
    "type": "consent_mw.track",
    "datacontenttype": "application/json",
    "data": {"event": "signup", "time": 1_527_000_000.5, "props.plan": "pro"},
    "time": "2018-05-22T14:40:00.500Z",
}
UNNAMED_EVENT = {
    "specversion": "1.0",
    "id": "e-2",
    "source": "https://site.example",
    "type": "consent_mw.event",
    "datacontenttype": "application/json",
    "data": {"page_path": "/"},
}


def sent(*batch: Permit, key: str = "") -> OutgoingRequest:
    return encoder(a_vendor(), key, "https://site.example").encode(batch, NOW)


def test_one_event_is_one_request() -> None:
    request = sent(SIGNUP)
    assert (request.method, request.url) == ("POST", "https://example.com/")
    assert request.headers == (("content-type", "application/cloudevents+json; charset=utf-8"),)
    assert json.loads(request.body) == EVENT
    assert encoder(a_vendor(), "", "").batch_limit == 1


def test_an_event_without_its_name_and_time_has_neutral_ones() -> None:
    assert json.loads(sent(VIEW).body) == UNNAMED_EVENT


def test_a_key_is_a_bearer_token() -> None:
    assert sent(SIGNUP, key="k-1").headers[1:] == (("authorization", "Bearer k-1"),)


def test_more_than_one_event_is_no_request() -> None:
    with pytest.raises(ValueError):
        sent(SIGNUP, VIEW)


AGAIN = None
ANSWERS = {
    200: Outcome.ACCEPTED, 201: Outcome.ACCEPTED, 202: Outcome.ACCEPTED, 204: Outcome.ACCEPTED,
    206: Outcome.REJECTED, 301: Outcome.REJECTED, 307: Outcome.REJECTED, 304: Outcome.REJECTED,
    400: Outcome.REJECTED, 401: Outcome.REJECTED, 404: Outcome.REJECTED, 410: Outcome.REJECTED,
    413: Outcome.REJECTED, 415: Outcome.REJECTED, 501: Outcome.REJECTED, 505: Outcome.REJECTED,
    408: AGAIN, 425: AGAIN, 429: AGAIN, 500: AGAIN, 502: AGAIN, 503: AGAIN, 504: AGAIN, 520: AGAIN, 529: AGAIN,
}  # fmt: skip


@pytest.mark.parametrize(("status", "outcome"), ANSWERS.items())
def test_a_status_means_the_same_for_every_event(status: int, outcome: Outcome | None) -> None:
    headers = {"retry-after": "9"}
    answers = encoder(a_vendor(), "", "").answers(status, headers, b"anything", [SIGNUP, VIEW], NOW)
    assert answers == [VendorAnswer(outcome, 0.0 if outcome else 9.0)] * 2


def test_the_library_of_cloudevents_reads_the_event() -> None:
    request = sent(SIGNUP)
    read = from_structured_event(HTTPMessage(headers=dict(request.headers), body=request.body))
    attributes = {**EVENT, "time": datetime(2018, 5, 22, 14, 40, 0, 500_000, tzinfo=UTC)}
    data = attributes.pop("data")
    assert (read.get_attributes(), read.get_data()) == (attributes, data)
