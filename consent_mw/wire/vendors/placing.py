"""What encoders share in placing permitted fields: addresses, ids, pages, properties, and bodies within a limit.

Rule: a place of the vendor's own is filled from its field only; a property of the same name is told apart from it.
Rule: an id that stands for nobody is no id: vendors merge all who have it into one person, or turn it away.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode

from consent_mw.core.event import Value
from consent_mw.wire.vendors.terms import as_json, members

NO_ADDRESS = "0.0.0.0"  # noqa: S104  a marker to derive nothing from, not an address to listen on
ADDRESS = ("ip", "ip_truncated")
"""The fields that can stand where a vendor keeps the address; the first that is permitted does."""

NOBODY = frozenset(
    {
        "", "0", "-1", "00000000-0000-0000-0000-000000000000", "[]", "{}", "[object object]", "n/a", "na", "nan",
        "nil", "null", "none", "undefined", "unknown", "false", "true", "anon", "anonymous", "guest", "id",
        "distinctid", "distinct_id", "not_authenticated", "email", "lmy47d",
    }
)  # fmt: skip
"""What Mixpanel, Amplitude and PostHog say they take for no id, in lower case."""

TOLD_APART = "prop_"
"""Goes before the name of a property that the vendor has taken for something else."""

_DAY = 86_400


def bounded(content: object, limit: int) -> bytes:
    """The content as JSON. Raises ValueError where it is larger than the vendor takes, so that fewer are sent."""
    body = as_json(content)
    if len(body) > limit:
        raise ValueError(f"{len(body)} bytes are more than the {limit} that this vendor takes")
    return body


def address(fields: Mapping[str, Value]) -> str:
    """The address that may be told, whole or truncated; empty where none may."""
    for name in ADDRESS:
        try:
            return str(ipaddress.ip_address(str(fields[name])))
        except (KeyError, ValueError):
            continue
    return ""


def identity(fields: Mapping[str, Value], field: str, longest: int = 200) -> str:
    """The visitor's or user's id; empty where none may be told. One that is too long is replaced by its digest."""
    value = shown(fields.get(field))
    if value.strip().lower() in NOBODY:
        return ""
    return value if len(value.encode()) <= longest else sha256(value.encode()).hexdigest()


def uuid_of(event_id: str) -> str:
    """The event's id as a UUID, the same for the same event."""
    if re.fullmatch(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", event_id):
        return str(uuid.UUID(event_id))
    return str(uuid.uuid5(uuid.NAMESPACE_OID, event_id))


def page(fields: Mapping[str, Value], origin: str) -> str:
    """The page's URL, or as much of one as the path alone makes, and the parameters of its query that are permitted;
    empty where none of them is."""
    query = {name: shown(value) for name, value in members(fields, "query").items()}
    url = shown(fields.get("page_url"))
    if url:
        there = {name for name, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True)}
        return extended(url, {name: value for name, value in query.items() if name not in there})
    path = shown(fields.get("page_path"))
    if not path and not query:
        return ""
    return extended(origin + ("" if path.startswith("/") else "/") + path, query)


def referrer(fields: Mapping[str, Value]) -> str:
    """The referrer's URL, or one of its host alone; empty where neither is permitted."""
    if "referrer_url" in fields:
        return shown(fields["referrer_url"])
    host = shown(fields.get("referrer_host"))
    return f"https://{host}/" if host else ""


def subdivision(fields: Mapping[str, Value]) -> str:
    """The region as ISO 3166-2 writes it, after its country where that is permitted."""
    region, country = shown(fields.get("region")), shown(fields.get("country"))
    return f"{country}-{region}" if region and country and "-" not in region else region


def within_country(fields: Mapping[str, Value]) -> str:
    """The region without its country before it."""
    return re.sub(r"\A[A-Z]{2}-", "", shown(fields.get("region")))


def placed(fields: Mapping[str, Value], places: Mapping[str, str]) -> dict[str, Value]:
    """The permitted ones of these fields by the names that the vendor has for them."""
    return {name: fields[field] for field, name in places.items() if field in fields}


def properties(
    fields: Mapping[str, Value], places: Mapping[str, str], named: Callable[[str], str] = str
) -> dict[str, Value]:
    """Fields by the names of these places, then `query.*` (`utm_*` as they are, others as `query_NAME`) and
    `props.*`. `named` makes of an event's own name one that the vendor takes, and that means nothing else to it."""
    found = placed(fields, places)
    for name, value in members(fields, "query").items():
        _add(found, named(name if name.startswith("utm_") else f"query_{name}"), value, named)
    for name, value in members(fields, "props").items():
        _add(found, named(name), value, named)
    return found


def shown(value: Value) -> str:
    """The value as text; None as none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def cut(value: Value, longest: int) -> Value:
    """The value, a text no longer than this many characters."""
    return value[:longest] if isinstance(value, str) else value


def versioned(fields: Mapping[str, Value], places: Mapping[str, str]) -> dict[str, Value]:
    """Browser and system (`Chrome 120`) by these names, and their major versions by these names and `_version`."""
    found: dict[str, Value] = {}
    for field, name in places.items():
        family, _, version = shown(fields.get(field)).rpartition(" ")
        if not (family and version[:1].isdigit()):
            family, version = shown(fields.get(field)), ""
        found |= {key: value for key, value in ((name, family), (f"{name}_version", version)) if value}
    return found


def extended(url: str, parameters: Mapping[str, str]) -> str:
    """The URL with these parameters; those that are empty are left out."""
    told = urlencode({name: value for name, value in parameters.items() if value})
    if not told:
        return url
    return url + ("&" if "?" in url else "?") + told


def today(now: float) -> float:
    """The beginning of the day, for a vendor that must have a time where none may be told."""
    return now // _DAY * _DAY


def _add(found: dict[str, Value], name: str, value: Value, named: Callable[[str], str]) -> None:
    found.setdefault(name if name not in found else named(TOLD_APART + name), value)
