"""Geo: what the databases on this machine say about an address."""

from __future__ import annotations

import gc
import ipaddress
import os
import random
import weakref
from pathlib import Path

import pytest
from maxminddb.extension import Reader as FastReader

from consent_mw.core.whereabouts import Location
from consent_mw.world import geo
from consent_mw.world.geo import ATTRIBUTION, ATTRIBUTION_URL, BUILTIN, BUILTIN_PATH, Locator

CITY = Path(__file__).parents[1] / "data" / "GeoIP2-City-Test.mmdb"


@pytest.fixture(scope="module")
def builtin() -> Locator:
    return Locator()


@pytest.fixture(scope="module")
def city() -> Locator:
    return Locator([str(CITY)])


def locate(locator: Locator, address: str) -> tuple[Location, ...]:
    return locator.locate(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("address", "country"),
    [
        pytest.param("8.8.8.8", "US", id="IPv4"),
        pytest.param("2a02:d180::1", "DE", id="IPv6"),
        pytest.param("81.2.69.142", "GB", id="the United Kingdom"),
        pytest.param("::ffff:8.8.8.8", "US", id="IPv4-mapped"),
        pytest.param("2002:808:808::1", "US", id="6to4"),
        pytest.param("64:ff9b::808:808", "US", id="NAT64"),
        pytest.param("2001:0:4136:e378:8000:63bf:f7f7:f7f7", "US", id="Teredo"),
        pytest.param("10.0.0.1", None, id="private"),
        pytest.param("127.0.0.1", None, id="loopback"),
        pytest.param("::1", None, id="IPv6 loopback"),
        pytest.param("::", None, id="no address"),
        pytest.param("fe80::1%eth0", None, id="a zone"),
        pytest.param("255.255.255.255", None, id="broadcast"),
        pytest.param("2001:db8::1", None, id="documentation"),
    ],
)
def test_the_built_in_database_knows_countries(builtin: Locator, address: str, country: str | None) -> None:
    assert locate(builtin, address) == ((Location(country),) if country else ())


@pytest.mark.parametrize(
    ("address", "location"),
    [
        pytest.param("214.78.120.1", Location("US", "CA", "San Diego"), id="a city in a state"),
        pytest.param("216.160.83.64", Location("US", "WA"), id="a state"),
        pytest.param("2.2.3.1", Location("GB", "ENG", "Boxford"), id="two levels: the upper one"),
        pytest.param("214.0.0.1", Location("SG", "", "Singapore"), id="a city in no state"),
        pytest.param("89.160.20.112", Location("SE", "E", "Linköping"), id="a name beyond ASCII"),
        pytest.param("67.43.156.1", Location("BT"), id="a network registered in Romania, used in Bhutan"),
        pytest.param("2a02:ff40::1", Location("IM"), id="IPv6"),
        pytest.param("2.3.3.1", None, id="a continent only"),
        pytest.param("8.8.8.8", None, id="not in this database"),
    ],
)
def test_a_city_database_knows_regions_and_cities(city: Locator, address: str, location: Location | None) -> None:
    assert locate(city, address) == ((location,) if location else ())


def test_each_database_that_knows_gives_one_location() -> None:
    locator = Locator([BUILTIN, str(CITY)])
    assert locate(locator, "214.78.120.1") == (Location("US"), Location("US", "CA", "San Diego"))
    assert locate(locator, "8.8.8.8") == (Location("US"),)
    assert locator.problems == ()


def test_no_address_is_nowhere(builtin: Locator) -> None:
    assert builtin.locate(None) == ()


def test_no_databases_know_nothing() -> None:
    locator = Locator([])
    assert (locate(locator, "8.8.8.8"), locator.problems) == ((), ())


RECORDS = [
    pytest.param({"country_code": "DE"}, Location("DE"), id="flat"),
    pytest.param({"country": {"iso_code": "DE"}}, Location("DE"), id="nested"),
    pytest.param({"country": "DE", "city": "Berlin"}, Location("DE", "", "Berlin"), id="bare"),
    pytest.param({"country": "Germany", "country_code": "DE"}, Location("DE"), id="a name beside the code"),
    pytest.param({"country_code": "US", "region_code": "CA"}, Location("US", "CA"), id="a flat region"),
    pytest.param({"country_code": "de"}, Location("DE"), id="lower case"),
    pytest.param({"country_code": "UK"}, Location("GB"), id="UK"),
    pytest.param({"country_code": "EL"}, Location("GR"), id="EL"),
    pytest.param({"country_code": "FX"}, Location("FR"), id="FX"),
    pytest.param({"country_code": "EU"}, Location("EU"), id="somewhere in the EU"),
    pytest.param({"country_code": "XK"}, Location("XK"), id="Kosovo"),
    *(
        pytest.param({"country_code": code}, None, id=f"no country: {code or 'empty'}")
        for code in ("A1", "A2", "AP", "XX", "T1", "ZZ", "O1", "--", "", "DEU", "D", "İT")
    ),
    pytest.param({"registered_country": {"iso_code": "DE"}}, None, id="only where the owner sits"),
    pytest.param({"represented_country": {"iso_code": "DE"}}, None, id="only whom a base represents"),
    pytest.param({"country": {"names": {"en": "Germany"}}}, None, id="a name is no code"),
    pytest.param({"country": {"iso_code": 276}}, None, id="a number"),
    pytest.param({"country": ["DE"]}, None, id="a list"),
    pytest.param(None, None, id="nothing"),
    pytest.param("DE", None, id="a string"),
    pytest.param([], None, id="a list alone"),
    pytest.param(
        {"country_code": "US", "subdivisions": {}, "city": {"names": []}}, Location("US"), id="other shapes inside"
    ),
    pytest.param(
        {"country_code": "US", "subdivisions": [None], "city": 7}, Location("US"), id="and again other shapes"
    ),
    pytest.param({"country_code": "US", "subdivisions": [{"iso_code": "C A"}]}, Location("US"), id="no region code"),
]


