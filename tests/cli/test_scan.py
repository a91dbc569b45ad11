"""From where `scan` says to be: an address that the policy's databases put into the jurisdiction."""

from __future__ import annotations

from pathlib import Path

import pytest

from consent_mw.cli.scan import origin_in
from consent_mw.core.policy import Policy
from consent_mw.core.whereabouts import Location, settle
from consent_mw.world.geo import Locator
from consent_mw.world.policy_file import parse_policy

POLICIES = Path(__file__).parents[1] / "policies"
CITY = str(Path(__file__).parents[1] / "data" / "GeoIP2-City-Test.mmdb")


def a_policy(regime: str, *databases: str) -> Policy:
    part = f'[jurisdiction.part]\nregions = ["US-WA"]\nregime = "{regime}"\n'
    text = (
        (POLICIES / "good_minimal.toml").read_text().replace("opt-in", "opt-out")
        + part
        + f"[geo]\ndatabases = {list(databases)}\n"
    )
    read = parse_policy(text, "p.toml", base=None)
    assert read.policy is not None, read.problems
    return read.policy


def place_of(policy: Policy, name: str) -> Location | None:
    jurisdiction = policy.jurisdiction(name)
    assert jurisdiction is not None
    locator = Locator(policy.geo.databases)
    origin = origin_in(jurisdiction, policy, locator)
    if origin is None:
        return None
    assert origin.jurisdiction is jurisdiction
    return Location(origin.location.country, origin.location.region)


@pytest.mark.parametrize("regime", ["opt-in", "opt-out"])
@pytest.mark.parametrize("databases", [(CITY,), ("builtin", CITY)], ids=["alone", "after the builtin one"])
def test_a_part_of_a_country_is_visited_from_there(regime: str, databases: tuple[str, ...]) -> None:
    assert place_of(a_policy(regime, *databases), "part") == Location("US", "WA")


def test_a_database_without_regions_puts_a_whole_country_into_its_strictest_part() -> None:
    assert place_of(a_policy("opt-in", "builtin"), "part") == Location("US")


def test_a_part_that_no_database_knows_is_visited_from_nowhere() -> None:
    assert place_of(a_policy("opt-out", "builtin"), "part") is None


def test_every_jurisdiction_of_countries_is_visited_from_one_of_them() -> None:
    policy = a_policy("opt-out", "builtin", CITY)
    locator = Locator(policy.geo.databases)
    for one in policy.jurisdictions:
        origin = origin_in(one, policy, locator)
        assert origin is not None
        assert settle([origin.location], True, policy).jurisdiction is one
