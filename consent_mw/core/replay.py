"""Replay: recorded visits decided by a policy, and what another one would have changed, in numbers.

Rule: visits are counted by the few values that a decision takes; nothing of a single visitor is kept.
Rule: both policies are asked by the code that decides for visitors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from consent_mw.core.consent import NO_CONSENT, Consent
from consent_mw.core.decision import Decision, decide
from consent_mw.core.facts import Facts
from consent_mw.core.permit import listed_field
from consent_mw.core.policy import DAY, Policy
from consent_mw.core.terms import Whereabouts
from consent_mw.core.whereabouts import Location, Settled, settle


@dataclass(frozen=True, slots=True)
class Sort:
    """What visits are told apart by. `locations` are what the databases said of the address, and `readable` whether
    there was one; `jurisdiction` is a name that the log has instead; `answers` with `day` and `revision` are what a
    consent cookie held, its time cut to the day."""

    locations: tuple[Location, ...] = ()
    readable: bool = True
    jurisdiction: str = ""
    dnt: bool | None = None
    gpc: bool = False
    answers: tuple[tuple[str, bool], ...] = ()
    day: int = 0
    revision: str = ""
    minor: bool = False


@dataclass(slots=True)
class Tally:
    """What one policy decides for counted visits. `purposes` count verdicts by (purpose, allowed, reason), `vendors`
    the visits of which each gets something, `banners` what pages show, `lost` those whose jurisdiction the policy
    does not define."""

    visits: int = 0
    lost: int = 0
    jurisdictions: Counter[str] = field(default_factory=Counter)
    countries: Counter[str] = field(default_factory=Counter)
    purposes: Counter[tuple[str, bool, str]] = field(default_factory=Counter)
    vendors: Counter[str] = field(default_factory=Counter)
    banners: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Changed:
    """A way in which visits change: what of them (`purpose analytics`, `vendor segment: ip`), from what to what, and
    how many by country."""

    what: str
    before: str
    after: str
    visits: int
    countries: Mapping[str, int]


def tally(counted: Mapping[Sort, int], policy: Policy, now: int) -> Tally:
    """What this policy decides for the visits that were counted."""
    told = Tally()
    for sort, number in counted.items():
        decision = decision_of(sort, policy, now)
        told.visits += number
        if decision is None:
            told.lost += number
            continue
        told.jurisdictions[decision.jurisdiction.name] += number
        told.countries[country_of(sort)] += number
        for verdict in decision.verdicts:
            told.purposes[verdict.purpose, verdict.allowed, verdict.reason.value] += number
        for vendor, fields in decision.fields.items():
            told.vendors[vendor] += number if fields else 0
        told.banners["ask" if decision.ask else "notice" if decision.notice else "none"] += number
    return told


def compare(counted: Mapping[Sort, int], before: Policy, after: Policy, now: int) -> tuple[int, tuple[Changed, ...]]:
    """How many visits the second policy decides otherwise, and in which ways, the most frequent first."""
    ways: dict[tuple[str, str, str], Counter[str]] = {}
    changed = 0
    for sort, number in counted.items():
        found = list(_ways(decision_of(sort, before, now), decision_of(sort, after, now)))
        changed += number if found else 0
        for way in found:
            ways.setdefault(way, Counter())[country_of(sort)] += number
    told = [Changed(*way, countries.total(), dict(countries.most_common())) for way, countries in ways.items()]
    return changed, tuple(sorted(told, key=lambda one: (-one.visits, one.what, one.before)))


def decision_of(sort: Sort, policy: Policy, now: int) -> Decision | None:
    """The decision for visits of this sort; None where the policy does not define their jurisdiction."""
    settled = _settled(sort, policy)
    if settled is None:
        return None
    consent = NO_CONSENT
    if sort.answers or sort.minor:
        consent = Consent(dict(sort.answers), sort.day * DAY, sort.revision, "", sort.revision, sort.minor)
    facts = Facts(
        settled.jurisdiction, now, settled.whereabouts, dnt=sort.dnt, gpc=sort.gpc, consent=consent, minor=sort.minor
    )
    return decide(facts, policy)


def country_of(sort: Sort) -> str:
    """The country that visits of this sort are told under."""
    return sort.locations[0].country if sort.locations else "unknown"


def _settled(sort: Sort, policy: Policy) -> Settled | None:
    if not sort.jurisdiction:
        return settle(sort.locations, sort.readable, policy)
    place = policy.jurisdiction(sort.jurisdiction)
    return None if place is None else Settled(place, Whereabouts.LOCATED, None)


def _ways(before: Decision | None, after: Decision | None) -> Iterable[tuple[str, str, str]]:
    if before is None or after is None:
        return
    purposes = dict.fromkeys(one.purpose for each in (before, after) for one in each.verdicts)
    told = [(f"purpose {name}", _allowed(before, name), _allowed(after, name)) for name in purposes]
    told.append(("banner", _banner(before), _banner(after)))
    for name in dict.fromkeys([*before.fields, *after.fields]):
        had, has = before.fields.get(name, ()), after.fields.get(name, ())
        told.append((f"vendor {name}: {_listed(had, has)}", "leaves", "withheld"))
        told.append((f"vendor {name}: {_listed(has, had)}", "withheld", "leaves"))
    for what, was, now in told:
        if was != now and not what.endswith(": "):
            yield what, was, now


def _allowed(decision: Decision, purpose: str) -> str:
    return "allowed" if decision.allows(purpose) else "denied"


def _listed(fields: Iterable[str], without: Collection[str]) -> str:
    return ", ".join(one for one in fields if not listed_field(one, without))


def _banner(decision: Decision) -> str:
    return "ask" if decision.ask else "notice" if decision.notice else "none"
