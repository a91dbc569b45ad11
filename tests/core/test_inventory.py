"""The inventory tells names and numbers of all days together."""

from __future__ import annotations

from consent_mw.core.inventory import Item, totals


def test_days_are_added_up_and_the_most_frequent_fate_stands_first() -> None:
    items = [
        Item(1, "vendor", "v", "sent", 1),
        Item(1, "cookie", "b", "kept", 1),
        Item(1, "cookie", "a", "kept", 1),
        Item(2, "cookie", "a", "dropped", 5),
        Item(2, "cookie", "a", "kept", 2),
    ]
    assert totals(items) == (
        Item(0, "cookie", "a", "dropped", 5),
        Item(0, "cookie", "a", "kept", 3),
        Item(0, "cookie", "b", "kept", 1),
        Item(0, "vendor", "v", "sent", 1),
    )
