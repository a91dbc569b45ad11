"""The clauses of the published policy, each with the rules that rest on it, where these are carried out, and the
cases that put them to the test."""

from __future__ import annotations

from consent_mw.asgi.pages.markup import Markup, bullets, el, facts, join
from consent_mw.asgi.pages.shell import View
from consent_mw.asgi.pages.words import SIGNALS
from consent_mw.core.coverage import Rule, every_rule
from consent_mw.core.policy import Clause
from consent_mw.core.terms import Signal


def clauses_section(view: View) -> Markup:
    """Every clause, quoted, and what carries it out."""
    rules = tuple(every_rule(view.policy))
    unproven = el("p", view.words.say("clauses.unproven"), class_="cmw-muted")
    told = [] if view.policy.proof is not None else [unproven]
    return join(*told, *(_clause(view, one, rules) for one in view.policy.clauses))


def _clause(view: View, clause: Clause, rules: tuple[Rule, ...]) -> Markup:
    words, cited = view.words, [one for one in rules if clause.id in one[3]]
    quoted = el("blockquote", el("p", clause.text))
    if not cited:
        rests = el("p", clause.informational or words.say("clauses.idle"), class_="cmw-muted")
        return el("div", quoted, rests, class_="cmw-clause", id=f"clause-{clause.id}")
    names = tuple(dict.fromkeys(_called(view, sort, name) for sort, name, _, _ in cited))
    rests = el("p", words.say("clauses.rests", rules=words.listing(names)), class_="cmw-muted")
    shown = facts(*((_called(view, sort, name), _proof(view, sort, name)) for sort, name, _, _ in cited))
    folded = el("details", el("summary", words.say("clauses.detail")), shown)
    return el("div", quoted, rests, folded, class_="cmw-clause", id=f"clause-{clause.id}")


def _proof(view: View, sort: str, name: str) -> Markup:
    """Where a rule is carried out, and the cases that put it to the test."""
    words, proof = view.words, view.policy.proof
    where = el("p", words.say(f"where.{sort}"))
    if proof is None:
        return where
    cases = proof.get((sort, name), ())
    if not cases:
        return join(where, el("p", words.say("clauses.untested")))
    return join(where, el("p", words.say("clauses.cases")), bullets(*cases))


def _called(view: View, sort: str, name: str) -> str:
    """A rule by the words that it is shown with."""
    words = view.words
    match sort:
        case "purpose":
            return f"{words.say('purposes.purpose')}: {words.label(name)}"
        case "jurisdiction":
            return f"{words.say('places.rules')}: {words.label(name)}"
        case "signal":
            signal, _, place = name.partition(" in ")
            called = SIGNALS.get(Signal(signal), signal.upper())
            return f"{called} ({words.label(place)})" if place else called
        case "identifier" | "cookie":
            return f"{words.say('cookies.name')}: {name}"
    return words.label(name)
