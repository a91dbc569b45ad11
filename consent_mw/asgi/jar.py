"""The jar: what the Cookie field of one request holds, split once and verified once.

Rule: the cookies are not kept one by one: most are looked at once, and there are many jars.
Rule: a jar says the same for as long as its bytes, the policy and the keys are the same, until `until`.
Rule: every jar of the same bytes is the same visitor's; nothing is found by less than all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from consent_mw.core.account import Named
from consent_mw.core.consent import NO_CONSENT, Consent, together
from consent_mw.core.facts import Refusals
from consent_mw.core.policy import DAY, Policy
from consent_mw.wire.cookies import pieces_named
from consent_mw.wire.industry import refusals
from consent_mw.wire.token import Identifier

if TYPE_CHECKING:
    from consent_mw.asgi.enforcement import Enforcement
    from consent_mw.asgi.ruleset import Ruleset
    from consent_mw.asgi.sharing import Told
    from consent_mw.asgi.tokens import Tokens

FOR_EVER: Final = 1e18


@dataclass(slots=True)
class Jar:
    """The cookies of one request. `until` is when another look is due (seconds since 1970); `enforced` and
    `remaining` remember, by what a decision depends on, what followed for these cookies; `told` is what the last
    page view said of their visitor; `refusals` are what strings of consent platforms refuse; `named` are the names
    that an account has of them, once there is one."""

    joined: bytes = b""
    consent: Consent = NO_CONSENT
    identifier: Identifier | None = None
    until: float = FOR_EVER
    enforced: dict[int, Enforcement] = field(default_factory=dict)
    remaining: dict[int, bytes | None] = field(default_factory=dict)
    told: Told | None = None
    refusals: Refusals = ()
    named: Named | None = None


def fill(joined: bytes, rules: Ruleset, tokens: Tokens, now: float) -> Jar:
    """The jar of these joined Cookie fields."""
    jar = Jar(joined)
    other = NO_CONSENT
    for name, raw in pieces_named(joined, rules.own_names):
        value = raw.partition(b"=")[2].strip(b" \t")
        if name == rules.consent_cookie:
            jar.consent = _newer(jar.consent, tokens.consent(value))
        elif name != rules.identifier_cookie:
            other = _newer(other, tokens.consent(value))
        elif jar.identifier is None:
            jar.identifier = tokens.identifier(value)
    if other is not NO_CONSENT:
        jar.consent = together(jar.consent, other)
    if rules.carriers:
        jar.refusals = refusals(rules.carriers, joined)
    if jar.consent is NO_CONSENT and not jar.refusals:
        # Of its cookies a decision takes the consent alone, so that all who never answered have theirs in common.
        jar.enforced = rules.unanswered
    _expire(jar, rules.policy, now)
    return jar


def _newer(held: Consent, found: Consent | None) -> Consent:
    """A browser may hold several of one name; the one that was issued last counts."""
    if found is None or (held is not NO_CONSENT and found.issued <= held.issued):
        return held
    return found


def _expire(jar: Jar, policy: Policy, now: float) -> None:
    """Drop what is too old, and note when something else will be."""
    ends: list[float] = []
    if jar.identifier is not None:
        lasts = policy.identifier.lasts if policy.identifier is not None else 0
        end = jar.identifier.day * DAY + lasts
        if now > end:
            jar.identifier = None
        else:
            ends.append(end)
    if jar.consent is not NO_CONSENT:
        ends += [end for place in policy.jurisdictions if (end := jar.consent.at + place.lasts) >= now]
    if ends:
        jar.until = min(ends)
