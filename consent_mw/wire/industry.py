"""What the strings of consent platforms that came with a request refuse, by a policy's rules.

Rule: a string that cannot be read is absence: it refuses nothing, and allows nothing either.
Rule: of several cookies of one name each counts, so that a second one cannot take a refusal back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from consent_mw.core.facts import Refusals
from consent_mw.core.policy import SignalRule
from consent_mw.core.terms import Signal
from consent_mw.wire.cookies import pieces_named
from consent_mw.wire.gpp import read_gpp_string
from consent_mw.wire.tcf import TcString, read_tc_string

STRINGS_KEPT = 1024
"""Bound of the strings whose meaning is remembered; many visitors chose the same."""


def refusals(rules: Sequence[SignalRule], joined: bytes) -> Refusals:
    """Which strings among these cookies refuse which purposes, in the rules' order."""
    found: dict[tuple[Signal, str], None] = {}
    for rule in rules:
        for _, raw in pieces_named(joined, (rule.cookie.encode(),)):
            value = unquote_to_bytes(raw.partition(b"=")[2].strip(b' \t"')).decode("latin-1")
            for purpose in _refused(rule, value):
                found[rule.signal, purpose] = None
    return tuple(sorted(found))


def _refused(rule: SignalRule, value: str) -> Iterable[str]:
    wanted = tuple((purpose, names) for purpose, names in rule.refuses.items())
    return _remembered(rule.signal, value, wanted)


@lru_cache(STRINGS_KEPT)
def _remembered(signal: Signal, value: str, refuses: tuple[tuple[str, frozenset[str]], ...]) -> tuple[str, ...]:
    if signal is Signal.TCF:
        return _by_tcf(read_tc_string(value), refuses)
    read = read_gpp_string(value)
    if read is None:
        return ()
    held = {one.value for one in read.opted_out}
    return tuple(purpose for purpose, names in refuses if names & held)


def _by_tcf(read: TcString | None, refuses: tuple[tuple[str, frozenset[str]], ...]) -> tuple[str, ...]:
    if read is None:
        return ()
    return tuple(purpose for purpose, names in refuses if not read.permits(frozenset(map(int, names))))
