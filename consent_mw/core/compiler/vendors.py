"""`[vendor.*]`: the third parties that may receive events, their fields, and what each kind of vendor needs.

Rule: a vendor that cannot work without a field it is not given is an error here, not a silent loss later.
Rule: a field that a vendor's format has no place for is a warning, since nothing is sent of it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType

from consent_mw.core.compiler import values
from consent_mw.core.compiler.kinds import NEEDS, OPTIONS, Needs, option
from consent_mw.core.compiler.names import NAME, Names, check_name, named_tables
from consent_mw.core.compiler.report import nearest, quoted
from consent_mw.core.compiler.section import Section
from consent_mw.core.document import Entry, Kind, Node
from consent_mw.core.policy import Vendor
from consent_mw.core.terms import FIELD_FAMILIES, SIMPLE_FIELDS, VendorKind

_PARAMETER = re.compile(r"[^\s*\x00-\x1f\x7f]{1,100}")


def compile_vendors(root: Section, names: Names) -> tuple[Vendor, ...]:
    """Every vendor in the file's order."""
    return tuple(_vendor(entry, section, names) for entry, section in named_tables(root, "vendor", root.report))


def _vendor(entry: Entry, section: Section, names: Names) -> Vendor:
    check_name(section.report, entry, "vendor", NAME)
    kind = section.choice("kind", VendorKind, required=True)
    vendor = Vendor(
        name=entry.name,
        kind=kind or VendorKind.WEBHOOK,
        purpose=names.purposes.one(section, "purpose", required=True) or "",
        endpoint=section.parsed("endpoint", values.endpoint, "", required=True),
        fields=_fields(section, kind),
        place=entry.place,
        fields_in=MappingProxyType(_fields_in(section, kind, names)),
        key=section.parsed("key", values.key, ""),
        hosts=section.parsed_list("hosts", values.source_host),
        country=section.parsed("country", values.country, ""),
        transfer_basis=section.parsed("transfer_basis", values.one_line, ""),
        resend=section.flag("resend"),
        options=MappingProxyType(_options(section, kind)),
        clauses=names.cited(section),
    )
    if kind is not None and NEEDS[kind].key and "key" not in section.node.entries:
        message = f"{section.label} has no `key`, and {kind.value} turns away what carries none"
        section.report.warning(section.place, "vendor-without-key", message, 'write it as in `key = "env:NAME"`')
    section.finish(known_settings=kind is not None)
    return vendor


def _options(section: Section, kind: VendorKind | None) -> dict[str, str]:
    """The settings that only this kind has; an integer counts as its digits."""
    found: dict[str, str] = {}
    needs = NEEDS[kind] if kind else Needs()
    for name in (*needs.options, *needs.may):
        entry = section.entry(name)
        if entry is None:
            if name in needs.options:
                section.missing(name, f"a vendor of kind `{kind}` needs it")
            continue
        node = entry.node
        if node.kind is Kind.INTEGER and abs(node.number) < 10**18:
            node = replace(node, kind=Kind.STRING, text=str(node.number))
        if section.is_kind(node, f"`{name}`", Kind.STRING):
            found[name] = section.read(node, name, OPTIONS.get(name, option), "")
    return found


def _fields(section: Section, kind: VendorKind | None) -> tuple[str, ...]:
    nodes = section.strings("fields", required=True)
    entry = section.node.entries.get("fields")
    if nodes is None or entry is None:
        return ()
    if not entry.node.items:
        message = f"{section.label} has no fields, so nothing could ever leave"
        section.report.error(entry, "empty-list", message, "name the fields it may get, or remove the vendor")
        return ()
    return _checked(section, entry, nodes, kind)


def _fields_in(section: Section, kind: VendorKind | None, names: Names) -> dict[str, tuple[str, ...]]:
    inside = section.table("fields_in")
    found: dict[str, tuple[str, ...]] = {}
    for name, entry in inside.node.entries.items() if inside else ():
        known = names.jurisdictions.resolve(section, entry, name)
        key = f"fields_in.{name[:60]}"
        if not section.is_kind(entry.node, f"`{key}`", Kind.ARRAY):
            continue
        nodes = section.strings_of(entry.node, key)
        # An empty list is meant: nothing leaves from there.
        fields = _checked(section, entry, nodes, kind) if entry.node.items else ()
        if known:
            found[name] = fields
    return found


def _checked(section: Section, entry: Entry, nodes: tuple[Node, ...], kind: VendorKind | None) -> tuple[str, ...]:
    unknown = [node for node in nodes if not _is_field(node.text)]
    for node in unknown:
        message = f"{section.label} lists {quoted(node.text)}, which is not a field"
        section.report.error(node, "unknown-field", message, _field_advice(node.text))
    fields = tuple(node.text for node in nodes if node not in unknown)
    if kind is not None and not unknown and len(nodes) == len(entry.node.items):
        _check_needs(section, entry, fields, kind)
    if kind is not None:
        for node in nodes:
            _check_carried(section, node, kind)
    return fields


def _check_needs(section: Section, entry: Entry, fields: tuple[str, ...], kind: VendorKind) -> None:
    settings = frozenset(section.node.entries)
    for group in NEEDS[kind].fields:
        able = [name for name in group if NEEDS[kind].loses(name, settings) is None]
        if not set(able) & set(fields):
            wanted = " or ".join(f"`{name}`" for name in able)
            where = "" if entry.name == "fields" else f" in {quoted(entry.name)}"
            message = f"{section.label} cannot work{where} without field {wanted}, which it is not given"
            advice = f"a vendor of kind `{kind}` needs it; add it, or remove the vendor"
            section.report.error(entry, "vendor-needs-field", message, advice)


def _check_carried(section: Section, node: Node, kind: VendorKind) -> None:
    setting = NEEDS[kind].loses(node.text, frozenset(section.node.entries))
    if setting is None:
        return
    only = f" without a `{setting}`" if setting else ""
    message = f"{section.label} lists {quoted(node.text)}, which kind `{kind}` cannot carry{only}"
    advice = (
        f"set `{setting}`, or remove it; nothing is sent of it" if setting else "remove it; nothing is sent of it"
    )
    section.report.warning(node, "field-not-carried", message, advice)


def _is_field(name: str) -> bool:
    if name in SIMPLE_FIELDS:
        return True
    family = next((one for one in FIELD_FAMILIES if name.startswith(one)), None)
    if family is None:
        return False
    rest = name.removeprefix(family)
    return rest == "*" or bool(_PARAMETER.fullmatch(rest))


def _field_advice(name: str) -> str:
    meant = nearest(name, [*SIMPLE_FIELDS, "query.*", "props.*"])
    return f"did you mean `{meant}`?" if meant else f"fields are {', '.join(sorted(SIMPLE_FIELDS))}, query.*, props.*"
