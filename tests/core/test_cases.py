"""Cases say what must follow; what they name is checked, and only what they expect is compared."""

from __future__ import annotations

from typing import Any

import pytest

from consent_mw.core.cases import Case, Difference, Given, differences
from consent_mw.core.compiler.cases import compile_cases
from consent_mw.core.coverage import coverage
from consent_mw.core.document import Document
from consent_mw.core.policy import Clause, Policy
from consent_mw.core.terms import Signal
from consent_mw.wire.toml import parse_toml
from tests.builders import a_cookie_rule, a_feature, a_policy, a_signal, a_vendor, line

POLICY = a_policy(
    a_signal(Signal.GPC, "cross_site"),
    vendors=(a_vendor(),),
    features=(a_feature(),),
    cookies=(a_cookie_rule("_ga*"), a_cookie_rule("session", purpose="essential", place=line(61))),
)


def book(text: str, policy: Policy = POLICY) -> Any:
    document = parse_toml(text, "policy.cases.toml", "")
    assert isinstance(document, Document)
    return compile_cases(document, policy)


def a_case(given: str, expect: str) -> Case:
    found = book(f'[[case]]\nname = "x"\ngiven = {{ {given} }}\nexpect = {{ {expect} }}')
    assert found.problems == ()
    (case,) = found.cases
    return case


@pytest.mark.parametrize(
    ("given", "expect"),
    [
        ('country = "DE"', 'jurisdiction = "eea_uk", allows = ["essential"], ask = true, tk = "N;none"'),
        ("", 'jurisdiction = "eea_uk"'),
        ('country = "US"', 'denies = [], notice = true, features = ["send_times"], status = "unknown"'),
        ('country = "US"', 'allows = ["cross_site", "essential", "analytics"]'),
        ('country = "US", gpc = true', 'reasons = { cross_site = "signal-refuses" }'),
        ('country = "US", dnt = true', 'tk = "D;ignored"'),
        ('country = "US", seen = true', "notice = false"),
        ('country = "US", minor = true', 'denies = ["analytics", "cross_site"], vendors = { segment = [] }'),
        ('country = "DE"', "cookies = { _ga_X = false, session = true, other = false }"),
        (
            'country = "DE", yes = ["analytics"]',
            'cookies = { _ga = true }, vendors = { segment = ["time", "event"] }',
        ),
        ('country = "DE", yes = ["analytics"], age = "183d"', 'status = "expired", allows = ["essential"]'),
        ('country = "DE", yes = ["analytics"], revision = "old"', 'status = "outdated", ask = true'),
        ('country = "DE", no = ["analytics"], age = "900d"', 'reasons = { analytics = "consent-refused" }'),
        ('country = "US"', "identifier = false"),
    ],
)
def test_a_case_that_is_true_holds(given: str, expect: str) -> None:
    assert differences(a_case(given, expect), POLICY) == ()


