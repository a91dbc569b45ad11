"""The tables that decide: `[[clause]]`, `[purpose.*]`, `[signal.*]`, `[feature.*]`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from consent_mw.core.compiler import values
from consent_mw.core.compiler.names import (
    NAME,
    PURPOSE_NAME,
    Names,
    are_named_tables,
    check_name,
    is_misspelt,
    listed_tables,
    named_tables,
)
from consent_mw.core.compiler.report import listed, nearest, quoted
from consent_mw.core.compiler.section import Section
from consent_mw.core.compiler.strings import compile_string
from consent_mw.core.document import Kind
from consent_mw.core.policy import Clause, Feature, Purpose, SignalEffect, SignalRule
from consent_mw.core.terms import STRINGS, Effect, Signal
from consent_mw.errors import Label


def compile_clauses(root: Section, names: Names) -> tuple[Clause, ...]:
    """`[[clause]]`: the sentences of the published policy."""
    known = names.clauses
    listed = root.node.entries.get("clause")
    known.sound = not is_misspelt(root, "clause") and (listed is None or listed.node.is_list_of_tables)
    clauses = []
    for section in listed_tables(root, "clause", root.report):
        name = section.parsed("id", values.clause_id, "", required=True)
        text = section.text("text", required=True)
        informational = section.text("informational")
        section.finish()
        if not name:
            known.sound = False
            continue
        entry = section.node.entries["id"]
        if name in known.places:
            message = f"clause {quoted(name)} is already defined on line {known.places[name].line}"
            advice = "ids are cited by rules; give each its own"
            also = Label(known.places[name], "the first one", entry.node.length)
            root.report.error(entry.node, "duplicate-clause", message, advice, also)
            continue
        known.places[name] = entry.node.place
        clauses.append(Clause(name, text, section.place, informational))
    return tuple(clauses)


def warn_of_idle_clauses(root: Section, clauses: tuple[Clause, ...], names: Names) -> None:
    """A clause that no rule cites, and that does not say why, is a promise that nothing keeps. Where the file has
    errors, a rule that cites it may be among them, so nothing is said."""
    for clause in () if root.report.failed else clauses:
        if clause.id in names.clauses.used or clause.informational:
            continue
        message = f"no rule cites clause {quoted(clause.id)}"
        advice = 'cite it (`clause = [...]`), or say why nothing enforces it (`informational = "..."`)'
        root.report.warning(names.clauses.places[clause.id], "unused-clause", message, advice)


def compile_purposes(root: Section, names: Names) -> tuple[Purpose, ...]:
    """`[purpose.*]`: what data is used for; one at least is essential."""
    known = names.purposes
    purposes = []
    for entry, section in named_tables(root, "purpose", root.report):
        check_name(root.report, entry, "purpose", PURPOSE_NAME)
        known.places[entry.name] = entry.place
        text, essential = section.text("text"), section.flag("essential")
        flagged = section.node.entries.get("essential")
        if essential or (flagged and flagged.node.kind is not Kind.BOOLEAN):
            names.essential.add(entry.name)
        purposes.append(Purpose(entry.name, entry.place, text, essential, names.cited(section)))
        section.finish()
    listed = root.node.entries.get("purpose")
    known.sound = are_named_tables(root, "purpose")
    if known.sound and not names.essential:
        place = listed.place if listed else root.place
        advice = "write `[purpose.essential]` with `essential = true`"
        root.report.error(place, "no-essential-purpose", "no purpose of this policy is essential", advice)
    return tuple(purposes)


def compile_signals(root: Section, names: Names) -> Mapping[Signal, SignalRule]:
    """`[signal.*]`: what the browser's preferences do."""
    signals = {}
    words = [one.value for one in Signal]
    for entry, section in named_tables(root, "signal", root.report):
        if entry.name not in words:
            meant = nearest(entry.name, words)
            advice = f"did you mean `{meant}`?" if meant else f"signals are {listed(words)}"
            root.report.error(entry, "unknown-signal", f"{quoted(entry.name)} is not a signal", advice)
            continue
        signal = Signal(entry.name)
        if signal in STRINGS:
            signals[signal] = compile_string(section, signal, names)
            continue
        everywhere = _effect(section, names)
        yields = section.flag("yields_to_consent")
        overrides = _overrides(section, names)
        section.finish()
        signals[signal] = SignalRule(signal, everywhere, MappingProxyType(overrides), yields)
    return MappingProxyType(signals)


def compile_features(root: Section, names: Names) -> tuple[Feature, ...]:
    """`[feature.*]`: what the site offers only where a purpose is allowed."""
    features = []
    for entry, section in named_tables(root, "feature", root.report):
        check_name(root.report, entry, "feature", NAME)
        purpose = names.purposes.one(section, "purpose", required=True) or ""
        denied = frozenset(name for name, _ in names.jurisdictions.several(section, "denied_in"))
        features.append(Feature(entry.name, purpose, entry.place, denied, names.cited(section)))
        section.finish()
    return tuple(features)


def _overrides(section: Section, names: Names) -> dict[str, SignalEffect]:
    overrides: dict[str, SignalEffect] = {}
    inside = section.table("in")
    for name, entry in inside.node.entries.items() if inside else ():
        label = f"{section.label} in {quoted(name)}"
        known = names.jurisdictions.resolve(section, entry, name)
        if not section.is_kind(entry.node, f"`in.{name[:60]}`", Kind.TABLE):
            continue
        inner = Section(section.report, label, entry.node, entry.place)
        effect = _effect(inner, names, required=True)
        inner.finish()
        if known:
            overrides[name] = effect
    return overrides


def _effect(section: Section, names: Names, *, required: bool = False) -> SignalEffect:
    effect = section.choice("effect", Effect)
    purposes = names.purposes.several(section, "purposes")
    clauses = names.cited(section)
    for name, node in purposes:
        if name in names.essential:
            message = f"{section.label} refuses purpose {quoted(name)}, which is essential"
            section.report.error(
                node, "essential-denied", message, "an essential purpose is always allowed; remove it"
            )
    listed = section.node.entries.get("purposes")
    if "effect" not in section.node.entries and (listed or required):
        section.missing("effect", 'write `effect = "refuse"` or `effect = "ignore"`')
    if effect is Effect.REFUSE and (listed is None or (listed.node.kind is Kind.ARRAY and not listed.node.items)):
        section.missing("purposes", '`effect = "refuse"` needs `purposes = [...]`, the purposes it refuses')
    if effect is Effect.IGNORE and listed is not None:
        message = f"{section.label} ignores the signal, so `purposes` says nothing"
        section.report.error(
            listed, "purposes-without-refuse", message, 'write `effect = "refuse"`, or remove `purposes`'
        )
    return SignalEffect(effect or Effect.IGNORE, section.place, frozenset(name for name, _ in purposes), clauses)
