"""`inventory`: what report mode saw on live traffic, and what enforcing the policy would have done with it.

Rule: reads what the store holds and changes nothing in it; it may be run while others write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby

import click

from consent_mw.core.inventory import Item, totals
from consent_mw.world.store import read_inventory

_HEADS = {
    "cookie": "cookies that browsers sent",
    "set-cookie": "cookies that the site set",
    "identifier": "the identifier, on pages of visitors without one",
    "vendor": "page views, by vendor",
    "banner": "what pages would have shown, by jurisdiction",
}


@click.command("inventory")
@click.option("--store", default="sqlite:///consent.db", show_default=True, help="Where the inventory is kept.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
def command(store: str, form: str) -> int:
    """Show what report mode saw, by name, and what would have been done with it."""
    found = totals(read_inventory(store))
    if form == "json":
        click.echo(json.dumps({"inventory": as_json(found)}, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(found)))
    return 0


def as_json(items: Sequence[Item]) -> list[dict[str, object]]:
    """The items as JSON values."""
    return [{"kind": one.sort, "name": one.name, "fate": one.fate, "count": one.number} for one in items]


def _lines(items: Sequence[Item]) -> Iterator[str]:
    if not items:
        yield 'nothing was counted: the inventory is of traffic in report mode (`mode = "report"`)'
        return
    for sort, group in groupby(items, lambda one: one.sort):
        found = list(group)
        width = max(len(one.name) for one in found)
        yield f"{_HEADS[sort]}:"
        yield from (f"    {one.name:<{width}}  {one.number:>9,}  {one.fate}" for one in found)
