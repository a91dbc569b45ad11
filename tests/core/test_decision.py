"""The decision: the ladder as a table, what follows from it, and the laws that hold for every fact."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.consent import Consent
from consent_mw.core.decision import LADDER, STATUS_IDS, Decision, Question, Verdict, decide, judge, table_of
from consent_mw.core.facts import Facts
from consent_mw.core.policy import Jurisdiction, Policy, SignalRule
from consent_mw.core.terms import (
    Answer,
    Banner,
    Mode,
    Reason,
    Regime,
    Signal,
    Status,
    TrackingStatus,
    Whereabouts,
)
from tests.builders import (
    ANALYTICS,
    CROSS_SITE,
    EEA_UK,
    ELSEWHERE,
    ESSENTIAL,
    NOW,
    REVISION,
    a_consent,
    a_decision,
    a_feature,
    a_jurisdiction,
    a_policy,
    a_signal,
    a_vendor,
    an_effect,
    line,
    some_facts,
)

GPC_REFUSES = a_signal(Signal.GPC, "cross_site")
MIXMAX = a_policy(a_signal(Signal.DNT), GPC_REFUSES)
"""Much as the published policy: DNT is ignored, GPC refuses cross_site."""

YIELDING = a_policy(a_signal(Signal.GPC, "cross_site", yields=True))
DNT_IN_EEA = a_policy(a_signal(Signal.DNT, eea_uk=an_effect("analytics")))
BOTH = a_policy(a_signal(Signal.DNT, "analytics", "cross_site"), a_signal(Signal.GPC, "cross_site", yields=True))

ALL, NOTHING = a_consent(analytics=True, cross_site=True), a_consent(analytics=False, cross_site=False)
OLD_YES = a_consent(at=1, analytics=True, cross_site=True)
OLD_NO = a_consent(at=1, analytics=False, cross_site=False)
OTHER_YES = a_consent(revision="2017", analytics=True, cross_site=True)

ESS, MINOR, REFUSED, SIGNAL, GIVEN, IN, OUT = Reason

LADDER_CASES = [
    # id, policy, jurisdiction, facts, reason for analytics, reason for cross_site
    ("a first visit from Berlin", MIXMAX, EEA_UK, {}, IN, IN),
    ("a first visit from Texas", MIXMAX, ELSEWHERE, {}, OUT, OUT),
    ("a yes from Berlin", MIXMAX, EEA_UK, {"consent": ALL}, GIVEN, GIVEN),
    ("a yes from Texas", MIXMAX, ELSEWHERE, {"consent": ALL}, GIVEN, GIVEN),
    ("a no from Berlin", MIXMAX, EEA_UK, {"consent": NOTHING}, REFUSED, REFUSED),
    ("a no from Texas", MIXMAX, ELSEWHERE, {"consent": NOTHING}, REFUSED, REFUSED),
    ("half a yes from Berlin", MIXMAX, EEA_UK, {"consent": a_consent(analytics=True)}, GIVEN, IN),
    ("GPC from Texas", MIXMAX, ELSEWHERE, {"gpc": True}, OUT, SIGNAL),
    ("GPC from Berlin", MIXMAX, EEA_UK, {"gpc": True}, IN, SIGNAL),
    ("GPC beside a yes", MIXMAX, ELSEWHERE, {"gpc": True, "consent": ALL}, GIVEN, SIGNAL),
    ("GPC that yields, beside a yes", YIELDING, ELSEWHERE, {"gpc": True, "consent": ALL}, GIVEN, GIVEN),
    ("GPC that yields, without an answer", YIELDING, ELSEWHERE, {"gpc": True}, OUT, SIGNAL),
    ("GPC that yields, beside an expired yes", YIELDING, ELSEWHERE, {"gpc": True, "consent": OLD_YES}, OUT, SIGNAL),
    ("GPC that yields, beside a no", YIELDING, ELSEWHERE, {"gpc": True, "consent": NOTHING}, REFUSED, REFUSED),
    ("DNT that is ignored", MIXMAX, ELSEWHERE, {"dnt": True}, OUT, OUT),
    ("DNT where it is honoured", DNT_IN_EEA, EEA_UK, {"dnt": True, "consent": ALL}, SIGNAL, GIVEN),
    ("DNT where it is not", DNT_IN_EEA, ELSEWHERE, {"dnt": True}, OUT, OUT),
    ("DNT: 0 is no yes", DNT_IN_EEA, EEA_UK, {"dnt": False}, IN, IN),
    ("DNT refuses where GPC yields", BOTH, ELSEWHERE, {"dnt": True, "gpc": True, "consent": ALL}, SIGNAL, SIGNAL),
    ("an expired yes from Berlin", MIXMAX, EEA_UK, {"consent": OLD_YES}, IN, IN),
    ("an outdated yes from Berlin", MIXMAX, EEA_UK, {"consent": OTHER_YES}, IN, IN),
    ("an old no from Texas", MIXMAX, ELSEWHERE, {"consent": OLD_NO}, REFUSED, REFUSED),
    ("a minor says yes", MIXMAX, ELSEWHERE, {"minor": True, "consent": ALL}, MINOR, MINOR),
    ("a minor says no", MIXMAX, ELSEWHERE, {"minor": True, "consent": NOTHING}, MINOR, MINOR),
    ("a minor by their cookie", MIXMAX, ELSEWHERE, {"consent": a_consent(more={"minor": True})}, MINOR, MINOR),
    ("a no outranks a signal", MIXMAX, ELSEWHERE, {"gpc": True, "consent": NOTHING}, REFUSED, REFUSED),
]


@pytest.mark.parametrize(
    ("policy", "place", "facts", "analytics", "cross_site"),
    [pytest.param(*case[1:], id=case[0]) for case in LADDER_CASES],
)
def test_the_first_rule_that_answers_wins(
    policy: Policy, place: Jurisdiction, facts: dict[str, Any], analytics: Reason, cross_site: Reason
) -> None:
    verdicts = a_decision(policy, place, **facts).verdicts
    allowing = {ESS, GIVEN, OUT}
    expected = (("essential", ESS), ("analytics", analytics), ("cross_site", cross_site))
    assert [(one.purpose, one.reason, one.allowed) for one in verdicts] == [
        (name, reason, reason in allowing) for name, reason in expected
    ]


def test_the_ladder_stands_in_the_order_of_its_reasons() -> None:
    names = [rule.__name__.replace("_", "-") for rule in LADDER]
    assert [*names, "opt-out-default"] == [reason.value for reason in Reason]


def test_a_verdict_names_its_rule_and_its_clauses() -> None:
    decision = a_decision(MIXMAX, EEA_UK, gpc=True)
    assert decision.verdicts == (
        Verdict("essential", True, ESS, line(8)),
        Verdict("analytics", False, IN, line(20), ("eu-residents",)),
        Verdict("cross_site", False, SIGNAL, line(30), ("dnt",), Signal.GPC),
    )
    assert decision.verdict("analytics") == decision.verdicts[1]
    assert decision.verdict("unheard") is None
    assert [decision.allows("essential"), decision.allows("analytics"), decision.allows("unheard")] == [1, 0, 0]


ASKS = [
    # banner, status: (ask, notice)
    (Banner.ASK, {}, True, False),
    (Banner.ASK, {"consent": ALL}, False, False),
    (Banner.ASK, {"consent": NOTHING}, False, False),
    (Banner.ASK, {"consent": a_consent(analytics=True, cross_site=False)}, False, False),
    (Banner.ASK, {"consent": OLD_YES}, True, False),
    (Banner.ASK, {"consent": OLD_NO}, True, False),
    (Banner.ASK, {"consent": OTHER_YES}, True, False),
    (Banner.ASK, {"consent": Consent(seen=REVISION)}, True, False),
    (Banner.NOTICE, {}, False, True),
    (Banner.NOTICE, {"consent": Consent(seen=REVISION)}, False, False),
    (Banner.NOTICE, {"consent": Consent(seen="2017")}, False, True),
    (Banner.NOTICE, {"consent": a_consent(at=1, analytics=True, more={"seen": REVISION})}, False, False),
    (Banner.NONE, {}, False, False),
    (Banner.NONE, {"consent": OLD_YES}, False, False),
]


@pytest.mark.parametrize(("banner", "facts", "ask", "notice"), ASKS)
def test_a_page_asks_or_gives_notice(banner: Banner, facts: dict[str, Any], ask: bool, notice: bool) -> None:
    policy = a_policy(jurisdictions=(replace(EEA_UK, banner=banner), ELSEWHERE))
    decision = a_decision(policy, **facts)
    assert (decision.ask, decision.notice) == (ask, notice)


@pytest.mark.parametrize("place", [EEA_UK, ELSEWHERE])
def test_in_report_mode_nobody_is_asked(place: Jurisdiction) -> None:
    decision = a_decision(a_policy(mode=Mode.REPORT), place)
    assert (decision.ask, decision.notice, decision.tk) == (False, False, "!;test")


def test_nobody_is_asked_where_there_is_nothing_to_answer() -> None:
    assert not a_decision(a_policy(purposes=(ESSENTIAL,))).ask


TK = [
    pytest.param({}, EEA_UK, "N;none", id="nothing tracks"),
    pytest.param({"dnt": True}, EEA_UK, "N;none", id="nothing tracks, whatever DNT says"),
    pytest.param({}, ELSEWHERE, "T;default", id="tracking, and no preference was received"),
    pytest.param({"dnt": True}, ELSEWHERE, "D;ignored", id="a preference was received and is ignored"),
    pytest.param({"dnt": False}, ELSEWHERE, "T;default", id="DNT: 0 allows tracking, so nothing is disregarded"),
    pytest.param({"consent": ALL}, EEA_UK, "C;consent", id="all that tracks was agreed to"),
    pytest.param({"consent": ALL, "dnt": True}, EEA_UK, "C;consent", id="consent stands before the preference"),
    pytest.param({"consent": a_consent(analytics=True)}, ELSEWHERE, "T;default", id="only some was agreed to"),
    pytest.param({"consent": a_consent(analytics=True), "dnt": True}, ELSEWHERE, "D;ignored", id="and DNT"),
    pytest.param({"consent": NOTHING, "dnt": True}, ELSEWHERE, "N;none", id="all was refused"),
    pytest.param({"minor": True}, ELSEWHERE, "N;none", id="a minor is not tracked"),
]


@pytest.mark.parametrize(("facts", "place", "tk"), TK)
def test_the_tracking_status_is_true(facts: dict[str, Any], place: Jurisdiction, tk: str) -> None:
    assert a_decision(MIXMAX, place, **facts).tk == tk


def test_every_status_but_the_gateway_s_has_an_id_of_its_own() -> None:
    assert set(STATUS_IDS) == set(TrackingStatus)
    assert len(set(STATUS_IDS.values())) == len(STATUS_IDS)


HONOURED = [
    pytest.param(MIXMAX, {"gpc": True}, {Signal.GPC: ("cross_site",)}, id="GPC"),
    pytest.param(MIXMAX, {"dnt": True}, {}, id="DNT that is ignored"),
    pytest.param(MIXMAX, {"gpc": True, "consent": NOTHING}, {Signal.GPC: ("cross_site",)}, id="after a no, too"),
    pytest.param(BOTH, {"gpc": True, "consent": ALL}, {}, id="GPC that yielded"),
    pytest.param(
        BOTH,
        {"dnt": True, "gpc": True},
        {Signal.DNT: ("analytics", "cross_site"), Signal.GPC: ("cross_site",)},
        id="both are named",
    ),
    pytest.param(a_policy(a_signal(Signal.GPC, "essential")), {"gpc": True}, {}, id="essentials cannot be refused"),
]


@pytest.mark.parametrize(("policy", "facts", "refused"), HONOURED)
def test_the_decision_says_which_signals_it_honoured(
    policy: Policy, facts: dict[str, Any], refused: dict[Signal, tuple[str, ...]]
) -> None:
    assert dict(a_decision(policy, ELSEWHERE, **facts).refused_by) == refused


def test_features_and_fields_follow_from_the_verdicts() -> None:
    vendors = (a_vendor(fields_in={"eea_uk": ("event",)}), a_vendor("ads", purpose="cross_site"))
    features = (a_feature(), a_feature("lists", denied_in=frozenset({"eea_uk"})))
    policy = a_policy(GPC_REFUSES, vendors=vendors, features=features)
    berlin, texas = a_decision(policy, EEA_UK, consent=ALL), a_decision(policy, ELSEWHERE, gpc=True)
    assert dict(berlin.features) == {"send_times": True, "lists": False}
    assert dict(berlin.fields) == {"segment": ("event",), "ads": ("event", "time")}
    assert dict(texas.features) == {"send_times": True, "lists": True}
    assert dict(texas.fields) == {"segment": ("event", "time"), "ads": ()}
    assert dict(a_decision(policy, EEA_UK).features) == {"send_times": False, "lists": False}
    assert dict(a_decision(policy, EEA_UK).fields) == {"segment": (), "ads": ()}


def test_a_decision_carries_the_facts_it_rests_on() -> None:
    decision = a_decision(
        MIXMAX, ELSEWHERE, consent=OLD_YES, dnt=False, gpc=True, minor=True, whereabouts=Whereabouts.UNKNOWN_COUNTRY
    )
    assert (decision.policy, decision.jurisdiction) == (MIXMAX, ELSEWHERE)
    assert (decision.status, decision.whereabouts) == (Status.EXPIRED, Whereabouts.UNKNOWN_COUNTRY)
    assert (decision.dnt, decision.gpc, decision.minor) == (False, True, True)


def test_a_jurisdiction_of_another_policy_is_the_caller_s_mistake() -> None:
    with pytest.raises(ValueError, match="not of this policy"):
        a_decision(MIXMAX, a_jurisdiction("atlantis", "ZZ"))


# laws

answers = st.dictionaries(st.sampled_from(["analytics", "cross_site", "essential", "gone"]), st.booleans())
consents = st.builds(
    Consent,
    answers=answers,
    at=st.sampled_from([0, 1, NOW - 1, NOW + 60]),
    revision=st.sampled_from(["", "2017", REVISION]),
    seen=st.sampled_from(["", "2017", REVISION]),
    minor=st.booleans(),
)
policies = st.sampled_from([MIXMAX, YIELDING, DNT_IN_EEA, BOTH, a_policy(), a_policy(GPC_REFUSES, mode=Mode.REPORT)])
facts_of = st.builds(
    Facts,
    jurisdiction=st.sampled_from([EEA_UK, ELSEWHERE]),
    now=st.just(NOW),
    whereabouts=st.sampled_from(Whereabouts),
    dnt=st.sampled_from([None, False, True]),
    gpc=st.booleans(),
    consent=consents,
    minor=st.booleans(),
)


@given(facts_of, policies)
def test_every_fact_has_an_answer(facts: Facts, policy: Policy) -> None:
    decision = decide(facts, policy)
    assert [one.purpose for one in decision.verdicts] == [one.name for one in policy.purposes]
    assert decision.allowed == {one.purpose for one in decision.verdicts if one.allowed}
    assert decision.allows("essential")
    assert not (decision.ask and decision.notice)


@given(facts_of, policies, st.sampled_from(["analytics", "cross_site"]))
def test_one_more_refusal_never_allows_more(facts: Facts, policy: Policy, purpose: str) -> None:
    consent = facts.consent
    stricter = [
        replace(facts, consent=replace(consent, answers={**consent.answers, purpose: False})),
        replace(facts, dnt=True),
        replace(facts, gpc=True),
        replace(facts, minor=True),
        replace(facts, consent=replace(consent, minor=True)),
    ]
    allowed = decide(facts, policy).allowed
    assert all(decide(one, policy).allowed <= allowed for one in stricter)


@given(facts_of, policies)
def test_a_stricter_regime_never_allows_more(facts: Facts, policy: Policy) -> None:
    here = policy.jurisdiction(facts.jurisdiction.name)
    assert here is not None
    others = tuple(one for one in policy.jurisdictions if one is not here)
    lax, strict = (replace(here, regime=one, banner=Banner.ASK) for one in (Regime.OPT_OUT, Regime.OPT_IN))
    under_lax, under_strict = (replace(policy, jurisdictions=(one, *others)) for one in (lax, strict))
    allowed = decide(replace(facts, jurisdiction=lax), under_lax).allowed
    assert decide(replace(facts, jurisdiction=strict), under_strict).allowed <= allowed


@given(facts_of, policies)
def test_equal_facts_give_equal_decisions(facts: Facts, policy: Policy) -> None:
    again = replace(facts, consent=replace(facts.consent, answers=dict(facts.consent.answers)))
    assert decide(facts, policy) == decide(again, policy)


@given(facts_of, policies)
def test_a_stale_yes_counts_as_none(facts: Facts, policy: Policy) -> None:
    yes = replace(facts.consent, answers={"analytics": True, "cross_site": True})
    stale = replace(yes, at=1), replace(yes, revision="2017")
    silent = decide(replace(facts, consent=replace(facts.consent, answers={})), policy)
    assert all(decide(replace(facts, consent=one), policy).verdicts == silent.verdicts for one in stale)


@given(facts_of, policies, st.sampled_from([1, NOW]), st.sampled_from(["2017", REVISION]))
def test_a_no_holds_for_ever(facts: Facts, policy: Policy, at: int, revision: str) -> None:
    no = Consent({"analytics": False}, at, revision)
    assert not decide(replace(facts, consent=no), policy).allows("analytics")


@pytest.mark.parametrize("policy", [MIXMAX, YIELDING, DNT_IN_EEA, BOTH])
def test_the_table_says_what_the_rules_say(policy: Policy) -> None:
    consents = [a_consent(), a_consent(analytics=True), a_consent(analytics=False)]
    booleans = (False, True)
    for place, consent, dnt, gpc, minor in product(policy.jurisdictions, consents, booleans, booleans, booleans):
        facts = some_facts(place, consent=consent, dnt=dnt, gpc=gpc, minor=minor)
        given_answers = [_answer(consent, one.name) for one in policy.purposes]
        asked = tuple(
            judge(Question(policy, one, place, answer, dnt, gpc, minor))
            for one, answer in zip(policy.purposes, given_answers, strict=True)
        )
        assert decide(facts, policy).verdicts == asked


def _answer(consent: Consent, purpose: str) -> Answer:
    said = consent.answers.get(purpose)
    return Answer.NONE if said is None else Answer.YES if said else Answer.NO


PAGE_VARIANTS: list[dict[str, Any]] = [
    {},
    {"dnt": True},
    {"dnt": False},
    {"gpc": True},
    {"minor": True},
    {"consent": ALL},
    {"consent": NOTHING},
    {"consent": a_consent(analytics=True)},
    {"consent": a_consent(cross_site=True)},
    {"consent": OLD_YES},
    {"consent": OLD_NO},
    {"consent": OTHER_YES},
    {"consent": Consent(seen=REVISION)},
    {"whereabouts": Whereabouts.UNKNOWN_COUNTRY},
]


def test_the_digest_differs_whenever_a_page_may_differ() -> None:
    decisions = [a_decision(MIXMAX, place, **facts) for place in (EEA_UK, ELSEWHERE) for facts in PAGE_VARIANTS]
    assert len({one.digest for one in decisions}) == len(decisions)


def test_another_policy_file_makes_another_digest() -> None:
    assert a_decision(a_policy(digest="1" * 16)).digest != a_decision(a_policy()).digest


def test_the_same_policy_file_makes_the_same_digest_in_every_worker() -> None:
    assert a_decision(a_policy()).digest == a_decision(a_policy()).digest


def _shown(decision: Decision) -> tuple[object, ...]:
    return (decision.verdicts, decision.ask, decision.notice, tuple(decision.features.items()), decision.tk)


@given(st.lists(facts_of, min_size=2, max_size=6))
def test_pages_that_differ_never_share_a_digest(many: list[Facts]) -> None:
    decisions = [decide(facts, MIXMAX) for facts in many]
    shown = {(one.digest, _shown(one)) for one in decisions}
    assert len({digest for digest, _ in shown}) == len(shown)


def test_a_table_is_made_once_and_its_decisions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent_mw.core.decision.DECISIONS_KEPT", 2)
    policy = a_policy()
    first = [a_decision(policy, gpc=gpc, dnt=dnt) for gpc in (False, True) for dnt in (None, False, True)]
    assert table_of(policy) is table_of(policy)
    assert first == [a_decision(policy, gpc=gpc, dnt=dnt) for gpc in (False, True) for dnt in (None, False, True)]
    assert {one.purpose for one in first[0].verdicts} == {ESSENTIAL.name, ANALYTICS.name, CROSS_SITE.name}


def test_a_string_of_a_platform_refuses_its_purpose_and_no_other() -> None:
    rule = SignalRule(Signal.TCF, an_effect("analytics"), cookie="c", refuses={"analytics": frozenset({"1"})})
    policy = a_policy(rule)
    refused = a_decision(policy, ELSEWHERE, refusals=((Signal.TCF, "analytics"),))
    assert [(one.purpose, one.reason) for one in refused.verdicts] == [
        ("essential", Reason.ESSENTIAL),
        ("analytics", Reason.SIGNAL_REFUSES),
        ("cross_site", Reason.OPT_OUT_DEFAULT),
    ]
    assert refused.refused_by == {Signal.TCF: ("analytics",)}
    assert refused.digest != a_decision(policy, ELSEWHERE).digest


def test_a_string_cannot_refuse_what_is_essential_or_what_its_rule_ignores() -> None:
    ignoring = SignalRule(Signal.GPP, an_effect(), cookie="c", refuses={"analytics": frozenset({"sale"})})
    sent = ((Signal.GPP, "analytics"), (Signal.GPP, "essential"))
    assert a_decision(a_policy(ignoring), ELSEWHERE, refusals=sent).allowed == {
        "essential",
        "analytics",
        "cross_site",
    }
