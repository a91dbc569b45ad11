"""The drive: many visits over real sockets, then what they came to, per jurisdiction, counted at both ends.

Rule: every figure is counted at a socket: of the browser, of the site, or of the vendor.
Rule: a field that arrives without a permit makes the drive fail.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, sleep
from urllib.parse import urlsplit

import click

from consent_mw.cli.demo_site.people import Persona, crowd
from consent_mw.cli.demo_site.servers import Receiver, Shop
from consent_mw.cli.demo_site.visits import SENT_ALONG, Seen, visit

VISITORS_AT_ONCE = 8
SET_BY_THE_SITE = 3
"""Cookies that the shop sets on every page."""


@dataclass(slots=True)
class Row:
    """What the visits of one jurisdiction came to."""

    visits: int = 0
    identifiers: int = 0
    dropped_up: int = 0
    dropped_down: int = 0
    events: int = 0
    permitted: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)


def drive(number: int, site: str, receiver: Receiver, shop: Shop) -> int:
    """Drive so many visits; print the table. 1 where something left that was not permitted."""
    where = urlsplit(site)
    host, port = where.hostname or "127.0.0.1", where.port or 80
    began = monotonic()
    with ThreadPoolExecutor(VISITORS_AT_ONCE) as pool:
        visits = list(pool.map(lambda person: (person, visit(host, port, person)), crowd(number)))
    took = monotonic() - began
    expected = _settle(receiver)
    rows, countries = _count(visits, shop)
    problems = _take_in(rows, countries, receiver)
    click.echo(_table(rows))
    click.echo(f"\n{number} visits in {took:.1f} s; {expected} events reached the vendor")
    failed = [seen for _, seen in visits if seen.status != 200]
    if failed:
        problems.append(f"{len(failed)} visits did not get their page")
    for problem in problems:
        click.echo(f"consent-mw: {problem}", err=True)
    return 1 if problems else 0


def _settle(receiver: Receiver) -> int:
    """Wait until nothing more arrives; how many events did."""
    before, quiet, until = -1, 0, monotonic() + 60
    while quiet < 6 and monotonic() < until:
        with receiver.lock:
            now = receiver.total
        quiet = quiet + 1 if now == before else 0
        before = now
        sleep(0.25)
    return before


def _count(visits: list[tuple[Persona, Seen]], shop: Shop) -> tuple[dict[str, Row], dict[str, str]]:
    """A row for each jurisdiction, and which one each country was in."""
    rows: dict[str, Row] = {}
    countries: dict[str, str] = {}
    for person, seen in visits:
        name = str(seen.state["jurisdiction"])
        row = rows.setdefault(name, Row())
        row.visits += 1
        row.identifiers += seen.identifier
        kept = Counter(one for one in seen.set_names if one in ("csrf_token", "_ga", "mystery"))
        row.dropped_down += seen.pages * SET_BY_THE_SITE - kept.total()
        with shop.lock:
            reached = shop.heard.get(person.address, {}).get("cookie", "")
        row.dropped_up += sum(f"{cookie}=" not in reached for cookie in SENT_ALONG)
        row.permitted |= {name for fields in seen.state["vendors"].values() for name in fields}
        countries[str(seen.state["country"])] = name
    return rows, countries


def _take_in(rows: dict[str, Row], countries: dict[str, str], receiver: Receiver) -> list[str]:
    """Add what arrived to the rows, by the country that each event carries; what is not permitted is a problem."""
    problems: list[str] = []
    with receiver.lock:
        arrived = dict(receiver.by_country)
    for country, (number, names) in arrived.items():
        row = rows.get(countries.get(country, ""))
        if row is None:
            problems.append(f"{number} events arrived from `{country}`, where nobody visited from")
            continue
        row.events += number
        row.left |= names
    for name, row in rows.items():
        extra = row.left - row.permitted
        if extra:
            problems.append(f"in {name} these fields left without a permit: {', '.join(sorted(extra))}")
    return problems


def _table(rows: dict[str, Row]) -> str:
    head = (
        "jurisdiction",
        "visits",
        "identifiers",
        "cookies dropped",
        "cookies dropped",
        "events",
        "fields that left",
    )
    under = ("", "", "set", "to the site", "to the browser", "", "")
    lines: list[tuple[str, ...]] = [head, under]
    for name, row in sorted(rows.items()):
        fields = ", ".join(sorted(row.left)) or "none"
        figures = (row.visits, row.identifiers, row.dropped_up, row.dropped_down, row.events)
        lines.append((name, *(str(one) for one in figures), fields))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )
