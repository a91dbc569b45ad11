"""The clauses of the published policy, each with the rules that rest on it."""

from __future__ import annotations

from collections.abc import Iterator

from consent_mw.asgi.pages.markup import Markup, el, join, label, listing
from consent_mw.asgi.pages.texts import say
from consent_mw.core.policy import Clause, Policy


def clauses_section(policy: Policy) -> Markup:
    """Every clause, quoted, and what carries it out."""
    cited = tuple(_citations(policy))
    return join(*(_clause(one, cited) for one in policy.clauses))


def _clause(clause: Clause, cited: tuple[tuple[str, tuple[str, ...]], ...]) -> Markup:
    rules = tuple(dict.fromkeys(rule for rule, clauses in cited if clause.id in clauses))
    if rules:
        rests = say("policy.clause.rests", rules=listing(rules))
    else:
        rests = clause.informational or say("policy.clause.idle")
    quoted = el("blockquote", el("p", clause.text))
    return el("div", quoted, el("p", rests, class_="cmw-muted"), class_="cmw-clause", id=f"clause-{clause.id}")


def _citations(policy: Policy) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each rule by the words it is shown with, and the ids of the clauses that it cites."""
    for purpose in policy.purposes:
        yield say("rule.purpose", name=label(purpose.name)), purpose.clauses
    for place in policy.jurisdictions:
        yield say("rule.jurisdiction", name=label(place.name)), place.clauses
    for signal, rule in policy.signals.items():
        for effect in (rule.everywhere, *rule.overrides.values()):
            yield say("rule.signal", name=say(f"signal.{signal.value}")), effect.clauses
    if policy.identifier is not None:
        yield say("rule.identifier", name=policy.identifier.cookie), policy.identifier.clauses
    for cookie in policy.cookies:
        yield say("rule.cookie", name=cookie.pattern), cookie.clauses
    for vendor in policy.vendors:
        yield say("rule.vendor", name=label(vendor.name)), vendor.clauses
    for feature in policy.features:
        yield say("rule.feature", name=label(feature.name)), feature.clauses
