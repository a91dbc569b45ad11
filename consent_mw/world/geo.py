"""Geo: what the geolocation databases on this machine say about an address.

Rule: addresses are looked up here and nowhere else; none leaves the process.
Rule: a database that is missing, damaged or silent answers nothing; it never fails a request.
Rule: the operator's file is copied before it is mapped: truncating a mapped file in place would kill the process.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import BinaryIO, Protocol

import maxminddb

from consent_mw.core.regions import COUNTRIES
from consent_mw.core.whereabouts import SOMEWHERE_IN_EU, Location
from consent_mw.wire.address import IpAddress, unmap

BUILTIN = "builtin"
"""The name of the database that this package brings along."""

BUILTIN_PATH = Path(__file__).parent.parent / "data" / "dbip-country-lite-2026-06.mmdb"

ATTRIBUTION = "IP Geolocation by DB-IP"
"""What a page that shows results of the built-in database says, as a link (its licence, CC BY 4.0)."""

ATTRIBUTION_URL = "https://db-ip.com"

_RENAMED = {"UK": "GB", "EL": "GR", "FX": "FR"}
"""Codes in use beside ISO 3166-1's own for the same country (the EU's, and an older ISO one)."""

_REGION = re.compile(r"[A-Z0-9]{1,3}")

_MARKER = b"\xab\xcd\xefMaxMind.com"
"""What stands before the metadata of a database (MaxMind DB 2.0), and the bytes at its end that it is in."""

_METADATA_WITHIN = 131_072
_NO_DATABASE = "it is not a MaxMind DB file, or it is damaged"

_DAMAGED = (
    maxminddb.InvalidDatabaseError,
    ArithmeticError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    TypeError,
)
"""What reading a damaged database raises beside ValueError (UnicodeDecodeError among them)."""


class _Reader(Protocol):
    def get(self, ip_address: str | IpAddress) -> object: ...

    def __iter__(self) -> Iterator[tuple[IPv4Network | IPv6Network, object]]: ...


class Locator:
    """Answers from several databases at once. Made when a policy loads; safe to share between threads."""

    def __init__(self, databases: Sequence[str] = (BUILTIN,)) -> None:
        """Open the databases: `builtin`, or paths of MaxMind DB files. Raises nothing; see `problems`."""
        self._problems: dict[str, str] = {}
        self._databases: list[_Database] = []
        for name in databases:
            self._open(name)

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each database that cannot be used, or that proved damaged when it was asked."""
        return tuple(self._problems.values())

    def locate(self, address: IpAddress | None) -> tuple[Location, ...]:
        """Where the databases say this address is: one Location for each that knows, in the policy's order."""
        if address is None:
            return ()
        plain = unmap(address)  # databases know the network behind a transition address only as IPv4
        if len(self._databases) == 1:
            only = _ask(self._databases[0], self._problems, plain)
            return () if only is None else (only,)
        found = [_ask(one, self._problems, plain) for one in self._databases]
        return tuple(one for one in found if one is not None)

    def places(self) -> Iterator[tuple[IPv4Address, Location]]:
        """An IPv4 address of each network that a database can place, and where it says that is; one database after
        the other. Another may say otherwise: see `locate`."""
        for one in self._databases:
            try:
                for network, record in one.reader:
                    if not isinstance(network, IPv4Network):
                        break  # which come first, as the lowest of all addresses
                    place = _location(record)
                    if place is not None:
                        yield network[min(1, network.num_addresses - 1)], place
            except (*_DAMAGED, ValueError) as error:
                self._problems[one.name] = f"database `{one.name}` is damaged: {error}"

    def _open(self, name: str) -> None:
        try:
            self._databases.append(_Database(name))
        except (*_DAMAGED, ValueError) as error:
            self._problems[name] = f"database `{name}` cannot be used: {_told(error)}"


def _told(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return reason.lower() if reason else str(error)


class _Database:
    """One open database: its reader, and the highest IP version it can be asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        path = BUILTIN_PATH if name == BUILTIN else Path(name)
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError("it is not a regular file")  # opening a pipe would wait for ever
        with path.open("rb") as original:
            _require_marker(original)
            reader = _private_reader(original)
        self.version = reader.metadata().ip_version
        self.reader: _Reader = reader


def _ask(database: _Database, problems: dict[str, str], address: IpAddress) -> Location | None:
    if address.version > database.version:
        return None  # an IPv4 database; asked for IPv6 it would raise
    try:
        return _location(database.reader.get(_text_of(address)))
    except (*_DAMAGED, ValueError) as error:
        problems[database.name] = f"database `{database.name}` is damaged: {error}"
        return None


def _text_of(address: IpAddress) -> str | IpAddress:
    """The address as it is read soonest."""
    if isinstance(address, IPv6Address):
        return address
    number = int(address)
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _require_marker(original: BinaryIO) -> None:
    """Raise ValueError where what ends every such file is missing: what is no database is not copied."""
    size = original.seek(0, os.SEEK_END)
    original.seek(max(size - _METADATA_WITHIN, 0))
    if _MARKER not in original.read():
        raise ValueError(_NO_DATABASE)
    original.seek(0)


def _private_reader(original: BinaryIO) -> maxminddb.Reader:
    """A reader over a copy that only this process has, mapped where that is possible, else in memory (slower)."""
    try:
        return _mapped_copy(original)
    except maxminddb.InvalidDatabaseError:
        raise ValueError(_NO_DATABASE) from None
    except OSError:  # no writable temporary directory, or no room there
        original.seek(0)
        return maxminddb.open_database(original, maxminddb.MODE_FD)


def _mapped_copy(original: BinaryIO) -> maxminddb.Reader:
    with tempfile.TemporaryDirectory(prefix="consent-mw-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "geo.mmdb"
        with copy.open("wb") as target:
            shutil.copyfileobj(original, target, 1 << 20)
        return maxminddb.open_database(copy, maxminddb.MODE_AUTO)  # the mapping outlives the name


_flat: dict[object, Location] = {code: Location(code) for code in COUNTRIES}


def _location(record: object) -> Location | None:
    """What a record says, flat (`country_code`) or nested (`country.iso_code`). The *registered* country is where
    the network's owner sits, not where the person is; it answers nothing here."""
    if not isinstance(record, dict):
        return None
    if len(record) == 1:
        # A flat country database says nothing else, for whole countries.
        known = _flat.get(record.get("country_code"))
        if known is not None:
            return known
    country = _country(record)
    if country is None:
        return None
    return Location(country, _region(record), _city(record))


def _country(record: dict[object, object]) -> str | None:
    nested = record.get("country")
    code = record.get("country_code") or (nested.get("iso_code") if isinstance(nested, dict) else nested)
    if not isinstance(code, str):
        return None
    upper = _RENAMED.get(code.upper(), code.upper())
    return upper if upper in COUNTRIES or upper == SOMEWHERE_IN_EU else None  # A1, AP, T1, ZZ …: nowhere


def _region(record: dict[object, object]) -> str:
    parts = record.get("subdivisions")
    first = parts[0] if isinstance(parts, list) and parts else None
    code = first.get("iso_code") if isinstance(first, dict) else record.get("region_code")
    upper = code.upper() if isinstance(code, str) else ""
    return upper if _REGION.fullmatch(upper) else ""


def _city(record: dict[object, object]) -> str:
    city = record.get("city")
    names = city.get("names") if isinstance(city, dict) else None
    name = names.get("en") if isinstance(names, dict) else city
    return name if isinstance(name, str) else ""
