"""Entries: what the ledger tells of a choice, a delivery, a recall, an erasure, a policy.

Rule: names of fields, numbers, words of ours and digests under a person's key; never a value of anybody's.
Rule: an entry's content has one spelling (JSON, sorted, without spaces), so that it can be signed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple


class EntryKind(StrEnum):
    """What an entry tells of."""

    OPENED = "opened"
    CHOICE = "choice"
    WITHDRAWAL = "withdrawal"
    DELIVERY = "delivery"
    RECALL = "recall"
    OVERFLOW = "overflow"
    RETRY = "retry"
    ERASURE = "erasure"
    REFUSAL = "refusal"
    POLICY = "policy"
    RETENTION = "retention"
    BROKEN = "broken"


_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


class Entry(NamedTuple):
    """One thing to be written. `vendor` may be empty; `outcome` names every outcome that the entry tells of,
    comma-separated in alphabetical order, or is empty; `body` is JSON."""

    kind: str
    vendor: str
    outcome: str
    body: str


def choice(
    receipt: str, answers: Mapping[str, bool], *, revision: str, jurisdiction: str, how: str, withdrawn: bool = False
) -> Entry:
    """A person gave, refused or took back consent; `receipt` is its id."""
    kind = EntryKind.WITHDRAWAL if withdrawn else EntryKind.CHOICE
    told = {"receipt": receipt, "purposes": dict(answers), "revision": revision, "jurisdiction": jurisdiction}
    return _entry(kind, {**told, "how": how})


class Events(NamedTuple):
    """What is told of some events of one vendor: their purposes, how many there are by outcome, and by outcome the
    digests of those that are somebody's."""

    purposes: frozenset[str]
    outcomes: Mapping[str, int]
    digests: Mapping[str, Sequence[str]]


def delivery(vendor: str, fields: Iterable[str], events: Events, late: Mapping[str, int]) -> Entry:
    """A batch came to its end at one vendor. `fields` are the names of what left; `late` counts by outcome what had
    been taken back while it was being sent."""
    more: dict[str, object] = {"fields": sorted(fields)}
    if late:
        more["late"] = dict(late)
    return _of_events(EntryKind.DELIVERY, vendor, events, more, late)


def recall(vendor: str, reason: str, events: Events, tried: int) -> Entry:
    """What waited for this vendor was taken back; of those that were `tried` before, something may have arrived."""
    return _of_events(EntryKind.RECALL, vendor, events, {"reason": reason, "tried": tried})


def overflow(vendor: str, events: Events) -> Entry:
    """The oldest of what waited for this vendor was given up to make room."""
    return _of_events(EntryKind.OVERFLOW, vendor, events, {})


def retry(vendor: str, events: Events) -> Entry:
    """Dead letters of this vendor are tried again."""
    return _of_events(EntryKind.RETRY, vendor, events, {})


def erasure(receipts: int, events: int, keys: int) -> Entry:
    """A person's receipts, waiting events and keys were destroyed."""
    return _entry(EntryKind.ERASURE, {"receipts": receipts, "events": events, "keys": keys})


def refusal(vendor: str, purpose: str, reasons: Mapping[str, int], since: int, until: int) -> Entry:
    """How many events this vendor did not get between these seconds, by reason."""
    told = {"purpose": purpose, "reasons": dict(reasons), "number": sum(reasons.values())}
    return _entry(EntryKind.REFUSAL, {**told, "since": since, "until": until}, vendor)


def policy_load(revision: str, digest: str, mode: str) -> Entry:
    """This policy was put in force."""
    return _entry(EntryKind.POLICY, {"revision": revision, "digest": digest, "mode": mode})


def opened() -> Entry:
    """The ledger begins."""
    return _entry(EntryKind.OPENED, {"format": 1})


class Cut(NamedTuple):
    """Entries that were deleted at the front: up to this number, of which this was the code, and how many."""

    through: int
    mac: str
    number: int


def retention(cut: Cut | None, receipts: int, dead_letters: int, keys: int) -> Entry:
    """What was past its time was deleted."""
    told: dict[str, object] = {"receipts": receipts, "dead_letters": dead_letters, "keys": keys}
    if cut is not None:
        told["entries"] = {"through": cut.through, "mac": cut.mac, "number": cut.number}
    return _entry(EntryKind.RETENTION, told)


def broken(sentence: str) -> Entry:
    """The ledger was found changed when it was to be continued."""
    return _entry(EntryKind.BROKEN, {"found": sentence})


def _of_events(
    kind: EntryKind, vendor: str, events: Events, more: Mapping[str, object], late: Iterable[str] = ()
) -> Entry:
    told = {"purposes": sorted(events.purposes), "outcomes": dict(events.outcomes), "events": dict(events.digests)}
    outcomes = () if kind is EntryKind.RETRY else {*events.outcomes, *late}
    return _entry(kind, {**told, **more}, vendor, outcomes)


def _entry(kind: EntryKind, told: Mapping[str, object], vendor: str = "", outcomes: Iterable[str] = ()) -> Entry:
    return Entry(kind.value, vendor, ",".join(sorted(map(str, outcomes))), _json(told))
