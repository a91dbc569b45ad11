"""A comparison tells whatever two policies decide otherwise, for whom, and which way it goes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.decision import Question, judge
from consent_mw.core.difference import Change, Direction, compare
from consent_mw.core.difference.places import every_region
from consent_mw.core.policy import DAY, Clause, Csp, IdentifierRule, Policy, Retention, Scope, SignalRule, Site
from consent_mw.core.regions import EEA, named_regions
from consent_mw.core.terms import Answer, Banner, CspMode, Mode, Regime, Signal
from consent_mw.core.whereabouts import Location, settle
from tests.builders import (
    ANALYTICS,
    CROSS_SITE,
    ELSEWHERE,
    ESSENTIAL,
    a_cookie_rule,
    a_feature,
    a_jurisdiction,
    a_policy,
    a_signal,
    a_vendor,
    an_effect,
    line,
)

LAXER, STRICTER, NEITHER = Direction


BY_TCF = SignalRule(Signal.TCF, an_effect("analytics"), cookie="c", refuses={"analytics": frozenset({"1", "8"})})


def told(before: Policy, after: Policy) -> list[tuple[str, str, str, str, Direction]]:
    return [(one.sort, one.name, one.before, one.after, one.direction) for one in compare(before, after)]


def test_a_policy_differs_in_nothing_from_itself() -> None:
    policy = a_policy(a_signal(Signal.GPC, "cross_site"), vendors=(a_vendor(),), cookies=(a_cookie_rule("_ga*"),))
    assert compare(policy, replace(policy)) == ()


def test_a_signal_that_begins_to_refuse_is_stricter_for_those_who_send_it() -> None:
    everywhere = frozenset(every_region(a_policy()))
    sent = {"gpc": "true", "minor": "false"}
    denied = ("denied (signal-refuses)", STRICTER)
    assert set_of(compare(a_policy(), a_policy(a_signal(Signal.GPC, "cross_site")))) == {
        (
            "allowed (opt-out-default)",
            *denied,
            everywhere - EEA - {"GB", "unknown"},
            told_when(answer="none", **sent),
        ),
        ("allowed (consent-given)", *denied, everywhere, told_when(answer="yes", **sent)),
    }


def set_of(changes: tuple[Change, ...]) -> set[tuple[object, ...]]:
    return {(one.before, one.after, one.direction, one.regions, told_when(**one.when)) for one in changes}


def told_when(**when: str) -> frozenset[tuple[str, str]]:
    return frozenset(when.items())


def test_a_country_that_opts_in_no_more_is_laxer_before_an_answer() -> None:
    less = a_jurisdiction("eea_uk", *EEA, clauses=("eu-residents",))
    found = compare(a_policy(), a_policy(jurisdictions=(less, ELSEWHERE)))
    regions = {one.regions for one in found}
    assert regions == {frozenset({"GB"})}
    assert [(one.sort, one.name, dict(one.when)) for one in found if one.direction is LAXER] == [
        ("jurisdiction", "regime", {}),
        ("jurisdiction", "banner", {}),
        ("purpose", "analytics", {"answer": "none", "minor": "false"}),
        ("purpose", "cross_site", {"answer": "none", "minor": "false"}),
    ]


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ({}, {"cookies": (a_cookie_rule("_ga*"),)}, ("cookie", "_ga*", "dropped", "purpose analytics", LAXER)),
        (
            {"cookies": (a_cookie_rule("_ga"),)},
            {"cookies": (a_cookie_rule("_ga", purpose="essential"),)},
            ("cookie", "_ga", "purpose analytics", "purpose essential", LAXER),
        ),
        (
            {"cookies": (a_cookie_rule("_ga"),)},
            {"cookies": (a_cookie_rule("_ga", purpose="cross_site"),)},
            ("cookie", "_ga", "purpose analytics", "purpose cross_site", NEITHER),
        ),
        (
            {"cookies": (a_cookie_rule("_ga", lasts=DAY),)},
            {"cookies": (a_cookie_rule("_ga"),)},
            ("cookie", "_ga lasts", "1d", "as set", LAXER),
        ),
        (
            {"cookies": (a_cookie_rule("_ga"),)},
            {"cookies": (a_cookie_rule("_ga", secure=True),)},
            ("cookie", "_ga secure", "false", "true", STRICTER),
        ),
        ({}, {"signals": {Signal.TCF: BY_TCF}}, ("signal", "tcf refuses analytics by", "nothing", "1, 8", STRICTER)),
        ({"signals": {Signal.TCF: BY_TCF}}, {}, ("signal", "tcf refuses analytics by", "1, 8", "nothing", LAXER)),
        ({}, {"mode": Mode.REPORT}, ("setting", "mode", "enforce", "report", LAXER)),
        ({"redact": ("/reset/*",)}, {}, ("setting", "urls.redact", "/reset/*", "none", LAXER)),
        ({}, {"redact": ("/reset/*",)}, ("setting", "urls.redact", "none", "/reset/*", STRICTER)),
        ({}, {"scope": Scope(("/api/*",))}, ("setting", "scope.exclude", "none", "/api/*", LAXER)),
        ({}, {"scope": Scope(percent=5)}, ("setting", "scope.percent", "100", "5", LAXER)),
        ({}, {"csp": Csp(CspMode.ENFORCE)}, ("setting", "csp.mode", "off", "enforce", STRICTER)),
        ({}, {"revision": "2019"}, ("setting", "revision", "2018-05-22", "2019", NEITHER)),
        (
            {},
            {"retention": Retention(ledger=DAY)},
            ("setting", "retention.ledger", "1825d", "1d", STRICTER),
        ),
        ({}, {"clauses": (Clause("dnt", "we listen", line(2)),)}, ("clause", "dnt", "none", "we listen", NEITHER)),
        (
            {"features": (a_feature(denied_in=frozenset({"eea_uk"})),)},
            {"features": (a_feature(),)},
            ("feature", "send_times", "not offered", "offered", LAXER),
        ),
        (
            {"vendors": (a_vendor(),)},
            {"vendors": (a_vendor(fields=("event", "time", "ip")),)},
            ("fields", "segment", "withheld", "ip", LAXER),
        ),
        (
            {"vendors": (a_vendor(fields=("event", "props.*")),)},
            {"vendors": (a_vendor(fields=("event", "props.plan")),)},
            ("fields", "segment", "props.*", "withheld", STRICTER),
        ),
        (
            {"vendors": (a_vendor(),)},
            {"vendors": (a_vendor(endpoint="https://elsewhere.example/"),)},
            ("vendor", "segment endpoint", "https://example.com/", "https://elsewhere.example/", NEITHER),
        ),
        (
            {},
            {"identifier": IdentifierRule("__Host-vid", "analytics", DAY, line(5))},
            ("identifier", "__Host-vid", "none", "there is one", LAXER),
        ),
    ],
)
def test_a_change_of_one_thing_is_told_once_and_weighed(
    was: dict[str, Any], now: dict[str, Any], expected: tuple[str, str, str, str, Direction]
) -> None:
    assert told(a_policy(**was), a_policy(**now)) == [expected]


def test_a_new_vendor_is_told_with_what_it_gets() -> None:
    assert told(a_policy(), a_policy(vendors=(a_vendor(),))) == [
        ("vendor", "segment", "none", "there is one", LAXER),
        ("fields", "segment", "withheld", "event, time", LAXER),
    ]


def test_fields_are_compared_where_the_visitor_is() -> None:
    narrow = a_vendor(fields_in={"eea_uk": ("event",)})
    (change,) = compare(a_policy(vendors=(a_vendor(),)), a_policy(vendors=(narrow,)))
    assert (change.before, change.after, change.direction) == ("time", "withheld", STRICTER)
    assert change.regions == EEA | {"GB", "unknown"}


def test_a_name_that_an_exact_rule_takes_from_a_wildcard_is_not_a_change() -> None:
    both = (a_cookie_rule("_ga*"), a_cookie_rule("_gat"))
    assert told(a_policy(cookies=both[:1]), a_policy(cookies=both)) == []


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ({"DE"}, "DE"),
        (EEA, "EEA"),
        (EEA | {"GB"}, "EEA, GB"),
        (set(every_region(a_policy())), "everywhere"),
        (set(every_region(a_policy())) - {"US"}, "everywhere but US"),
        (set(every_region(a_policy())) - EEA, "everywhere but EEA"),
    ],
)
def test_regions_are_named_in_the_fewest_words(regions: set[str], expected: str) -> None:
    assert named_regions(regions, every_region(a_policy())) == expected


PURPOSES = ("analytics", "cross_site")
REGIONS = ("DE", "US", "US-CA", "JP")


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    optional = [one for one in (ANALYTICS, CROSS_SITE) if draw(st.booleans())]
    names = [one.name for one in optional]
    regimes = st.sampled_from(Regime)
    first = a_jurisdiction("one", *draw(st.sets(st.sampled_from(REGIONS))), regime=draw(regimes))
    rest = a_jurisdiction("rest", "*", regime=draw(regimes), banner=draw(st.sampled_from(Banner)))
    signals = [
        a_signal(
            signal,
            *draw(st.sets(st.sampled_from(names))),
            yields=draw(st.booleans()),
            **({"one": an_effect(*draw(st.sets(st.sampled_from(names))))} if draw(st.booleans()) else {}),
        )
        for signal in Signal
        if names and draw(st.booleans())
    ]
    return a_policy(
        *signals,
        purposes=(ESSENTIAL, *optional),
        jurisdictions=(first, rest),
        site=Site("x", "https://x.example/"),
        digest=draw(st.text("0123456789abcdef", min_size=8, max_size=8)),
    )


def allowed(policy: Policy, name: str, region: str, cell: tuple[Answer, bool, bool, bool]) -> bool:
    country, _, part = region.partition("-")
    place = settle([Location(country, part)] if region != "unknown" else [], True, policy).jurisdiction
    purpose = policy.purpose(name)
    return purpose is not None and judge(Question(policy, purpose, place, *cell)).allowed


def told_region(region: str, before: Policy, after: Policy) -> str:
    """The region that stands for this one: itself, or the rest of its country, or its country."""
    country = region.partition("-")[0]
    known = every_region(before, after)
    return next(one for one in (region, f"{country}-*", country) if one in known)


def holds(change: Change, cell: tuple[Answer, bool, bool, bool]) -> bool:
    answer, *signs = cell
    said = {"answer": ("none", "yes", "no")[answer]}
    said |= dict(zip(("dnt", "gpc", "minor"), ("true" if one else "false" for one in signs), strict=True))
    return all(said[name] == value for name, value in change.when.items())


@given(policies(), policies())
def test_every_verdict_that_differs_is_told_and_no_other(before: Policy, after: Policy) -> None:
    changes = [one for one in compare(before, after) if one.sort == "purpose"]
    cells = product(Answer, (False, True), (False, True), (False, True))
    for name, region, cell in product(PURPOSES, ("DE", "US", "US-CA", "US-NY", "JP", "FR", "unknown"), cells):
        was, now = (allowed(one, name, region, cell) for one in (before, after))
        told_as = told_region(region, before, after)
        found = {one.direction for one in changes if one.name == name and told_as in one.regions and holds(one, cell)}
        assert found == (set() if was == now else {LAXER if now else STRICTER})


@given(policies(), policies())
def test_the_way_back_is_told_the_other_way_round(before: Policy, after: Policy) -> None:
    turned = {LAXER: STRICTER, STRICTER: LAXER, NEITHER: NEITHER}
    there = {(one.sort, one.name, one.direction) for one in compare(before, after)}
    assert {(sort, name, turned[direction]) for sort, name, direction in there} == {
        (one.sort, one.name, one.direction) for one in compare(after, before)
    }
