"""Where two policies hold what: regions in groups that are treated alike, and those that moved.

Rule: a visitor is settled by the code that settles visitors, one who cannot be located included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consent_mw.core.difference.change import Change, Direction, Group, by_amount, lasting
from consent_mw.core.policy import Jurisdiction, Policy
from consent_mw.core.regions import COUNTRIES
from consent_mw.core.terms import Banner, Regime
from consent_mw.core.whereabouts import Location, settle

UNKNOWN = "unknown"
"""Stands for an address that no database can locate."""

_REGIMES = (Regime.OPT_IN, Regime.OPT_OUT)
_BANNERS = (Banner.ASK, Banner.NOTICE, Banner.NONE)


def groups(before: Policy, after: Policy) -> tuple[Group, ...]:
    """Every region of both policies, by the pair of jurisdictions that it is in."""
    found: dict[tuple[str, str], tuple[Jurisdiction, Jurisdiction, list[str]]] = {}
    for region in every_region(before, after):
        was, now = (_settled(region, policy) for policy in (before, after))
        found.setdefault((was.name, now.name), (was, now, []))[2].append(region)
    return tuple(Group(was, now, frozenset(regions)) for was, now, regions in found.values())


def every_region(*policies: Policy) -> Sequence[str]:
    """Every country, the parts of countries that a policy names, `US-*` for the other parts, and UNKNOWN. A country
    of which parts are named stands for those of its visitors whose part is not known."""
    named = {one for policy in policies for place in policy.jurisdictions for one in place.regions if "-" in one}
    rest = {f"{one.partition('-')[0]}-*" for one in named}
    return [*sorted(COUNTRIES | named | rest), UNKNOWN]


def moved(among: Sequence[Group]) -> Iterator[Change]:
    """What is another jurisdiction, regime, banner or length of consent for a group."""
    for group in among:
        was, now = group.before, group.after
        told = [
            ("name", was.name, now.name, Direction.NEITHER),
            (
                "regime",
                was.regime.value,
                now.regime.value,
                by_amount(_REGIMES.index(was.regime), _REGIMES.index(now.regime)),
            ),
            (
                "banner",
                was.banner.value,
                now.banner.value,
                by_amount(_BANNERS.index(was.banner), _BANNERS.index(now.banner)),
            ),
            ("lasts", lasting(was.lasts), lasting(now.lasts), by_amount(was.lasts, now.lasts)),
        ]
        for what, before, after, direction in told:
            if before != after:
                yield Change("jurisdiction", what, before, after, direction, group.regions, {}, was.place, now.place)


def _settled(region: str, policy: Policy) -> Jurisdiction:
    country, _, part = region.partition("-")
    places = [Location(country, part)] if region != UNKNOWN else []
    return settle(places, True, policy).jurisdiction
