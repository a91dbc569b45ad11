"""What the pages say of a signal that was sent: honoured, overruled by the person's own yes, or not acted on."""

from __future__ import annotations

from consent_mw.asgi.pages.shell import View
from consent_mw.asgi.pages.words import SIGNALS
from consent_mw.core.decision import Decision
from consent_mw.core.policy import Policy, SignalEffect
from consent_mw.core.terms import Effect, Signal


def sent(decision: Decision) -> tuple[Signal, ...]:
    """The signals that came with this request."""
    return tuple(one for one, here in ((Signal.GPC, decision.gpc), (Signal.DNT, decision.dnt is True)) if here)


def signal_sentence(view: View, decision: Decision, signal: Signal) -> str:
    """How a signal that was sent is answered here; a site that does not act on it is quoted where it said so."""
    words, policy, name = view.words, view.policy, SIGNALS[signal]
    rule = policy.signals.get(signal)
    effect = None if rule is None else rule.effect_in(decision.jurisdiction.name)
    if effect is None or effect.effect is Effect.IGNORE:
        clause = _clause(policy, effect)
        if clause:
            return words.say("signal.cited", signal=name, clause=clause)
        return words.say("signal.ignored", signal=name)
    named = tuple(one.name for one in policy.purposes if one.name in effect.purposes and not one.essential)
    kept = tuple(one for one in named if decision.allows(one))
    if kept:
        return words.say("signal.yielded", signal=name, purposes=words.labels(kept))
    return words.say("signal.honored", signal=name, purposes=words.labels(named))


def signal_lines(view: View, decision: Decision) -> tuple[tuple[str, str], ...]:
    """Each signal with what became of it in this request."""
    here = sent(decision)
    absent = view.words.say("signal.absent")
    return tuple(
        (SIGNALS[one], signal_sentence(view, decision, one) if one in here else absent)
        for one in (Signal.GPC, Signal.DNT)
    )


def _clause(policy: Policy, effect: SignalEffect | None) -> str:
    cited = effect.clauses if effect is not None else ()
    return next((one.text for one in policy.clauses if one.id in cited), "")
