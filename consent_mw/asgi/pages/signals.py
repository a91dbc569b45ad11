"""What the pages say of a signal that was sent: honoured, overruled by the person's own yes, or not acted on."""

from __future__ import annotations

from consent_mw.asgi.pages.markup import label, listing
from consent_mw.asgi.pages.texts import say
from consent_mw.core.decision import Decision
from consent_mw.core.policy import Policy, SignalEffect
from consent_mw.core.terms import Effect, Signal


def sent(decision: Decision) -> tuple[Signal, ...]:
    """The signals that came with this request."""
    return tuple(one for one, here in ((Signal.GPC, decision.gpc), (Signal.DNT, decision.dnt is True)) if here)


def signal_sentence(policy: Policy, decision: Decision, signal: Signal) -> str:
    """How a signal that was sent is answered here; a site that does not act on it is quoted where it said so."""
    name = say(f"signal.{signal.value}")
    rule = policy.signals.get(signal)
    effect = None if rule is None else rule.effect_in(decision.jurisdiction.name)
    if effect is None or effect.effect is Effect.IGNORE:
        clause = _clause(policy, effect)
        return say("signal.cited", signal=name, clause=clause) if clause else say("signal.ignored", signal=name)
    named = tuple(one.name for one in policy.purposes if one.name in effect.purposes and not one.essential)
    kept = tuple(label(one) for one in named if decision.allows(one))
    if kept:
        return say("signal.yielded", signal=name, purposes=listing(kept))
    return say("signal.honored", signal=name, purposes=listing(tuple(map(label, named))))


def _clause(policy: Policy, effect: SignalEffect | None) -> str:
    cited = effect.clauses if effect is not None else ()
    return next((one.text for one in policy.clauses if one.id in cited), "")
