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
    """Something that happened. `name` and `props` are the reporter's; the rest is filled in when it is emitted: `id`
    (unique), `time` (seconds since 1970), `values` (simple fields of SPEC 2 to text, without `event` and `time`) and
    `query` (named parameters of the page)."""

    name: str
    props: Mapping[str, Value] = field(default_factory=dict)
    kind: EventKind = EventKind.TRACK
    values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    time: float = 0.0
