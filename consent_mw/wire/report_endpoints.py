"""Where a page lets browsers send reports: Reporting-Endpoints, and the older Report-To.

Rule: a report is a call like any other: none goes to a denied vendor's host.
Source: W3C Reporting 3.2; Report-To as in its draft of 2018, by which NEL still goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from consent_mw.core.hosts import Hosts
from consent_mw.wire.csp import leads_to_denied
from consent_mw.wire.permissions import members


def denied_groups(said: Sequence[bytes], hosts: Hosts) -> tuple[str, ...]:
    """The names in these Reporting-Endpoints fields that stand for denied hosts."""
    named = (members(said) or {}).items()
    return tuple(name for name, one in named if isinstance(one, tuple) and leads_to_denied(str(one[0]), hosts))


def reports_to_denied(said: bytes, hosts: Hosts) -> bool:
    """Whether this Report-To field names a denied host; one that a browser cannot read names none."""
    try:
        groups: object = json.loads(b"[" + said + b"]")
    except (ValueError, RecursionError):
        return False
    return any(leads_to_denied(one, hosts) for one in _addresses(groups))


def _addresses(groups: object) -> Iterable[str]:
    for group in groups if isinstance(groups, list) else ():
        listed = group.get("endpoints") if isinstance(group, dict) else None
        for one in listed if isinstance(listed, list) else ():
            address = one.get("url") if isinstance(one, dict) else None
            if isinstance(address, str):
                yield address
