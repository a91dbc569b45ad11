"""The clauses of the published policy, each with the rules that rest on it."""

from __future__ import annotations

from collections.abc import Iterator

from consent_mw.asgi.pages.markup import Markup, el, join
from consent_mw.asgi.pages.shell import View
from consent_mw.asgi.pages.words import SIGNALS
from consent_mw.core.policy import Clause

_Cited = tuple[tuple[str, tuple[str, ...]], ...]


def clauses_section(view: View) -> Markup:
    """Every clause, quoted, and what carries it out."""
    cited = tuple(_citations(view))
    return join(*(_clause(view, one, cited) for one in view.policy.clauses))


def _clause(view: View, clause: Clause, cited: _Cited) -> Markup:
    rules = tuple(dict.fromkeys(rule for rule, clauses in cited if clause.id in clauses))
    if rules:
        rests = view.words.say("clauses.rests", rules=view.words.listing(rules))
    else:
        rests = clause.informational or view.words.say("clauses.idle")
    quoted = el("blockquote", el("p", clause.text))
    return el("div", quoted, el("p", rests, class_="cmw-muted"), class_="cmw-clause", id=f"clause-{clause.id}")


def _citations(view: View) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each rule by the words it is shown with, and the ids of the clauses that it cites."""
    words, policy = view.words, view.policy
    for purpose in policy.purposes:
        yield f"{words.say('purposes.purpose')}: {words.label(purpose.name)}", purpose.clauses
    for place in policy.jurisdictions:
        yield f"{words.say('places.rules')}: {words.label(place.name)}", place.clauses
    for signal, rule in policy.signals.items():
        for effect in (rule.everywhere, *rule.overrides.values()):
            yield SIGNALS[signal], effect.clauses
    if policy.identifier is not None:
        yield f"{words.say('cookies.name')}: {policy.identifier.cookie}", policy.identifier.clauses
    for cookie in policy.cookies:
        yield f"{words.say('cookies.name')}: {cookie.pattern}", cookie.clauses
    for vendor in policy.vendors:
        yield words.label(vendor.name), vendor.clauses
    for feature in policy.features:
        yield words.label(feature.name), feature.clauses
