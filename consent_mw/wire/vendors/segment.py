"""Segment: the batch endpoint of its HTTP tracking API.

Rule: `context.ip` is always there: the address if it is permitted, else 0.0.0.0, since Segment takes the sender's
      address where none is given.
Rule: no `context.library`, and no user agent but a permitted one.
Rule: where `event` is not permitted, neither is what kind of event it was: it is a `track` of a constant name.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from consent_mw.core.event import Value
from consent_mw.core.permit import Permit
from consent_mw.core.policy import Vendor
from consent_mw.core.terms import EventKind, Outcome
from consent_mw.wire.vendors.placing import NO_ADDRESS
from consent_mw.wire.vendors.shapes import Shapes
from consent_mw.wire.vendors.terms import (
    UNNAMED,
    OutgoingRequest,
    VendorAnswer,
    iso,
    may_try_again,
    members,
    retry_after,
)

ALSO_AGAIN = frozenset({410, 460})
"""What Segment's own libraries send again besides."""

LARGEST_EVENT = 32 * 1024

_CONTEXT = {"user_agent": "userAgent", "language": "locale"}
_LOCATION = ("country", "region", "city")
_PROPERTIES = {
    "page_path": "path",
    "page_url": "url",
    "referrer_url": "referrer",
    "referrer_host": "referrer_host",
    "title": "title",
    "browser": "browser",
    "os": "os",
    "device": "device",
    "ip_truncated": "ip_truncated",
}


class SegmentEncoder:
    """Writes Segment's batches. It de-duplicates by `messageId`, and takes 2500 events and 500 KB a request."""

    batch_limit = 2500
    size_limit = 500_000
    dedupes = True

    def __init__(self, vendor: Vendor, key: str, source: str) -> None:
        self._vendor = vendor
        self._shapes = Shapes(self._message)
        self._authorization = "Basic " + base64.b64encode(f"{key}:".encode()).decode("ascii")

    def encode(self, batch: Sequence[Permit], now: float) -> OutgoingRequest:
        """The request that delivers these permits."""
        return self.whole([self.piece(permit) for permit in batch], now)

    def piece(self, permit: Permit) -> bytes:
        """The message of this permit. Raises ValueError for one that Segment would not take."""
        message = self._shapes.written(permit).encode()
        if len(message) > LARGEST_EVENT:
            raise ValueError(f"{len(message)} bytes are more than the {LARGEST_EVENT} of an event of Segment")
        return message

    def whole(self, pieces: Sequence[bytes], now: float) -> OutgoingRequest:
        """The request that delivers these messages."""
        body = b'{"batch":[' + b",".join(pieces) + b'],"sentAt":"' + iso(now).encode() + b'"}'
        headers = (("content-type", "application/json"), ("authorization", self._authorization))
        return OutgoingRequest("POST", self._vendor.endpoint, headers, body)

    def answers(
        self, status: int, headers: Mapping[str, str], body: bytes, batch: Sequence[Permit], now: float
    ) -> list[VendorAnswer]:
        """What this status means for the whole batch; Segment tells nothing of single events."""
        if 200 <= status < 300:
            return [VendorAnswer(Outcome.ACCEPTED)] * len(batch)
        if status in ALSO_AGAIN or may_try_again(status):
            return [VendorAnswer(None, retry_after(headers, now))] * len(batch)
        return [VendorAnswer(Outcome.REJECTED)] * len(batch)

    def _message(self, permit: Permit, when: str | None) -> dict[str, object]:
        fields = permit.fields
        message: dict[str, object] = {
            "messageId": permit.event_id,
            "context": self._context(fields),
            "integrations": {},
        }
        if when is not None:
            message["timestamp"] = when
        for field, name in (("visitor_id", "anonymousId"), ("user_id", "userId")):
            if field in fields:
                message[name] = fields[field]
        if "anonymousId" not in message and "userId" not in message:
            # One of the two is required; the event's own id says nothing of the person.
            message["anonymousId"] = permit.event_id
        return message | self._kind(permit)

    def _kind(self, permit: Permit) -> dict[str, object]:
        name = permit.fields.get("event")
        if name is not None and permit.kind is EventKind.IDENTIFY:
            return {"type": "identify", "traits": _traits(permit.fields)}
        properties = _properties(permit.fields)
        if name is not None and permit.kind is EventKind.PAGE_VIEW:
            return {"type": "page", "properties": properties}
        return {"type": "track", "event": UNNAMED if name is None else name, "properties": properties}

    def _context(self, fields: Mapping[str, Value]) -> dict[str, object]:
        context: dict[str, object] = {"ip": fields.get("ip", NO_ADDRESS)}
        context |= {name: fields[field] for field, name in _CONTEXT.items() if field in fields}
        location = {name: fields[name] for name in _LOCATION if name in fields}
        if location:
            context["location"] = location
        traits = _traits(fields)
        if traits:
            context["traits"] = traits
        context["consent"] = {"categoryPreferences": {self._vendor.purpose: True}}
        return context


def _traits(fields: Mapping[str, Value]) -> dict[str, Value]:
    return {name: fields[name] for name in ("name", "email") if name in fields}


def _properties(fields: Mapping[str, Value]) -> dict[str, object]:
    known: dict[str, object] = {name: fields[field] for field, name in _PROPERTIES.items() if field in fields}
    query = members(fields, "query")
    if query:
        known["query"] = query
    return {**members(fields, "props"), **known}
