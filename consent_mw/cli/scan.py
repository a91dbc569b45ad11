"""`scan`: a real browser visits the site as each jurisdiction and consent; what it saw is compared with the policy.

Rule: exit 0 where nothing was found, 1 on findings, 2 where the site or the browser cannot be had.
Rule: a visit counts only if the site itself decided it as the jurisdiction that was meant.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
import maxminddb

from consent_mw.asgi.ruleset import CONSENT_COOKIES
from consent_mw.cli.explain import locator_of, policy_of
from consent_mw.core.cases import Given, decision_of
from consent_mw.core.policy import ANYWHERE, Jurisdiction, Policy
from consent_mw.core.scan import Answered, Fault, Finding, Sighting, findings
from consent_mw.core.whereabouts import Location, settle
from consent_mw.wire.address import read_address
from consent_mw.world.browser import Looked, Visitor, browsing, host_of
from consent_mw.world.geo import BUILTIN_PATH, Locator


@dataclass(frozen=True, slots=True)
class Visited:
    """One visit: what was seen, and a picture of it."""

    sighting: Sighting
    looked: Looked


@click.command("scan")
@click.argument("url")
@click.option("--policy", "file", required=True, help="The policy file, or a built-in profile's name.")
@click.option(
    "--page", "pages", multiple=True, metavar="PATH", help="A page to read; may be repeated. Else the URL's."
)
@click.option("--jurisdiction", "only", multiple=True, metavar="NAME", help="Visit as these only.")
@click.option("--chromium", help="The browser's executable; else the first that is found.")
@click.option(
    "--report", metavar="DIR", help="Also write index.html with screenshots, and report.json, to this folder."
)
@click.option("--strict", is_flag=True, help="What is declared and was never seen is a finding, too.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
def command(
    url: str, file: str, pages: tuple[str, ...], only: tuple[str, ...], chromium: str | None, report: str | None,
    strict: bool, form: str,
) -> int:  # fmt: skip
    """Visit the site at URL and compare what a browser sees with the policy."""
    policy = policy_of(file)
    locator_of(policy)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.ClickException(f"`{url}` is not the URL of a site")
    places = _chosen(policy, only)
    paths = pages or (parts.path or "/",)
    with browsing(chromium) as browser:
        visits = [_visited(browser, url, policy, place, answered, paths) for place in places for answered in Answered]
    own = {one.decode() for one in CONSENT_COOKIES}
    found = findings([one.sighting for one in visits], policy, own)
    told = _values(url, policy, visits, found)
    if report is not None:
        _write_report(Path(report), told, visits)
    click.echo(json.dumps(told, indent=2) if form == "json" else "\n".join(_lines(visits, found)))
    return int(any(strict or one.fault is not Fault.UNSEEN for one in found))


def _chosen(policy: Policy, only: Sequence[str]) -> list[Jurisdiction]:
    unknown = [name for name in only if policy.jurisdiction(name) is None]
    if unknown:
        known = ", ".join(f"`{one.name}`" for one in policy.jurisdictions)
        raise click.ClickException(f"the policy has no jurisdiction `{unknown[0]}`; there are: {known}")
    return [one for one in policy.jurisdictions if not only or one.name in only]


def _visited(
    browser: object, url: str, policy: Policy, place: Jurisdiction, answered: Answered, paths: Sequence[str]
) -> Visited:
    address = address_in(place, policy)
    header = policy.client_address.header
    said = f"for={address}" if header == "forwarded" else address
    visitor = Visitor(browser, url, {header: said})  # type: ignore[arg-type]  # Playwright may be absent
    try:
        prefix = policy.site.prefix
        state = visitor.ask(f"{prefix}/state")
        if not isinstance(state, Mapping):
            raise click.ClickException(f"{host_of(url)} does not answer {prefix}/state: is the policy served there?")
        if state.get("jurisdiction") != place.name:
            raise click.ClickException(
                f"the site takes this visitor to be from `{state.get('jurisdiction')}`, not from `{place.name}`: it "
                f"believes `{header}` only of its `[client_address] trusted` peers, and the scan must be one of them"
            )
        if answered is not Answered.NOTHING:
            visitor.read(paths[:1])
            visitor.post(f"{prefix}/choice", {"all": answered is Answered.YES})
            # What was asked before the answer is the visit's without one.
            visitor.looked = Looked()
        visitor.read(paths, picture=True)
    finally:
        visitor.close()
    looked = visitor.looked
    if looked.failed:
        raise click.ClickException(f"{host_of(url)} does not answer for {', '.join(looked.failed)}")
    decision = decision_of(_given(place, address, answered, policy), policy)
    sighting = Sighting(
        place.name,
        answered,
        frozenset(looked.cookies),
        frozenset(looked.storage),
        frozenset(looked.hosts),
        decision,
    )
    return Visited(sighting, looked)


def _given(place: Jurisdiction, address: str, answered: Answered, policy: Policy) -> Given:
    optional = tuple(one.name for one in policy.optional_purposes)
    country = next(iter(_located(address)), Location("")).country
    yes = optional if answered is Answered.YES else ()
    return Given(country, yes=yes, no=optional if answered is Answered.NO else ())


def address_in(place: Jurisdiction, policy: Policy) -> str:
    """An IPv4 address that the policy's databases put into this jurisdiction. Raises ClickException without one."""
    with maxminddb.open_database(BUILTIN_PATH) as reader:
        locator = Locator(policy.geo.databases)
        for network, record in reader:
            country = record.get("country_code") if isinstance(record, dict) else None
            wanted = country in place.regions or ANYWHERE in place.regions
            if not wanted or network.version != 4:
                continue
            address = network.network_address + 1
            locations = locator.locate(address)
            if locations and settle(locations, True, policy).jurisdiction is place:
                return str(address)
    raise click.ClickException(f"no address is known that the databases put into `{place.name}`")


