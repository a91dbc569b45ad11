"""Regions: what a policy's region codes stand for."""

from __future__ import annotations

import pytest

from consent_mw.core.regions import COUNTRIES, EEA, EU, expand, region_help


def test_the_eu_is_its_27_members_and_the_territories_with_codes_of_their_own() -> None:
    assert len(EU - {"AX", "GF", "GP", "MF", "MQ", "RE", "YT"}) == 27
    assert {"AX", "GF", "GP", "MF", "MQ", "RE", "YT"} < EU
    assert not EU & {"GB", "CH", "NO", "GL", "PF", "BL"}


def test_the_eea_is_the_eu_with_iceland_liechtenstein_and_norway() -> None:
    assert EU | {"IS", "LI", "NO"} == EEA
    assert len(EEA) == len(EU) + 3


def test_there_are_249_countries_and_kosovo() -> None:
    assert len(COUNTRIES) == 250
    assert "XK" in COUNTRIES
    assert EEA < COUNTRIES


@pytest.mark.parametrize(
    ("region", "expanded"),
    [
        ("DE", frozenset({"DE"})),
        ("EU", EU),
        ("EEA", EEA),
        ("US-CA", frozenset({"US-CA"})),
        ("GB-ENG", frozenset({"GB-ENG"})),
        ("*", frozenset({"*"})),
        ("UK", None),
        ("EL", None),
        ("de", None),
        ("US-", None),
        ("US-CALI", None),
        ("XX-CA", None),
        ("US-CA\n", None),
        ("", None),
        ("EEA ", None),
    ],
)
def test_a_region_stands_for_its_codes_or_is_none(region: str, expanded: frozenset[str] | None) -> None:
    assert expand(region) == expanded


@pytest.mark.parametrize(
    ("region", "better"),
    [("UK", "GB"), ("EL", "GR"), ("uk", "GB"), ("us-ca", "US-CA"), ("US_CA", "US-CA"), ("eea", "EEA"), ("USA", "US")],
)
def test_a_wrong_code_is_answered_with_the_right_one(region: str, better: str) -> None:
    assert region_help(region) == f"did you mean `{better}`?"


def test_a_word_that_resembles_no_code_is_answered_with_the_grammar() -> None:
    assert region_help("Atlantis") == 'use ISO 3166 codes ("DE", "US-CA"), "EU", "EEA" or "*"'
