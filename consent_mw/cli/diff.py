"""`diff`: what another policy would change, per country, signal and purpose.

Rule: exit 0 where nothing differs, 1 where anything does, 2 where a policy cannot be read.
Rule: a change to a laxer rule is named as such, and stands first.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Collection, Iterator, Sequence

import click

from consent_mw.cli.explain import policy_of
from consent_mw.core.difference import Change, Direction, compare
from consent_mw.core.difference.places import every_region
from consent_mw.core.policy import Policy
from consent_mw.core.regions import named_regions

WIDTH = 110

_SAID = {"none": "without an answer", "yes": "after a yes", "no": "after a no"}
_SIGNS = {
    ("dnt", "true"): "with DNT",
    ("dnt", "false"): "without DNT",
    ("gpc", "true"): "with GPC",
    ("gpc", "false"): "without GPC",
    ("minor", "true"): "for a minor",
    ("minor", "false"): "",  # nearly everyone
}


@click.command("diff")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
def command(before: str, after: str, form: str) -> int:
    """Tell what the policy B does otherwise than the policy A (files, or built-in profiles)."""
    was, now = policy_of(before), policy_of(after)
    changes = compare(was, now)
    if form == "json":
        click.echo(json.dumps(_values(was, now, changes), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(was, now, changes)))
    return int(bool(changes))


def _values(was: Policy, now: Policy, changes: Sequence[Change]) -> dict[str, object]:
    return {
        "before": {"file": was.file, "revision": was.revision},
        "after": {"file": now.file, "revision": now.revision},
        "changes": [_change(one) for one in changes],
        **{one.value: sum(each.direction is one for each in changes) for one in Direction},
    }


def _change(one: Change) -> dict[str, object]:
    return {
        "direction": one.direction.value,
        "kind": one.sort,
        "name": one.name,
        "before": one.before,
        "after": one.after,
        "regions": sorted(one.regions),
        "when": dict(one.when),
        "was": {"file": one.was.file, "line": one.was.line} if one.was is not None else None,
        "now": {"file": one.now.file, "line": one.now.line} if one.now is not None else None,
    }


def _lines(was: Policy, now: Policy, changes: Sequence[Change]) -> Iterator[str]:
    yield f"{was.file}, revision {was.revision} -> {now.file}, revision {now.revision}"
    if not changes:
        yield "nothing differs"
        return
    among = every_region(was, now)
    for direction in Direction:
        chosen = [one for one in changes if one.direction is direction]
        if chosen:
            yield ""
            yield f"{direction.value}:" if direction is not Direction.NEITHER else "neither laxer nor stricter:"
        for one in chosen:
            yield from _told(one, among)
    counts = [f"{sum(one.direction is each for one in changes)} {each.value}" for each in Direction]
    yield ""
    yield f"{len(changes)} change{'s' * (len(changes) != 1)}: {', '.join(counts)}"


def _told(one: Change, among: Collection[str]) -> Iterator[str]:
    said = [_SAID[one.when["answer"]]] if "answer" in one.when else []
    said += [_SIGNS[name, value] for name, value in one.when.items() if name != "answer"]
    when = ", ".join(filter(None, said))
    head = f"  {one.sort} {one.name}{f', {when}' if when else ''}: {one.before} -> {one.after}"
    yield from textwrap.wrap(head, WIDTH, subsequent_indent="      ")
    if one.regions:
        where = named_regions(one.regions, among)
        told = where if where.startswith("everywhere") else f"in {where}"
        yield from textwrap.wrap(told, WIDTH, initial_indent="      ", subsequent_indent="      ")
    places = [f"{place.file}:{place.line}" for place in (one.was, one.now) if place is not None]
    if places:
        yield f"      {' -> '.join(dict.fromkeys(places))}"
