"""Scan: what a browser saw of a site, compared with what the policy decides for the same visitor.

Rule: pure; whoever drove the browser says what was seen, and this says what of it should not have been.
Rule: names and hosts only; no value of a cookie or of storage is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from consent_mw.core.decision import Decision
from consent_mw.core.explain import explain_cookie
from consent_mw.core.policy import Policy, Vendor


class Answered(StrEnum):
    """What the visitor of a scan said before looking on."""

    NOTHING = "nothing"
    NO = "no"
    YES = "yes"


class Fault(StrEnum):
    """What can be wrong with a thing that was seen, or was not."""

    UNDECLARED = "undeclared"
    DENIED = "denied-yet-present"
    UNSEEN = "declared-yet-unseen"


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one visitor's browser held and asked for after the pages were read: names of cookies and of storage keys,
    and the hosts that were asked, the site's own left out."""

    jurisdiction: str
    answered: Answered
    cookies: frozenset[str]
    storage: frozenset[str]
    hosts: frozenset[str]
    decision: Decision


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that policy and site disagree about: what sort (`cookie`, `storage`, `host`), its name, in which
    visits, and why in a sentence."""

    fault: Fault
    sort: str
    name: str
    visits: tuple[str, ...]
    why: str


def findings(sightings: Sequence[Sighting], policy: Policy, own: Collection[str] = ()) -> tuple[Finding, ...]:
    """Everything that should not have been seen, then what was declared and never seen; `own` are our own cookies."""
    found: dict[tuple[Fault, str, str, str], list[str]] = {}
    for seen in sightings:
        visit = f"{seen.jurisdiction}, {seen.answered.value} said"
        for fault, sort, name, why in _faults(seen, policy, own):
            found.setdefault((fault, sort, name, why), []).append(visit)
    order = list(Fault)
    told = [Finding(fault, sort, name, tuple(visits), why) for (fault, sort, name, why), visits in found.items()]
    told.sort(key=lambda one: (order.index(one.fault), one.sort, one.name))
    return (*told, *_unseen(sightings, policy))


def vendor_of(host: str, policy: Policy) -> Vendor | None:
    """The vendor that names this host."""
    return next((one for one in policy.vendors if any(matches(host, pattern) for pattern in one.hosts)), None)


def matches(host: str, pattern: str) -> bool:
    """Whether a source (`cdn.example.com`, `*.example.com`, with a port or not) names this host (CSP3 6.7.2)."""
    bare = pattern.rpartition("://")[2].partition("/")[0].lower()
    name, _, port = bare.partition(":")
    asked, _, asked_port = host.lower().partition(":")
    if port not in ("", "*", asked_port):
        return False
    return asked.endswith(name[1:]) if name.startswith("*.") else asked == name


def _faults(seen: Sighting, policy: Policy, own: Collection[str]) -> Iterator[tuple[Fault, str, str, str]]:
    for sort, names in (("cookie", seen.cookies), ("storage", seen.storage)):
        for name in sorted(names):
            if name in own:
                continue
            story = explain_cookie(name, seen.decision)
            if policy.identifier is not None and name == policy.identifier.cookie:
                if not seen.decision.allows(policy.identifier.purpose):
                    yield Fault.DENIED, sort, name, f"it serves {policy.identifier.purpose}, which is denied"
            elif story.place is None:
                yield Fault.UNDECLARED, sort, name, "no rule names it"
            elif not story.kept:
                yield Fault.DENIED, sort, name, story.why
    for host in sorted(seen.hosts):
        vendor = vendor_of(host, policy)
        if vendor is None:
            yield Fault.UNDECLARED, "host", host, "no vendor names it among its `hosts`"
        elif not seen.decision.allows(vendor.purpose):
            yield Fault.DENIED, "host", host, f"vendor {vendor.name} serves {vendor.purpose}, which is denied"


def _unseen(sightings: Sequence[Sighting], policy: Policy) -> Iterator[Finding]:
    names = {name for seen in sightings for name in (*seen.cookies, *seen.storage)}
    hosts = {host for seen in sightings for host in seen.hosts}
    visits = tuple(f"{seen.jurisdiction}, {seen.answered.value} said" for seen in sightings)
    for rule in policy.cookies:
        if not _named(rule.pattern, names):
            yield Finding(Fault.UNSEEN, "cookie", rule.pattern, visits, "no visit saw it")
    for vendor in policy.vendors:
        for pattern in vendor.hosts:
            if not any(matches(host, pattern) for host in hosts):
                yield Finding(Fault.UNSEEN, "host", pattern, visits, f"vendor {vendor.name} was not asked there")


def _named(pattern: str, names: Iterable[str]) -> bool:
    if pattern.endswith("*"):
        return any(name.startswith(pattern[:-1]) for name in names)
    return pattern in names
