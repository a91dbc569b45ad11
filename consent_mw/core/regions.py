"""Regions: ISO 3166-1 countries, the groups `EU` and `EEA`, and subdivisions such as `US-CA`.

Rule: the EU is where its law holds for residents, so its outermost regions and Åland are in it
(Art. 355 TFEU; ISO gives them codes of their own: AX GF GP MF MQ RE YT).
Rule: a subdivision is checked for its form (ISO 3166-2) and its country, not against a list.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from consent_mw.core.policy import ANYWHERE


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


COUNTRIES = _codes(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO
    JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR
    MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO
    RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV
    TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
    """
)
"""ISO 3166-1 alpha-2, and XK (user-assigned), by which location databases name Kosovo."""

EU = _codes("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK AX GF GP MF MQ RE YT")
"""The European Union, with the territories that have codes of their own."""

EEA = EU | frozenset({"IS", "LI", "NO"})
"""The European Economic Area."""

GROUPS = {"EU": EU, "EEA": EEA}

_SUBDIVISION = re.compile(r"([A-Z]{2})-[A-Z0-9]{1,3}")
_CORRECTIONS = {"UK": "GB", "EL": "GR", "EN": "GB", "USA": "US", "GBR": "GB", "DEU": "DE", "FRA": "FR", "EUR": "EU"}


def expand(region: str) -> frozenset[str] | None:
    """The codes that a policy's region stands for: itself, or a group's members; None if it is no region."""
    if region in GROUPS:
        return GROUPS[region]
    if region == ANYWHERE or region in COUNTRIES:
        return frozenset({region})
    found = _SUBDIVISION.fullmatch(region)
    return frozenset({region}) if found and found[1] in COUNTRIES else None


def named_regions(regions: Collection[str], among: Collection[str] = COUNTRIES) -> str:
    """These regions as a sentence lists them: by groups where they are whole, and by what is left out where that is
    shorter; `among` are all there are."""
    wanted = frozenset(regions)
    if wanted.issuperset(among):
        return "everywhere"
    others = sorted(frozenset(among) - wanted)
    told = _grouped(wanted)
    without = _grouped(frozenset(others))
    return ", ".join(told) if len(told) <= len(without) + 1 else f"everywhere but {', '.join(without)}"


def _grouped(regions: frozenset[str]) -> list[str]:
    for name, members in sorted(GROUPS.items()):  # EEA holds the EU
        if regions >= members:
            return [name, *sorted(regions - members)]
    return sorted(regions)


def region_help(region: str) -> str:
    """What to write instead of a word that is no region, or where the codes are from."""
    upper = region.strip().upper().replace("_", "-")
    country, dash, rest = upper.partition("-")
    better = _CORRECTIONS.get(country, country) + dash + rest
    if better != region and expand(better) is not None:
        return f"did you mean `{better}`?"
    return 'use ISO 3166 codes ("DE", "US-CA"), "EU", "EEA" or "*"'
