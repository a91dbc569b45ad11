"""Whereabouts: the one jurisdiction that holds, from what the databases say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.policy import Geo, Jurisdiction, Policy
from consent_mw.core.terms import Regime, Whereabouts
from consent_mw.core.whereabouts import Location, Settled, settle
from tests.builders import EEA_UK, ELSEWHERE, a_jurisdiction, a_policy

CALIFORNIA = a_jurisdiction("california", "US-CA", "US-CO")
TEXAS = a_jurisdiction("texas", "US-TX", regime=Regime.OPT_OUT)
BAVARIA = a_jurisdiction("bavaria", "DE-BY", regime=Regime.OPT_OUT)

WORLD = a_policy()
STATES = a_policy(jurisdictions=(EEA_UK, CALIFORNIA, TEXAS, ELSEWHERE))
PARTS = a_policy(jurisdictions=(EEA_UK, BAVARIA, ELSEWHERE))
LENIENT = a_policy(geo=Geo(unknown="elsewhere"))
STRICT_EVERYWHERE = a_policy(jurisdictions=(a_jurisdiction("everywhere", "*"),))

LOCATED, NO_COUNTRY, NO_REGION, DISAGREE, UNREADABLE = Whereabouts

DE, FR, US, EU = Location("DE"), Location("FR"), Location("US"), Location("EU")
SAN_DIEGO, MILTON = Location("US", "CA", "San Diego"), Location("US", "WA", "Milton")
HOUSTON = Location("US", "TX", "Houston")

CASES = [
    # id, policy, locations, jurisdiction, whereabouts, location
    ("Berlin", WORLD, [DE], EEA_UK, LOCATED, DE),
    ("London", WORLD, [Location("GB", "ENG", "London")], EEA_UK, LOCATED, Location("GB", "ENG", "London")),
    ("Texas, of which the policy says nothing", WORLD, [HOUSTON], ELSEWHERE, LOCATED, HOUSTON),
    ("the United States, undivided", WORLD, [US], ELSEWHERE, LOCATED, US),
    ("San Diego", STATES, [SAN_DIEGO], CALIFORNIA, LOCATED, SAN_DIEGO),
    ("Houston", STATES, [HOUSTON], STATES.jurisdiction("texas"), LOCATED, HOUSTON),
    ("Milton, in a state that is not listed", STATES, [MILTON], ELSEWHERE, LOCATED, MILTON),
    ("somewhere in the United States", STATES, [US], CALIFORNIA, NO_REGION, US),
    ("somewhere in a country whose part is laxer", PARTS, [DE], EEA_UK, NO_REGION, DE),
    ("the part itself", PARTS, [Location("DE", "BY")], BAVARIA, LOCATED, Location("DE", "BY")),
    ("nobody knows", WORLD, [], EEA_UK, NO_COUNTRY, None),
    ("nobody knows, and the policy names who then", LENIENT, [], ELSEWHERE, NO_COUNTRY, None),
    ("two databases agree", WORLD, [DE, DE], EEA_UK, LOCATED, DE),
    ("two countries under one law", WORLD, [DE, FR], EEA_UK, LOCATED, DE),
    ("two databases disagree", WORLD, [US, FR], EEA_UK, DISAGREE, FR),
    ("in either order", WORLD, [FR, US], EEA_UK, DISAGREE, FR),
    ("one knows the state", STATES, [US, MILTON], ELSEWHERE, LOCATED, MILTON),
    ("one knows the strict state", STATES, [SAN_DIEGO, US], CALIFORNIA, LOCATED, SAN_DIEGO),
    ("they know different states", STATES, [HOUSTON, SAN_DIEGO], CALIFORNIA, DISAGREE, SAN_DIEGO),
    ("one knows the city", WORLD, [US, SAN_DIEGO], ELSEWHERE, LOCATED, SAN_DIEGO),
    ("somewhere in the EU", WORLD, [EU], EEA_UK, LOCATED, EU),
    ("somewhere in the EU, one part of which is laxer", PARTS, [EU], EEA_UK, NO_COUNTRY, EU),
    ("one knows where in the EU", PARTS, [EU, Location("DE", "BY")], BAVARIA, LOCATED, Location("DE", "BY")),
    ("somewhere in the EU, or in the United States", WORLD, [US, EU], EEA_UK, DISAGREE, EU),
    ("a country of no list", WORLD, [Location("JP")], ELSEWHERE, LOCATED, Location("JP")),
    ("one law for the world", STRICT_EVERYWHERE, [EU], STRICT_EVERYWHERE.catch_all, LOCATED, EU),
]


@pytest.mark.parametrize(
    ("policy", "locations", "place", "whereabouts", "location"), [pytest.param(*one[1:], id=one[0]) for one in CASES]
)
def test_what_the_databases_say_settles_the_jurisdiction(
    policy: Policy, locations: list[Location], place: Jurisdiction, whereabouts: Whereabouts, location: Location
) -> None:
    assert settle(locations, True, policy) == Settled(place, whereabouts, location)


@pytest.mark.parametrize("policy", [WORLD, LENIENT, STATES])
@pytest.mark.parametrize("locations", [[], [US], [DE]])
def test_an_unreadable_address_is_under_the_strictest_whatever_else_is_said(
    policy: Policy, locations: list[Location]
) -> None:
    assert settle(locations, False, policy) == Settled(EEA_UK, UNREADABLE, None)


any_location = st.sampled_from([DE, FR, US, EU, SAN_DIEGO, MILTON, HOUSTON, Location("DE", "BY"), Location("JP")])


@given(st.lists(any_location, min_size=1, max_size=4), st.booleans())
def test_the_order_of_databases_settles_no_jurisdiction(locations: list[Location], readable: bool) -> None:
    forth, back = settle(locations, readable, STATES), settle(locations[::-1], readable, STATES)
    assert (forth.jurisdiction, forth.whereabouts) == (back.jurisdiction, back.whereabouts)


@given(st.lists(any_location, min_size=1, max_size=4))
def test_a_conflict_is_never_settled_laxer_than_any_side(locations: list[Location]) -> None:
    together = settle(locations, True, STATES).jurisdiction
    precise = [one for one in locations if one.region or one.country in ("DE", "FR", "JP")]
    alone = tuple(settle([one], True, STATES).jurisdiction for one in precise)
    assert not alone or STATES.strictest((together, *alone)) is together
