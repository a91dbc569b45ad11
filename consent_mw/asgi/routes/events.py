"""POST events and GET p.gif: what a page itself reports.

Rule: the consent of the request decides, as for any other; what may not leave is not stored, and no page hears why.
Rule: a bot, a minor, a page that is only fetched ahead, and a visitor outside the share of `[scope]` report nothing.
Rule: who the visitor is, where from and when is never the page's to say.
Rule: the pixel is always an image, whatever was counted.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from consent_mw.asgi.exchange import Exchange
from consent_mw.asgi.gathering import page_named
from consent_mw.asgi.routes.guard import JSON, RefusedRequest, heard, same_origin
from consent_mw.asgi.routes.page_events import Told, told_by_json, told_by_query
from consent_mw.asgi.routes.replies import dress, exchange_of, json_reply
from consent_mw.core.event import Event
from consent_mw.errors import StoreError

EVENTS_LIMIT: Final = 65_536
"""Bytes of a list of events, which is also the most that `navigator.sendBeacon` sends."""

COMMITTED_WITHIN: Final = 10.0
"""Seconds after which a page hears that its events may be lost."""

TYPES: Final = frozenset({JSON})
PIXEL: Final = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
"""A transparent GIF of one pixel (GIF89a)."""


async def report(request: Request) -> Response:
    """Take one event, or a list of them: 202 once those that may leave are committed (SPEC 6)."""
    posted = await heard(request, types=TYPES, limit=EVENTS_LIMIT)
    exchange = exchange_of(request)
    told = told_by_json(posted.value(), exchange)
    if not exchange.gate.event_limiter.admits(exchange.address, max(len(told), 1)):
        raise RefusedRequest(429, "too many events from this address; try again in a minute")
    try:
        number, pending = exchange.gate.reporter.enqueue(_heeded(exchange, told), at_once=True)
        if pending is not None:
            await asyncio.wait_for(asyncio.wrap_future(pending), COMMITTED_WITHIN)
    except (StoreError, TimeoutError) as error:
        raise RefusedRequest(503, "the events cannot be kept right now") from error
    return json_reply(exchange, {"accepted": number}, status=202)


async def pixel(request: Request) -> Response:
    """Count what the query tells, for a page without JavaScript, and answer an image in any case."""
    exchange = exchange_of(request)
    told = told_by_query(exchange) if request.method == "GET" and _from_a_page(request) else []
    if told and exchange.gate.event_limiter.admits(exchange.address, len(told)):
        try:
            exchange.gate.reporter.enqueue(_heeded(exchange, told), at_once=False)
        except StoreError:
            exchange.gate.count("store_failed")
    return dress(Response(PIXEL, media_type="image/gif"), exchange)


def _heeded(exchange: Exchange, told: list[Told]) -> list[tuple[Exchange, Event]]:
    """What of it is reported, each as told on its page."""
    gate, decision = exchange.gate, exchange.decision
    if decision is None or decision.minor or not exchange.rules.enforced:
        return []
    outside = exchange.rules.partial and not gate.within_share(exchange)
    if outside or exchange.seen.speculative or gate.is_bot(exchange):
        return []
    return [(_on_page(exchange, one), one.event) for one in told]


def _on_page(exchange: Exchange, told: Told) -> Exchange:
    """The same visitor under the same decision, on the page that the event tells of, having come from where it says:
    the address and the Referer of this request are a route of ours and the page itself."""
    seen = exchange.seen.elsewhere(told.page)
    seen.seen = {name: value for name, value in seen.seen.items() if name != b"referer"}
    if told.referrer:
        seen.seen[b"referer"] = told.referrer
    there = Exchange(exchange.gate, exchange.rules, exchange.route, seen)
    if exchange.place is not None and exchange.enforcement is not None:
        there.enter(exchange.jar, exchange.place, exchange.decided, exchange.enforcement, exchange.number)
    return there


def _from_a_page(request: Request) -> bool:
    """Whether a page of this site shows the image (Fetch Metadata; else the Referer's host against Host)."""
    if "sec-fetch-site" in request.headers:
        return same_origin(request, form=False)
    exchange = exchange_of(request)
    return page_named(exchange, exchange.seen.first(b"referer")) is not None
