"""POST csp: what pages tried to call although the decision denies it, as browsers tell.

Rule: counted by vendor and purpose, and by nothing that a visitor sends.
Rule: a report that does not say where it comes from is heard: browsers send some without (W3C Reporting).
"""

from __future__ import annotations

from collections import Counter

from starlette.requests import Request
from starlette.responses import Response

from consent_mw.asgi.routes.guard import RefusedRequest, heard
from consent_mw.asgi.routes.replies import dress, exchange_of
from consent_mw.wire.violations import MANY, ONE, blocked_hosts

BODY_LIMIT = 262_144
"""Bytes of reports: browsers gather up to a hundred, each with the whole policy in it."""

TYPES = frozenset({ONE, MANY})


async def violations(request: Request) -> Response:
    """Count what these reports tell of."""
    posted = await heard(request, types=TYPES, limit=BODY_LIMIT, silent=True)
    exchange = exchange_of(request)
    if not exchange.gate.reports_limiter.admits(exchange.address):
        raise RefusedRequest(429, "too many reports from this address; try again in a minute")
    try:
        hosts = blocked_hosts(posted.body)
    except ValueError as error:
        raise RefusedRequest(400, "the body is not JSON") from error
    accused, decision = exchange.rules.accused, exchange.decision
    for (vendor, purpose), number in Counter(accused.of(one, decision) for one in hosts).items():
        exchange.gate.count(f"csp_violation:{vendor}:{purpose}", number)
    return dress(Response(status_code=204), exchange)
