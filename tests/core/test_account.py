"""What is kept of a request tells what `explain` tells, and nothing of whose request it was."""

from __future__ import annotations

from dataclasses import fields

import pytest

from consent_mw.core.account import OTHER, PASSED, Account, Named, tell
from consent_mw.core.explain import explain_cookie, sentences, state_with_rules
from consent_mw.core.policy import Policy
from consent_mw.core.terms import Signal
from tests.builders import ELSEWHERE, a_consent, a_cookie_rule, a_decision, a_policy, a_signal, a_vendor, some_facts

COOKIES = (a_cookie_rule("_ga*"), a_cookie_rule("session", purpose="essential"))


def the_policy(**more: object) -> Policy:
    return a_policy(a_signal(Signal.DNT), a_signal(Signal.GPC, "cross_site"), cookies=COOKIES, **more)


def an_account(policy: Policy, cookies: Named | None = frozenset()) -> Account:
    consent = a_consent(analytics=False, more={"receipt": "r1"})
    decision = a_decision(policy, ELSEWHERE, dnt=True, gpc=True, consent=consent)
    return Account(decision, "US", cookies, (), ("__Host-consent",))


def test_a_request_is_told_as_explain_tells_it() -> None:
    account = an_account(the_policy(vendors=(a_vendor(),)), frozenset({"session", "_ga*", "__Host-consent"}))
    facts = some_facts(ELSEWHERE, country="US", dnt=True, gpc=True)
    names = ["__Host-consent", "_ga*", "session"]
    stories = [explain_cookie(one, account.decision, account.own) for one in names]
    lines, values = tell(account)
    assert lines == sentences(account.decision, facts, stories)
    expected = {**state_with_rules(account.decision, facts, stories), "decided": True, "policy": "0" * 16}
    assert values == {**expected, "other_cookies": False}


def test_of_an_answer_it_is_told_what_it_came_to_and_not_whose_it_is() -> None:
    lines, values = tell(an_account(the_policy()))
    assert values["consent"] == {"status": "refused", "at": None, "receipt": None}
    assert not any("r1" in one for one in lines)


@pytest.mark.parametrize(
    ("named", "kept", "others", "line"),
    [
        (frozenset({OTHER}), False, True, "It brought cookies that no rule names, which do not pass."),
        (frozenset({OTHER}), True, True, "It brought cookies that no rule names, which pass."),
        (None, False, None, "It brought so many cookies that their names were not looked at."),
    ],
    ids=["others", "others that pass", "many"],
)
def test_cookies_that_the_policy_does_not_name_are_not_named(
    named: Named | None, kept: bool, others: bool | None, line: str
) -> None:
    lines, values = tell(an_account(the_policy(keep_unlisted=kept), named))
    assert (lines[-2:], values["other_cookies"], "cookies" in values) == (["", line], others, False)


def test_what_nothing_was_decided_about_is_told_so() -> None:
    assert tell(None) == ([PASSED], {"decided": False})


def test_an_account_holds_nothing_but_what_is_told() -> None:
    assert [one.name for one in fields(Account)] == ["decision", "country", "cookies", "refusals", "own"]
