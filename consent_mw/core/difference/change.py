"""The values that a comparison of two policies is told with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from consent_mw.core.policy import Jurisdiction
from consent_mw.errors import Place


class Direction(StrEnum):
    """Which way a change goes: more may happen, less may happen, or neither."""

    LAXER = "laxer"
    STRICTER = "stricter"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs. `sort` is the kind of rule (`purpose`, `cookie`, `setting`, …), `name` which one;
    `regions` are ISO 3166 codes, `unknown` for an address that nobody can locate, and none for a change that holds
    for everyone; `when` are the conditions it is bound to (`answer`, `dnt`, `gpc`, `minor`)."""

    sort: str
    name: str
    before: str
    after: str
    direction: Direction
    regions: frozenset[str] = frozenset()
    when: Mapping[str, str] = field(default_factory=dict)
    was: Place | None = None
    now: Place | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The regions that are in one jurisdiction before and in one after."""

    before: Jurisdiction
    after: Jurisdiction
    regions: frozenset[str]


def by_amount(before: float, after: float) -> Direction:
    """Of two amounts of which more is laxer."""
    if before == after:
        return Direction.NEITHER
    return Direction.LAXER if after > before else Direction.STRICTER


def lasting(seconds: int | None) -> str:
    """A duration as a policy file writes it."""
    if seconds is None:
        return "as set"
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
