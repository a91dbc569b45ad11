"""`geo`: what the location databases say of an address, and a newer database.

Rule: `show` asks the code that serves; an address is looked up on this machine and goes nowhere.
Rule: a database is put in place only once it is whole and answers; what was there before stays until then.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import httpx
import maxminddb

from consent_mw.cli.explain import policy_of
from consent_mw.core.explain import PLACES
from consent_mw.core.policy import Policy
from consent_mw.core.whereabouts import settle
from consent_mw.wire.address import read_address
from consent_mw.world.geo import ATTRIBUTION, ATTRIBUTION_URL, BUILTIN, Locator

SOURCE = "https://download.db-ip.com/free/dbip-country-lite-{month}.mmdb.gz"
"""Where DB-IP publishes its free country database each month (CC BY 4.0)."""

LARGEST = 256 * 1024 * 1024
"""Bytes of a database that are taken, unpacked."""

_NUMBER = re.compile(r"^\[Errno -?\d+\] ")

FORMAT = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON."
)


@click.group("geo")
def command() -> None:
    """Ask the location databases, or get a newer one."""


@command.command("show")
@click.argument("addresses", nargs=-1, required=True, metavar="IP...")
@click.option("--policy", "file", help="Also tell the jurisdiction; its databases are asked.")
@click.option("--database", "databases", multiple=True, help="A MaxMind DB file to ask instead; may be repeated.")
@FORMAT
def show(addresses: tuple[str, ...], file: str | None, databases: tuple[str, ...], form: str) -> int:
    """Tell where each IP is, and in which jurisdiction of a policy."""
    policy = policy_of(file) if file is not None else None
    asked = databases or (policy.geo.databases if policy is not None else (BUILTIN,))
    locators = [(name, Locator([name])) for name in asked]
    broken = [problem for _, locator in locators for problem in locator.problems]
    if broken:
        raise click.ClickException("; ".join(broken))
    wrong = [one for one in addresses if read_address(one) is None]
    if wrong and not policy:
        raise click.ClickException(f"`{wrong[0]}` is not an IP address")
    rows = [_row(address, locators, policy) for address in addresses]
    if form == "json":
        click.echo(json.dumps({"addresses": rows}, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(line for row in rows for line in _lines(row)))
    return 0


@command.command("update")
@click.option("--to", "file", default="dbip-country-lite.mmdb", help="Where the database is put.")
@click.option("--url", help="Where it is got from; by default this month's free country database of DB-IP.")
def update(file: str, url: str | None) -> int:
    """Get a newer country database, and put it in place once it is whole."""
    path = Path(file)
    if path.exists() and not path.is_file():
        # To rename onto a device would take it away from everybody.
        raise click.ClickException(f"--to `{file}` is there, and is no file: name one, which may be a new one")
    now = datetime.now(UTC)
    address = url or SOURCE.format(month=now.strftime("%Y-%m"))
    data = _unpacked(_fetched(address), address)
    with tempfile.NamedTemporaryFile(dir=path.absolute().parent, prefix=".geo-", delete=False) as part:
        try:
            part.write(data)
            part.flush()
            os.fsync(part.fileno())
            told = _described(part.name, address)
            Path(part.name).chmod(0o644)
            Path(part.name).replace(path)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise
    click.echo(f"wrote {path}: {told}")
    click.echo(f'{ATTRIBUTION} ({ATTRIBUTION_URL}), CC BY 4.0; name it in the policy: [geo] databases = ["{path}"]')
    return 0


def _row(text: str, locators: list[tuple[str, Locator]], policy: Policy | None) -> dict[str, object]:
    address = read_address(text)
    found = [(name, locator.locate(address)) for name, locator in locators]
    row: dict[str, object] = {
        "address": text,
        "readable": address is not None,
        "databases": [
            {
                "database": name,
                "country": place.country if place is not None else None,
                "region": (place.region or None) if place is not None else None,
                "city": (place.city or None) if place is not None else None,
            }
            for name, places in found
            for place in (places or (None,))
        ],
    }
    if policy is not None:
        settled = settle([one for _, places in found for one in places], address is not None, policy)
        row["jurisdiction"] = settled.jurisdiction.name
        row["regime"] = settled.jurisdiction.regime.value
        row["whereabouts"] = settled.whereabouts.value
        row["because"] = PLACES[settled.whereabouts]
    return row


def _lines(row: dict[str, object]) -> Iterator[str]:
    databases = row["databases"]
    for one in databases if isinstance(databases, list) else ():
        parts = [part for part in (one["country"], one["region"], one["city"]) if part]
        where = ", ".join(parts) or ("unknown" if row["readable"] else "not an address")
        yield f"{row['address']}: {where} ({one['database']})"
    if "jurisdiction" in row:
        yield f"    jurisdiction {row['jurisdiction']} ({row['regime']}), {row['because']}"


def _fetched(url: str) -> bytes:
    found = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=60.0) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_raw():
                found += chunk
                if len(found) > LARGEST:
                    raise click.ClickException(f"{url} is larger than a database can be")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise click.ClickException(f"{url} cannot be had: {told_of(error)}") from None
    return bytes(found)


def told_of(error: Exception) -> str:
    """What went wrong, on one line."""
    return _NUMBER.sub("", str(error) or type(error).__name__, count=1).splitlines()[0]


def _unpacked(data: bytes, url: str) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    reader = zlib.decompressobj(wbits=31)
    try:
        found = reader.decompress(data, LARGEST)
    except zlib.error as error:
        raise click.ClickException(f"what {url} gave is damaged: {error}") from None
    if not reader.eof:
        raise click.ClickException(f"what {url} gave is not whole")
    return found


def _described(path: str, url: str) -> str:
    """What the database says of itself; it must be one, and know where somebody is."""
    try:
        with maxminddb.open_database(path, maxminddb.MODE_FILE) as reader:
            meta = reader.metadata()
            some = next(iter(reader), None)
    except (maxminddb.InvalidDatabaseError, ValueError, OSError):
        some = None
    if some is None:
        raise click.ClickException(f"what {url} gave is no MaxMind DB file")
    built = datetime.fromtimestamp(meta.build_epoch, UTC).strftime("%Y-%m-%d")
    return f"{meta.database_type} of {built}"
