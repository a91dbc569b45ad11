"""Events: something that happened and could be reported.

Rule: an event holds only the values that somebody may be permitted to get; it is never stored as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from consent_mw.core.terms import EventKind

Value = str | int | float | bool | None
"""What one property of an event may hold."""

PAGE_VIEW = "page_view"
"""The name of the event that a visit to a page makes."""

IDENTIFY = "identify"
"""The name of the event that identifying a visitor makes."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `time` is in seconds since 1970. `values` maps simple fields (SPEC 2, without
    `event` and `time`) to text; `query` and `props` hold the named parameters and properties. `id` is unique."""

    id: str
    name: str
    time: float
    kind: EventKind = EventKind.TRACK
    values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    props: Mapping[str, Value] = field(default_factory=dict)
