"""What a row of the outbox may still become: a permit under the policy in force, and a settlement after a try.

Rule: a check may only narrow or cancel, never widen.
"""

from __future__ import annotations

import json
import random

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

_KINDS = frozenset(kind.value for kind in EventKind)


def checked(row: OutboxRow, policy: Policy) -> Permit | Outcome:
    """What of this row may still leave under the policy in force, or how it ends without being sent: `recalled`
    where nothing may leave any more, `rejected` where the row cannot be read."""
    vendor = policy.vendor(row.vendor)
    if vendor is None or vendor.purpose != row.purpose:
        return Outcome.RECALLED
    try:
        fields = json.loads(row.body)
    except (ValueError, RecursionError):
        return Outcome.REJECTED
    if not isinstance(fields, dict) or row.kind not in _KINDS:
        return Outcome.REJECTED
    left = {name: value for name, value in fields.items() if value is None or isinstance(value, (str, int, float))}
    for listed in _lists(row, vendor, policy):
        left = narrow(left, listed)
    return Permit(vendor.name, row.event_id, EventKind(row.kind), left) if left else Outcome.RECALLED


def _lists(row: OutboxRow, vendor: Vendor, policy: Policy) -> list[tuple[str, ...]]:
    """The lists of fields that bound this row: its jurisdiction's; all, where the policy has no such place now."""
    if policy.jurisdiction(row.jurisdiction) is not None:
        return [vendor.fields_for(row.jurisdiction)]
    return [vendor.fields, *vendor.fields_in.values()]


def settlement(row: OutboxRow, answer: VendorAnswer, now: float) -> Settlement:
    """How this row is settled after this answer at this time."""
    if answer.outcome is not None:
        return Settlement(row.id, answer.outcome.value)
    if row.attempts >= TRIES and now - row.created > GIVE_UP_AFTER:
        return Settlement(row.id, Outcome.DEAD.value)
    return Settlement(row.id, retry_at=now + max(backoff(row.attempts), answer.after))


def backoff(attempts: int) -> float:
    """Seconds to wait after this many failures: doubling, with jitter."""
    longest = min(FIRST_WAIT * 2.0 ** min(max(attempts - 1, 0), 20), LONGEST_BACKOFF)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  jitter needs no secret
