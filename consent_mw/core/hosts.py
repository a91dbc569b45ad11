"""Hosts: whom a visitor's browser may call under a decision, and whom it may not.

Rule: a vendor that may get nothing is denied, whether its purpose is or its list of fields here is empty.
Rule: a host that an allowed vendor names too is allowed; where one names more than the other, the more exact decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from consent_mw.core.decision import Decision


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts of allowed vendors and those of denied ones, each as the policy writes it (`cdn.example.com`,
    `*.example.com:8443`), each once, in the policy's order."""

    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()


def hosts_of(decision: Decision) -> Hosts:
    """The hosts that this decision allows and denies a browser."""
    vendors = decision.policy.vendors
    allowed = dict.fromkeys(host for one in vendors if decision.fields[one.name] for host in one.hosts)
    denied = dict.fromkeys(host for one in vendors if not decision.fields[one.name] for host in one.hosts)
    return Hosts(tuple(allowed), tuple(host for host in denied if host not in allowed))
