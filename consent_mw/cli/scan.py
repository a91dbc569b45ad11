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

from consent_mw.asgi.ruleset import CONSENT_COOKIES
from consent_mw.cli.explain import locator_of, policy_of
from consent_mw.core.cases import Given, decision_of
from consent_mw.core.policy import ANYWHERE, Jurisdiction, Policy
from consent_mw.core.scan import Answered, Fault, Finding, Sighting, findings
from consent_mw.core.whereabouts import Location, settle
from consent_mw.world.browser import Looked, Visitor, browsing, host_of
from consent_mw.world.geo import Locator

TRIED = 1_000
"""Addresses that are tried where only the country is known: the databases say much the same of all of them."""


@dataclass(frozen=True, slots=True)
class Visited:
    """One visit: what was seen, and a picture of it."""

    sighting: Sighting
    looked: Looked


@dataclass(frozen=True, slots=True)
class Origin:
    """From where a visitor says to be: an address that the databases put into this jurisdiction, and the place."""

    jurisdiction: Jurisdiction
    address: str
    location: Location


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
    locator = locator_of(policy)
    if not host_of(url) or urlsplit(url).scheme not in ("http", "https"):
        raise click.ClickException(f"`{url}` is not the URL of a site")
    places = _chosen(policy, only)
    paths = pages or (urlsplit(url).path or "/",)
    origins = [one for one in (origin_in(place, policy, locator) for place in places) if one is not None]
    skipped = {one.name: _unplaced(one) for one in places if all(each.jurisdiction is not one for each in origins)}
    if not origins:
        raise click.ClickException("; ".join(f"`{name}` cannot be visited: {why}" for name, why in skipped.items()))
    with browsing(chromium) as browser:
        visits = [_visited(browser, url, policy, one, answered, paths) for one in origins for answered in Answered]
    own = {one.decode() for one in CONSENT_COOKIES}
    found = findings([one.sighting for one in visits], policy, own)
    told = _values(url, policy, visits, found, skipped)
    if report is not None:
        _write_report(Path(report), told, visits)
    click.echo(json.dumps(told, indent=2) if form == "json" else "\n".join(_lines(visits, found, skipped)))
    return int(any(strict or one.fault is not Fault.UNSEEN for one in found))


def _chosen(policy: Policy, only: Sequence[str]) -> list[Jurisdiction]:
    unknown = [name for name in only if policy.jurisdiction(name) is None]
    if unknown:
        known = ", ".join(f"`{one.name}`" for one in policy.jurisdictions)
        raise click.ClickException(f"the policy has no jurisdiction `{unknown[0]}`; there are: {known}")
    return [one for one in policy.jurisdictions if not only or one.name in only]


def _visited(
    browser: object, url: str, policy: Policy, origin: Origin, answered: Answered, paths: Sequence[str]
) -> Visited:
    place = origin.jurisdiction
    header = policy.client_address.header
    said = f"for={origin.address}" if header == "forwarded" else origin.address
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
    decision = decision_of(_given(origin.location, answered, policy), policy)
    sighting = Sighting(
        place.name,
        answered,
        frozenset(looked.cookies),
        frozenset(looked.storage),
        frozenset(looked.hosts),
        decision,
    )
    return Visited(sighting, looked)


def _given(place: Location, answered: Answered, policy: Policy) -> Given:
    optional = tuple(one.name for one in policy.optional_purposes)
    yes = optional if answered is Answered.YES else ()
    return Given(place.country, place.region, yes=yes, no=optional if answered is Answered.NO else ())


def origin_in(place: Jurisdiction, policy: Policy, locator: Locator) -> Origin | None:
    """An address that the policy's databases put into this jurisdiction: of a part of a country, one that they know
    to be there before one of which only the country is known; None where there is none."""
    countries = {region.partition("-")[0] for region in place.regions}
    otherwise: Origin | None = None
    tried = 0
    for address, said in locator.places():
        anywhere = ANYWHERE in place.regions
        if not anywhere and said.country not in countries:
            continue
        exact = anywhere or bool(place.regions & {said.country, f"{said.country}-{said.region}"})
        tried += not exact
        if not exact and (otherwise is not None or tried > TRIED):
            continue
        settled = settle(locator.locate(address), True, policy)
        if settled.jurisdiction is not place or settled.location is None:
            continue
        found = Origin(place, str(address), settled.location)
        if exact:
            return found
        otherwise = found
    return otherwise


def _unplaced(place: Jurisdiction) -> str:
    parts = sorted(region for region in place.regions if "-" in region)
    more = f"; a database that knows {', '.join(parts)} would have to be among `[geo] databases`" if parts else ""
    return f"no address is known that the databases put there{more}"


def _values(
    url: str, policy: Policy, visits: Sequence[Visited], found: Sequence[Finding], skipped: Mapping[str, str]
) -> dict[str, object]:
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
        "skipped": [{"jurisdiction": name, "why": why} for name, why in skipped.items()],
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


def _lines(visits: Sequence[Visited], found: Sequence[Finding], skipped: Mapping[str, str]) -> Iterator[str]:
    for one in visits:
        seen = one.sighting
        cookies, hosts = len(seen.cookies), len(seen.hosts)
        counts = f"{cookies} cookie{'s' * (cookies != 1)}, {len(seen.storage)} stored, "
        counts += f"{hosts} third part{'y' if hosts == 1 else 'ies'}"
        yield f"as {seen.jurisdiction}, {seen.answered.value} said: {counts}"
    for name, why in skipped.items():
        yield f"as {name}: skipped, {why}"
    for fault in Fault:
        chosen = [one for one in found if one.fault is fault]
        if chosen:
            yield ""
            yield f"{fault.value}:"
        for each in chosen:
            yield f"    {each.sort} {each.name}: {each.why}"
            if fault is not Fault.UNSEEN:
                yield f"        {_when(each.visits, len(visits))}"
    yield ""
    wrong = sum(one.fault is not Fault.UNSEEN for one in found)
    yield f"{wrong} finding{'s' * (wrong != 1)} in {len(visits)} visits"


def _when(named: Sequence[str], number: int) -> str:
    return "in every visit" if len(named) == number > 1 else "; ".join(named)


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
            when = "" if one["fault"] == Fault.UNSEEN.value else _when(one["visits"], len(visits))
            cells = (one["fault"], one["kind"], one["name"], one["why"], when)
            yield "<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in cells)
        yield "</table>"
    skipped = told["skipped"]
    for one in skipped if isinstance(skipped, list) else ():
        yield f"<p>Skipped: {html.escape(one['jurisdiction'])}, {html.escape(one['why'])}.</p>"
    for number, one in enumerate(visits):
        seen = one.sighting
        yield f"<h2>As {html.escape(seen.jurisdiction)}, {seen.answered.value} said</h2>"
        for what, names in (("Cookies", seen.cookies), ("Stored", seen.storage), ("Third parties", seen.hosts)):
            yield f"<p>{what}: {html.escape(', '.join(sorted(names)) or 'none')}</p>"
        yield f'<img src="visit-{number}.png" alt="The first page as this visitor saw it">'
