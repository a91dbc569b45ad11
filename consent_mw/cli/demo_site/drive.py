"""The drive: many visits over real sockets, then what they came to, per jurisdiction, counted at both ends.

Rule: every figure is counted at a socket: of the browser, of the site, or of the vendor.
Rule: what may pass is asked of the policy itself, for each page of each visitor; what passed beyond it fails the drive.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import click

from consent_mw.cli.demo_site.people import Persona, crowd
from consent_mw.cli.demo_site.servers import Receiver, Shop
from consent_mw.cli.demo_site.visits import Asked, Seen, visit
from consent_mw.core.consent import NO_CONSENT, choose
from consent_mw.core.decision import Decision, decide
from consent_mw.core.facts import Facts
from consent_mw.core.policy import Policy
from consent_mw.core.whereabouts import settle
from consent_mw.world.geo import Locator

VISITORS_AT_ONCE = 8
OURS = ("__Host-vid", "__Host-consent")
"""Cookies that are between the browser and the sidecar alone."""

SIGNS_IN = 5
"""Every so many visitors one signs in."""

SHOWN = 20
"""Problems that are told one by one."""

Visits = list[tuple[Persona, Seen]]


@dataclass(slots=True)
class Row:
    """What the visits of one jurisdiction came to."""

    visits: int = 0
    identifiers: int = 0
    dropped_up: int = 0
    dropped_down: int = 0
    events: int = 0
    left: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Tally:
    """The rows by jurisdiction, for each path its jurisdiction and the fields that may leave, and every problem."""

    rows: dict[str, Row] = field(default_factory=dict)
    permits: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def drive(number: int, site: str, receiver: Receiver, shop: Shop, policy: Policy) -> int:
    """Drive so many visits; print the table. 1 where something passed that was not permitted."""
    where = urlsplit(site)
    host, port = where.hostname or "127.0.0.1", where.port or 80

    def go(person: Persona) -> tuple[Persona, Seen]:
        pages = (f"/guides/{person.key}/first", f"/guides/{person.key}/second")
        sign_in = "" if int(person.key) % SIGNS_IN else f"/login/{person.key}"
        return person, visit(host, port, person, pages, sign_in)

    began = time.monotonic()
    with ThreadPoolExecutor(VISITORS_AT_ONCE) as pool:
        visits = list(pool.map(go, crowd(number)))
    took = time.monotonic() - began
    arrived = _settle(receiver)
    tally = Tally()
    _count(visits, shop, policy, tally)
    _take_in(receiver, tally)
    click.echo(_table(tally.rows))
    click.echo(f"\n{number} visits in {took:.1f} s; {arrived} events reached the vendor")
    for problem in tally.problems[:SHOWN]:
        click.echo(f"consent-mw: {problem}", err=True)
    if tally.problems:
        click.echo(f"consent-mw: {len(tally.problems)} problems", err=True)
        return 1
    click.echo("no cookie and no field passed beyond what the policy permits")
    return 0


def _settle(receiver: Receiver) -> int:
    """Wait until nothing more arrives; how many events did."""
    before, quiet, until = -1, 0, time.monotonic() + 60
    while quiet < 6 and time.monotonic() < until:
        now = len(receiver.fields_by_event())
        quiet = quiet + 1 if now == before else 0
        before = now
        time.sleep(0.25)
    return before


def _count(visits: Visits, shop: Shop, policy: Policy, tally: Tally) -> None:
    """Count what passed at the sockets of browser and site, and hold each page to the policy's own decision."""
    locator = Locator(policy.geo.databases)
    for person, seen in visits:
        before, after = (_decision(person, answer, locator, policy) for answer in ("", person.chooses))
        name = before.jurisdiction.name
        row = tally.rows.setdefault(name, Row())
        row.visits += 1
        row.identifiers += seen.identifier
        if seen.state.get("jurisdiction") != name:
            tally.problems.append(f"visitor {person.key} is in {name}, but was told {seen.state.get('jurisdiction')}")
        for asked in seen.asked:
            if asked.status >= 400:
                tally.problems.append(f"{asked.path} of visitor {person.key} was answered with {asked.status}")
            if not asked.path.startswith("/_consent/"):
                _compare(asked, after if asked.answered else before, shop, row, tally)


def _compare(asked: Asked, decision: Decision, shop: Shop, row: Row, tally: Tally) -> None:
    """What the browser sent and the site got, what the site set and the browser got, in one exchange."""
    reached, offered = shop.logged(asked.number)
    own = decision.jurisdiction.name
    tally.permits[asked.path] = own, frozenset(name for fields in decision.fields.values() for name in fields)
    row.dropped_up += len(set(asked.sent) - set(reached) - set(OURS))
    row.dropped_down += len(set(offered) - set(asked.got))
    for cookie in _forbidden(reached, decision):
        tally.problems.append(f"cookie {cookie} reached the site at {asked.path}, in {own}, without a permit")
    for cookie in _forbidden((one for one in asked.got if one not in OURS), decision):
        tally.problems.append(f"cookie {cookie} reached the browser at {asked.path}, in {own}, without a permit")


def _forbidden(names: Iterable[str], decision: Decision) -> list[str]:
    rules = ((one, decision.policy.cookie_rule(one)) for one in names)
    return [one for one, rule in rules if rule is None or not decision.allows(rule.purpose)]


def _decision(person: Persona, answer: str, locator: Locator, policy: Policy) -> Decision:
    """What the policy says of this person after this answer, asked without a server."""
    place = settle(locator.locate(ipaddress.ip_address(person.address)), True, policy)
    now = int(time.time())
    consent = NO_CONSENT
    if answer:
        chosen = dict.fromkeys((one.name for one in policy.optional_purposes), answer == "accept")
        consent = choose(consent, chosen, policy, place.jurisdiction, now)
    sent = dict(person.signals)
    dnt, gpc = "DNT" in sent or None, "Sec-GPC" in sent
    return decide(Facts(place.jurisdiction, now, place.whereabouts, "", dnt, gpc, consent), policy)


def _take_in(receiver: Receiver, tally: Tally) -> None:
    """Add what arrived to the rows, by the page that each event names; what is not permitted there is a problem."""
    for path, names in receiver.fields_by_event().values():
        own, permitted = tally.permits.get(path, ("", frozenset()))
        if not own:
            tally.problems.append(f"an event of `{path}` arrived, where nobody visited")
            continue
        row = tally.rows[own]
        row.events += 1
        row.left |= names
        if names - permitted:
            tally.problems.append(f"{', '.join(sorted(names - permitted))} left {own} from {path} without a permit")


def _table(rows: dict[str, Row]) -> str:
    """The rows for people: figures in columns, then the fields that left."""
    head = (
        "jurisdiction",
        "visits",
        "identifiers",
        "cookies dropped",
        "cookies dropped",
        "events",
        "fields that left",
    )
    lines: list[tuple[str, ...]] = [head, ("", "", "set", "to the site", "to the browser", "", "")]
    for name, row in sorted(rows.items()):
        figures = (row.visits, row.identifiers, row.dropped_up, row.dropped_down, row.events)
        lines.append((name, *(str(one) for one in figures), ", ".join(sorted(row.left)) or "none"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )
