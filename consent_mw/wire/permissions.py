"""Dictionaries that only grow stricter: Permissions-Policy, and where reports go.

Rule: of two members of one name a browser heeds the last (RFC 9651 4.2.2), so that what is added behind wins.
Rule: fields that are no dictionary say nothing to a browser, and would silence what is added to them.
Source: W3C Permissions Policy 5.2, W3C Reporting 3.2, RFC 9651.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import http_sf

ADVERTISING: Final = (
    "attribution-reporting", "browsing-topics", "join-ad-interest-group", "private-aggregation",
    "private-state-token-issuance", "private-state-token-redemption", "run-ad-auction", "shared-storage",
    "shared-storage-select-url",
)  # fmt: skip
"""What browsers do for advertising by themselves, if a page may ask them to."""


def sound(said: Sequence[bytes]) -> bool:
    """Whether these fields together are a dictionary."""
    return members(said) is not None


def shut(said: Sequence[bytes]) -> bytes:
    """The Permissions-Policy that stands behind what these fields said, and denies what they left of ADVERTISING;
    empty where they left nothing."""
    named = members(said) or {}
    return ", ".join(f"{one}=()" for one in ADVERTISING if not _empty(named.get(one))).encode()


def _empty(member: object) -> bool:
    return isinstance(member, tuple) and member[0] == []


def members(said: Sequence[bytes]) -> dict[str, object] | None:
    """The members of the dictionary that these fields are together; None where they are none."""
    try:
        parsed: object = http_sf.parse(b", ".join(said), tltype="dictionary")
    except (ValueError, OverflowError, OSError):
        return None
    return parsed if isinstance(parsed, dict) else None
