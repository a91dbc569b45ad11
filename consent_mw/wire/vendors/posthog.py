"""PostHog: its batch endpoint, or its newer one where the policy's endpoint ends in `/i/v1/analytics/events`.

Rule: `$ip` is always there and never empty, since PostHog puts the sender's address where it is; places come from
      fields alone, so `$geoip_disable` is always true, also where an address is permitted.
Rule: a profile is kept only where something that identifies is permitted: a user id, a name, an email.
Rule: no event and no property begins with `$` but those written here: an app's could merge people, or pass for a
      field.
Rule: `/batch/` answers 200 also for what it drops later; the newer endpoint tells of each event.

| Field | Where it goes |
|---|---|
| `event` | `event` (`$pageview`, `$identify`, else its name) |
| `time` | `timestamp` |
| `visitor_id`, `user_id` | `distinct_id` (the user's where both are); `$device_id` |
| `ip`, `ip_truncated` | `$ip` |
| `user_agent` | `$raw_user_agent` |
| `browser` `os` `device` `language` | `$browser` `$os` `$device_type` `$browser_language` |
| `country` `region` `city` | `$geoip_country_code` `$geoip_subdivision_1_code` `$geoip_city_name` |
| `page_url` `page_path` `title` | `$current_url` `$pathname` `title` |
| `referrer_url` `referrer_host` | `$referrer` `$referring_domain` |
| `name`, `email` | `$set` |
| `query.*`, `props.*` | properties |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from consent_mw.core.permit import Permit
from consent_mw.core.policy import Vendor
from consent_mw.core.terms import EventKind, Outcome
from consent_mw.wire.vendors.placing import (
    NO_ADDRESS,
    TOLD_APART,
    address,
    bounded,
    identity,
    placed,
    properties,
    shown,
    uuid_of,
    versioned,
    within_country,
)
from consent_mw.wire.vendors.terms import UNNAMED, OutgoingRequest, VendorAnswer, event_time, iso, may_try_again
from consent_mw.wire.vendors.verdicts import again, alike, answered

NEWER = "/i/v1/analytics/events"
LARGEST_BODY = 5_000_000
ALSO_AGAIN = frozenset({404})
"""What PostHog's own library sends again to the newer endpoint: a proxy before it may not know it for a while."""

RESULTS = {
    "ok": VendorAnswer(Outcome.ACCEPTED),
    "warning": VendorAnswer(Outcome.ACCEPTED),
    "drop": VendorAnswer(Outcome.DROPPED, named=True),
    "retry": VendorAnswer(None),
}

_PROPERTIES = {
    "user_agent": "$raw_user_agent",
    "device": "$device_type",
    "language": "$browser_language",
    "country": "$geoip_country_code",
    "city": "$geoip_city_name",
    "page_url": "$current_url",
    "page_path": "$pathname",
    "referrer_url": "$referrer",
    "referrer_host": "$referring_domain",
    "title": "title",
}
_VERSIONED = {"browser": "$browser", "os": "$os"}
_TAKEN = frozenset({"title", "token", "distinct_id"})
_KINDS = {EventKind.PAGE_VIEW: "$pageview", EventKind.IDENTIFY: "$identify"}
_PROFILE = {"name": "name", "email": "email"}


class PosthogEncoder:
    """Writes PostHog's batches. It de-duplicates by `uuid`."""

    batch_limit = 100
    dedupes = True

    def __init__(self, vendor: Vendor, key: str, source: str) -> None:
        self._url = vendor.endpoint
        self._key = key
        self._newer = urlsplit(vendor.endpoint).path.rstrip("/").endswith(NEWER)

    def encode(self, batch: Sequence[Permit], now: float) -> OutgoingRequest:
        """The request that delivers these permits. Raises ValueError where it is larger than PostHog takes."""
        events = [_event(permit, now, newer=self._newer) for permit in batch]
        headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
        if not self._newer:
            body = {"api_key": self._key, "batch": events, "sent_at": iso(now)}
            return OutgoingRequest("POST", self._url, headers, bounded(body, LARGEST_BODY))
        headers += (
            ("authorization", f"Bearer {self._key}"),
            ("posthog-sdk-info", "consent_mw"),
            ("posthog-attempt", "1"),
            ("posthog-request-id", uuid_of("".join(permit.event_id for permit in batch) + f"@{now}")),
            ("posthog-request-timestamp", iso(now)),
        )
        body = {"created_at": iso(now), "batch": events}
        return OutgoingRequest("POST", self._url, headers, bounded(body, LARGEST_BODY))

    def answers(
        self, status: int, headers: Mapping[str, str], body: bytes, batch: Sequence[Permit], now: float
    ) -> list[VendorAnswer]:
        """What this answer means: for the batch, or with the newer endpoint for each event of it."""
        if 200 <= status < 300:
            return _results(body, batch) if self._newer else _batch_result(body, batch)
        if may_try_again(status) or (self._newer and status in ALSO_AGAIN):
            return again(batch, headers, now)
        return alike(batch, Outcome.REJECTED)


def _batch_result(body: bytes, batch: Sequence[Permit]) -> list[VendorAnswer]:
    limited = answered(body).get("quota_limited")
    over = isinstance(limited, list) and bool({"events", "analytics"} & {str(one) for one in limited})
    return alike(batch, Outcome.DROPPED if over else Outcome.ACCEPTED)


def _results(body: bytes, batch: Sequence[Permit]) -> list[VendorAnswer]:
    """What is told of each event; one that nothing is told of may have arrived or not."""
    told = answered(body).get("results")
    results = told if isinstance(told, dict) else {}
    answers: list[VendorAnswer] = []
    for permit in batch:
        one = results.get(uuid_of(permit.event_id))
        word = one.get("result") if isinstance(one, dict) else None
        known = RESULTS.get(word) if isinstance(word, str) else None
        answers.append(known or VendorAnswer(Outcome.UNKNOWN))
    return answers


def _event(permit: Permit, now: float, *, newer: bool) -> dict[str, object]:
    fields = permit.fields
    visitor, user = identity(fields, "visitor_id"), identity(fields, "user_id")
    identified = any(name in fields for name in ("user_id", *_PROFILE))
    more: dict[str, object] = dict(properties(fields, _PROPERTIES, _named))
    more |= {"$ip": address(fields) or NO_ADDRESS, "$geoip_disable": True}
    more |= versioned(fields, _VERSIONED)
    if "region" in fields:
        more["$geoip_subdivision_1_code"] = within_country(fields)
    if visitor:
        more["$device_id"] = visitor
    if user and visitor and permit.kind is EventKind.IDENTIFY and "event" in fields:
        more["$anon_distinct_id"] = visitor
    profile = placed(fields, _PROFILE)
    if profile:
        more["$set"] = profile
    event: dict[str, object] = {
        "event": _name(permit),
        "uuid": uuid_of(permit.event_id),
        # The event's own id says nothing of the person.
        "distinct_id": user or visitor or permit.event_id,
        "properties": more,
    }
    when = event_time(fields)
    if newer:
        event["options"] = {"process_person_profile": identified}
        event["timestamp"] = iso(now if when is None else when)
        return event
    more["$process_person_profile"] = identified
    if when is not None:
        event["timestamp"] = iso(when)
    return event


def _name(permit: Permit) -> str:
    name = shown(permit.fields.get("event"))
    if not name:
        return UNNAMED
    return _KINDS.get(permit.kind) or ("event_" + name if name.startswith("$") else name)


def _named(name: str) -> str:
    return TOLD_APART + name if name.startswith("$") or name in _TAKEN else name
