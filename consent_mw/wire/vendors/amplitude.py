"""Amplitude: its HTTP API V2.

Rule: an address is there only if it is permitted; without one Amplitude looks nothing up (it would with `$remote`).
Rule: what it answers 400 to is told by index: those are out, the rest of the batch is sent again.
Rule: an app's own names stay in `event_properties`, where none means anything to Amplitude.

| Field | Where it goes |
|---|---|
| `event` | `event_type` (`$identify` for identifying) |
| `time` | `time` |
| `visitor_id`, `user_id` | `device_id`, `user_id` |
| `ip`, `ip_truncated` | `ip` |
| `user_agent` `os` `language` | `user_agent` `os_name` `language` |
| `country` `region` `city` | `country` `region` `city` |
| `name`, `email` | `user_properties` |
| `browser` `device` `page_url` `page_path` `title` `referrer_url` `referrer_host` | `event_properties` |
| `query.*`, `props.*` | `event_properties` |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consent_mw.core.permit import Permit
from consent_mw.core.policy import Vendor
from consent_mw.core.terms import EventKind, Outcome
from consent_mw.wire.vendors.placing import TOLD_APART, address, bounded, cut, identity, placed, properties, shown
from consent_mw.wire.vendors.terms import (
    UNNAMED,
    OutgoingRequest,
    VendorAnswer,
    event_time,
    may_try_again,
    retry_after,
)
from consent_mw.wire.vendors.verdicts import again, alike, answered, indices

LARGEST_BODY = 990_000
LONGEST_VALUE = 1024
THROTTLED = 30.0
"""Seconds that Amplitude asks to wait with a person whose events are too many."""

OVER_QUOTA = 300.0
_WRONG = ("events_with_invalid_fields", "events_with_missing_fields", "events_with_invalid_id_lengths")
_TOP = {
    "user_agent": "user_agent",
    "os": "os_name",
    "language": "language",
    "country": "country",
    "region": "region",
    "city": "city",
}
_PROPERTIES = {
    name: name for name in ("browser", "device", "page_url", "page_path", "referrer_url", "referrer_host", "title")
}
_PROFILE = {"name": "name", "email": "email"}


class AmplitudeEncoder:
    """Writes uploads. It de-duplicates by `insert_id` and `device_id` for a week, and takes less than 2000 events; we
    send fewer, since writing them holds up what runs beside."""

    batch_limit = 200
    dedupes = True

    def __init__(self, vendor: Vendor, key: str, source: str) -> None:
        self._url = vendor.endpoint
        self._key = key

    def encode(self, batch: Sequence[Permit], now: float) -> OutgoingRequest:
        """The request that delivers these permits. Raises ValueError where it is larger than Amplitude takes."""
        body = {
            "api_key": self._key,
            "events": [_event(permit) for permit in batch],
            # Else ids of less than five characters are turned away.
            "options": {"min_id_length": 1},
        }
        return OutgoingRequest(
            "POST", self._url, (("content-type", "application/json"),), bounded(body, LARGEST_BODY)
        )

    def answers(
        self, status: int, headers: Mapping[str, str], body: bytes, batch: Sequence[Permit], now: float
    ) -> list[VendorAnswer]:
        """What this answer means; a 400 and a 429 may name the events that they are about."""
        if 200 <= status < 300:
            return alike(batch, Outcome.ACCEPTED)
        if status == 400:
            return _wrong(answered(body), batch)
        if status == 429:
            return _throttled(answered(body), batch, retry_after(headers, now))
        if may_try_again(status):
            return again(batch, headers, now)
        return alike(batch, Outcome.REJECTED)


def _wrong(told: Mapping[str, object], batch: Sequence[Permit]) -> list[VendorAnswer]:
    rejected = {at for name in _WRONG for at in indices(told.get(name), batch)}
    silenced = indices(told.get("silenced_events"), batch)
    if not rejected | silenced:
        return alike(batch, Outcome.REJECTED)
    answers: list[VendorAnswer] = []
    for at in range(len(batch)):
        if at in rejected:
            answers.append(VendorAnswer(Outcome.REJECTED, named=True))
        elif at in silenced:
            answers.append(VendorAnswer(Outcome.DROPPED, named=True))
        else:
            answers.append(VendorAnswer(None))
    return answers


def _throttled(told: Mapping[str, object], batch: Sequence[Permit], after: float) -> list[VendorAnswer]:
    """Whose events are too many waits; the others are only sent again without them."""
    throttled = indices(told.get("throttled_events"), batch)
    over = told.get("exceeded_daily_quota_users") or told.get("exceeded_daily_quota_devices")
    waits = VendorAnswer(None, max(after, OVER_QUOTA if over else THROTTLED), named=True)
    return [waits if at in throttled else VendorAnswer(None, after) for at in range(len(batch))]


def _event(permit: Permit) -> dict[str, object]:
    fields = permit.fields
    name = shown(fields.get("event"))
    event: dict[str, object] = {
        "event_type": _type(name, identifies=permit.kind is EventKind.IDENTIFY),
        "insert_id": permit.event_id,
    }
    when = event_time(fields)
    if when is not None:
        event["time"] = int(when * 1000)
    visitor, user = identity(fields, "visitor_id"), identity(fields, "user_id")
    if user:
        event["user_id"] = user
    if visitor or not user:
        # One of the two is required; the event's own id says nothing of the person.
        event["device_id"] = visitor or permit.event_id
    told = address(fields)
    if told:
        event["ip"] = told
    event |= placed(fields, _TOP)
    profile = placed(fields, _PROFILE)
    if profile:
        event["user_properties"] = profile
    more = {key: cut(value, LONGEST_VALUE) for key, value in properties(fields, _PROPERTIES, _named).items()}
    if more:
        event["event_properties"] = more
    return event


def _type(name: str, *, identifies: bool) -> str:
    """The event's name; one that Amplitude keeps for itself could change other people's profiles."""
    if not name:
        return UNNAMED
    if identifies:
        return "$identify"
    return (f"event_{name}" if name.startswith(("$", "[Amplitude]")) else name)[:LONGEST_VALUE]


def _named(name: str) -> str:
    return TOLD_APART + name if name in _PROPERTIES or name.startswith("$") else name