@pytest.mark.parametrize(("record", "location"), RECORDS)
def test_a_record_of_any_shape_is_read(record: object, location: Location | None) -> None:
    assert geo._location(record) == location


def broken(folder: Path) -> dict[str, Path]:
    """Files that are no database, by what is wrong with them."""
    whole = CITY.read_bytes()
    files = {"empty": b"", "text": b"not a database\n" * 100, "cut": whole[: len(whole) // 2], "head": whole[-200:]}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe")
    return {name: folder / name for name in (*files, "pipe", "missing")} | {"folder": folder}


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "head", "pipe", "missing", "folder"])
def test_a_broken_database_answers_nothing_and_says_so(tmp_path: Path, kind: str) -> None:
    path = broken(tmp_path)[kind]
    locator = Locator([str(path), BUILTIN])
    assert locate(locator, "8.8.8.8") == (Location("US"),)
    assert len(locator.problems) == 1
    assert str(path) in locator.problems[0]


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000])
def test_a_name_that_no_file_can_have_is_a_problem_only(name: str) -> None:
    locator = Locator([name])
    assert (locate(locator, "8.8.8.8"), len(locator.problems)) == ((), 1)


def test_a_file_cut_or_overwritten_while_in_use_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    path.write_bytes(CITY.read_bytes())
    locator = Locator([str(path)])
    os.truncate(path, 0)
    assert locate(locator, "214.78.120.1") == (Location("US", "CA", "San Diego"),)
    path.unlink()
    assert locate(locator, "81.2.69.142") == (Location("GB", "ENG", "London"),)


def test_damage_inside_a_database_never_raises(tmp_path: Path) -> None:
    whole, chance = CITY.read_bytes(), random.Random(7)
    asked = [ipaddress.ip_address(one) for one in ("214.78.120.1", "81.2.69.142", "2a02:d180::1", "::1", "8.8.8.8")]
    for round_ in range(60):
        damaged = bytearray(whole)
        for _ in range(400):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path = tmp_path / f"{round_}.mmdb"
        path.write_bytes(damaged)
        locator = Locator([str(path)])
        assert all(len(locator.locate(address)) <= 1 for address in asked)
        path.unlink()


def test_damage_found_on_asking_is_a_problem_told_once(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    whole = CITY.read_bytes()
    data = whole.index(b"\x00" * 16) if b"\x00" * 16 in whole else len(whole) // 2
    path.write_bytes(whole[:data] + b"\xff" * (len(whole) - data - 2000) + whole[-2000:])
    locator = Locator([str(path)])
    assert [locate(locator, address) for address in ("214.78.120.1", "81.2.69.142")] == [(), ()]
    assert len(locator.problems) == 1
    assert "is damaged" in locator.problems[0]


def test_without_a_temporary_directory_databases_still_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    locator = Locator([str(CITY)])
    assert locate(locator, "214.78.120.1") == (Location("US", "CA", "San Diego"),)
    assert locator.problems == ()


def test_databases_are_read_by_the_extension_and_leave_no_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    locator = Locator([BUILTIN, str(CITY)])
    assert all(isinstance(one.reader, FastReader) for one in locator._databases)
    assert list(tmp_path.iterdir()) == []


def test_the_built_in_database_is_credited_and_ships_with_its_licence() -> None:
    assert (ATTRIBUTION, ATTRIBUTION_URL) == ("IP Geolocation by DB-IP", "https://db-ip.com")
    assert BUILTIN_PATH.is_file()
    assert (BUILTIN_PATH.parent / "dbip-country-lite-LICENSE.txt").is_file()


def test_a_locator_that_is_let_go_keeps_no_copy_mapped() -> None:
    gc.disable()
    try:
        locator = Locator([BUILTIN, str(CITY)])
        locate(locator, "8.8.8.8")
        gone = weakref.ref(locator._databases[0])
        del locator
        assert gone() is None
    finally:
        gc.enable()
