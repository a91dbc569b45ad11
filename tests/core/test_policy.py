"""Policy: what is looked up in the compiled rules."""

from __future__ import annotations

import pytest

from consent_mw.core.policy import Jurisdiction
from consent_mw.core.terms import Regime
from tests.builders import (
    ANALYTICS,
    CROSS_SITE,
    EEA_UK,
    ELSEWHERE,
    ESSENTIAL,
    a_cookie_rule,
    a_jurisdiction,
    a_policy,
    a_vendor,
)

LAX = a_jurisdiction("lax", "US", regime=Regime.OPT_OUT)
CALIFORNIA = a_jurisdiction("california", "US-CA")
PLACES = (LAX, CALIFORNIA, EEA_UK, ELSEWHERE)


@pytest.mark.parametrize(
    ("candidates", "strictest"),
    [
        pytest.param((LAX, EEA_UK), EEA_UK, id="opt-in before opt-out"),
        pytest.param((EEA_UK, CALIFORNIA), CALIFORNIA, id="then the first in the file"),
        pytest.param((ELSEWHERE, LAX), LAX, id="among opt-outs too"),
        pytest.param((ELSEWHERE,), ELSEWHERE, id="the only one"),
        pytest.param((), CALIFORNIA, id="of all, when none are given"),
    ],
)
def test_the_strictest_is_opt_in_then_first_in_the_file(
    candidates: tuple[Jurisdiction, ...], strictest: Jurisdiction
) -> None:
    assert a_policy(jurisdictions=PLACES).strictest(candidates) is strictest


RULES = (a_cookie_rule("_g*"), a_cookie_rule("_ga"), a_cookie_rule("_ga_*"), a_cookie_rule("plain"))


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        pytest.param("_ga", "_ga", id="the exact name before any prefix"),
        pytest.param("_ga_XYZ", "_ga_*", id="the longest prefix"),
        pytest.param("_gac", "_g*", id="a shorter prefix"),
        pytest.param("_g", "_g*", id="a star stands for nothing, too"),
        pytest.param("plain", "plain", id="an exact name"),
        pytest.param("plainer", None, id="an exact name is no prefix"),
        pytest.param("PLAIN", None, id="case counts (RFC 6265 5.3)"),
        pytest.param("x_ga", None, id="a prefix is at the start"),
        pytest.param("", None, id="a nameless cookie"),
        pytest.param("_ga*", "_g*", id="a star in a name is a character"),
    ],
)
def test_a_cookie_is_named_by_the_exact_rule_then_the_longest_prefix(name: str, pattern: str | None) -> None:
    rule = a_policy(cookies=RULES).cookie_rule(name)
    assert (rule.pattern if rule else None) == pattern


def test_a_lone_star_names_every_cookie_that_nothing_else_names() -> None:
    policy = a_policy(cookies=(a_cookie_rule("*"), a_cookie_rule("_g*")))
    assert [rule and rule.pattern for rule in map(policy.cookie_rule, ("", "x", "_g"))] == ["*", "*", "_g*"]


@pytest.mark.parametrize(
    ("region", "place"),
    [
        ("US", LAX),
        ("US-CA", CALIFORNIA),
        ("DE", EEA_UK),
        ("GB", EEA_UK),
        ("*", ELSEWHERE),
        ("US-NY", None),
        ("", None),
    ],
)
def test_a_region_is_of_the_jurisdiction_that_lists_it(region: str, place: Jurisdiction | None) -> None:
    assert a_policy(jurisdictions=PLACES).jurisdiction_of(region) is place


def test_things_are_found_by_name() -> None:
    vendor = a_vendor(fields_in={"eea_uk": ("event",)})
    policy = a_policy(vendors=(vendor,))
    assert policy.catch_all is ELSEWHERE
    assert policy.jurisdiction("eea_uk") is EEA_UK
    assert policy.purpose("analytics") is ANALYTICS
    assert policy.vendor("segment") is vendor
    assert policy.optional_purposes == (ANALYTICS, CROSS_SITE)
    assert [policy.jurisdiction("x"), policy.purpose("x"), policy.vendor("x")] == [None, None, None]
    assert policy.purpose("essential") is ESSENTIAL
    assert [vendor.fields_for("eea_uk"), vendor.fields_for("elsewhere")] == [("event",), ("event", "time")]


def test_a_policy_is_itself_alone() -> None:
    assert a_policy() != a_policy()
    assert len({a_policy(), a_policy()}) == 2
