"""What a site tells us by response headers (SPEC 7), read as structured fields (RFC 9651, Display Strings too).

Rule: garbage is absence: a field that does not parse says nothing, and the others still speak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import http_sf

from consent_mw.core.event import Value

EVENTS_HEARD = 20
"""Events that one answer may report."""


@dataclass(frozen=True, slots=True)
class Instructions:
    """What an app said. `identify` maps user_id, name and email to text; `events` are names with properties."""

    identify: dict[str, str] | None = None
    events: tuple[tuple[str, dict[str, Value]], ...] = ()
    minor: bool = False
    erase: bool = False


def read_instructions(headers: Sequence[tuple[bytes, bytes]]) -> Instructions:
    """What these response headers tell us; fields of one name are joined as one list (RFC 9651 4.2)."""
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        fields.setdefault(name.lower(), []).append(value)
    return Instructions(
        identify=_identify(fields.get(b"consent-identify", [])),
        events=_events(fields.get(b"consent-event", [])),
        minor=_flag(fields.get(b"consent-minor", [])),
        erase=_flag(fields.get(b"consent-erase", [])),
    )


def _identify(values: Sequence[bytes]) -> dict[str, str] | None:
    parsed = _parsed(b", ".join(values), "dictionary") if values else None
    if not isinstance(parsed, dict):
        return None
    said = {name: _plain(_bare(parsed[name])) for name in ("user_id", "name", "email") if name in parsed}
    told = {name: str(value) for name, value in said.items() if _tells(value)}
    return told or None


def _tells(value: Value) -> bool:
    """Whether this is a text or a whole number; a boolean is an int to Python, and no one's id."""
    return value != "" and isinstance(value, (str, int)) and not isinstance(value, bool)


def _events(values: Sequence[bytes]) -> tuple[tuple[str, dict[str, Value]], ...]:
    """Each field by itself, so that one broken field does not silence the others."""
    events: list[tuple[str, dict[str, Value]]] = []
    for value in values:
        for member in _list(value):
            bare = _bare(member)
            name = None if isinstance(bare, datetime) else _plain(bare)
            if isinstance(name, str) and name:
                parameters = member[1] if isinstance(member, tuple) and isinstance(member[1], dict) else {}
                events.append((name, {str(key): _plain(one) for key, one in parameters.items()}))
    return tuple(events[:EVENTS_HEARD])


def _flag(values: Sequence[bytes]) -> bool:
    return any(_bare(_parsed(value, "item")) is True for value in values)


def _parsed(value: bytes, kind: str) -> object:
    try:
        parsed: object = http_sf.parse(value, tltype=kind)
    except (ValueError, OverflowError, OSError):
        return None
    return parsed


def _list(value: bytes) -> list[object]:
    parsed = _parsed(value, "list")
    return parsed if isinstance(parsed, list) else []


def _bare(item: object) -> object:
    """The bare item of an item with parameters; None for an inner list."""
    return item[0] if isinstance(item, tuple) and not isinstance(item[0], list) else None


def _plain(value: object) -> Value:
    """A bare item as the value of a property; a byte sequence is none."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return None if isinstance(value, (bytes, bytearray)) else str(value)
