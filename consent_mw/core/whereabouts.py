"""Whereabouts: from where the databases say an address is, to the one jurisdiction that holds.

Rule: what is not known is never guessed: the strictest candidate wins, and the Whereabouts say why.
Rule: a database that knows less (no region, or only "somewhere in the EU") does not contradict one that knows more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from consent_mw.core.policy import Jurisdiction, Policy
from consent_mw.core.regions import EU
from consent_mw.core.terms import Whereabouts

SOMEWHERE_IN_EU = "EU"
"""The code that some databases give to networks of no one member state (exceptionally reserved in ISO 3166-1)."""

STRICTEST = "strictest"
"""The value of `[geo] unknown` that names no jurisdiction."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where one database says an address is: an ISO 3166-1 code (or `EU`), the ISO 3166-2 subdivision without its
    country (`CA`) or empty, and the city's English name or empty."""

    country: str
    region: str = ""
    city: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """The jurisdiction that holds, how it was found, and the location it rests on (None: there is none)."""

    jurisdiction: Jurisdiction
    whereabouts: Whereabouts
    location: Location | None


def settle(locations: Sequence[Location], readable: bool, policy: Policy) -> Settled:
    """The jurisdiction for an address that these databases located so. Total. `readable` is False where the address
    itself could not be read; then no location counts."""
    if not readable:
        return Settled(policy.strictest(), Whereabouts.UNREADABLE_ADDRESS, None)
    if not locations:
        return Settled(_of_unknown(policy), Whereabouts.UNKNOWN_COUNTRY, None)
    telling = [one for one in locations if not any(_refines(other, one) for other in locations)]
    found = [_settle_one(one, policy) for one in telling]
    winner = policy.strictest(tuple(one.jurisdiction for one in found))
    if any(one.jurisdiction is not winner for one in found):
        chosen = next(one for one in found if one.jurisdiction is winner)
        return Settled(winner, Whereabouts.DATABASES_DISAGREE, chosen.location)
    unsure = (one for one in found if one.whereabouts is not Whereabouts.LOCATED)
    return Settled(winner, next(unsure, found[0]).whereabouts, _fullest(telling))


def _of_unknown(policy: Policy) -> Jurisdiction:
    named = policy.jurisdiction(policy.geo.unknown) if policy.geo.unknown != STRICTEST else None
    return named or policy.strictest()


def _refines(other: Location, one: Location) -> bool:
    """Whether `other` says the same as `one`, only more precisely."""
    if one.country == SOMEWHERE_IN_EU:
        return other.country in EU
    return not one.region and bool(other.region) and other.country == one.country


def _settle_one(location: Location, policy: Policy) -> Settled:
    if location.country == SOMEWHERE_IN_EU:
        return _strictest_of(location, _of_the_eu(policy), Whereabouts.UNKNOWN_COUNTRY, policy)
    own = policy.jurisdiction_of(location.country) or policy.catch_all
    if location.region:
        exact = policy.jurisdiction_of(f"{location.country}-{location.region}") or own
        return Settled(exact, Whereabouts.LOCATED, location)
    parts = _subdivided(policy).get(location.country, ())
    return _strictest_of(location, (own, *parts), Whereabouts.UNKNOWN_REGION, policy)


def _strictest_of(
    location: Location, candidates: tuple[Jurisdiction, ...], doubt: Whereabouts, policy: Policy
) -> Settled:
    alone = all(one is candidates[0] for one in candidates)
    return Settled(policy.strictest(candidates), Whereabouts.LOCATED if alone else doubt, location)


def _fullest(locations: Iterable[Location]) -> Location:
    """The location that tells most about the country which the first database named."""
    first, *others = locations
    same = [first, *(one for one in others if one.country == first.country)]
    return max(same, key=lambda one: (bool(one.region), bool(one.city)))


@lru_cache(maxsize=8)
def _subdivided(policy: Policy) -> Mapping[str, tuple[Jurisdiction, ...]]:
    """The jurisdictions that list parts of a country, by that country."""
    parts: dict[str, tuple[Jurisdiction, ...]] = {}
    for place in policy.jurisdictions:
        for country in {region.partition("-")[0] for region in place.regions if "-" in region}:
            parts[country] = (*parts.get(country, ()), place)
    return parts


@lru_cache(maxsize=8)
def _of_the_eu(policy: Policy) -> tuple[Jurisdiction, ...]:
    """Every jurisdiction that somebody in the EU may be in."""
    whole = [policy.jurisdiction_of(country) or policy.catch_all for country in sorted(EU)]
    parts = [place for country in sorted(EU) for place in _subdivided(policy).get(country, ())]
    return tuple(dict.fromkeys([*whole, *parts]))
