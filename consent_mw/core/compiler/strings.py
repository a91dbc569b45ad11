"""`[signal.tcf]`, `[signal.gpp]`: what the string of a consent platform refuses, and in which cookie it comes.

Rule: a string can only refuse; what it permits is no consent that this policy asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from consent_mw.core.compiler import values
from consent_mw.core.compiler.names import Names
from consent_mw.core.compiler.report import listed, quoted
from consent_mw.core.compiler.section import Section
from consent_mw.core.document import Entry, Kind, Node
from consent_mw.core.policy import SignalEffect, SignalRule
from consent_mw.core.terms import Effect, Signal

COOKIES = MappingProxyType({Signal.TCF: "euconsent-v2", Signal.GPP: "__gpp"})
"""Where platforms keep their strings, unless they are told otherwise."""

OPT_OUTS = ("sale", "sharing", "targeted-advertising")
"""What a GPP string may opt out of."""

HIGHEST = 24
"""The highest TCF purpose that a string has room for."""


def compile_string(section: Section, signal: Signal, names: Names) -> SignalRule:
    """The rule about one kind of string."""
    effect = section.choice("effect", Effect) or Effect.REFUSE
    cookie = section.parsed("cookie", values.cookie_name, COOKIES[signal])
    refuses = _refuses(section, signal, names)
    yields = section.flag("yields_to_consent")
    clauses = names.cited(section)
    if effect is Effect.REFUSE and not refuses and "refuses" not in section.node.entries:
        section.missing("refuses", "name the purposes that it refuses, as in `refuses.analytics = [...]`")
    everywhere = SignalEffect(effect, section.place, _named(effect, refuses), clauses)
    overrides = _overrides(section, refuses, names)
    section.finish()
    return SignalRule(signal, everywhere, overrides, yields, cookie, MappingProxyType(refuses))


def _named(effect: Effect, refuses: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset(refuses) if effect is Effect.REFUSE else frozenset()


def _refuses(section: Section, signal: Signal, names: Names) -> dict[str, frozenset[str]]:
    inside = section.table("refuses")
    found: dict[str, frozenset[str]] = {}
    for name, entry in inside.node.entries.items() if inside else ():
        known = names.purposes.resolve(section, entry, name)
        if name in names.essential:
            message = f"{section.label} refuses purpose {quoted(name)}, which is essential"
            section.report.error(
                entry, "essential-denied", message, "an essential purpose is always allowed; remove it"
            )
        if not section.is_kind(entry.node, f"`refuses.{name[:60]}`", Kind.ARRAY):
            continue
        if not entry.node.items:
            message = f"{section.label} refuses purpose {quoted(name)} by nothing"
            section.report.error(entry, "empty-list", message, _advice(signal))
        wanted = frozenset(one for item in entry.node.items if (one := _item(section, entry, item, signal)))
        if known and wanted:
            found[name] = wanted
    return found


def _item(section: Section, entry: Entry, node: Node, signal: Signal) -> str:
    what = f"every element in `refuses.{entry.name[:60]}`"
    if signal is Signal.TCF:
        if not section.is_kind(node, what, Kind.INTEGER):
            return ""
        if 1 <= node.number <= HIGHEST:
            return str(node.number)
        shown = f"`{str(node.number)[:20]}`"
    else:
        if not section.is_kind(node, what, Kind.STRING):
            return ""
        if node.text in OPT_OUTS:
            return node.text
        shown = quoted(node.text)
    message = f"{section.label} refuses by {shown}, which no such string speaks of"
    section.report.error(node, "unknown-word", message, _advice(signal))
    return ""


def _advice(signal: Signal) -> str:
    return (
        f"write numbers of TCF purposes, from 1 to {HIGHEST}"
        if signal is Signal.TCF
        else f"write some of {listed(OPT_OUTS)}"
    )


def _overrides(section: Section, refuses: Mapping[str, frozenset[str]], names: Names) -> Mapping[str, SignalEffect]:
    inside = section.table("in")
    found: dict[str, SignalEffect] = {}
    for name, entry in inside.node.entries.items() if inside else ():
        known = names.jurisdictions.resolve(section, entry, name)
        if not section.is_kind(entry.node, f"`in.{name[:60]}`", Kind.TABLE):
            continue
        inner = Section(section.report, f"{section.label} in {quoted(name)}", entry.node, entry.place)
        effect = inner.choice("effect", Effect, required=True) or Effect.REFUSE
        clauses = names.cited(inner)
        inner.finish()
        if known:
            found[name] = SignalEffect(effect, entry.place, _named(effect, refuses), clauses)
    return MappingProxyType(found)
