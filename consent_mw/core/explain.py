"""Explain: one decision told in values, as SPEC 6 names them, and in sentences for people.

Rule: tells only what the decision holds; it decides nothing.
Rule: every sentence about a rule is followed by the rule's place and the clauses that it carries out, quoted.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from consent_mw.core.consent import Consent
from consent_mw.core.decision import Decision
from consent_mw.core.facts import Facts
from consent_mw.core.policy import Policy
from consent_mw.core.terms import STRINGS, Effect, Mode, Reason, Regime, Signal, Status, Whereabouts
from consent_mw.errors import Place

WIDTH = 110
"""Columns that quoted clauses are wrapped at."""

SENTENCES = {
    Reason.ESSENTIAL: "allowed: the site cannot do without it, so it needs no consent",
    Reason.MINOR: "denied: the site says that this visitor is a minor",
    Reason.CONSENT_REFUSED: "denied: this person said no, and a no never grows old",
    Reason.SIGNAL_REFUSES: "denied: {signal} refuses it here",
    Reason.CONSENT_GIVEN: "allowed: this person said yes",
    Reason.OPT_IN_DEFAULT: "denied: nothing may happen here before a yes, and there is none",
    Reason.OPT_OUT_DEFAULT: "allowed: it is allowed here until a no, and there is none",
}

PLACES = {
    Whereabouts.LOCATED: "by where the address is",
    Whereabouts.UNKNOWN_COUNTRY: "because it is not known where the address is",
    Whereabouts.UNKNOWN_REGION: "because the region within the country is not known, so the strictest one wins",
    Whereabouts.DATABASES_DISAGREE: "because the databases disagree, so the strictest one wins",
    Whereabouts.UNREADABLE_ADDRESS: "because the address cannot be read, so the strictest one wins",
}

REGIMES = {
    Regime.OPT_IN: "nothing optional before a yes",
    Regime.OPT_OUT: "what is optional is allowed until a no",
}

ANSWERS = {
    Status.UNKNOWN: "this person never answered",
    Status.GIVEN: "this person said yes",
    Status.REFUSED: "this person said no",
    Status.PARTIAL: "this person said yes to some and no to others",
    Status.EXPIRED: "this person's answer is too old for a yes to count; a no still holds",
    Status.OUTDATED: "this person answered under another revision, so a yes does not count; a no still holds",
}


@dataclass(frozen=True, slots=True)
class CookieStory:
    """What becomes of a cookie of this name, in both directions: whether it passes, the sentence that says why, the
    purpose it serves (or empty), and the rule that names it (None: no rule does)."""

    name: str
    kept: bool
    why: str
    purpose: str = ""
    place: Place | None = None
    clauses: tuple[str, ...] = ()


def state(decision: Decision, facts: Facts) -> dict[str, object]:
    """The state of one visitor (SPEC 6), as JSON values."""
    return {
        "revision": decision.policy.revision,
        "jurisdiction": decision.jurisdiction.name,
        "country": facts.country or None,
        "regime": decision.jurisdiction.regime.value,
        "purposes": {one.purpose: {"allowed": one.allowed, "reason": one.reason.value} for one in decision.verdicts},
        "signals": {Signal.DNT.value: facts.dnt, Signal.GPC.value: facts.gpc},
        "consent": consent_told(decision, facts.consent),
        "features": dict(decision.features),
        "vendors": {name: list(fields) for name, fields in decision.fields.items()},
        "ask": decision.ask,
        "notice": decision.notice,
    }


def consent_told(decision: Decision, consent: Consent) -> dict[str, object]:
    """What the state says of this consent."""
    return {
        "status": decision.status.value,
        "at": rfc3339(consent.at) if consent.at else None,
        "receipt": consent.receipt or None,
    }


def state_with_rules(decision: Decision, facts: Facts, cookies: Sequence[CookieStory] = ()) -> dict[str, object]:
    """The state, and for each purpose the rule that decided it and the clauses that it rests on (SPEC 11); with
    `whereabouts`, `tk`, and `cookies` where some were sent."""
    told = state(decision, facts)
    told["purposes"] = {
        one.purpose: {
            "allowed": one.allowed,
            "reason": one.reason.value,
            "rule": _rule(one.place),
            "clause": list(one.clauses),
        }
        for one in decision.verdicts
    }
    told["whereabouts"] = decision.whereabouts.value
    told["tk"] = decision.tk
    if cookies:
        told["cookies"] = [_cookie_values(one) for one in cookies]
    return told


def explain_cookie(name: str, decision: Decision, own: Collection[str] = ()) -> CookieStory:
    """What becomes of a cookie of this name; `own` are the names of our own cookies."""
    policy = decision.policy
    identifier = policy.identifier
    if identifier is not None and name == identifier.cookie:
        why = "it is the identifier by which consent_mw recognises a browser"
        return CookieStory(name, False, why, identifier.purpose, identifier.place, identifier.clauses)
    if name in own:
        return CookieStory(name, False, "it is where consent_mw keeps the answers")
    carrier = next((one for one in policy.signals.values() if one.cookie and one.cookie == name), None)
    if carrier is not None:
        why = f"it carries the {carrier.signal.value.upper()} string, which goes on as it came"
        return CookieStory(name, True, why, "", carrier.everywhere.place, carrier.everywhere.clauses)
    rule = policy.cookie_rule(name)
    if rule is None and policy.keep_unlisted:
        return CookieStory(name, True, "no rule names it, and dangerously_keep_unlisted is set")
    if rule is None:
        return CookieStory(name, False, "no rule names it")
    kept = decision.allows(rule.purpose)
    why = f"`{rule.pattern}` serves {rule.purpose}, which is {'allowed' if kept else 'denied'}"
    return CookieStory(name, kept, why, rule.purpose, rule.place, rule.clauses)


def sentences(decision: Decision, facts: Facts, cookies: Sequence[CookieStory] = ()) -> list[str]:
    """The decision told to a person, line by line; places and quoted clauses are indented."""
    grounds = _Grounds(decision.policy)
    told = [f"{decision.policy.site.name}, revision {decision.policy.revision}"]
    if decision.policy.mode is Mode.REPORT:
        told.append("report mode: all this is decided and counted, and nothing of it is carried out")
    told += ["", *_where(decision, facts, grounds), *_signals(decision, facts, grounds)]
    told.append(f"Consent {decision.status.value}: {ANSWERS[decision.status]}.")
    for verdict in decision.verdicts:
        signal = _sender(verdict.signal) if verdict.signal is not None else ""
        told += ["", f"Purpose {verdict.purpose} is {SENTENCES[verdict.reason].format(signal=signal)}."]
        told += grounds(verdict.place, verdict.clauses)
    told += _cookies(cookies, grounds)
    told += [*_vendors(decision, grounds), *_features(decision, grounds)]
    return [*told, "", f"The banner {_banner(decision)}. Pages carry Tk: {decision.tk}"]


def _where(decision: Decision, facts: Facts, grounds: _Grounds) -> Iterator[str]:
    place = decision.jurisdiction
    who = f"A visitor from {facts.country}" if facts.country else "A visitor from an unknown country"
    yield f"{who} is in jurisdiction {place.name}, {PLACES[decision.whereabouts]}."
    yield f"It is {place.regime.value}: {REGIMES[place.regime]}."
    yield from grounds(place.place, place.clauses)
    yield ""


def _signals(decision: Decision, facts: Facts, grounds: _Grounds) -> Iterator[str]:
    sent = {Signal.DNT: facts.dnt is True, Signal.GPC: facts.gpc}
    sent |= {signal: any(signal is one for one, _ in facts.refusals) for signal in STRINGS}
    for signal in (one for one, on in sent.items() if on):
        rule = decision.policy.signals.get(signal)
        effect = rule.effect_in(decision.jurisdiction.name) if rule is not None else None
        if effect is None:
            yield f"Signal {signal.value.upper()} was received and is ignored: the policy does not name it."
            continue
        refused = decision.refused_by.get(signal, ())
        if effect.effect is Effect.IGNORE:
            yield f"Signal {signal.value.upper()} was received and is ignored here."
        else:
            yield f"Signal {signal.value.upper()} was received and refuses {', '.join(refused) or 'nothing here'}."
        yield from grounds(effect.place, effect.clauses)
    if any(sent.values()):
        yield ""


def _sender(signal: Signal) -> str:
    name = signal.value.upper()
    return f"a consent platform's {name} string" if signal in STRINGS else f"the browser's {name} signal"


def _cookies(cookies: Sequence[CookieStory], grounds: _Grounds) -> Iterator[str]:
    for one in cookies:
        yield ""
        yield f"Cookie {one.name or '(without a name)'} {'passes' if one.kept else 'does not pass'}: {one.why}."
        if one.place is not None:
            yield from grounds(one.place, one.clauses)


def _vendors(decision: Decision, grounds: _Grounds) -> Iterator[str]:
    for vendor in decision.policy.vendors:
        fields = decision.fields[vendor.name]
        yield ""
        yield f"Vendor {vendor.name} gets {', '.join(fields)}." if fields else f"Vendor {vendor.name} gets nothing."
        yield from grounds(vendor.place, vendor.clauses)


def _features(decision: Decision, grounds: _Grounds) -> Iterator[str]:
    for feature in decision.policy.features:
        yield ""
        yield f"Feature {feature.name} is {'offered' if decision.features[feature.name] else 'not offered'}."
        yield from grounds(feature.place, feature.clauses)


class _Grounds:
    """The rule's place, then each clause that it carries out, quoted where it is named for the first time."""

    def __init__(self, policy: Policy) -> None:
        self._texts = {one.id: one.text for one in policy.clauses}
        self._quoted: set[str] = set()

    def __call__(self, place: Place, clauses: Iterable[str]) -> Iterator[str]:
        yield f"    rule at {place.file}:{place.line}"
        for clause in (one for one in clauses if one in self._texts):
            told = f"clause {clause}" if clause in self._quoted else f"clause {clause}: “{self._texts[clause]}”"
            self._quoted.add(clause)
            yield from textwrap.wrap(told, WIDTH, initial_indent="    ", subsequent_indent="      ")


def _banner(decision: Decision) -> str:
    if decision.ask:
        return "asks for consent"
    return "gives notice" if decision.notice else "is not shown"


def _rule(place: Place) -> dict[str, object]:
    return {"file": place.file, "line": place.line}


def _cookie_values(story: CookieStory) -> dict[str, object]:
    return {
        "name": story.name,
        "kept": story.kept,
        "why": story.why,
        "purpose": story.purpose or None,
        "rule": _rule(story.place) if story.place is not None else None,
        "clause": list(story.clauses),
    }


@lru_cache(maxsize=512)
def rfc3339(seconds: int) -> str:
    """A time in seconds since 1970 as RFC 3339 writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
