"""A site's own words: the file that `[site] texts` names, checked against the sentences that it replaces.

Rule: a text without a table holds for every language; one in `[de]` for that language, and before the other.
Rule: a text keeps every value that the sentence it replaces has a place for, and names no other.
Rule: `[de.purpose]` says what the policy's purposes are for, `[de.name]` what anything of the policy is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from consent_mw.core.compiler import values
from consent_mw.core.compiler.report import Report, listed, nearest, quoted
from consent_mw.core.compiler.section import BadValue
from consent_mw.core.document import Document, Entry, Kind
from consent_mw.core.policy import Policy
from consent_mw.core.wording import ENGLISH, NAMES, SOURCE, TRANSLATED, values_in
from consent_mw.errors import Problem

EVERY = ""
"""What texts for every language are kept under."""

Texts = dict[str, dict[str, str]]

_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Za-z0-9]{2,8})*")
_AREAS = frozenset(key.partition(".")[0] for key in ENGLISH) | frozenset(NAMES)


def compile_texts(document: Document, policy: Policy) -> tuple[Texts, tuple[Problem, ...]]:
    """The texts by language (lower case) and key, and every Problem; total, and empty where there is an error."""
    report = Report(document.file)
    texts: Texts = {}
    named = {"purpose": _purposes(policy), "name": _names(policy)}
    for name, entry in document.root.entries.items():
        if name.partition(".")[0] in _AREAS:
            _read(report, texts.setdefault(EVERY, {}), (name,), entry, named)
        elif not _LANGUAGE.fullmatch(name):
            advice = _meant(name, _AREAS) or "write the key of a sentence, or a language such as `de`"
            report.error(entry, "unknown-text", f"{quoted(name)} is no text and no language", advice)
        elif entry.node.kind is not Kind.TABLE:
            report.error(entry, "wrong-type", f"{quoted(name)} must be a table", f"write `[{name}]` above its texts")
        else:
            for inner in entry.node.entries.values():
                _read(report, texts.setdefault(name.lower(), {}), (inner.name,), inner, named)
            _tell_of_gaps(report, entry, texts.get(name.lower(), {}))
    return ({} if report.failed else texts), report.problems


def _read(
    report: Report, into: dict[str, str], path: tuple[str, ...], entry: Entry, named: Mapping[str, frozenset[str]]
) -> None:
    """Read one entry and all beneath it."""
    key = ".".join(path)
    names = named.get(key.partition(".")[0])
    if entry.node.kind is Kind.TABLE and not (names is not None and len(path) == 2):
        for inner in entry.node.entries.values():
            _read(report, into, (*path, inner.name), inner, named)
        return
    if entry.node.kind is not Kind.STRING:
        advice = "write the words between quotes"
        report.error(entry.node, "wrong-type", f"{quoted(key)} must be a string, not {entry.node.kind.value}", advice)
        return
    try:
        text = values.one_line(entry.node.text)
    except BadValue as error:
        report.error(entry.node, error.code, f"{quoted(key)} {error}", error.help)
        return
    problems = tuple(_unknown(key, names) if names is not None else _unfit(key, text))
    for code, message, advice in problems:
        report.error(entry if code == "unknown-text" else entry.node, code, message, advice)
    if not problems:
        into[key] = text


def _unknown(key: str, names: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a text for something that the policy defines."""
    group, _, name = key.partition(".")
    if name not in names:
        what = "purpose" if group == "purpose" else "thing"
        advice = _meant(name, names) or f"the policy has {listed(sorted(names))}"
        yield "unknown-text", f"the policy defines no {what} {quoted(name)}", advice


def _unfit(key: str, text: str) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a text for a sentence of ours."""
    original = ENGLISH.get(key)
    if original is None:
        yield "unknown-text", f"there is no text {quoted(key)}", _meant(key, ENGLISH) or "see the table of texts"
        return
    wanted, there = values_in(original), values_in(text)
    for one in sorted(wanted - there):
        yield "value-left-out", f"{quoted(key)} leaves out `{{{one}}}`", f"the sentence is: {original.rstrip('.')}"
    for one in sorted(there - wanted):
        yield "unknown-value", f"{quoted(key)} has no value `{{{one}}}`", f"the sentence is: {original.rstrip('.')}"


def _tell_of_gaps(report: Report, entry: Entry, texts: Mapping[str, str]) -> None:
    """A language of which only a part is there would be read half in English."""
    if entry.name.lower().split("-")[0] in (SOURCE, *TRANSLATED):
        return
    gaps = [key for key in ENGLISH if key not in texts]
    if gaps:
        advice = f"without them visitors read English; the first is {quoted(gaps[0])}"
        report.warning(entry, "incomplete-language", f"{quoted(entry.name)} lacks {len(gaps)} texts", advice)


def _purposes(policy: Policy) -> frozenset[str]:
    return frozenset(one.name for one in policy.purposes)


def _names(policy: Policy) -> frozenset[str]:
    groups = (policy.purposes, policy.jurisdictions, policy.vendors, policy.features)
    return frozenset(one.name for group in groups for one in group)


def _meant(name: str, known: Mapping[str, str] | frozenset[str]) -> str:
    found = nearest(name, known)
    return f"did you mean {quoted(found)}?" if found else ""
