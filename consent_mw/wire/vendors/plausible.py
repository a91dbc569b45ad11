"""Plausible: its events endpoint, one event a request, the visitor's address and agent by header.

Rule: `X-Forwarded-For` is always there: the address if it is permitted, else 0.0.0.0, since Plausible takes the
      sender's where none is given, counts all as one visitor and looks its place up.
Rule: of a visitor's text only what is printable ASCII goes into a header.
Rule: a 202 with `x-plausible-dropped` is no delivery, and there is no key to de-duplicate by.

| Field | Where it goes |
|---|---|
| `event` | `name` (`pageview`, else its name) |
| `ip`, `ip_truncated` | header `X-Forwarded-For` |
| `user_agent` | header `User-Agent` |
| `page_url`, `page_path`, `query.*` | `url` (where `page_url` is not permitted, made of the path) |
| `referrer_url`, `referrer_host` | `referrer` |
| `props.*`, then `title` `browser` `os` `device` `language` `country` `region` `city` | `props`, 30 at most |
| `time` `visitor_id` `user_id` `name` `email` | not carried: it takes the time of receipt and knows no persons |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consent_mw.core.event import Value
from consent_mw.core.permit import Permit
from consent_mw.core.policy import Vendor
from consent_mw.core.terms import EventKind, Outcome
from consent_mw.wire.vendors.placing import (
    NO_ADDRESS,
    TOLD_APART,
    address,
    bounded,
    cut,
    page,
    placed,
    referrer,
    shown,
)
from consent_mw.wire.vendors.terms import UNNAMED, OutgoingRequest, VendorAnswer, members
from consent_mw.wire.vendors.verdicts import UNREAD, again, alike, ambiguous

LARGEST_BODY = 100_000
PROPERTIES = 30
LONGEST_KEY = 300
LONGEST_VALUE = 2000
"""Bytes of a property's key and value."""

LONGEST_URL = 2000
LONGEST_NAME = 120
LONGEST_AGENT = 1000

_PLAIN = {name: name for name in ("title", "browser", "os", "device", "language", "country", "region", "city")}


class PlausibleEncoder:
    """Writes single events. It cannot de-duplicate."""

    batch_limit = 1
    dedupes = False

    def __init__(self, vendor: Vendor, key: str, source: str) -> None:
        self._url = vendor.endpoint
        self._resend = vendor.resend
        self._domain = vendor.options.get("domain", "")
        self._origin = f"https://{self._domain.partition(',')[0].strip()}"

    def encode(self, batch: Sequence[Permit], now: float) -> OutgoingRequest:
        """The request that delivers the one permit of this batch. Raises ValueError for more or none."""
        (permit,) = batch
        fields = permit.fields
        body: dict[str, object] = {
            "domain": self._domain,
            "name": _name(permit),
            "url": cut(page(fields, self._origin) or self._origin + "/", LONGEST_URL),
        }
        came_from = referrer(fields)
        if came_from:
            body["referrer"] = cut(came_from, LONGEST_URL)
        props = _props(fields)
        if props:
            body["props"] = props
        headers = [("content-type", "application/json"), ("x-forwarded-for", address(fields) or NO_ADDRESS)]
        agent = _printable(shown(fields.get("user_agent")))
        if agent:
            headers.append(("user-agent", agent))
        return OutgoingRequest("POST", self._url, tuple(headers), bounded(body, LARGEST_BODY))

    def answers(
        self, status: int, headers: Mapping[str, str], body: bytes, batch: Sequence[Permit], now: float
    ) -> list[VendorAnswer]:
        """A 2xx, unless a header says that it was dropped. 408, 429 and 503 turned it away unread, any other
        5xx may have counted it."""
        if 200 <= status < 300:
            dropped = headers.get("x-plausible-dropped", "").strip() not in ("", "0")
            return alike(batch, Outcome.DROPPED if dropped else Outcome.ACCEPTED)
        if status in UNREAD:
            return again(batch, headers, now)
        if 500 <= status < 600:
            return ambiguous(batch, headers, now, resend=self._resend)
        return alike(batch, Outcome.REJECTED)


def _name(permit: Permit) -> str:
    name = shown(permit.fields.get("event")).strip()
    if not name:
        return UNNAMED
    if permit.kind is EventKind.PAGE_VIEW:
        return "pageview"
    # An event of this name would be counted as a visit to a page.
    return f"event_{name}" if name == "pageview" else name[:LONGEST_NAME]


def _props(fields: Mapping[str, Value]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in members(fields, "props").items():
        key = TOLD_APART + name if name in _PLAIN else name
        found.setdefault(_bytes(key, LONGEST_KEY), _bytes(shown(value), LONGEST_VALUE))
    for name, value in placed(fields, _PLAIN).items():
        found[name] = _bytes(shown(value), LONGEST_VALUE)
    return dict(list(found.items())[:PROPERTIES])


def _bytes(text: str, longest: int) -> str:
    return text.encode()[:longest].decode("utf-8", "ignore")


def _printable(text: str) -> str:
    return "".join(char for char in text[:LONGEST_AGENT] if " " <= char <= "~").strip()
