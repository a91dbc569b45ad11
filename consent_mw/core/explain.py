"""Explain: one decision told in values, as SPEC 6 names them, and in sentences for people.

Rule: tells only what the decision holds; it decides nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime

from consent_mw.core.decision import Decision, Verdict
from consent_mw.core.facts import Facts
from consent_mw.core.policy import Policy
from consent_mw.core.terms import Reason, Signal, Whereabouts

SENTENCES = {
    Reason.ESSENTIAL: "allowed: the site cannot do without it, so it needs no consent",
    Reason.MINOR: "denied: the site says that this visitor is a minor",
    Reason.CONSENT_REFUSED: "denied: this person said no, and a no never grows old",
    Reason.SIGNAL_REFUSES: "denied: the browser's {signal} signal refuses it here",
    Reason.CONSENT_GIVEN: "allowed: this person said yes",
    Reason.OPT_IN_DEFAULT: "denied: nothing may happen here before a yes, and there is none",
    Reason.OPT_OUT_DEFAULT: "allowed: it is allowed here until a no, and there is none",
}

PLACES = {
    Whereabouts.LOCATED: "by where the address is",
    Whereabouts.UNKNOWN_COUNTRY: "because no database knows where the address is",
    Whereabouts.UNKNOWN_REGION: "because the region within the country is not known, so the strictest one wins",
    Whereabouts.DATABASES_DISAGREE: "because the databases disagree, so the strictest one wins",
    Whereabouts.UNREADABLE_ADDRESS: "because the address cannot be read, so the strictest one wins",
}


def state(decision: Decision, facts: Facts) -> dict[str, object]:
    """The state of one visitor (SPEC 6), as JSON values."""
    consent = facts.consent
    return {
        "revision": decision.policy.revision,
        "jurisdiction": decision.jurisdiction.name,
        "country": facts.country or None,
        "regime": decision.jurisdiction.regime.value,
        "purposes": {one.purpose: {"allowed": one.allowed, "reason": one.reason.value} for one in decision.verdicts},
        "signals": {Signal.DNT.value: facts.dnt, Signal.GPC.value: facts.gpc},
        "consent": {
            "status": decision.status.value,
            "at": _iso(consent.at) if consent.at else None,
            "receipt": consent.receipt or None,
        },
        "features": dict(decision.features),
        "vendors": {name: list(fields) for name, fields in decision.fields.items()},
        "ask": decision.ask,
        "notice": decision.notice,
    }


def state_with_rules(decision: Decision, facts: Facts) -> dict[str, object]:
    """The state, and for each purpose the rule that decided it and the clauses that it rests on (SPEC 11)."""
    told = state(decision, facts)
    told["purposes"] = {
        one.purpose: {
            "allowed": one.allowed,
            "reason": one.reason.value,
            "rule": {"file": one.place.file, "line": one.place.line},
            "clause": list(one.clauses),
        }
        for one in decision.verdicts
    }
    told["whereabouts"] = decision.whereabouts.value
    told["tk"] = decision.tk
    return told


def sentences(decision: Decision, facts: Facts) -> list[str]:
    """The decision told to a person, line by line; quoted clauses are indented."""
    policy = decision.policy
    place = decision.jurisdiction
    lines = [
        f"{policy.site.name}, revision {policy.revision}",
        f"jurisdiction {place.name} ({place.regime.value}), {PLACES[decision.whereabouts]}; {place.place}",
        f"consent: {decision.status.value}",
    ]
    for verdict in decision.verdicts:
        lines.extend(_purpose(verdict, policy))
    lines += ["", "features:"] if decision.features else []
    lines += [f"  {name}: {'offered' if on else 'not offered'}" for name, on in decision.features.items()]
    lines += ["", "vendors:"] if decision.fields else []
    for name, fields in decision.fields.items():
        lines.append(f"  {name} gets {', '.join(fields)}" if fields else f"  {name} gets nothing")
    lines += ["", f"Tk: {decision.tk}", f"banner: {_banner(decision)}"]
    return lines


def _purpose(verdict: Verdict, policy: Policy) -> list[str]:
    signal = verdict.signal.value.upper() if verdict.signal is not None else ""
    lines = ["", f"{verdict.purpose}: {SENTENCES[verdict.reason].format(signal=signal)}", f"  rule: {verdict.place}"]
    quoted = {one.id: one.text for one in policy.clauses}
    lines += [f"  clause {one}: “{quoted[one]}”" for one in verdict.clauses if one in quoted]
    return lines


def _banner(decision: Decision) -> str:
    if decision.ask:
        return "asks for consent"
    return "gives notice" if decision.notice else "none"


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
