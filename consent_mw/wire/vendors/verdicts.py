"""What encoders share in reading answers: the same for a whole batch, or for the events that an answer names.

Rule: an answer is a stranger's text; whatever it holds, it becomes outcomes and never an exception.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from consent_mw.core.permit import Permit
from consent_mw.core.terms import Outcome
from consent_mw.wire.vendors.terms import VendorAnswer, retry_after

UNREAD = frozenset({408, 429, 503})
"""Answers by which a vendor turned a request away before it did anything with it."""


def alike(batch: Sequence[Permit], outcome: Outcome) -> list[VendorAnswer]:
    """This outcome for every event of the batch."""
    return [VendorAnswer(outcome)] * len(batch)


def again(batch: Sequence[Permit], headers: Mapping[str, str], now: float) -> list[VendorAnswer]:
    """Another try for every event of the batch, when the answer says."""
    return [VendorAnswer(None, retry_after(headers, now))] * len(batch)


def ambiguous(batch: Sequence[Permit], headers: Mapping[str, str], now: float, *, resend: bool) -> list[VendorAnswer]:
    """For a vendor that cannot tell the same event again: it may have taken the batch, so it is not sent again
    unless the policy prefers a duplicate (`resend = true`)."""
    return again(batch, headers, now) if resend else alike(batch, Outcome.UNKNOWN)


def answered(body: bytes) -> Mapping[str, object]:
    """The JSON object of an answer; an empty one where it is none."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def count(value: object) -> int | None:
    """A number of events, also where it is written as text (ProtoJSON); None where it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def indices(value: object, batch: Sequence[Permit]) -> set[int]:
    """The places in the batch that this part of an answer names: a list of numbers, or an object of such lists."""
    if isinstance(value, dict):
        return {one for inner in value.values() if isinstance(inner, list) for one in indices(inner, batch)}
    if not isinstance(value, list):
        return set()
    return {one for one in value if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < len(batch)}
