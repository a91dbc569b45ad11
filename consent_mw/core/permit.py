"""Permits: which fields of one event one vendor may get.

Rule: allow-list only; a field that the vendor is not given does not reach its encoder.
Rule: what looks like personal data in a free-form field is masked before it is permitted.
Rule: no decision, no permit: an unknown vendor or a denied purpose gets a Refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from consent_mw.core.event import Value
from consent_mw.core.terms import EventKind, Reason


@dataclass(frozen=True, slots=True)
class Permit:
    """The fields one vendor may get of one event. `fields` maps field names (`page_path`, `props.plan`, …) to
    values, `event` and `time` included where they are permitted; `masked` counts what was masked in them."""

    vendor: str
    event_id: str
    kind: EventKind
    fields: Mapping[str, Value]
    masked: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a vendor gets nothing of one event."""

    vendor: str
    purpose: str
    reason: Reason
