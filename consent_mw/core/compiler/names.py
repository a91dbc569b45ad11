"""Names that one table defines and others use: purposes, jurisdictions, clauses.

Rule: a name counts as defined even where its table has mistakes, so that nothing follows from those.
Rule: names that reach a header are tokens (RFC 9110 5.6.2) of a small alphabet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from consent_mw.core.compiler.report import Report, nearest, quoted
from consent_mw.core.compiler.section import Section
from consent_mw.core.document import Entry, Kind, Node
from consent_mw.errors import Place

PURPOSE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")

TABLES = (
    "site", "scope", "client_address", "geo", "clause", "purpose", "jurisdiction", "signal", "identifier", "cookie",
    "vendor", "feature", "urls", "csp", "consent_mode", "retention", "outbox",
)  # fmt: skip
"""Every table that a policy may have."""


@dataclass(slots=True)
class Known:
    """The names of one sort (`purpose`) with the lines that define them; `sound` is false where the file's list of
    them could not be read, and then nothing is called unknown."""

    sort: str
    places: dict[str, Place] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    sound: bool = True

    def resolve(self, section: Section, node: Node | Entry, name: str) -> str | None:
        """The name if it is defined; else an error and None."""
        self.used.add(name)
        if name in self.places:
            return name
        if self.sound:
            message = f"{section.label} names {self.sort} {quoted(name)}, which this policy does not define"
            section.report.error(node, f"unknown-{self.sort}", message, self._advice(name))
        return None

    def one(self, section: Section, key: str, *, required: bool = False) -> str | None:
        """The name that this key holds."""
        node = section.value(key, Kind.STRING, required=required)
        return self.resolve(section, node, node.text) if node else None

    def several(self, section: Section, key: str) -> tuple[tuple[str, Node], ...]:
        """The names that this key lists, with their places."""
        nodes = section.strings(key) or ()
        return tuple((node.text, node) for node in nodes if self.resolve(section, node, node.text))

    def _advice(self, name: str) -> str:
        found = nearest(name, self.places)
        if found:
            return f"did you mean `{found}`, defined on line {self.places[found].line}?"
        table = f"`[[{self.sort}]]`" if self.sort == "clause" else f"`[{self.sort}.NAME]`"
        return f"define it in {table}" if len(self.places) == 0 else f"defined are {_some(self.places)}"


@dataclass(slots=True)
class Names:
    """Every name that tables of the file use of each other."""

    purposes: Known = field(default_factory=lambda: Known("purpose"))
    jurisdictions: Known = field(default_factory=lambda: Known("jurisdiction"))
    clauses: Known = field(default_factory=lambda: Known("clause"))
    essential: set[str] = field(default_factory=set)

    def cited(self, section: Section) -> tuple[str, ...]:
        """The ids of the clauses that a rule cites (`clause = [...]`)."""
        return tuple(name for name, _ in self.clauses.several(section, "clause"))


def is_misspelt(root: Section, table: str) -> bool:
    """Whether the file has a table that exists under no such name, and was probably meant to be this one."""
    return any(
        nearest(name, TABLES) == table
        for name, entry in root.node.entries.items()
        if name not in TABLES and entry.node.kind in (Kind.TABLE, Kind.ARRAY)
    )


def are_named_tables(root: Section, table: str) -> bool:
    """Whether the names under `[table.NAME]` can be read whole; if not, that is told elsewhere, once."""
    if is_misspelt(root, table):
        return False
    entry = root.node.entries.get(table)
    if entry is None:
        return True
    return entry.node.kind is Kind.TABLE and all(one.node.kind is Kind.TABLE for one in entry.node.entries.values())


def named_tables(root: Section, key: str, report: Report) -> Iterable[tuple[Entry, Section]]:
    """The tables `[key.NAME]` in the file's order, each with its Section; anything else under `key` is an error."""
    entry = root.entry(key)
    if entry is None:
        return
    if entry.node.kind is not Kind.TABLE:
        advice = f"write `[{key}.NAME]`"
        report.error(entry, "wrong-type", f"`{key}` must be tables, not {entry.node.kind.value}", advice)
        return
    for name, inner in entry.node.entries.items():
        label = f"{key} {quoted(name)}"
        if inner.node.kind is not Kind.TABLE:
            message = f"{label} must be a table, not {inner.node.kind.value}"
            report.error(inner, "wrong-type", message, f"write `[{key}.NAME]`")
            continue
        yield inner, Section(report, label, inner.node, inner.place)


def listed_tables(root: Section, key: str, report: Report) -> Iterable[Section]:
    """The tables `[[key]]` in the file's order; anything else under `key` is an error."""
    entry = root.entry(key)
    if entry is None:
        return
    if not entry.node.is_list_of_tables:
        message = f"`{key}` must be a list of tables, not {entry.node.kind.value}"
        report.error(entry, "wrong-type", message, f"write `[[{key}]]`")
        return
    for item in entry.node.items:
        yield Section(report, _label(key, item), item)


def check_name(report: Report, entry: Entry, sort: str, grammar: re.Pattern[str]) -> None:
    """A name that is no token is an error."""
    if grammar.fullmatch(entry.name):
        return
    small = grammar is PURPOSE_NAME
    words = "lower-case letters, digits and `_`" if small else "letters, digits, `_` and `-`"
    message = f"{quoted(entry.name)} cannot name a {sort}"
    report.error(entry, "bad-name", message, f"use {words}, a letter first, at most 64 characters")


def _label(key: str, item: Node) -> str:
    named = item.entries.get("name") or item.entries.get("id")
    return f"{key} {quoted(named.node.text)}" if named and named.node.kind is Kind.STRING else f"this {key}"


def _some(places: dict[str, Place]) -> str:
    names = [f"`{name}`" for name in list(places)[:8]]
    return ", ".join(names) + (", ..." if len(places) > 8 else "")
