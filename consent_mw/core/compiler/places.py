"""`[jurisdiction.*]`: regions and their regimes.

Rule: no region is in two jurisdictions, and exactly one jurisdiction is the catch-all `*`.
"""

from __future__ import annotations

from consent_mw.core.compiler import values
from consent_mw.core.compiler.names import NAME, Names, are_named_tables, check_name, named_tables
from consent_mw.core.compiler.report import Report, quoted
from consent_mw.core.compiler.section import Section
from consent_mw.core.document import Entry, Kind, Node
from consent_mw.core.policy import ANYWHERE, DAY, Geo, Jurisdiction
from consent_mw.core.regions import expand, region_help
from consent_mw.core.terms import Banner, Regime
from consent_mw.errors import Label, Place


def compile_jurisdictions(root: Section, names: Names) -> tuple[Jurisdiction, ...]:
    """Every jurisdiction in the file's order."""
    known = names.jurisdictions
    claims = _Claims(root.report)
    found = [
        _jurisdiction(entry, section, names, claims)
        for entry, section in named_tables(root, "jurisdiction", root.report)
    ]
    listed = root.node.entries.get("jurisdiction")
    known.sound = are_named_tables(root, "jurisdiction")
    if known.sound and claims.sound and ANYWHERE not in claims.owners:
        advice = 'write one whose `regions` are `["*"]`'
        place = listed.place if listed else root.place
        root.report.error(
            place, "no-catch-all", "no jurisdiction of this policy covers the rest of the world", advice
        )
    return tuple(found)


class _Claims:
    """Which jurisdiction claims which region; `sound` is false once a list of regions could not be read."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.owners: dict[str, tuple[str, Place, int]] = {}
        self.sound = True

    def claim(self, name: str, regions: frozenset[str], node: Node) -> None:
        """Give these regions to this jurisdiction; those that another has are an error."""
        taken = sorted(
            region for region in regions if (owned := self.owners.get(region)) is not None and owned[0] != name
        )
        for region in regions:
            self.owners.setdefault(region, (name, node.place, node.length))
        if not taken:
            return
        owner, place, length = self.owners[taken[0]]
        if taken == [ANYWHERE]:
            message = f"jurisdiction {quoted(name)} is a second catch-all"
            also = Label(place, "the first one", 3)
            advice = f"{quoted(owner)} is the first, on line {place.line}"
            self.report.error(node, "second-catch-all", message, advice, also)
            return
        which = (
            node.text if len(taken) == len(regions) else ", ".join(taken[:5]) + (", ..." if len(taken) > 5 else "")
        )
        message = f"jurisdictions {quoted(owner)} and {quoted(name)} both claim {quoted(which)}"
        advice = f"{quoted(owner)} claims it on line {place.line}; a region has one regime"
        also = Label(place, f"claimed by {quoted(owner)} here", length)
        self.report.error(node, "overlapping-regions", message, advice, also)


def _jurisdiction(entry: Entry, section: Section, names: Names, claims: _Claims) -> Jurisdiction:
    check_name(section.report, entry, "jurisdiction", NAME)
    if entry.name == Geo().unknown:
        message = f"{quoted(entry.name)} cannot name a jurisdiction"
        section.report.error(entry, "bad-name", message, "the word has a meaning of its own in `[geo] unknown`")
    names.jurisdictions.places[entry.name] = entry.place
    declared, regions = _regions(entry, section, claims)
    regime = section.choice("regime", Regime, required=True) or Regime.OPT_IN
    banner = section.choice("banner", Banner) or (Banner.ASK if regime is Regime.OPT_IN else Banner.NOTICE)
    lasts = section.parsed("lasts", values.duration, 182 * DAY)
    clauses = names.cited(section)
    section.finish()
    return Jurisdiction(entry.name, entry.place, regions, declared, regime, banner, lasts, clauses)


def _regions(entry: Entry, section: Section, claims: _Claims) -> tuple[tuple[str, ...], frozenset[str]]:
    nodes = section.strings("regions", required=True)
    listed = section.node.entries.get("regions")
    if listed is not None and listed.node.kind is Kind.ARRAY and not listed.node.items:
        section.report.error(
            listed, "empty-list", f"{section.label} has no regions", 'name some, or `["*"]` for the rest'
        )
    claims.sound = claims.sound and bool(nodes)
    regions: frozenset[str] = frozenset()
    for node in nodes or ():
        members = expand(node.text)
        if members is None:
            claims.sound = claims.sound and "*" not in node.text
            message = f"{section.label} has region {quoted(node.text)}, which does not exist"
            section.report.error(node, "unknown-region", message, region_help(node.text))
            continue
        claims.claim(entry.name, members, node)
        regions |= members
    return tuple(node.text for node in nodes or ()), regions
