"""Permits: which fields of one event one vendor may get.

Rule: allow-list only; a field that the vendor is not given does not reach its encoder.
Rule: what looks like personal data in a free-form field is masked before it is permitted, numbers included.
Rule: what JSON in UTF-8 cannot say (NaN, half of a surrogate pair, a list) does not leave.
Rule: no decision, no permit: an unknown vendor or a denied purpose gets a Refusal.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from consent_mw.core.decision import Decision
from consent_mw.core.event import Event, Value
from consent_mw.core.policy import Vendor
from consent_mw.core.redaction import mask
from consent_mw.core.terms import EventKind, Reason

FREE_FORM = frozenset({"event", "page_path", "page_url", "referrer_host", "referrer_url", "title"})
"""Fields whose value is anybody's text; `query.*` and `props.*` are as well."""

LONGEST_NAME = 80
"""Characters that the name of a property or parameter may have to leave."""

LONGEST_NUMBER = 30
"""Digits that an integer may have to leave; writing a longer one would be work for nothing."""


class Permit(NamedTuple):
    """The fields one vendor may get of one event. `fields` maps field names (`page_path`, `props.plan`, …) to
    values, `event` and `time` included where they are permitted; `masked` are the kinds of what was masked in them. A
    tuple, since one is made of every event that is sent."""

    vendor: str
    event_id: str
    kind: EventKind
    fields: Mapping[str, Value]
    masked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a vendor gets nothing of one event."""

    vendor: str
    purpose: str
    reason: Reason


def permit(event: Event, decision: Decision, vendor: Vendor) -> Permit | Refusal:
    """What this vendor may get of this event under this decision."""
    listed = permitted(decision, vendor)
    if not listed:
        verdict = decision.verdict(vendor.purpose)
        reason = verdict.reason if verdict is not None else Reason.OPT_IN_DEFAULT
        return Refusal(vendor.name, vendor.purpose, reason)
    fields: dict[str, Value] = {}
    masked: tuple[str, ...] = ()
    for name, value in _candidates(event, listed):
        fields[name], found = leaving(name, value)
        masked += found
    return Permit(vendor.name, event.id, event.kind, fields, masked)


def permitted(decision: Decision, vendor: Vendor) -> tuple[str, ...]:
    """The fields that this vendor may get under this decision; none where its purpose is denied."""
    return decision.fields.get(vendor.name, ()) if decision.allows(vendor.purpose) else ()


def leaving(name: str, value: Value) -> tuple[Value, tuple[str, ...]]:
    """The value of a permitted field as it leaves, and the kinds of what was masked in it; the value must be one that
    can be written."""
    written = _written(value)
    return _masked(written) if _free_form(name) else (written, ())


def narrow(fields: Mapping[str, Value], listed: Collection[str]) -> dict[str, Value]:
    """The fields that this list still names: a permit can only shrink."""
    return {name: value for name, value in fields.items() if listed_field(name, listed)}


def listed_field(name: str, listed: Collection[str]) -> bool:
    """Whether this list names the field, by itself or by its family (`props.*`)."""
    family, dot, _ = name.partition(".")
    return name in listed or (bool(dot) and f"{family}.*" in listed)


def listed_as(name: str, listed: Collection[str]) -> str:
    """What this list calls a field that it names: by itself, or by its family (`props.*`)."""
    return name if name in listed or "." not in name else f"{name.partition('.')[0]}.*"


def _candidates(event: Event, listed: Sequence[str]) -> Iterator[tuple[str, Value]]:
    """What the event has of the listed fields and can be written."""
    known: dict[str, Value] = {"event": event.name, "time": event.time, **event.values}
    for name, value in known.items():
        if name in listed and value != "" and _writable(value):
            yield name, value
    for family, members in (("query", event.query), ("props", event.props)):
        for key, value in members.items():
            name = f"{family}.{key}"
            if listed_field(name, listed) and _is_name(key) and _writable(value):
                yield name, value


def _is_name(key: str) -> bool:
    """Whether a name that an event brought along may leave: it is anybody's text too."""
    return 0 < len(key) <= LONGEST_NAME and _written(key) == key and not mask(key)[1]


def _writable(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, (str, bool)) or (isinstance(value, int) and abs(value) < 10**LONGEST_NUMBER)


def _written(value: Value) -> Value:
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-8", "replace").decode("utf-8")


def _masked(value: Value) -> tuple[Value, tuple[str, ...]]:
    """The value as it may leave, and the kinds of what was masked in it; a number that is a card is one too."""
    if isinstance(value, str):
        return mask(value)
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    shown, found = mask(str(whole))
    return (shown, found) if found else (value, ())


def _free_form(name: str) -> bool:
    return name in FREE_FORM or name.startswith(("query.", "props."))
