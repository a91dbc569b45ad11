"""TC and GPP strings of the official encoders are read as those read them, and anything else is absence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.policy import SignalRule
from consent_mw.core.terms import Signal
from consent_mw.wire.bits import Bits, BitsError
from consent_mw.wire.gpp import SECTIONS, OptOut, read_gpp_string
from consent_mw.wire.industry import refusals
from consent_mw.wire.tcf import TcString, read_tc_string
from tests.builders import an_effect

OFFICIAL = json.loads((Path(__file__).parents[1] / "data" / "industry.json").read_text())
"""Strings that @iabtcf/core 1.5.6 and @iabgpp/cmpapi 3.2.0 encoded, with what was put into them."""

TCF: list[dict[str, Any]] = OFFICIAL["tcf"]
GPP: list[dict[str, Any]] = OFFICIAL["gpp"]
FIELDS = {
    "SaleOptOut": OptOut.SALE,
    "SharingOptOut": OptOut.SHARING,
    "TargetedAdvertisingOptOut": OptOut.TARGETED_ADVERTISING,
}


def ranges(pairs: list[list[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((first, last) for first, last in pairs)


@pytest.mark.parametrize(
    "official", [one for one in TCF if one["service_specific"]], ids=lambda one: one["string"][40:60]
)
def test_a_tc_string_is_read_as_the_official_decoder_reads_it(official: dict[str, Any]) -> None:
    assert read_tc_string(official["string"]) == TcString(
        official["created"],
        official["cmp_id"],
        official["policy_version"],
        frozenset(official["purposes"]),
        frozenset(official["legitimate_interests"]),
        frozenset(official["special_features"]),
        ranges(official["vendors"]),
        ranges(official["vendor_interests"]),
        ranges(official["disclosed"]),
    )


def a_tc_string(**wanted: object) -> TcString:
    found = next(one for one in TCF if all(one[name] == value for name, value in wanted.items()))
    read = read_tc_string(found["string"])
    assert read is not None
    return read


def test_a_purpose_needs_a_consent_or_an_interest_that_may_be_enough() -> None:
    read = a_tc_string(purposes=[1, 3, 4])
    assert [read.permits(frozenset(one)) for one in ([1], [1, 3], [1, 2], [])] == [True, True, False, True]
    interests = TcString(0, 1, 5, frozenset({1}), frozenset({2, 3}), frozenset(), (), (), ())
    assert [interests.permits(frozenset(one)) for one in ([1, 2], [3])] == [True, False]


@pytest.mark.parametrize("official", GPP, ids=lambda one: one["string"][:30])
def test_a_gpp_string_is_read_as_it_was_written(official: dict[str, Any]) -> None:
    read = read_gpp_string(official["string"])
    assert read is not None
    told = official["given"]
    opted_out = {
        FIELDS[field]
        for name, section in told.items()
        if name != "uspv1"
        for field, value in section.items()
        if field in FIELDS and value == 1
    }
    gpc = any(section.get("Gpc") is True for name, section in told.items() if name != "uspv1")
    if told.get("uspv1", "----")[2] == "Y":
        opted_out |= {OptOut.SALE, OptOut.SHARING}
    assert (read.sections, read.opted_out, read.gpc) == (
        tuple(official["sections"]),
        set(OptOut) if gpc else opted_out,
        gpc,
    )
    assert (read.tcf is not None) == (2 in official["sections"])


def test_every_section_of_us_law_is_among_the_official_strings() -> None:
    assert {one for official in GPP for one in official["sections"]} >= set(SECTIONS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "C",
        "~",
        "A" * 200,
        "é",
        "DBAA~",
        "DBABLA",
        "DBABLA~",
        "DBABLA~C",
        "DBABMA~x",
        "=",
        "DBACNY~!~1YNN",
        "z" * 99_999,
    ],
)
def test_what_is_no_string_is_absence(text: str) -> None:
    assert (read_tc_string(text), read_gpp_string(text)) == (None, None)


@pytest.mark.parametrize("cut", [5, 20, 30])
def test_a_cut_string_is_absence(cut: int) -> None:
    core = TCF[3]["string"].partition(".")[0]
    assert read_tc_string(core[:-cut]) is None


def test_a_string_of_another_version_or_for_many_sites_is_absence() -> None:
    whole = TCF[1]["string"]
    assert read_tc_string("B" + whole[1:]) is None
    bits = "".join(
        format("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(one), "06b")
        for one in whole.split(".")[0]
    )
    at = 6 + 36 + 36 + 12 + 12 + 6 + 12 + 12 + 6
    assert bits[at] == "1"
    other = bits[:at] + "0" + bits[at + 1 :]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert read_tc_string("".join(alphabet[int(other[n : n + 6], 2)] for n in range(0, len(other), 6))) is None


@given(st.text() | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~.", max_size=300))
def test_no_text_makes_them_raise(text: str) -> None:
    read_tc_string(text)
    read_gpp_string(text)


@given(st.sampled_from(TCF + GPP), st.integers(0, 400), st.sampled_from("AZaz09-_~."))
def test_no_bent_string_makes_them_raise(official: dict[str, Any], at: int, char: str) -> None:
    text = official["string"]
    bent = text[: at % len(text)] + char + text[at % len(text) + 1 :]
    read_tc_string(bent)
    read_gpp_string(bent)


@pytest.mark.parametrize(("bits", "number"), [("11", 1), ("011", 2), ("0011", 3), ("1011", 4), ("0000011", 13)])
def test_fibonacci_numbers_are_read(bits: str, number: int) -> None:
    text = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    padded = bits.ljust(12, "0")
    assert Bits("".join(text[int(padded[n : n + 6], 2)] for n in (0, 6))).fibonacci() == number


def test_reading_past_the_end_is_an_error() -> None:
    with pytest.raises(BitsError):
        Bits("A").number(7)


TC = next(one["string"] for one in TCF if one["purposes"] == [1, 3, 4])
OPTED = next(one["string"] for one in GPP if one["given"] == {"usca": {"SaleOptOut": 1, "SharingOptOut": 1}})
BY_TCF = SignalRule(
    Signal.TCF, an_effect("analytics"), cookie="euconsent-v2", refuses={"analytics": frozenset({"1", "8"})}
)
BY_GPP = SignalRule(Signal.GPP, an_effect("cross_site"), cookie="__gpp", refuses={"cross_site": frozenset({"sale"})})


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        ("", ()),
        ("a=b", ()),
        (f"euconsent-v2={TC}", ((Signal.TCF, "analytics"),)),
        (f'euconsent-v2="{TC}"', ((Signal.TCF, "analytics"),)),
        (f"__gpp={OPTED}", ((Signal.GPP, "cross_site"),)),
        (
            f"__gpp={OPTED.replace('~', '%7E')}; euconsent-v2={TC}",
            ((Signal.GPP, "cross_site"), (Signal.TCF, "analytics")),
        ),
        ("euconsent-v2=garbage; __gpp=%", ()),
        (f"euconsent-v2=garbage; euconsent-v2={TC}", ((Signal.TCF, "analytics"),)),
        (f"xeuconsent-v2={TC}", ()),
    ],
)
def test_what_strings_among_cookies_refuse(cookies: str, expected: object) -> None:
    assert refusals((BY_TCF, BY_GPP), cookies.encode()) == expected


def test_a_string_that_permits_refuses_nothing() -> None:
    rule = SignalRule(Signal.TCF, an_effect("analytics"), cookie="c", refuses={"analytics": frozenset({"1", "3"})})
    assert refusals((rule,), f"c={TC}".encode()) == ()


@given(st.binary())
def test_no_cookies_make_it_raise(cookies: bytes) -> None:
    refusals((BY_TCF, BY_GPP), cookies)
