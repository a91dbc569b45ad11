"""What a row of the outbox may still become: a permit under the policy in force, and a settlement after a try.

Rule: a check may only narrow or cancel, never widen.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Final

from consent_mw.core.permit import Permit, narrow
from consent_mw.core.policy import Policy, Vendor
from consent_mw.core.terms import EventKind, Outcome
from consent_mw.wire.vendors import VendorAnswer
from consent_mw.world.store import OutboxRow, Settlement

TRIES = 12
GIVE_UP_AFTER = 86_400.0
"""Seconds after which an event that no try delivered is dead; both this and TRIES must be exceeded."""

FIRST_WAIT = 0.5
LONGEST_BACKOFF = 300.0

_KINDS: Final = {kind.value: kind for kind in EventKind}
_SIMPLE: Final = frozenset({str, int, float, bool})
_READ: Final = json.JSONDecoder().raw_decode


class Check:
    """What rows of one vendor may still become under the policy in force."""

    def __init__(self, vendor: str, policy: Policy) -> None:
        self._policy = policy
        self._vendor = policy.vendor(vendor)
        self._lists: dict[str, list[frozenset[str]]] = {}

    def left(self, row: OutboxRow) -> Permit | Outcome:
        """What of this row may still leave, or how it ends without being sent: `recalled` where nothing may leave any
        more, `rejected` where the row cannot be read."""
        vendor = self._vendor
        if vendor is None or vendor.name != row.vendor or vendor.purpose != row.purpose:
            return Outcome.RECALLED
        kind = _KINDS.get(row.kind)
        fields = _fields(row.body)
        if fields is None or kind is None:
            return Outcome.REJECTED
        lists = self._lists.get(row.jurisdiction)
        if lists is None:
            lists = self._lists[row.jurisdiction] = _lists(row.jurisdiction, vendor, self._policy)
        if not _SIMPLE.issuperset(map(type, fields.values())):
            fields = {name: value for name, value in fields.items() if type(value) in _SIMPLE}
        for listed in lists:
            if not listed.issuperset(fields):
                fields = narrow(fields, listed)
        return Permit(row.vendor, row.event_id, kind, fields) if fields else Outcome.RECALLED


def _fields(body: bytes) -> dict[str, Any] | None:
    """The object that this body holds, or None."""
    try:
        text = body.decode()
        fields, end = _READ(text)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) and end == len(text) else None


def _lists(jurisdiction: str, vendor: Vendor, policy: Policy) -> list[frozenset[str]]:
    """The lists of fields that bound a row from here: its jurisdiction's; all, where the policy has no such place."""
    if policy.jurisdiction(jurisdiction) is not None:
        return [frozenset(vendor.fields_for(jurisdiction))]
    return [frozenset(one) for one in (vendor.fields, *vendor.fields_in.values())]


def settlements(rows: Sequence[OutboxRow], answers: Sequence[VendorAnswer], now: float) -> list[Settlement]:
    """How these rows are settled after these answers at this time."""
    first = answers[0] if answers else None
    if first is not None and first.outcome is not None and all(one is first for one in answers):
        outcome = first.outcome.value
        return [Settlement(row.id, outcome) for row in rows]
    # What failed together is tried again together.
    share = jitter()
    return [settlement(row, answer, now, share) for row, answer in zip(rows, answers, strict=True)]


def settlement(row: OutboxRow, answer: VendorAnswer, now: float, share: float | None = None) -> Settlement:
    """How this row is settled after this answer at this time; `share` is of the longest wait what is waited."""
    if answer.outcome is not None:
        return Settlement(row.id, answer.outcome.value)
    if row.attempts >= TRIES and now - row.created > GIVE_UP_AFTER:
        return Settlement(row.id, Outcome.DEAD.value)
    return Settlement(row.id, retry_at=now + max(backoff(row.attempts, share), answer.after))


def backoff(attempts: int, share: float | None = None) -> float:
    """Seconds to wait after this many failures: doubling, with jitter."""
    longest = min(FIRST_WAIT * 2.0 ** min(max(attempts - 1, 0), 20), LONGEST_BACKOFF)
    return longest * (jitter() if share is None else share)


def jitter() -> float:
    """What of a wait is waited, so that not all come again at one moment."""
    return random.uniform(0.5, 1.0)  # noqa: S311  jitter needs no secret