def test_every_member_that_came_otherwise_is_told() -> None:
    expect = (
        'allows = ["essential", "analytics"], ask = false, cookies = { _ga = true }, vendors = { segment = ["ip"] }'
    )
    assert differences(a_case('country = "DE"', expect), POLICY) == (
        Difference("allows", '["essential", "analytics"]', '["essential"]'),
        Difference("ask", "false", "true"),
        Difference("cookies._ga", "true", "false"),
        Difference("vendors.segment", '["ip"]', "[]"),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "error[missing-key]: the file of cases has no `[[case]]`"),
        ("[[case]]\nexpect = { ask = true }", "error[missing-key]: this case has no `name`"),
        ('[[case]]\nname = "x"', "error[missing-key]: case `x` has no `expect`"),
        ('[[case]]\nname = "x"\nexpect = {}', "error[empty-list]: `expect` names nothing"),
        (
            '[[case]]\nname = "x"\nexpect = { asks = true }',
            "error[unknown-key]: `expect` of case `x` has no setting `asks`",
        ),
        (
            '[[case]]\nname = "x"\nexpect = { ask = "yes" }',
            "error[wrong-type]: `ask` of `expect` of case `x` must be true or false",
        ),
        (
            '[[case]]\nname = "x"\nexpect = { allows = ["analitics"] }',
            "error[unknown-purpose]: `expect` of case `x` names purpose `analitics`",
        ),
        (
            '[[case]]\nname = "x"\nexpect = { vendors = { sement = [] } }',
            "error[unknown-vendor]: `expect` of case `x` names vendor `sement`",
        ),
        (
            '[[case]]\nname = "x"\nexpect = { features = ["f"] }',
            "error[unknown-feature]: `expect` of case `x` names feature `f`",
        ),
        (
            '[[case]]\nname = "x"\nexpect = { jurisdiction = "eu" }',
            "error[unknown-jurisdiction]: `expect` of case `x` names jurisdiction `eu`",
        ),
        (
            '[[case]]\nname = "x"\nexpect = { reasons = { analytics = "no" } }',
            "error[unknown-word]: `analytics` of `reasons` is `no`",
        ),
        (
            '[[case]]\nname = "x"\ngiven = { country = "UK" }\nexpect = { ask = true }',
            "error[unknown-region]: `country` of `given` of case `x`: `UK` is not a country",
        ),
        (
            '[[case]]\nname = "x"\ngiven = { region = "CA" }\nexpect = { ask = true }',
            "error[missing-key]: `given` of case `x` has no `country`",
        ),
        (
            '[[case]]\nname = "x"\ngiven = { yes = ["essential"] }\nexpect = { ask = true }',
            "error[unknown-purpose]: `given` of case `x` names purpose `essential`",
        ),
        (
            '[[case]]\nname = "x"\ngiven = { yes = ["analytics"], no = ["analytics"] }\nexpect = { ask = true }',
            "error[duplicate-item]: `no` of `given` of case `x` names `analytics`",
        ),
        ('[[case]]\nname = "x"\ngiven = { age = "long" }\nexpect = { ask = true }', "error[bad-duration]"),
    ],
)
def test_a_mistake_in_a_case_is_a_problem_with_its_place(text: str, problem: str) -> None:
    found = book(text)
    assert found.cases == ()
    (told,) = found.problems
    assert problem in str(told)
    assert (told.place.file, told.help != "") == ("policy.cases.toml", True)


def test_a_mistake_in_one_case_leaves_the_others() -> None:
    found = book('[[case]]\nname = "a"\nexpect = { ask = 1 }\n[[case]]\nname = "b"\nexpect = { ask = true }')
    assert ([one.name for one in found.cases], len(found.problems)) == (["b"], 1)


def test_what_a_case_does_not_say_is_a_visitor_nobody_knows() -> None:
    assert book('[[case]]\nname = "x"\nexpect = { ask = true }').cases[0].given == Given()


def covered(given: str, expect: str) -> set[str]:
    found = coverage(POLICY, [a_case(given, expect)])
    return {f"{one.sort} {one.name}" for one in found.rules if one.cases}


@pytest.mark.parametrize(
    ("given", "expect", "rules"),
    [
        ('country = "DE"', "ask = true", {"jurisdiction eea_uk"}),
        ('country = "US"', "ask = false", {"jurisdiction elsewhere"}),
        (
            'country = "US"',
            'reasons = { analytics = "opt-out-default" }',
            {"jurisdiction elsewhere", "purpose analytics"},
        ),
        ('country = "US", gpc = true', "ask = false", {"jurisdiction elsewhere"}),
        (
            'country = "US", gpc = true',
            'reasons = { cross_site = "signal-refuses" }',
            {"jurisdiction elsewhere", "purpose cross_site", "signal gpc"},
        ),
        ('country = "US"', "cookies = { _ga_1 = true, nobody = false }", {"jurisdiction elsewhere", "cookie _ga*"}),
        ('country = "US"', 'vendors = { segment = ["event", "time"] }', {"jurisdiction elsewhere", "vendor segment"}),
        ('country = "US"', 'features = ["send_times"]', {"jurisdiction elsewhere", "feature send_times"}),
    ],
)
def test_a_case_covers_what_it_expects_something_of(given: str, expect: str, rules: set[str]) -> None:
    assert covered(given, expect) == rules


def test_a_clause_is_covered_by_the_cases_of_the_rules_that_cite_it() -> None:
    cited = Clause("dnt", "no tracking", line(2))
    idle = Clause("idle", "an idle one", line(3))
    silent = Clause("silent", "said", line(4), "nothing enforces it")
    policy = a_policy(a_signal(Signal.DNT, "analytics"), clauses=(cited, idle, silent))
    cases = book('[[case]]\nname = "x"\ngiven = { dnt = true }\nexpect = { allows = ["essential"] }', policy).cases
    found = coverage(policy, cases)
    assert (found.clauses, found.complete) == (((cited, ("x",)), (idle, ())), False)
