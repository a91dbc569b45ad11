"""Differences: what another policy would decide otherwise, told as what changes for whom.

Rule: compared is what the policies do, over the whole decision table, not how their files are written.
Rule: whatever lets more happen, leave, last or be sent to anyone is laxer, and is called so.
Rule: each change is told once, with every region that it holds for.
"""

from __future__ import annotations

from consent_mw.core.difference.change import Change, Direction, Group
from consent_mw.core.difference.places import groups, moved
from consent_mw.core.difference.rules import cookies_and_identifier, features, strings, vendors
from consent_mw.core.difference.settings import clauses, settings
from consent_mw.core.difference.verdicts import verdicts
from consent_mw.core.policy import Policy

__all__ = ["Change", "Direction", "Group", "compare"]


def compare(before: Policy, after: Policy) -> tuple[Change, ...]:
    """Everything that the second policy does otherwise than the first: laxer changes first, then stricter ones."""
    among = groups(before, after)
    found = [
        *moved(among),
        *verdicts(before, after, among),
        *strings(before, after),
        *cookies_and_identifier(before, after),
        *vendors(before, after, among),
        *features(before, after, among),
        *settings(before, after),
        *clauses(before, after),
    ]
    order = list(Direction)
    return tuple(sorted(found, key=lambda one: order.index(one.direction)))
