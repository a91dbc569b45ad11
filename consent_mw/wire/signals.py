"""Signals that browsers send, and the resources by which a site says how it answers them.

Rule: what is not exactly a preference is no preference; it is never repaired.
Source: W3C Tracking Preference Expression (DNT), Global Privacy Control.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from consent_mw.core.decision import STATUS_IDS
from consent_mw.core.policy import Policy
from consent_mw.core.terms import Effect, Mode, Signal, TrackingStatus

_EXTENSION = frozenset({0x21, *range(0x23, 0x2C), *range(0x2D, 0x5C), *range(0x5D, 0x7F)})
"""DNT-extension: no CTL, space, quote, comma or backslash (TPE 5.2)."""


def read_dnt(values: Sequence[bytes]) -> bool | None:
    """The DNT preference: True for `1`, False for `0`, None where none was validly sent (TPE 5.2).

    What follows the first character is ignored if it is an extension; a repeated field is invalid, so it is none.
    """
    if len(values) != 1:
        return None
    value = values[0].strip(b" \t")
    if value[:1] not in (b"0", b"1") or not _EXTENSION.issuperset(value[1:]):
        return None
    return value[:1] == b"1"


def read_gpc(values: Sequence[bytes]) -> bool:
    """Whether Global Privacy Control is on: some field of Sec-GPC is exactly `1` (GPC 3.2)."""
    return any(value.strip(b" \t") == b"1" for value in values)


def tracking_status_resource(policy: Policy, status_id: str = "") -> dict[str, object] | None:
    """The site-wide tracking status (TPE 7.3), or that of one status id; None for an id that we never send.

    What a changed choice (`U`) changed depends on the visitor, which no static resource may say (TPE 7.3): it is `T`,
    might track, which promises nobody too much.
    """
    if not status_id:
        return _resource(policy, _site_wide(policy))
    known = {value: status for status, value in STATUS_IDS.items()}
    status = known.get(status_id)
    if status is None or status is TrackingStatus.DYNAMIC:
        return None
    return _resource(policy, TrackingStatus.TRACKING if status is TrackingStatus.UPDATED else status)


def gpc_resource(policy: Policy) -> dict[str, object]:
    """The GPC support resource: whether the policy lets the signal refuse anything, anywhere (GPC 4)."""
    rule = policy.signals.get(Signal.GPC)
    effects = [] if rule is None else [rule.everywhere, *rule.overrides.values()]
    honoured = policy.mode is Mode.ENFORCE and any(one.effect is Effect.REFUSE and one.purposes for one in effects)
    resource: dict[str, object] = {"gpc": honoured}
    if _is_date(policy.revision):
        resource["lastUpdate"] = policy.revision
    return resource


def _site_wide(policy: Policy) -> TrackingStatus:
    if policy.mode is Mode.REPORT:
        return TrackingStatus.UNDER_TEST
    # Where everything is essential nobody is tracked, so nothing depends on the visitor.
    return TrackingStatus.DYNAMIC if policy.optional_purposes else TrackingStatus.NOT_TRACKING


def _resource(policy: Policy, status: TrackingStatus) -> dict[str, object]:
    site = policy.site
    resource: dict[str, object] = {
        "tracking": status.value,
        "policy": site.policy_url,
        "config": f"{site.origin}{site.prefix}/preferences",
    }
    domains = [one for one in site.same_party if not one.startswith("*")]
    if domains:
        resource["same-party"] = domains
    return resource


def _is_date(text: str) -> bool:
    """Whether this is an RFC 3339 full-date of a day that exists."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
