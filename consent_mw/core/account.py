"""Accounts: what is kept of one request for a while, to tell what was decided about it when somebody asks.

Rule: nothing by which one visitor is told from another: no address, no identifier, no value of a header or cookie,
      and of cookies only the names that the policy itself has.
Rule: what is told is what `explain` tells, by the policy that decided.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from consent_mw.core.decision import Decision
from consent_mw.core.explain import explain_cookie, sentences, state_with_rules
from consent_mw.core.facts import Facts, Refusals

PASSED = (
    "Nothing was decided about this request: it was refused, or passed through untouched, since `[scope]` leaves it "
    "out or the kill switch was on."
)

OTHER = ""
"""Stands for every cookie that no rule names, however many came."""

Named = frozenset[str]
"""The names of the cookies of a request, as the policy writes them (`_ga*`)."""


@dataclass(frozen=True, slots=True)
class Account:
    """One request: the decision about it, the country it came from (or empty), its cookies (None: so many that
    nobody looked), and what strings of consent platforms refused. `own` are the names of our own cookies."""

    decision: Decision
    country: str
    cookies: Named | None
    refusals: Refusals
    own: Collection[str]


Told = tuple[list[str], dict[str, object]]
"""What is told of one request: lines for people, and the same as JSON values."""


def tell(account: Account | None) -> Told:
    """What was decided about a request, and why; None is one that nothing was decided about."""
    if account is None:
        return [PASSED], {"decided": False}
    decision, facts = account.decision, _facts(account)
    named = sorted(one for one in account.cookies or () if one != OTHER)
    stories = [explain_cookie(one, decision, account.own) for one in named]
    others = None if account.cookies is None else OTHER in account.cookies
    values = state_with_rules(decision, facts, stories)
    told = {"decided": True, "policy": decision.policy.digest, **values, "other_cookies": others}
    return [*sentences(decision, facts, stories), *_rest(others, passes=decision.policy.keep_unlisted)], told


def _facts(account: Account) -> Facts:
    """What the decision was made of, as far as it was kept: of an answer only what it came to."""
    decision = account.decision
    return Facts(
        jurisdiction=decision.jurisdiction,
        now=0,
        whereabouts=decision.whereabouts,
        country=account.country,
        dnt=decision.dnt,
        gpc=decision.gpc,
        minor=decision.minor,
        refusals=account.refusals,
    )


def _rest(others: bool | None, *, passes: bool) -> list[str]:
    if others is None:
        return ["", "It brought so many cookies that their names were not looked at."]
    fate = "which pass" if passes else "which do not pass"
    return ["", f"It brought cookies that no rule names, {fate}."] if others else []
