"""OTLP: logs over HTTP as JSON, one record an event.

Rule: the record's attributes are the permitted fields under their semantic names; nothing of a host or a process.
Rule: only 429, 502, 503 and 504 are tried again, a 500 never (OTLP 1.x, "Failures"); a partial success is not either.
Rule: no receiver has to de-duplicate; `log.record.uid` lets one that wants to.

| Field | Where it goes |
|---|---|
| `event` | `eventName` |
| `time` | `timeUnixNano` |
| `visitor_id`, `user_id` | attributes `enduser.pseudo.id`, `user.id` |
| `ip`, `ip_truncated` | `client.address` |
| `user_agent` `browser` `os` `device` | `user_agent.original` `user_agent.name` `user_agent.os.name` `device.type` |
| `language` | `browser.language` |
| `country` `region` `city` | `geo.country.iso_code` `geo.region.iso_code` `geo.locality.name` |
| `page_url` `page_path` `title` | `url.full` `url.path` `page.title` |
| `referrer_url` `referrer_host` | `referrer.url` `referrer.host` |
| `name`, `email` | `user.full_name`, `user.email` |
| `query.*`, `props.*` | `url.query.NAME`, `props.NAME` |
| the purpose that allowed it | `consent.purpose` |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consent_mw.core.event import Value
from consent_mw.core.permit import Permit
from consent_mw.core.policy import Vendor
from consent_mw.core.terms import Outcome
from consent_mw.wire.vendors.placing import address, bounded, placed, subdivision
from consent_mw.wire.vendors.terms import UNNAMED, OutgoingRequest, VendorAnswer, event_time, members
from consent_mw.wire.vendors.verdicts import again, alike, answered, count

LARGEST_BODY = 4_000_000
AGAIN = frozenset({429, 502, 503, 504})
INFO = 9
NANO = 1_000_000_000
_INT64 = 2**63

_ATTRIBUTES = {
    "visitor_id": "enduser.pseudo.id",
    "user_id": "user.id",
    "user_agent": "user_agent.original",
    "browser": "user_agent.name",
    "os": "user_agent.os.name",
    "device": "device.type",
    "language": "browser.language",
    "country": "geo.country.iso_code",
    "city": "geo.locality.name",
    "page_url": "url.full",
    "page_path": "url.path",
    "title": "page.title",
    "referrer_url": "referrer.url",
    "referrer_host": "referrer.host",
    "name": "user.full_name",
    "email": "user.email",
}


class OtlpEncoder:
    """Writes log records. It cannot be relied on to de-duplicate."""

    batch_limit = 200
    dedupes = False

    def __init__(self, vendor: Vendor, key: str, source: str) -> None:
        self._url = vendor.endpoint
        self._key = key
        self._purpose = vendor.purpose
        self._resource = {
            "attributes": [_attribute("service.name", vendor.options.get("service_name", "consent_mw"))]
        }

    def encode(self, batch: Sequence[Permit], now: float) -> OutgoingRequest:
        """The request that delivers these permits. Raises ValueError where it is larger than receivers take."""
        scope = {"scope": {"name": "consent_mw"}, "logRecords": [self._record(permit, now) for permit in batch]}
        body = {"resourceLogs": [{"resource": self._resource, "scopeLogs": [scope]}]}
        headers = [("content-type", "application/json")]
        if self._key:
            headers.append(("authorization", f"Bearer {self._key}"))
        return OutgoingRequest("POST", self._url, tuple(headers), bounded(body, LARGEST_BODY))

    def answers(
        self, status: int, headers: Mapping[str, str], body: bytes, batch: Sequence[Permit], now: float
    ) -> list[VendorAnswer]:
        """What this answer means; of a partial success nobody tells which records were turned away."""
        if 200 <= status < 300:
            partial = answered(body).get("partialSuccess")
            rejected = count(partial.get("rejectedLogRecords", 0)) if isinstance(partial, dict) else 0
            if rejected == 0:
                return alike(batch, Outcome.ACCEPTED)
            whole = rejected is not None and rejected >= len(batch)
            return alike(batch, Outcome.REJECTED if whole else Outcome.UNKNOWN)
        if status in AGAIN:
            return again(batch, headers, now)
        return alike(batch, Outcome.REJECTED)

    def _record(self, permit: Permit, now: float) -> dict[str, object]:
        fields = permit.fields
        told: dict[str, Value] = {"log.record.uid": permit.event_id, "consent.purpose": self._purpose}
        told |= placed(fields, _ATTRIBUTES)
        made = {"client.address": address(fields), "geo.region.iso_code": subdivision(fields)}
        told |= {key: value for key, value in made.items() if value}
        for family, prefix in (("query", "url.query."), ("props", "props.")):
            told |= {prefix + name: one for name, one in members(fields, family).items()}
        name = fields.get("event")
        record: dict[str, object] = {
            "observedTimeUnixNano": str(int(now * NANO)),
            "severityNumber": INFO,
            "eventName": str(name) if name else UNNAMED,
            "attributes": [_attribute(key, value) for key, value in told.items() if value is not None],
        }
        when = event_time(fields)
        if when is not None:
            record["timeUnixNano"] = str(int(round(when * 1_000_000) * 1000))
        return record


def _attribute(key: str, value: Value) -> dict[str, object]:
    """A KeyValue in ProtoJSON: integers of 64 bits are text, a larger one is only text."""
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return {"key": key, "value": {"intValue": str(value)}}
    if isinstance(value, float):
        return {"key": key, "value": {"doubleValue": value}}
    return {"key": key, "value": {"stringValue": str(value)}}
