"""Mixpanel: its import endpoint, in strict mode, as JSON.

Rule: `ip` is always there: the address if it is permitted, else 0, since Mixpanel looks up the sender's place where
      none is given; and `distinct_id` is always there, if need be empty, since it makes one of the sender's address.
Rule: a batch of which some is wrong is answered 400 and the rest of it is kept: what is named failed, once.
Rule: no property begins with `$` or `mp_` and none is called as Mixpanel calls its own but those written here.

| Field | Where it goes |
|---|---|
| `event` | `event` |
| `time` | `time`, in milliseconds (else the day of sending: it must have one, and de-duplicates by it) |
| `visitor_id`, `user_id` | `distinct_id` (the user's where both are), `$device_id`, `$user_id` |
| `ip`, `ip_truncated` | `ip`; Mixpanel looks the place up and keeps only that |
| `browser` `os` `device` | `$browser` `$os` `$device` |
| `country` `region` `city` | `mp_country_code` `$region` `$city` |
| `page_url` `referrer_url` `referrer_host` | `$current_url` `$referrer` `$referring_domain` |
| `name`, `email` | `$name`, `$email`, of the event, not of a profile |
| `page_path` `title` `user_agent` `language`, `query.*`, `props.*` | properties |
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

from consent_mw.core.event import Value
from consent_mw.core.permit import Permit
from consent_mw.core.policy import Vendor
from consent_mw.core.terms import Outcome
from consent_mw.wire.vendors.placing import (
    TOLD_APART,
    address,
    bounded,
    cut,
    extended,
    identity,
    properties,
    shown,
    today,
    versioned,
)
from consent_mw.wire.vendors.terms import UNNAMED, OutgoingRequest, VendorAnswer, event_time, may_try_again
from consent_mw.wire.vendors.verdicts import again, alike, answered, count, indices

LARGEST_BODY = 2_000_000
"""Bytes; 10 MB are documented today, 2 MB in older pages."""

PROPERTIES = 254
LONGEST_VALUE = 255

_PROPERTIES = {
    "device": "$device",
    "country": "mp_country_code",
    "region": "$region",
    "city": "$city",
    "page_url": "$current_url",
    "page_path": "page_path",
    "referrer_url": "$referrer",
    "referrer_host": "$referring_domain",
    "title": "title",
    "user_agent": "user_agent",
    "language": "language",
    "name": "$name",
    "email": "$email",
}
_VERSIONED = {"browser": "$browser", "os": "$os"}
_TAKEN = frozenset({"token", "time", "distinct_id", "ip", "length", "bucket", *_PROPERTIES.values()})
_INSERT_ID = re.compile(r"[A-Za-z0-9-]{1,36}")


class MixpanelEncoder:
    """Writes imports. It de-duplicates by event, time, `distinct_id` and `$insert_id`, and takes 2000 events; we
    send fewer, since writing them holds up what runs beside."""

    batch_limit = 200
    dedupes = True

    def __init__(self, vendor: Vendor, key: str, source: str) -> None:
        self._url = extended(vendor.endpoint, {"strict": "1", "project_id": vendor.options.get("project_id", "")})
        # A service account is `name:secret`, a project's token has no password.
        user = key if ":" in key else f"{key}:"
        self._authorization = "Basic " + base64.b64encode(user.encode()).decode("ascii")

    def encode(self, batch: Sequence[Permit], now: float) -> OutgoingRequest:
        """The request that delivers these permits. Raises ValueError where it is larger than Mixpanel takes."""
        headers = (("content-type", "application/json"), ("authorization", self._authorization))
        body = bounded([_event(permit, now) for permit in batch], LARGEST_BODY)
        return OutgoingRequest("POST", self._url, headers, body)

    def answers(
        self, status: int, headers: Mapping[str, str], body: bytes, batch: Sequence[Permit], now: float
    ) -> list[VendorAnswer]:
        """What this answer means; a 400 that names what failed has taken all else."""
        if 200 <= status < 300:
            return alike(batch, Outcome.ACCEPTED)
        if status == 400:
            return _partly(answered(body), batch)
        if may_try_again(status):
            return again(batch, headers, now)
        return alike(batch, Outcome.REJECTED)


def _partly(told: Mapping[str, object], batch: Sequence[Permit]) -> list[VendorAnswer]:
    records = told.get("failed_records")
    rows = [one for one in records if isinstance(one, dict)] if isinstance(records, list) else []
    failed = indices([one.get("index") for one in rows], batch)
    if not failed:
        return alike(batch, Outcome.REJECTED)
    if count(told.get("num_records_imported")) == 0:
        failed = set(range(len(batch)))
    bad = VendorAnswer(Outcome.REJECTED, named=True)
    return [bad if at in failed else VendorAnswer(Outcome.ACCEPTED) for at in range(len(batch))]


def _event(permit: Permit, now: float) -> dict[str, object]:
    fields = permit.fields
    visitor, user = identity(fields, "visitor_id", LONGEST_VALUE), identity(fields, "user_id", LONGEST_VALUE)
    when = event_time(fields)
    more: dict[str, Value] = {
        "time": int((today(now) if when is None else when) * 1000),
        "distinct_id": user or visitor,
        "$insert_id": _insert_id(permit.event_id),
        "ip": address(fields) or 0,
    }
    more |= versioned(fields, _VERSIONED)
    if visitor:
        more["$device_id"] = visitor
    if user:
        more["$user_id"] = user
    for name, value in properties(fields, _PROPERTIES, _named).items():
        if len(more) < PROPERTIES:
            more.setdefault(name, cut(value, LONGEST_VALUE))
    return {"event": _name(shown(fields.get("event"))), "properties": more}


def _name(name: str) -> str:
    """The event's name; one that begins with `$` could merge people."""
    plain = f"event_{name}" if name.startswith("$") else name
    return plain[:LONGEST_VALUE] or UNNAMED


def _named(name: str) -> str:
    return TOLD_APART + name if name.startswith(("$", "mp_")) or name in _TAKEN else name


def _insert_id(event_id: str) -> str:
    return event_id if _INSERT_ID.fullmatch(event_id) else sha256(event_id.encode()).hexdigest()[:36]
