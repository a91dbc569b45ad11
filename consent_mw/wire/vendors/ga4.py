"""Google Analytics 4: the Measurement Protocol, one event a request, since a request is of one client.

Rule: both advertising consents are denied: what was permitted is this vendor's purpose and no other. Left out, GA
      would go by what it knows of the client from elsewhere.
Rule: an address goes as `ip_override` only if it is permitted; without it GA derives no place from a request.
Rule: names follow GA's grammar, and none of those that it keeps for itself is used; values are cut to its limits.
Rule: name and email leave as SHA-256 only, in GA's normal form.
Rule: GA answers 2xx whatever it was sent and has no key to de-duplicate by; the URL holds the secret, so it is
      never logged.

| Field | Where it goes |
|---|---|
| `event` | `name` (`page_view`, …) |
| `time` | `timestamp_micros` |
| `visitor_id` | `client_id`, as GA writes them: two numbers that are made of it |
| `user_id` | `user_id` |
| `ip`, `ip_truncated` | `ip_override` |
| `user_agent` | `user_agent` |
| `browser` `os` `device` `language` | `device` |
| `country` `region` `city` | `user_location` |
| `page_url` `referrer_url` `title` | parameters `page_location` `page_referrer` `page_title` |
| `page_path` `referrer_host` | parameters of these names |
| `name`, `email` | `user_data`, hashed |
| `query.*`, `props.*` | parameters |
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b, sha256

from consent_mw.core.event import Value
from consent_mw.core.permit import Permit
from consent_mw.core.policy import Vendor
from consent_mw.core.terms import Outcome
from consent_mw.wire.vendors.placing import (
    address,
    bounded,
    cut,
    extended,
    placed,
    properties,
    shown,
    subdivision,
    versioned,
)
from consent_mw.wire.vendors.terms import UNNAMED, OutgoingRequest, VendorAnswer, event_time
from consent_mw.wire.vendors.verdicts import UNREAD, again, alike, ambiguous

LARGEST_BODY = 129_000
PARAMETERS = 25
LONGEST_NAME = 40
LONGEST_VALUE = 100
LONGER = {"page_title": 300, "page_referrer": 420, "page_location": 1000}
SESSION = 1800
"""Seconds; two events of one client within the same half hour of the clock are one session."""

RESERVED = frozenset(
    {
        "ad_activeview", "ad_click", "ad_exposure", "ad_query", "ad_reward", "adunit_exposure", "app_clear_data",
        "app_exception", "app_install", "app_remove", "app_store_refund", "app_update", "app_upgrade", "error",
        "first_open", "first_visit", "os_update", "session_start", "user_engagement", "firebase_campaign",
    }
)  # fmt: skip
RESERVED_BEGINNINGS = ("dynamic_link_", "firebase_", "ga_", "google_", "gtag", "notification_", "_")
OUR_PARAMETERS = frozenset({"session_id", "engagement_time_msec", "debug_mode", "user_id", "client_id"})
"""Parameters with a meaning to GA that no property of an event may set."""

_PARAMETERS = {
    "page_url": "page_location",
    "referrer_url": "page_referrer",
    "title": "page_title",
    "page_path": "page_path",
    "referrer_host": "referrer_host",
}
_LOCATION = {"country": "country_id", "city": "city"}
_DEVICE = {"device": "category", "language": "language"}
_VERSIONED = {"os": "operating_system", "browser": "browser"}
_CLIENT_ID = re.compile(r"[1-9][0-9]{0,18}\.[1-9][0-9]{0,18}")


class Ga4Encoder:
    """Writes events of the Measurement Protocol. It cannot de-duplicate."""

    batch_limit = 1
    dedupes = False

    def __init__(self, vendor: Vendor, key: str, source: str) -> None:
        self._resend = vendor.resend
        options = vendor.options
        self._url = extended(
            vendor.endpoint, {"measurement_id": options.get("measurement_id", ""), "api_secret": key}
        )

    def encode(self, batch: Sequence[Permit], now: float) -> OutgoingRequest:
        """The request that delivers the one permit of this batch. Raises ValueError for more or none, and for what is
        larger than GA takes."""
        (permit,) = batch
        fields = permit.fields
        body: dict[str, object] = {"client_id": _client_id(permit)}
        if "user_id" in fields:
            body["user_id"] = cut(shown(fields["user_id"]), 256)
        body["consent"] = {"ad_user_data": "DENIED", "ad_personalization": "DENIED"}
        body |= {name: value for name, value in self._person(fields).items() if value}
        body["events"] = [_event(fields, now)]
        return OutgoingRequest(
            "POST", self._url, (("content-type", "application/json"),), bounded(body, LARGEST_BODY)
        )

    def answers(
        self, status: int, headers: Mapping[str, str], body: bytes, batch: Sequence[Permit], now: float
    ) -> list[VendorAnswer]:
        """A 2xx is all that GA ever says of an event that reached it; 408, 429 and 503 turned it away unread, any
        other 5xx may have taken it."""
        if 200 <= status < 300:
            return alike(batch, Outcome.ACCEPTED)
        if status in UNREAD:
            return again(batch, headers, now)
        if 500 <= status < 600:
            return ambiguous(batch, headers, now, resend=self._resend)
        return alike(batch, Outcome.REJECTED)

    def _person(self, fields: Mapping[str, Value]) -> dict[str, object]:
        return {
            "user_location": _location(fields),
            "ip_override": address(fields),
            "device": _device(fields),
            "user_agent": fields.get("user_agent", ""),
            "user_data": _user_data(fields),
        }


def _event(fields: Mapping[str, Value], now: float) -> dict[str, object]:
    event: dict[str, object] = {"name": _name(shown(fields.get("event")) or UNNAMED)}
    when = event_time(fields)
    if when is not None:
        event["timestamp_micros"] = int(when * 1_000_000)
    # Without these two an event never leaves GA's realtime report.
    session = int((now if when is None else when) // SESSION * SESSION)
    parameters: dict[str, Value] = {"session_id": str(session), "engagement_time_msec": 1}
    for name, value in properties(fields, _PARAMETERS, _parameter).items():
        if len(parameters) < PARAMETERS and value is not None:
            parameters[name] = _value(name, value)
    event["params"] = parameters
    return event


def _location(fields: Mapping[str, Value]) -> dict[str, Value]:
    found = placed(fields, _LOCATION)
    return found | ({"region_id": subdivision(fields)} if "region" in fields else {})


def _device(fields: Mapping[str, Value]) -> dict[str, Value]:
    return placed(fields, _DEVICE) | versioned(fields, _VERSIONED)


def _client_id(permit: Permit) -> str:
    """Two positive numbers joined by a period (GA4): the visitor's, else the user's, else of the event alone, which
    says nothing of the person."""
    for field in ("visitor_id", "user_id"):
        value = shown(permit.fields.get(field))
        if field == "visitor_id" and _CLIENT_ID.fullmatch(value):
            return value
        if value:
            return _numbers(f"{field}:{value}")
    return _numbers(permit.event_id)


def _numbers(text: str) -> str:
    digest = blake2b(text.encode(), digest_size=16).digest()
    first, second = (int.from_bytes(half, "big") % (2**62) + 1 for half in (digest[:8], digest[8:]))
    return f"{first}.{second}"


def _name(text: str) -> str:
    name = _spelled(text, "event_")
    return _spelled("event_" + name, "") if name in RESERVED or name.startswith(RESERVED_BEGINNINGS) else name


def _parameter(text: str) -> str:
    name = _spelled(text, "prop_")
    taken = name in OUR_PARAMETERS or name in _PARAMETERS.values() or name.startswith(RESERVED_BEGINNINGS)
    return _spelled("prop_" + name, "") if taken else name


def _spelled(text: str, before: str) -> str:
    """The text in GA's alphabet: letters, digits and `_`, a letter first, not more than 40."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", text)
    return (plain if plain[:1].isalpha() or plain.startswith("_") else before + plain)[:LONGEST_NAME]


def _value(name: str, value: Value) -> Value:
    if isinstance(value, bool):
        return shown(value)
    return cut(value, LONGER.get(name, LONGEST_VALUE))


def _user_data(fields: Mapping[str, Value]) -> dict[str, object]:
    """Email and name in GA's normal form, hashed."""
    found: dict[str, object] = {}
    email = shown(fields.get("email")).strip().lower()
    if email:
        local, _, domain = email.rpartition("@")
        if domain in ("gmail.com", "googlemail.com"):
            email = f"{local.replace('.', '')}@{domain}"
        found["sha256_email_address"] = [_hashed(email)]
    words = re.sub(r"[^\w\s]|[\d_]", "", shown(fields.get("name")).lower()).split()
    if words:
        told = {"sha256_first_name": _hashed(words[0])}
        if len(words) > 1:
            told["sha256_last_name"] = _hashed(words[-1])
        found["address"] = [told]
    return found


def _hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()
