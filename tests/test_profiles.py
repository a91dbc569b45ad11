"""The built-in profiles load, rest on their published text sentence by sentence, and do what their cases say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from consent_mw import Policy, decide, load_policy
from consent_mw.core.cases import Case, differences
from consent_mw.core.coverage import coverage
from consent_mw.core.facts import Facts
from consent_mw.core.policy import SignalRule
from consent_mw.core.whereabouts import Location, settle
from consent_mw.world.policy_file import CasesReading, profile_names, read_cases, read_profile

PROFILES = Path(__file__).resolve().parents[1] / "consent_mw" / "profiles"
PUBLISHED = (Path(__file__).parent / "data" / "mixmax-2018.txt").read_text()
NOW = 1_800_000_000

UNQUOTED = (Path(__file__).parent / "data" / "mixmax-2018.unquoted.txt").read_text().splitlines()
"""Sentences that say nothing of what the system does: thanks, requests to the reader, pointers, and risks."""


def policy(name: str) -> Policy:
    return load_policy(PROFILES / f"{name}.toml")


def book(name: str) -> CasesReading:
    return read_cases(PROFILES / f"{name}.cases.toml", policy(name))


def cases() -> list[Any]:
    return [
        pytest.param(name, case, id=f"{name}: {case.name}") for name in profile_names() for case in book(name).cases
    ]


@pytest.mark.parametrize("name", profile_names())
def test_its_cases_have_no_mistakes(name: str) -> None:
    assert book(name).reading.problems == ()


def cited(rules: Policy) -> set[str]:
    """The clauses that some rule carries out."""
    effects = [
        effect
        for rule in rules.signals.values()
        if isinstance(rule, SignalRule)
        for effect in (rule.everywhere, *rule.overrides.values())
    ]
    tables = (rules.purposes, rules.jurisdictions, rules.cookies, rules.vendors, rules.features, effects)
    found = {clause for table in tables for rule in table for clause in rule.clauses}
    return found | set(rules.identifier.clauses if rules.identifier is not None else ())


def test_there_is_a_profile_of_the_published_policy() -> None:
    assert "mixmax-2018" in profile_names()
    assert read_profile("mixmax-2018") == (PROFILES / "mixmax-2018.toml").read_text()


@pytest.mark.parametrize("name", profile_names())
def test_every_clause_is_cited_or_says_why_not(name: str) -> None:
    rules = policy(name)
    carried = cited(rules)
    assert [one.id for one in rules.clauses if (one.id in carried) == bool(one.informational)] == []


def test_every_clause_is_quoted_word_for_word() -> None:
    assert [one.id for one in policy("mixmax-2018").clauses if one.text not in PUBLISHED] == []


def test_every_sentence_but_these_is_a_clause() -> None:
    quoted = [one.text for one in policy("mixmax-2018").clauses]
    lines = [line.strip() for line in PUBLISHED.splitlines() if line.strip() and line[0] not in "#>_"]
    sentences = [one for line in lines for one in re.split(r"(?<=[.!?])\s+(?=[A-Z“])", line)]
    assert [one for one in sentences if not any(covers(text, one) for text in quoted)] == UNQUOTED


def covers(text: str, sentence: str) -> bool:
    """Whether the clause stands in the sentence, or spans it."""
    return text in sentence or sentence in text or sentence.rstrip(".") in text


def test_dnt_is_ignored_everywhere_as_published() -> None:
    rules = policy("mixmax-2018")
    for country in ("DE", "GB", "US", "JP"):
        settled = settle([Location(country)], True, rules)
        with_dnt, without = (decide(Facts(settled.jurisdiction, NOW, dnt=dnt), rules) for dnt in (True, None))
        assert with_dnt.allowed == without.allowed


@pytest.mark.parametrize(("name", "case"), cases())
def test_the_cases_hold(name: str, case: Case) -> None:
    assert differences(case, policy(name)) == ()


@pytest.mark.parametrize("name", profile_names())
def test_every_rule_and_every_clause_has_a_case(name: str) -> None:
    covered = coverage(policy(name), book(name).cases)
    assert [one.name for one in covered.rules if not one.cases] == []
    assert [one.id for one, cases in covered.clauses if not cases] == []
