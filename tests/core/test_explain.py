"""One decision is told whole: as the values of SPEC 6, and in sentences that quote the clauses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consent_mw.core.decision import Decision
from consent_mw.core.explain import (
    ANSWERS,
    PLACES,
    REGIMES,
    SENTENCES,
    CookieStory,
    explain_cookie,
    sentences,
    state,
    state_with_rules,
)
from consent_mw.core.facts import Facts
from consent_mw.core.policy import DAY, Clause, IdentifierRule, Policy
from consent_mw.core.terms import Mode, Reason, Regime, Signal, Status, Whereabouts
from tests.builders import (
    ELSEWHERE,
    NOW,
    a_consent,
    a_cookie_rule,
    a_decision,
    a_feature,
    a_policy,
    a_signal,
    a_vendor,
    line,
    some_facts,
)

EU_CLAUSE = Clause("eu-residents", "If you are a resident of the European Union", line(3))
DNT_CLAUSE = Clause("dnt", "Our Services do not support Do Not Track", line(4))
IDENTIFIER = IdentifierRule("__Host-vid", "analytics", 395 * DAY, line(55))


def the_policy(**more: object) -> Policy:
    return a_policy(
        a_signal(Signal.DNT),
        a_signal(Signal.GPC, "cross_site"),
        clauses=(EU_CLAUSE, DNT_CLAUSE),
        vendors=(a_vendor(),),
        features=(a_feature(),),
        cookies=(a_cookie_rule("_ga*"), a_cookie_rule("session", purpose="essential")),
        identifier=IDENTIFIER,
        **more,
    )


def told(policy: Policy, facts: Facts) -> Decision:
    return a_decision(
        policy, facts.jurisdiction, **{name: getattr(facts, name) for name in ("dnt", "gpc", "consent")}
    )


def test_the_state_of_a_person_who_never_answered_is_told_in_values() -> None:
    facts = some_facts(country="DE")
    assert state(told(the_policy(), facts), facts) == {
        "revision": "2018-05-22",
        "jurisdiction": "eea_uk",
        "country": "DE",
        "regime": "opt-in",
        "purposes": {
            "essential": {"allowed": True, "reason": "essential"},
            "analytics": {"allowed": False, "reason": "opt-in-default"},
            "cross_site": {"allowed": False, "reason": "opt-in-default"},
        },
        "signals": {"dnt": None, "gpc": False},
        "consent": {"status": "unknown", "at": None, "receipt": None},
        "features": {"send_times": False},
        "vendors": {"segment": []},
        "ask": True,
        "notice": False,
    }


def test_the_state_of_a_person_who_said_yes_says_when_and_by_which_receipt() -> None:
    facts = some_facts(
        ELSEWHERE,
        dnt=True,
        gpc=True,
        consent=a_consent(analytics=True, more={"receipt": "r1", "seen": "2018-05-22"}),
    )
    assert state(told(the_policy(), facts), facts) == {
        "revision": "2018-05-22",
        "jurisdiction": "elsewhere",
        "country": None,
        "regime": "opt-out",
        "purposes": {
            "essential": {"allowed": True, "reason": "essential"},
            "analytics": {"allowed": True, "reason": "consent-given"},
            "cross_site": {"allowed": False, "reason": "signal-refuses"},
        },
        "signals": {"dnt": True, "gpc": True},
        "consent": {"status": "given", "at": "2018-05-21T14:40:00Z", "receipt": "r1"},
        "features": {"send_times": True},
        "vendors": {"segment": ["event", "time"]},
        "ask": False,
        "notice": False,
    }


def test_each_purpose_names_its_rule_and_clauses() -> None:
    facts = some_facts(gpc=True)
    values = state_with_rules(told(the_policy(), facts), facts)
    rule = {"file": "policy.toml", "line": 20}
    assert values["purposes"] == {
        "essential": {"allowed": True, "reason": "essential", "rule": {**rule, "line": 8}, "clause": []},
        "analytics": {"allowed": False, "reason": "opt-in-default", "rule": rule, "clause": ["eu-residents"]},
        "cross_site": {"allowed": False, "reason": "signal-refuses", "rule": {**rule, "line": 30}, "clause": ["dnt"]},
    }
    added = set(values) - set(state(told(the_policy(), facts), facts))
    assert added == {"whereabouts", "tk"}


def test_cookies_are_told_beside_the_state_where_some_were_sent() -> None:
    facts = some_facts()
    stories = [explain_cookie("_ga", told(the_policy(), facts))]
    assert state_with_rules(told(the_policy(), facts), facts, stories)["cookies"] == [
        {
            "name": "_ga",
            "kept": False,
            "why": "`_ga*` serves analytics, which is denied",
            "purpose": "analytics",
            "rule": {"file": "policy.toml", "line": 60},
            "clause": [],
        }
    ]


@pytest.mark.parametrize(
    ("name", "story"),
    [
        (
            "session",
            CookieStory("session", True, "`session` serves essential, which is allowed", "essential", line(60)),
        ),
        ("_ga_X1", CookieStory("_ga_X1", False, "`_ga*` serves analytics, which is denied", "analytics", line(60))),
        ("odd", CookieStory("odd", False, "no rule names it")),
        ("", CookieStory("", False, "no rule names it")),
        ("__Host-consent", CookieStory("__Host-consent", False, "it is where consent_mw keeps the answers")),
        (
            "__Host-vid",
            CookieStory(
                "__Host-vid",
                False,
                "it is the identifier by which consent_mw recognises a browser",
                "analytics",
                line(55),
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cookie_is_judged_by_the_rule_that_names_it(name: str, story: CookieStory) -> None:
    assert explain_cookie(name, told(the_policy(), some_facts()), {"__Host-consent", "__Host-vid"}) == story


def test_an_unlisted_cookie_passes_where_the_policy_dares_it() -> None:
    decision = told(the_policy(keep_unlisted=True), some_facts())
    assert explain_cookie("odd", decision).kept


def test_a_berliner_with_both_signals_is_told_of_in_sentences() -> None:
    facts = some_facts(country="DE", dnt=True, gpc=True)
    decision = told(the_policy(), facts)
    lines = sentences(decision, facts, [explain_cookie("_ga", decision), explain_cookie("", decision)])
    assert "\n".join(lines) == (
        "Mixmax, revision 2018-05-22\n"
        "\n"
        "A visitor from DE is in jurisdiction eea_uk, by where the address is.\n"
        "It is opt-in: nothing optional before a yes.\n"
        "    rule at policy.toml:20\n"
        "    clause eu-residents: “If you are a resident of the European Union”\n"
        "\n"
        "Signal DNT was received and is ignored here.\n"
        "    rule at policy.toml:30\n"
        "Signal GPC was received and refuses cross_site.\n"
        "    rule at policy.toml:30\n"
        "    clause dnt: “Our Services do not support Do Not Track”\n"
        "\n"
        "Consent unknown: this person never answered.\n"
        "\n"
        "Purpose essential is allowed: the site cannot do without it, so it needs no consent.\n"
        "    rule at policy.toml:8\n"
        "\n"
        "Purpose analytics is denied: nothing may happen here before a yes, and there is none.\n"
        "    rule at policy.toml:20\n"
        "    clause eu-residents\n"
        "\n"
        "Purpose cross_site is denied: the browser's GPC signal refuses it here.\n"
        "    rule at policy.toml:30\n"
        "    clause dnt\n"
        "\n"
        "Cookie _ga does not pass: `_ga*` serves analytics, which is denied.\n"
        "    rule at policy.toml:60\n"
        "\n"
        "Cookie (without a name) does not pass: no rule names it.\n"
        "\n"
        "Vendor segment gets nothing.\n"
        "    rule at policy.toml:40\n"
        "\n"
        "Feature send_times is not offered.\n"
        "    rule at policy.toml:50\n"
        "\n"
        "The banner asks for consent. Pages carry Tk: N;none"
    )


def test_a_signal_that_the_policy_does_not_name_is_said_to_be_ignored() -> None:
    facts = some_facts(ELSEWHERE, gpc=True)
    assert "Signal GPC was received and is ignored: the policy does not name it." in sentences(
        told(a_policy(), facts), facts
    )


def test_report_mode_is_said_first() -> None:
    facts = some_facts()
    lines = sentences(told(the_policy(mode=Mode.REPORT), facts), facts)
    assert lines[1] == "report mode: all this is decided and counted, and nothing of it is carried out"


def test_a_long_clause_is_wrapped_and_every_word_of_it_stays() -> None:
    words = " ".join(f"word{number}" for number in range(80))
    policy = replace_clause(EU_CLAUSE, words)
    lines = sentences(told(policy, some_facts()), some_facts())
    assert max(len(one) for one in lines) <= 110
    assert words in " ".join(one.strip() for one in lines)


def replace_clause(clause: Clause, text: str) -> Policy:
    return a_policy(clauses=(replace(clause, text=text),))


@pytest.mark.parametrize(
    ("table", "members"),
    [(SENTENCES, Reason), (PLACES, Whereabouts), (ANSWERS, Status), (REGIMES, Regime)],
    ids=["reasons", "whereabouts", "statuses", "regimes"],
)
def test_every_member_has_its_sentence(table: dict[object, str], members: type) -> None:
    assert set(table) == set(members)


def test_times_are_told_in_utc() -> None:
    facts = some_facts(consent=a_consent(analytics=True, at=NOW))
    consent = state(told(the_policy(), facts), facts)["consent"]
    assert consent == {"status": "given", "at": "2018-05-22T14:40:00Z", "receipt": None}
