"""What a browser saw is compared with what the policy decides for the same visitor."""

from __future__ import annotations

import pytest

from consent_mw.core.policy import DAY, IdentifierRule
from consent_mw.core.scan import Answered, Fault, Finding, Sighting, findings, matches
from tests.builders import a_cookie_rule, a_decision, a_policy, a_vendor, line

POLICY = a_policy(
    cookies=(a_cookie_rule("_ga*"), a_cookie_rule("session", purpose="essential"), a_cookie_rule("rare")),
    vendors=(a_vendor(hosts=("cdn.vendor.example", "*.vendor.example")),),
    identifier=IdentifierRule("__Host-vid", "analytics", DAY, line(5)),
)


def sighting(*, cookies: str = "", storage: str = "", hosts: str = "", yes: bool = False) -> Sighting:
    decision = a_decision(POLICY, POLICY.jurisdictions[1 if yes else 0])
    names = [frozenset(one.split()) for one in (cookies, storage, hosts)]
    return Sighting("eea_uk", Answered.YES if yes else Answered.NOTHING, names[0], names[1], names[2], decision)


def told(*seen: Sighting) -> list[tuple[str, str, str, str]]:
    found = findings(seen, POLICY, {"__Host-consent"})
    return [(one.fault.value, one.sort, one.name, one.why) for one in found if one.fault is not Fault.UNSEEN]


def test_what_the_policy_allows_is_no_finding() -> None:
    allowed = sighting(cookies="session _ga_1 __Host-vid __Host-consent", hosts="cdn.vendor.example", yes=True)
    assert told(allowed, sighting(cookies="session __Host-consent")) == []


def test_what_is_denied_or_undeclared_is_found_in_cookies_storage_and_hosts() -> None:
    seen = sighting(cookies="_ga odd __Host-vid", storage="_ga odd", hosts="x.vendor.example other.example")
    assert told(seen) == [
        ("undeclared", "cookie", "odd", "no rule names it"),
        ("undeclared", "host", "other.example", "no vendor names it among its `hosts`"),
        ("undeclared", "storage", "odd", "no rule names it"),
        ("denied-yet-present", "cookie", "__Host-vid", "it serves analytics, which is denied"),
        ("denied-yet-present", "cookie", "_ga", "`_ga*` serves analytics, which is denied"),
        ("denied-yet-present", "host", "x.vendor.example", "vendor segment serves analytics, which is denied"),
        ("denied-yet-present", "storage", "_ga", "`_ga*` serves analytics, which is denied"),
    ]


def test_a_fault_of_several_visits_is_told_once() -> None:
    (one,) = (each for each in findings([sighting(cookies="odd")] * 2, POLICY) if each.fault is Fault.UNDECLARED)
    assert one.visits == ("eea_uk, nothing said", "eea_uk, nothing said")


def test_what_is_declared_and_was_never_seen_is_told_last() -> None:
    seen = sighting(cookies="session _ga_1", hosts="x.vendor.example", yes=True)
    assert findings([seen], POLICY) == (
        Finding(Fault.UNSEEN, "cookie", "rare", ("eea_uk, yes said",), "no visit saw it"),
        Finding(
            Fault.UNSEEN, "host", "cdn.vendor.example", ("eea_uk, yes said",), "vendor segment was not asked there"
        ),
    )


@pytest.mark.parametrize(
    ("host", "pattern", "same"),
    [
        ("a.example", "a.example", True),
        ("A.example", "a.EXAMPLE", True),
        ("b.a.example", "a.example", False),
        ("b.a.example", "*.a.example", True),
        ("a.example", "*.a.example", False),
        ("xa.example", "*.a.example", False),
        ("a.example:8080", "a.example", True),
        ("a.example:8080", "a.example:8080", True),
        ("a.example:8080", "a.example:9090", False),
        ("a.example", "a.example:9090", False),
        ("a.example:1", "a.example:*", True),
        ("a.example", "https://a.example/path", True),
    ],
)
def test_hosts_are_matched_as_sources_are(host: str, pattern: str, same: bool) -> None:
    assert matches(host, pattern) is same
