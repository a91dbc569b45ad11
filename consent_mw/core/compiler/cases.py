"""`NAME.cases.toml`: the cases that stand beside a policy.

Rule: a case that names what its policy does not define is a mistake of the case, with a place, and never just fails.
Rule: a case with a mistake is left out, so that nothing follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from consent_mw.core.cases import MEMBERS, Case, Expected, Given, Plain
from consent_mw.core.compiler import values
from consent_mw.core.compiler.names import Known, listed_tables
from consent_mw.core.compiler.report import Report, quoted
from consent_mw.core.compiler.section import BadValue, Section
from consent_mw.core.document import Document, Entry, Kind
from consent_mw.core.policy import Policy
from consent_mw.core.terms import Reason
from consent_mw.errors import Place, Problem


@dataclass(frozen=True, slots=True)
class Casebook:
    """The cases of one file, and the mistakes in it."""

    cases: tuple[Case, ...]
    problems: tuple[Problem, ...]


def compile_cases(document: Document, policy: Policy) -> Casebook:
    """The cases of this document, for this policy. Total."""
    report = Report(document.file)
    root = Section(report, "the file of cases", document.root)
    if "case" not in document.root.entries:
        root.missing("[[case]]", "write `[[case]]` tables with `name`, `given` and `expect`")
    cases = [case for one in listed_tables(root, "case", report) if (case := _case(one, policy)) is not None]
    root.finish()
    return Casebook(tuple(cases), report.problems)


def _case(section: Section, policy: Policy) -> Case | None:
    before = len(section.report.problems)
    name = section.text("name", required=True)
    given = _given(section, policy)
    expect = _expect(section, policy)
    section.finish()
    return Case(name, section.place, given, expect) if len(section.report.problems) == before else None


def _given(outer: Section, policy: Policy) -> Given:
    section = outer.table("given")
    if section is None:
        return Given()
    country = section.parsed("country", values.country, "")
    region = section.parsed("region", _region, "")
    if region and not country and "country" not in section.node.entries:
        section.missing("country", "a region is one of a country")
    optional = _known("purpose", policy.optional_purposes)
    dnt = section.value("dnt", Kind.BOOLEAN)
    made = Given(
        country,
        region,
        dnt=None if dnt is None else bool(dnt.number),
        gpc=section.flag("gpc"),
        yes=tuple(name for name, _ in optional.several(section, "yes")),
        no=_not_both(section, optional),
        age=section.parsed("age", values.duration, 60),
        revision=section.parsed("revision", values.revision, ""),
        seen=section.flag("seen"),
        minor=section.flag("minor"),
    )
    section.finish()
    return made


def _not_both(section: Section, optional: Known) -> tuple[str, ...]:
    agreed = section.node.entries.get("yes")
    yes = {one.text for one in agreed.node.items} if agreed else set()
    said: list[str] = []
    for name, node in optional.several(section, "no"):
        if name in yes:
            message = f"`no` of {section.label} names {quoted(name)}, which `yes` names as well"
            section.report.error(node, "duplicate-item", message, "remove one")
        said.append(name)
    return tuple(said)


def _expect(outer: Section, policy: Policy) -> dict[str, Expected]:
    section = outer.table("expect")
    if section is None:
        if "expect" not in outer.node.entries:
            outer.missing("expect", "a case that expects nothing holds whatever the policy says")
        return {}
    purposes = _known("purpose", policy.purposes)
    features = _known("feature", policy.features)
    places = _known("jurisdiction", policy.jurisdictions)
    read: Mapping[str, Callable[[Entry], Expected]] = {
        "jurisdiction": lambda entry: places.one(section, entry.name) or "",
        "allows": lambda entry: _listed(purposes, section, entry),
        "denies": lambda entry: _listed(purposes, section, entry),
        "reasons": lambda entry: _reasons(section, entry, purposes),
        "status": lambda entry: section.text(entry.name),
        "ask": lambda entry: section.flag(entry.name),
        "notice": lambda entry: section.flag(entry.name),
        "tk": lambda entry: section.text(entry.name),
        "identifier": lambda entry: section.flag(entry.name),
        "features": lambda entry: _listed(features, section, entry),
        "cookies": lambda entry: _flags(section, entry),
        "vendors": lambda entry: _fields(section, entry, policy),
    }
    entries = [(member, section.entry(member)) for member in MEMBERS]
    found = {member: read[member](entry) for member, entry in entries if entry is not None}
    if not section.node.entries:
        section.report.error(section.place, "empty-list", "`expect` names nothing", "say what must follow")
    section.finish()
    return found


def _listed(known: Known, section: Section, entry: Entry) -> tuple[str, ...]:
    return tuple(name for name, _ in known.several(section, entry.name))


def _reasons(section: Section, entry: Entry, purposes: Known) -> dict[str, Plain]:
    inner = _table(section, entry)
    found: dict[str, Plain] = {}
    for name, one in inner.node.entries.items() if inner else ():
        purposes.resolve(section, one, name)
        reason = inner.choice(name, Reason) if inner else None
        found[name] = reason.value if reason else ""
    return found


def _flags(section: Section, entry: Entry) -> dict[str, Plain]:
    inner = _table(section, entry)
    return {name: inner.flag(name) for name in inner.node.entries} if inner else {}


def _fields(section: Section, entry: Entry, policy: Policy) -> dict[str, Plain]:
    inner = _table(section, entry)
    vendors = _known("vendor", policy.vendors)
    found: dict[str, Plain] = {}
    for name, one in inner.node.entries.items() if inner else ():
        vendors.resolve(section, one, name)
        if inner is not None and inner.is_kind(one.node, f"`{name}`", Kind.ARRAY):
            found[name] = tuple(node.text for node in inner.strings_of(one.node, name))
    return found


def _table(section: Section, entry: Entry) -> Section | None:
    what = f"`{entry.name}`"
    return Section(section.report, what, entry.node) if section.is_kind(entry.node, what, Kind.TABLE) else None


class _Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def place(self) -> Place: ...


def _known(sort: str, rules: Iterable[_Named]) -> Known:
    return Known(sort, {one.name: one.place for one in rules})


def _region(text: str) -> str:
    if not (0 < len(text) <= 3 and text.isascii() and text.isalnum() and text.isupper()):
        raise BadValue("unknown-region", "is no part of a country", 'write it as ISO 3166-2 has it: "CA"')
    return text