def _located(address: str) -> tuple[Location, ...]:
    return Locator().locate(read_address(address))


def _values(url: str, policy: Policy, visits: Sequence[Visited], found: Sequence[Finding]) -> dict[str, object]:
    return {
        "url": url,
        "policy": {"file": policy.file, "revision": policy.revision},
        "visits": [
            {
                "jurisdiction": one.sighting.jurisdiction,
                "answered": one.sighting.answered.value,
                "cookies": sorted(one.sighting.cookies),
                "storage": sorted(one.sighting.storage),
                "hosts": sorted(one.sighting.hosts),
            }
            for one in visits
        ],
        "findings": [
            {
                "fault": one.fault.value,
                "kind": one.sort,
                "name": one.name,
                "visits": list(one.visits),
                "why": one.why,
            }
            for one in found
        ],
    }


def _lines(visits: Sequence[Visited], found: Sequence[Finding]) -> Iterator[str]:
    for one in visits:
        seen = one.sighting
        counts = f"{len(seen.cookies)} cookies, {len(seen.storage)} stored, {len(seen.hosts)} third parties"
        yield f"as {seen.jurisdiction}, {seen.answered.value} said: {counts}"
    for fault in Fault:
        chosen = [one for one in found if one.fault is fault]
        if chosen:
            yield ""
            yield f"{fault.value}:"
        for each in chosen:
            yield f"    {each.sort} {each.name}: {each.why}"
            if fault is not Fault.UNSEEN:
                yield f"        {'; '.join(each.visits)}"
    yield ""
    wrong = sum(one.fault is not Fault.UNSEEN for one in found)
    yield f"{wrong} finding{'s' * (wrong != 1)} in {len(visits)} visits"


def _write_report(folder: Path, told: dict[str, object], visits: Sequence[Visited]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(told, indent=2), encoding="utf-8")
    for number, one in enumerate(visits):
        (folder / f"visit-{number}.png").write_bytes(one.looked.picture)
    (folder / "index.html").write_text("".join(_page(told, visits)), encoding="utf-8")


def _page(told: Mapping[str, object], visits: Sequence[Visited]) -> Iterator[str]:
    found = told["findings"]
    yield '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    yield "<title>Scan</title><style>body{font:1rem/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    yield "table{border-collapse:collapse;width:100%}th,td{border:1px solid #999;padding:.3rem .6rem;text-align:left}"
    yield "img{max-width:100%;border:1px solid #999}</style>"
    yield f"<h1>Scan of {html.escape(str(told['url']))}</h1><h2>Findings</h2>"
    if not found:
        yield "<p>Nothing was found: site and policy agree.</p>"
    else:
        yield "<table><tr><th>Fault<th>Kind<th>Name<th>Why<th>Visits"
        for one in found if isinstance(found, list) else ():
            cells = (one["fault"], one["kind"], one["name"], one["why"], "; ".join(one["visits"]))
            yield "<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in cells)
        yield "</table>"
    for number, one in enumerate(visits):
        seen = one.sighting
        yield f"<h2>As {html.escape(seen.jurisdiction)}, {seen.answered.value} said</h2>"
        for what, names in (("Cookies", seen.cookies), ("Stored", seen.storage), ("Third parties", seen.hosts)):
            yield f"<p>{what}: {html.escape(', '.join(sorted(names)) or 'none')}</p>"
        yield f'<img src="visit-{number}.png" alt="The first page as this visitor saw it">'
