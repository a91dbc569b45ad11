"""The drive: many visits over real sockets, then what they came to, per jurisdiction, counted at both ends.

Rule: every figure is counted at a socket: of the browser, of the site, or of the vendor.
Rule: every cookie that passed and every event that arrived is held against the state that its own visitor was told
just before; one outside it, an event that no visit made, or a visit without its page makes the drive fail.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, sleep

import click

from consent_mw.cli.demo_site.people import Persona, crowd
from consent_mw.cli.demo_site.receiver import Arrived, Receiver
from consent_mw.cli.demo_site.shop import Shop
from consent_mw.cli.demo_site.visits import Step, Visit, VisitFailedError, Visitors
from consent_mw.core.policy import Policy

VISITORS_AT_ONCE = 8
QUIET_FOR = 2.0
"""Seconds without a new event after which no more is waited for."""

WAIT_AT_MOST = 120.0
FIELDS_WIDTH = 60

HEAD = (
    ("jurisdiction", "visits", "identifiers", "cookies dropped", "cookies dropped", "events", "fields that left"),
    ("", "", "set", "to the site", "to the browser", "arrived", ""),
)


@dataclass(slots=True)
class Row:
    """What the visits of one jurisdiction came to; `left` counts each field in the events that arrived."""

    visits: int = 0
    identifiers: int = 0
    to_site: int = 0
    to_browser: int = 0
    events: int = 0
    left: Counter[str] = field(default_factory=Counter)


def drive(number: int, policy: Policy, site: str, receiver: Receiver, shop: Shop) -> int:
    """Drive so many visits and print what they came to; 1 where something happened that was not permitted."""
    began = monotonic()
    visits, problems = _visit_all(Visitors(site, shop), crowd(number))
    took = monotonic() - began
    _wait_for_the_last(receiver)
    arrived = receiver.arrived()
    rows, more = tally(visits, arrived, policy)
    problems += more
    countries = {str(visit.state["country"]) for visit in visits}
    click.echo(table(rows))
    click.echo(f"\n{number} visits from {len(countries)} countries in {took:.1f} s; {len(arrived)} events arrived")
    for problem in problems:
        click.echo(f"consent-mw: {problem}", err=True)
    if not problems:
        click.echo("No field arrived, and no cookie passed, that its visitor's state did not permit.")
    return 1 if problems else 0


def tally(visits: Sequence[Visit], arrived: Iterable[Arrived], policy: Policy) -> tuple[dict[str, Row], list[str]]:
    """The row of each jurisdiction, and a sentence for all that must not have happened."""
    rows: dict[str, Row] = {}
    made: dict[str, Step] = {}
    failed = 0
    passed: Counter[str] = Counter()
    for visit in visits:
        name = str(visit.state["jurisdiction"])
        row = rows.setdefault(name, Row())
        row.visits += 1
        row.identifiers += any(step.identified for step in visit.steps)
        row.to_site += sum(len(step.dropped_to_site) for step in visit.steps)
        row.to_browser += sum(len(step.dropped_to_browser) for step in visit.steps)
        failed += any(step.status not in (200, 303) or step.reached is None for step in visit.steps)
        passed.update(one for step in visit.steps for one in step.passed if not _may_pass(one, step, policy))
        made.update({step.path: step for step in visit.steps})
    problems = [f"{failed} visits did not get their page"] if failed else []
    problems += [f"cookie `{one}` passed {count} times without a permit" for one, count in sorted(passed.items())]
    return rows, problems + _hold_against(made, arrived, rows)


def table(rows: dict[str, Row]) -> str:
    """The rows as text, one jurisdiction each, the fields with how often each arrived."""
    lines: list[tuple[str, ...]] = list(HEAD)
    for name, row in sorted(rows.items()):
        told = ", ".join(f"{one}\N{NO-BREAK SPACE}{count}" for one, count in row.left.most_common()) or "none"
        first, *more = (one.replace("\N{NO-BREAK SPACE}", " ") for one in textwrap.wrap(told, FIELDS_WIDTH))
        figures = (row.visits, row.identifiers, row.to_site, row.to_browser, row.events)
        lines.append((name, *(str(one) for one in figures), first))
        lines += [("", "", "", "", "", "", rest) for rest in more]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )


def _visit_all(visitors: Visitors, people: Iterable[Persona]) -> tuple[list[Visit], list[str]]:
    """The visits that were made, and a sentence for those that were not."""
    failures: list[VisitFailedError] = []

    def attempt(person: Persona) -> Visit | None:
        try:
            return visitors.visit(person)
        except VisitFailedError as error:
            failures.append(error)
            return None

    pool = ThreadPoolExecutor(VISITORS_AT_ONCE)
    try:
        made = [visit for visit in pool.map(attempt, people) if visit is not None]
        return made, [f"{len(failures)} visits failed, such as: {failures[0]}"] if failures else []
    finally:
        pool.shutdown(cancel_futures=True)  # without it an interrupted drive would still make every visit


def _wait_for_the_last(receiver: Receiver) -> None:
    """Wait until nothing more arrives."""
    before, since, until = -1, monotonic(), monotonic() + WAIT_AT_MOST
    while monotonic() < until and monotonic() - since < QUIET_FOR:
        if receiver.total != before:
            before, since = receiver.total, monotonic()
        sleep(0.1)


def _may_pass(cookie: str, step: Step, policy: Policy) -> bool:
    rule = policy.cookie_rule(cookie)
    return rule is not None and bool(step.state["purposes"][rule.purpose]["allowed"])


def _hold_against(made: dict[str, Step], arrived: Iterable[Arrived], rows: dict[str, Row]) -> list[str]:
    stray = 0
    extra: Counter[tuple[str, str]] = Counter()
    for event in arrived:
        step = made.get(event.path)
        if step is None:
            stray += 1
            continue
        name = str(step.state["jurisdiction"])
        rows[name].events += 1
        rows[name].left.update(sorted(event.fields))
        extra.update((name, one) for one in event.fields - step.permitted)
    problems = [f"{stray} events arrived that no visit made"] if stray else []
    for (name, one), count in sorted(extra.items()):
        problems.append(f"in {name} the field `{one}` arrived {count} times without a permit")
    return problems
