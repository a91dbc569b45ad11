"""Matomo: bulk requests of its HTTP tracking API, chronological, the token in the body and never in a URL.

Rule: with a token `cip` is always there: the address if it is permitted, else 0.0.0.0, since Matomo takes the
      sender's where none is given and looks places up by it. Without one it takes no address and no place from us.
Rule: a request without an address has a visitor's id, if need be the event's own: Matomo makes one visitor of all
      that have neither.
Rule: Matomo has no key to de-duplicate by, so what it may have recorded is not sent again.

| Field | Where it goes |
|---|---|
| `event` | a page view, or an event: `e_a` its name, `e_c` |
| `time` | `cdt` (past a day only with a token) |
| `visitor_id` | `_id` and `cid`, 16 hexadecimal digits that are made of it |
| `user_id` | `uid` |
| `ip`, `ip_truncated` | `cip`, with a token |
| `user_agent`, `language` | `ua`, `lang` |
| `country` `region` `city` | `country` `region` `city`, with a token |
| `page_url`, `page_path`, `query.*` | `url` (where `page_url` is not permitted, made of the path) |
| `referrer_url`, `referrer_host` | `urlref` |
| `title` | `action_name` |
| `props.category` `props.label` `props.value` `props.dimensionN` | `e_c` `e_n` `e_v` of an event, `dimensionN` |
| `browser` `os` `device` `name` `email`, other `props` | not carried |
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from urllib.parse import urlencode

from consent_mw.core.event import Value
from consent_mw.core.permit import Permit
from consent_mw.core.policy import Vendor
from consent_mw.core.terms import EventKind, Outcome
from consent_mw.wire.vendors.placing import NO_ADDRESS, address, bounded, page, referrer, shown, within_country
from consent_mw.wire.vendors.terms import UNNAMED, OutgoingRequest, VendorAnswer, event_time
from consent_mw.wire.vendors.verdicts import UNREAD, again, alike, ambiguous, answered, count, indices

LARGEST_BODY = 1_000_000
WITHOUT_TOKEN = 86_000.0
"""Seconds that a time may lie back without a token; a little under Matomo's day, since the clocks differ."""

_HEX = re.compile(r"[0-9a-fA-F]{16}")
_DIMENSION = re.compile(r"props\.(dimension[1-9][0-9]{0,2})")


class MatomoEncoder:
    """Writes bulk tracking requests. It cannot de-duplicate."""

    batch_limit = 50
    dedupes = False

    def __init__(self, vendor: Vendor, key: str, source: str) -> None:
        self._url = vendor.endpoint
        self._resend = vendor.resend
        self._token = key
        self._site = vendor.options.get("site_id", "")
        self._origin = source

    def encode(self, batch: Sequence[Permit], now: float) -> OutgoingRequest:
        """The request that delivers these permits. Raises ValueError where it is larger than Matomo takes."""
        body: dict[str, object] = {"requests": ["?" + urlencode(self._request(permit, now)) for permit in batch]}
        if self._token:
            body["token_auth"] = self._token
        return OutgoingRequest(
            "POST", self._url, (("content-type", "application/json"),), bounded(body, LARGEST_BODY)
        )

    def answers(
        self, status: int, headers: Mapping[str, str], body: bytes, batch: Sequence[Permit], now: float
    ) -> list[VendorAnswer]:
        """What this answer means: how many of the batch are invalid, and with a token which. 429 and 503 turned it
        away unread, any other 5xx may have recorded some of it."""
        if 200 <= status < 300 or status == 400:
            return _bulk(status, answered(body), batch)
        if status in UNREAD:
            return again(batch, headers, now)
        if 500 <= status < 600:
            return ambiguous(batch, headers, now, resend=self._resend)
        return alike(batch, Outcome.REJECTED)

    def _request(self, permit: Permit, now: float) -> dict[str, str]:
        fields = permit.fields
        where = address(fields) if self._token else ""
        visitor = (
            shown(fields.get("visitor_id")) or shown(fields.get("user_id")) or ("" if where else permit.event_id)
        )
        request = {"idsite": self._site, "rec": "1", "apiv": "1", "send_image": "0", "_id": _hex(visitor)}
        request["cid"] = request["_id"]
        request["url"] = page(fields, self._origin)
        request["urlref"] = referrer(fields)
        for field, name in (("title", "action_name"), ("user_id", "uid"), ("user_agent", "ua"), ("language", "lang")):
            request[name] = shown(fields.get(field))
        request |= _action(permit)
        when = event_time(fields)
        if when is not None and (self._token or now - when < WITHOUT_TOKEN):
            request["cdt"] = str(int(when))
        if self._token:
            request |= {"cip": where or NO_ADDRESS, **_place(fields)}
        return {name: value for name, value in request.items() if value}


def _action(permit: Permit) -> dict[str, str]:
    """What the visitor did: a view of a page, or an event with a category, an action, a name and a value."""
    fields = permit.fields
    name = shown(fields.get("event")).strip()
    found = {place[1]: shown(value) for field, value in fields.items() if (place := _DIMENSION.fullmatch(field))}
    if name and permit.kind is EventKind.PAGE_VIEW:
        return found
    found |= {"ca": "1", "e_a": name or UNNAMED, "e_c": shown(fields.get("props.category")).strip() or UNNAMED}
    found["e_n"] = shown(fields.get("props.label"))
    value = fields.get("props.value")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        found["e_v"] = str(value)
    return found


def _place(fields: Mapping[str, Value]) -> dict[str, str]:
    """The place as Matomo spells it: the country in lower case, of the region what follows the country."""
    return {
        "country": shown(fields.get("country")).lower(),
        "region": within_country(fields),
        "city": shown(fields.get("city")),
    }


def _hex(text: str) -> str:
    """The id as Matomo writes them; none of none."""
    if not text:
        return ""
    return text.lower() if _HEX.fullmatch(text) else sha256(text.encode()).hexdigest()[:16]


def _bulk(status: int, told: Mapping[str, object], batch: Sequence[Permit]) -> list[VendorAnswer]:
    invalid, tracked = count(told.get("invalid")), count(told.get("tracked"))
    if status == 400 and invalid is None:
        return alike(batch, Outcome.REJECTED)
    named = indices(told.get("invalid_indices"), batch)
    if named:
        bad = VendorAnswer(Outcome.REJECTED, named=True)
        return [bad if at in named else VendorAnswer(Outcome.ACCEPTED) for at in range(len(batch))]
    if not invalid:
        whole = told.get("status") == "success" or tracked == len(batch) or not told
        return alike(batch, Outcome.ACCEPTED if whole and status != 400 else Outcome.UNKNOWN)
    if invalid >= len(batch):
        return [VendorAnswer(Outcome.REJECTED, named=True)] * len(batch)
    # Some were recorded and some were not, and Matomo tells which only to who has a token.
    return alike(batch, Outcome.UNKNOWN)
