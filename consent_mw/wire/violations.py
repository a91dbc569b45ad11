"""Violation reports, as browsers send them: which hosts a page tried to call.

Rule: nothing but the host is taken from a report: no path, no query, no page, no user agent.
Rule: garbage is absence: what is no report of a violation says nothing, and the others still speak.
Source: W3C Content Security Policy Level 3 5, W3C Reporting.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import urlsplit

ONE = "application/csp-report"
MANY = "application/reports+json"

VIOLATIONS_HEARD = 200
"""Violations that one post may report."""

LONGEST_HOST = 253
"""Characters of a host's name (RFC 1035 2.3.4)."""


def blocked_hosts(body: bytes) -> list[str]:
    """For each violation in this body the host (and the port, if it is named) that was called; empty for what is no
    host, such as inline code. Raises ValueError where the body is not JSON."""
    try:
        document: object = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return [_host(one) for one in list(_blocked(document))[:VIOLATIONS_HEARD]]


def _blocked(document: object) -> Iterable[object]:
    if isinstance(document, dict):
        report = document.get("csp-report")
        if isinstance(report, dict):
            yield report.get("blocked-uri")
        return
    for one in document if isinstance(document, list) else ():
        if isinstance(one, dict) and one.get("type") == "csp-violation" and isinstance(one.get("body"), dict):
            yield one["body"].get("blockedURL")


def _host(blocked: object) -> str:
    if not isinstance(blocked, str):
        return ""
    try:
        parts = urlsplit(blocked)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if len(host) > LONGEST_HOST:
        return ""
    return f"{host}:{port}" if host and port is not None else host
