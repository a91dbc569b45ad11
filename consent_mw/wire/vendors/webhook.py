"""Webhooks: CloudEvents 1.0 in structured mode, one event a request.

Rule: the permitted fields are the event's `data`; context attributes hold nothing of the person, no `subject`, and
      what kind of event it was only where `event` is permitted.
Source: CloudEvents 1.0.2, HTTP protocol binding, HTTP 1.1 Web Hooks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consent_mw.core.permit import Permit
from consent_mw.core.policy import Vendor
from consent_mw.core.terms import Outcome
from consent_mw.wire.vendors.shapes import Shapes
from consent_mw.wire.vendors.terms import (
    UNNAMED,
    OutgoingRequest,
    VendorAnswer,
    may_try_again,
    retry_after,
)

ACCEPTS = frozenset({200, 201, 202, 204})


class WebhookEncoder:
    """Writes CloudEvents. The receiver de-duplicates by `source` and `id`."""

    batch_limit = 1
    dedupes = True

    def __init__(self, vendor: Vendor, key: str, source: str) -> None:
        self._vendor = vendor
        self._key = key
        self._source = source or "consent_mw"
        self._shapes = Shapes(self._event)

    def encode(self, batch: Sequence[Permit], now: float) -> OutgoingRequest:
        """The request that delivers the one permit of this batch. Raises ValueError for more or none."""
        (permit,) = batch
        headers = [("content-type", "application/cloudevents+json; charset=utf-8")]
        if self._key:
            headers.append(("authorization", f"Bearer {self._key}"))
        return OutgoingRequest("POST", self._vendor.endpoint, tuple(headers), self._shapes.written(permit).encode())

    def answers(
        self, status: int, headers: Mapping[str, str], body: bytes, batch: Sequence[Permit], now: float
    ) -> list[VendorAnswer]:
        """What this status means: success, try again, or rejected for good (redirects are not followed)."""
        if status in ACCEPTS:
            return [VendorAnswer(Outcome.ACCEPTED)] * len(batch)
        if may_try_again(status):
            return [VendorAnswer(None, retry_after(headers, now))] * len(batch)
        return [VendorAnswer(Outcome.REJECTED)] * len(batch)

    def _event(self, permit: Permit, when: str | None) -> dict[str, object]:
        named = "event" in permit.fields
        event: dict[str, object] = {
            "specversion": "1.0",
            "id": permit.event_id,
            "source": self._source,
            "type": f"consent_mw.{permit.kind.value if named else UNNAMED}",
            "datacontenttype": "application/json",
            "data": dict(permit.fields),
        }
        if when is not None:
            event["time"] = when
        return event
