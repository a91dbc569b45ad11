"""What the tests of single kinds share: an event with all fields, and what an encoder makes of events and answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from consent_mw.core.permit import Permit
from consent_mw.core.terms import EventKind, Outcome, VendorKind
from consent_mw.wire.vendors import Encoder, OutgoingRequest, VendorAnswer, encoder
from tests.builders import a_vendor

NOW = 1_795_434_123.0
EVENT_ID = "0123456789abcdef0123456789abcdef"
UUID = "01234567-89ab-cdef-0123-456789abcdef"
ORIGIN = "https://site.example"

FULL: Mapping[str, Any] = {
    "event": "signup",
    "time": 1_527_000_000.5,
    "visitor_id": "visitor-1",
    "user_id": "user-1",
    "ip": "203.0.113.7",
    "ip_truncated": "203.0.113.0",
    "user_agent": "UA/1",
    "browser": "Firefox 126",
    "os": "Windows",
    "device": "desktop",
    "language": "de",
    "country": "US",
    "region": "CA",
    "city": "Fresno",
    "page_path": "/a",
    "page_url": "https://site.example/a?utm_source=ad",
    "referrer_host": "other.example",
    "referrer_url": "https://other.example/x",
    "title": "A page",
    "name": "Ann B. Lee",
    "email": " Ann.L@gmail.com",
    "query.utm_source": "ad",
    "query.q": "shoes",
    "props.plan": "pro",
    "props.seats": 3,
    "props.trial": True,
}
"""Every field of SPEC 2, with some of the families."""


def writer(kind: VendorKind, key: str = "key", **more: Any) -> Encoder:
    """The encoder of a vendor of this kind."""
    return encoder(a_vendor(kind=kind, **more), key, ORIGIN)


def one(fields: Mapping[str, Any], kind: EventKind = EventKind.TRACK, event_id: str = EVENT_ID) -> Permit:
    """A permit of these fields."""
    return Permit("vendor", event_id, kind, dict(fields))


def sent(to: Encoder, *batch: Permit, now: float = NOW) -> OutgoingRequest:
    """The request that delivers these."""
    return to.encode(batch, now)


def body(to: Encoder, *batch: Permit, now: float = NOW) -> Any:
    """The JSON that delivers these."""
    return json.loads(sent(to, *batch, now=now).body)


def answers(to: Encoder, status: int, told: object = None, number: int = 1, **headers: str) -> list[VendorAnswer]:
    """What this answer means for so many events."""
    content = told if isinstance(told, bytes) else b"" if told is None else json.dumps(told).encode()
    lower = {name.replace("_", "-"): value for name, value in headers.items()}
    return to.answers(status, lower, content, [one({})] * number, NOW)


AGAIN = VendorAnswer(None, 9.0)
ACCEPTED = VendorAnswer(Outcome.ACCEPTED)
REJECTED = VendorAnswer(Outcome.REJECTED)
REJECTED_ITSELF = VendorAnswer(Outcome.REJECTED, named=True)
DROPPED = VendorAnswer(Outcome.DROPPED)
DROPPED_ITSELF = VendorAnswer(Outcome.DROPPED, named=True)
UNKNOWN = VendorAnswer(Outcome.UNKNOWN)


def by_status(to: Encoder, *statuses: int) -> dict[int, VendorAnswer]:
    """What each of these statuses means, with nothing in the body and nine seconds to wait."""
    return {status: answers(to, status, retry_after="9")[0] for status in statuses}
