"""Builders: one line arranges a Policy, Facts, a Consent, an Event or a Decision; what is not said is ordinary.

Rule: a builder's defaults are a sound policy with one opt-in and one opt-out jurisdiction.
"""

from __future__ import annotations

from typing import Any

from consent_mw.core.consent import Consent
from consent_mw.core.decision import Decision, decide
from consent_mw.core.event import Event, Value
from consent_mw.core.facts import Facts
from consent_mw.core.policy import (
    DAY,
    CookieRule,
    Feature,
    Jurisdiction,
    Policy,
    Purpose,
    SignalEffect,
    SignalRule,
    Site,
    Vendor,
)
from consent_mw.core.regions import EEA
from consent_mw.core.terms import Banner, Effect, Regime, Signal, VendorKind
from consent_mw.errors import Place

PLACE = Place("policy.toml", 1)
NOW = 1_527_000_000
"""2018-05-22, in seconds since 1970."""

REVISION = "2018-05-22"


def line(number: int) -> Place:
    """A place in the policy file."""
    return Place("policy.toml", number)


def a_purpose(name: str = "analytics", *, essential: bool = False, **more: Any) -> Purpose:
    """A purpose; optional unless said otherwise."""
    return Purpose(**{"name": name, "place": line(10), "essential": essential, **more})


def a_jurisdiction(name: str, *regions: str, regime: Regime = Regime.OPT_IN, **more: Any) -> Jurisdiction:
    """A jurisdiction; opt-in ones ask, opt-out ones give notice."""
    banner = Banner.ASK if regime is Regime.OPT_IN else Banner.NOTICE
    made = {"name": name, "place": line(20), "regions": frozenset(regions), "declared": regions}
    return Jurisdiction(**{**made, "regime": regime, "banner": banner, **more})


EEA_UK = a_jurisdiction("eea_uk", *EEA, "GB", clauses=("eu-residents",))
ELSEWHERE = a_jurisdiction("elsewhere", "*", regime=Regime.OPT_OUT, place=line(25))

ESSENTIAL = a_purpose("essential", essential=True, place=line(8))
ANALYTICS = a_purpose("analytics")
CROSS_SITE = a_purpose("cross_site", place=line(12))


def a_signal(signal: Signal, *purposes: str, yields: bool = False, **overrides: SignalEffect) -> SignalRule:
    """A signal that refuses these purposes everywhere (none: is ignored), but for the overrides."""
    return SignalRule(signal, an_effect(*purposes), overrides, yields)


def an_effect(*purposes: str) -> SignalEffect:
    """A refusal of these purposes; of none, it ignores."""
    effect = Effect.REFUSE if purposes else Effect.IGNORE
    return SignalEffect(effect, line(30), frozenset(purposes), ("dnt",) if purposes else ())


def a_vendor(name: str = "segment", **more: Any) -> Vendor:
    """A vendor of analytics that gets an event and its time."""
    made = {"name": name, "kind": VendorKind.WEBHOOK, "purpose": "analytics", "endpoint": "https://example.com/"}
    return Vendor(**{**made, "fields": ("event", "time"), "place": line(40), **more})


def a_feature(name: str = "send_times", **more: Any) -> Feature:
    """A feature that rests on analytics."""
    return Feature(**{"name": name, "purpose": "analytics", "place": line(50), **more})


def a_cookie_rule(pattern: str, **more: Any) -> CookieRule:
    """A cookie of analytics."""
    return CookieRule(**{"pattern": pattern, "purpose": "analytics", "place": line(60), **more})


def a_policy(*signals: SignalRule, **more: Any) -> Policy:
    """A policy: essential, analytics and cross_site; opt-in in the EEA and the UK, opt-out elsewhere."""
    made: dict[str, Any] = {
        "file": "policy.toml",
        "digest": "0" * 16,
        "revision": REVISION,
        "site": Site("Mixmax", "https://mixmax.com/privacy"),
        "purposes": (ESSENTIAL, ANALYTICS, CROSS_SITE),
        "jurisdictions": (EEA_UK, ELSEWHERE),
        "signals": {rule.signal: rule for rule in signals},
    }
    return Policy(**{**made, **more})


def a_consent(*, at: int = NOW - DAY, revision: str = REVISION, more: Any = None, **answers: bool) -> Consent:
    """What a person answered a day ago under the current revision: `a_consent(analytics=True)`."""
    return Consent(**{"answers": answers, "at": at, "revision": revision, "issued": at, **(more or {})})


def some_facts(jurisdiction: Jurisdiction = EEA_UK, *, now: int = NOW, **more: Any) -> Facts:
    """The facts of a request from the EEA by a person who never answered and sends no signal."""
    return Facts(jurisdiction, now, **more)


def a_decision(policy: Policy | None = None, jurisdiction: Jurisdiction | None = None, **facts: Any) -> Decision:
    """The decision for these facts (see `some_facts`); its jurisdiction is the policy's first unless named."""
    under = policy or a_policy()
    return decide(some_facts(jurisdiction or under.jurisdictions[0], **facts), under)


def an_event(name: str = "signup", *, props: dict[str, Value] | None = None, **more: Any) -> Event:
    """An event that an app reports."""
    return Event(**{"name": name, "props": props or {}, "id": "e1", "time": float(NOW), **more})
