"""Facts: everything that a rule may look at.

Rule: no addresses and no raw headers; whoever observes has already turned them into these few values.
Rule: `now` is data.
"""

from __future__ import annotations

from dataclasses import dataclass

from consent_mw.core.consent import NO_CONSENT, Consent
from consent_mw.core.policy import Jurisdiction
from consent_mw.core.terms import Signal, Whereabouts

Refusals = tuple[tuple[Signal, str], ...]
"""Which string refuses which purpose."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about one request. `now` is in seconds since 1970; `dnt` is None where the browser said
    nothing (or nothing valid), True for `1`, False for `0`; `country` is for display, never for a rule; `refusals`
    are what strings of consent platforms refuse, in order."""

    jurisdiction: Jurisdiction
    now: int
    whereabouts: Whereabouts = Whereabouts.LOCATED
    country: str = ""
    dnt: bool | None = None
    gpc: bool = False
    consent: Consent = NO_CONSENT
    minor: bool = False
    refusals: Refusals = ()
