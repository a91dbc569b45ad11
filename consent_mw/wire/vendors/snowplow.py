"""Snowplow: the tracker protocol's POST, `payload_data` 1-0-4: text values only and no key that the schema lacks.

Rule: `SP-Anonymous` is always there, so that the collector reads neither the sender's address nor a cookie; an
      address that is permitted is in the payload, which counts before the collector's own.
Rule: what the protocol has no key for goes into one context of the operator's own schema (`context_schema`), where
      the policy names one, and nowhere else.
Rule: no `gdpr` context: it must say on which basis data is processed, and a permit does not say that.

| Field | Where it goes |
|---|---|
| `event` | `e`: `pv` for a page view, else `se` with `se_ac` its name and `se_ca` |
| `time` | `dtm` |
| `visitor_id`, `user_id` | `duid`, `uid` |
| `ip`, `ip_truncated` | `ip` |
| `user_agent`, `language` | `ua`, `lang` |
| `page_url`, `page_path`, `query.*` | `url` (where `page_url` is not permitted, made of the path) |
| `referrer_url`, `referrer_host` | `refr` |
| `title` | `page` |
| `props.category` `props.label` `props.property` `props.value` | `se_ca` `se_la` `se_pr` `se_va` of an event |
| `browser` `os` `device` `country` `region` `city` `name` `email`, other `props` | the context, else not carried |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consent_mw.core.event import Value
from consent_mw.core.permit import Permit
from consent_mw.core.policy import Vendor
from consent_mw.core.terms import EventKind, Outcome
from consent_mw.wire.vendors.placing import address, bounded, cut, page, placed, referrer, shown, uuid_of
from consent_mw.wire.vendors.terms import UNNAMED, OutgoingRequest, VendorAnswer, as_json, event_time, members
from consent_mw.wire.vendors.verdicts import again, alike

PAYLOAD = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
CONTEXTS = "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-1"
LARGEST_BODY = 190_000
"""Bytes; a collector that writes to SQS takes no more than 192 kB, others ten times that."""

NEVER_AGAIN = frozenset({400, 401, 403, 410, 422})
"""What Snowplow's own trackers do not send again; anything else but a success they do."""

LONGEST = 1000
LONGEST_URL = 4096

_TEXTS = {"user_id": "uid", "visitor_id": "duid", "user_agent": "ua", "language": "lang", "title": "page"}
_EVENT = {"props.category": "se_ca", "props.label": "se_la", "props.property": "se_pr", "props.value": "se_va"}
_CONTEXT = {name: name for name in ("browser", "os", "device", "country", "region", "city", "name", "email")}


class SnowplowEncoder:
    """Writes payloads. Its pipelines de-duplicate by `eid`."""

    batch_limit = 50
    dedupes = True

    def __init__(self, vendor: Vendor, key: str, source: str) -> None:
        self._url = vendor.endpoint
        self._origin = source
        self._app = vendor.options.get("app_id", "")
        self._schema = vendor.options.get("context_schema", "")

    def encode(self, batch: Sequence[Permit], now: float) -> OutgoingRequest:
        """The request that delivers these permits. Raises ValueError where it is larger than a collector takes."""
        body = {"schema": PAYLOAD, "data": [self._payload(permit, now) for permit in batch]}
        headers = (("content-type", "application/json; charset=utf-8"), ("sp-anonymous", "*"))
        return OutgoingRequest("POST", self._url, headers, bounded(body, LARGEST_BODY))

    def answers(
        self, status: int, headers: Mapping[str, str], body: bytes, batch: Sequence[Permit], now: float
    ) -> list[VendorAnswer]:
        """What this status means for the whole batch; a collector tells nothing of single events."""
        if 200 <= status < 300:
            return alike(batch, Outcome.ACCEPTED)
        if status in NEVER_AGAIN:
            return alike(batch, Outcome.REJECTED)
        return again(batch, headers, now)

    def _payload(self, permit: Permit, now: float) -> dict[str, str]:
        fields = permit.fields
        payload = {"tv": "consent_mw", "p": "srv", "aid": self._app, "eid": uuid_of(permit.event_id)}
        payload["stm"] = str(int(now * 1000))
        when = event_time(fields)
        if when is not None:
            payload["dtm"] = str(int(when * 1000))
        payload |= {name: shown(cut(value, LONGEST)) for name, value in placed(fields, _TEXTS).items()}
        payload |= {"ip": address(fields), "refr": referrer(fields)[:LONGEST_URL]}
        payload["url"] = page(fields, self._origin)[:LONGEST_URL]
        payload |= _event(permit)
        context = self._context(permit)
        if context:
            content = {"schema": CONTEXTS, "data": [{"schema": self._schema, "data": context}]}
            payload["co"] = as_json(content).decode()
        return {name: value for name, value in payload.items() if value}

    def _context(self, permit: Permit) -> dict[str, Value]:
        if not self._schema:
            return {}
        used = _EVENT if _is_structured(permit) else {}
        props = {
            name: value for name, value in members(permit.fields, "props").items() if f"props.{name}" not in used
        }
        return {**props, **placed(permit.fields, _CONTEXT)}


def _is_structured(permit: Permit) -> bool:
    return permit.kind is not EventKind.PAGE_VIEW or not shown(permit.fields.get("event"))


def _event(permit: Permit) -> dict[str, str]:
    """A page view, or a structured event; its category and action are required."""
    if not _is_structured(permit):
        return {"e": "pv"}
    told = {name: shown(cut(value, LONGEST)) for name, value in placed(permit.fields, _EVENT).items()}
    value = permit.fields.get("props.value")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        told.pop("se_va", None)
    name = shown(permit.fields.get("event"))[:LONGEST] or UNNAMED
    return {"e": "se", "se_ac": name, **told, "se_ca": told.get("se_ca") or UNNAMED}
