"""Coverage: which rules, clauses and jurisdictions of a policy some case puts to the test.

Rule: a rule counts only where a case expects what follows from it; a case that merely passes by covers nothing.
Rule: a clause is covered where a rule that cites it is; one that is informational needs no case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from consent_mw.core.cases import Case, Expected, decision_of, differences
from consent_mw.core.policy import Clause, Policy, Proof
from consent_mw.core.terms import Signal
from consent_mw.errors import Place

Rule = tuple[str, str, Place, tuple[str, ...]]
"""A rule by its sort and name, with its place and the clauses that it cites."""

CARRIED_OUT = {
    "purpose": "the decision of every request",
    "jurisdiction": "where the address is, and the banner",
    "signal": "the decision, the Tk field and the well-known resources",
    "identifier": "the cookie that pages set",
    "cookie": "the Cookie and Set-Cookie fields of every request and answer",
    "vendor": "what is queued and delivered, and which hosts a page may load",
    "feature": "what the app is told, and what `state` says",
}
"""Where a rule of each sort is carried out."""


@dataclass(frozen=True, slots=True)
class Covered:
    """One thing that cases may put to the test: its sort (`cookie`), its name, its place, the clauses that it carries
    out, and the cases that do."""

    sort: str
    name: str
    place: Place
    clauses: tuple[str, ...]
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the cases of a policy put to the test: its rules in the file's order, and its clauses (informational ones
    left out) with the cases of the rules that cite them."""

    rules: tuple[Covered, ...]
    clauses: tuple[tuple[Clause, tuple[str, ...]], ...]

    @property
    def complete(self) -> bool:
        """Whether every rule and every clause has a case."""
        return all(one.cases for one in self.rules) and all(cases for _, cases in self.clauses)


def coverage(policy: Policy, cases: Sequence[Case]) -> Coverage:
    """What these cases put to the test."""
    touched: dict[tuple[str, str], list[str]] = {}
    for case in cases:
        for rule in _touched(case, policy):
            touched.setdefault(rule, []).append(case.name)
    rules = tuple(
        Covered(sort, name, place, clauses, tuple(touched.get((sort, name), ())))
        for sort, name, place, clauses in sorted(every_rule(policy), key=lambda one: one[2])
    )
    by_clause: dict[str, dict[str, None]] = {}
    for one in rules:
        for clause in one.clauses:
            by_clause.setdefault(clause, {}).update(dict.fromkeys(one.cases))
    wanted = (one for one in policy.clauses if not one.informational)
    return Coverage(rules, tuple((one, tuple(by_clause.get(one.id, ()))) for one in wanted))


def proof(policy: Policy, cases: Sequence[Case]) -> Proof:
    """Which of these cases hold for each rule that they put to the test."""
    holding = [one for one in cases if not differences(one, policy)]
    return {(one.sort, one.name): one.cases for one in coverage(policy, holding).rules if one.cases}


def every_rule(policy: Policy) -> Iterator[Rule]:
    """Every rule of the policy: sort, name, place, clauses; a signal counts for each jurisdiction it differs in."""
    for purpose in policy.purposes:
        yield "purpose", purpose.name, purpose.place, purpose.clauses
    for place in policy.jurisdictions:
        yield "jurisdiction", place.name, place.place, place.clauses
    for signal in policy.signals.values():
        yield "signal", signal.signal.value, signal.everywhere.place, signal.everywhere.clauses
        for name, effect in signal.overrides.items():
            yield "signal", f"{signal.signal.value} in {name}", effect.place, effect.clauses
    if policy.identifier is not None:
        yield "identifier", policy.identifier.cookie, policy.identifier.place, policy.identifier.clauses
    for cookie in policy.cookies:
        yield "cookie", cookie.pattern, cookie.place, cookie.clauses
    for vendor in policy.vendors:
        yield "vendor", vendor.name, vendor.place, vendor.clauses
    for feature in policy.features:
        yield "feature", feature.name, feature.place, feature.clauses


def _touched(case: Case, policy: Policy) -> Iterator[tuple[str, str]]:
    """The rules, as (sort, name), whose working this case puts to the test."""
    decision = decision_of(case.given, policy)
    expect = case.expect
    judged = _purposes(expect, policy)
    yield "jurisdiction", decision.jurisdiction.name
    for purpose in judged:
        yield "purpose", purpose
    if judged or "tk" in expect:
        for signal, sent in ((Signal.DNT, case.given.dnt is not None), (Signal.GPC, case.given.gpc)):
            rule = policy.signals.get(signal) if sent else None
            if rule is not None:
                place = decision.jurisdiction.name
                yield "signal", f"{signal.value} in {place}" if place in rule.overrides else signal.value
    if "identifier" in expect and policy.identifier is not None:
        yield "identifier", policy.identifier.cookie
    for name in _members(expect.get("cookies")):
        cookie = policy.cookie_rule(name)
        if cookie is not None:
            yield "cookie", cookie.pattern
    for name in _members(expect.get("vendors")):
        yield "vendor", name
    if "features" in expect:
        for feature in policy.features:
            yield "feature", feature.name


def _purposes(expect: Mapping[str, Expected], policy: Policy) -> tuple[str, ...]:
    """The purposes that a case expects something of: all of them where it lists which are allowed or denied."""
    if "allows" in expect or "denies" in expect:
        return tuple(one.name for one in policy.purposes)
    return tuple(_members(expect.get("reasons")))


def _members(value: Expected | None) -> Iterable[str]:
    return value if isinstance(value, Mapping) else ()
