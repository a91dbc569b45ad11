"""Shapes: how the events of one set of fields are written, worked out once.

Rule: what an event looks like is said once, by the kind's own `build`; a shape is what that makes of marks, with the
      values put where the marks were.
Rule: the number of shapes that are remembered has a bound, since names of properties are anybody's text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, Final

from consent_mw.core.event import Value
from consent_mw.core.permit import Permit
from consent_mw.core.terms import EventKind
from consent_mw.wire.vendors.terms import as_json, event_time, iso

SHAPES_KEPT: Final = 512

_AS_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

Build = Callable[[Permit, str | None], Mapping[str, object]]
"""Makes the object of a permit; the text is when it happened as RFC 3339, where that may be said."""

_ID: Final = 0
_WHEN: Final = 1
"""What stands beside the fields in an event; no field has a number for its name."""

Slots = tuple[str | int, ...]

_LATE: Final = 1e10
"""Seconds since 1970 beyond which microseconds are not exact in a float."""


class Shapes:
    """Writes permits as JSON objects."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._known: dict[tuple[EventKind, bool, tuple[str, ...]], tuple[str, Slots]] = {}

    def written(self, permit: Permit) -> str:
        """This permit as a JSON object. Raises ValueError for what JSON cannot say."""
        fields = permit.fields
        when = _said(fields)
        key = (permit.kind, when is None, tuple(fields))
        shape = self._known.get(key)
        if shape is None:
            shape = self._learn(key, permit)
        pattern, slots = shape
        told: dict[Any, Value] = {**fields, _ID: permit.event_id, _WHEN: when}
        values: Iterable[Any] = map(told.__getitem__, slots)
        try:
            return pattern % tuple(map(encode_basestring, values))
        except TypeError:  # not all of them are text
            return pattern % tuple([_written(told[slot]) for slot in slots])

    def _learn(self, key: tuple[EventKind, bool, tuple[str, ...]], permit: Permit) -> tuple[str, Slots]:
        """The text of such an event with a place for each value, and which value stands in which place."""
        kind, untimed, names = key
        slots: Slots = (*names, _ID, _WHEN)
        mark = "~"
        # A mark must not stand in what is written for ever, the names of properties included.
        plain = as_json(self._build(permit, None)).decode() + "".join(names)
        while mark in plain:
            mark += "~"
        marked: dict[str | int, Value] = {slot: f"{mark}{number}!" for number, slot in enumerate(slots)}
        when = None if untimed else str(marked[_WHEN])
        fields = {name: marked[name] for name in names}
        text = as_json(self._build(Permit(permit.vendor, str(marked[_ID]), kind, fields), when)).decode()
        found = re.compile(f'"{re.escape(mark)}([0-9]+)!"')
        shape = (
            found.sub("%s", text.replace("%", "%%")),
            tuple(slots[int(one)] for one in found.findall(text)),
        )
        if len(self._known) >= SHAPES_KEPT:
            self._known.clear()
        self._known[key] = shape
        return shape


def _written(value: Value) -> str:
    return encode_basestring(value) if isinstance(value, str) else _AS_JSON(value)


def _said(fields: Mapping[str, Value]) -> str | None:
    when = fields.get("time")
    if not isinstance(when, float) or not 0.0 <= when < _LATE:
        when = event_time(fields)
        return None if when is None else iso(when)
    second, micros = divmod(round(when * 1_000_000), 1_000_000)
    return f"{_second(second)}.{micros // 1000:03d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
