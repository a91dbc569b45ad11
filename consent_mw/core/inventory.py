"""The inventory: what report mode saw on live traffic, by name, and what enforcing would have done with it.

Rule: names and numbers only: of a cookie its rule, or its name where no rule names it; never a value.
Rule: a name that looks like personal data, or one more than there is room for, is counted under OTHER.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

OTHER: Final = "(other)"
"""What stands for the names that are not kept apart."""

UNLISTED: Final = ", no rule names it"
"""How the fate ends of a cookie that the policy does not know."""

NAMES_KEPT: Final = 1000
"""Names of one sort that are kept apart on one day."""


class Sort(StrEnum):
    """What an item of the inventory is."""

    COOKIE = "cookie"
    SET_COOKIE = "set-cookie"
    IDENTIFIER = "identifier"
    VENDOR = "vendor"
    BANNER = "banner"


class Item(NamedTuple):
    """How often, on one day (since 1970), a thing of this name would have met this fate. A tuple, since it travels
    between processes."""

    day: int
    sort: str
    name: str
    fate: str
    number: int


def totals(items: Sequence[Item]) -> tuple[Item, ...]:
    """The items of all days together (day 0), by sort and name, the most frequent fate first."""
    counted: dict[tuple[str, str, str], int] = {}
    for one in items:
        key = (one.sort, one.name, one.fate)
        counted[key] = counted.get(key, 0) + one.number
    made = (Item(0, *key, number) for key, number in counted.items())
    order = [one.value for one in Sort]
    return tuple(sorted(made, key=lambda one: (order.index(one.sort), one.name, -one.number, one.fate)))
