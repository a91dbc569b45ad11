"""GET state, preferences, policy and receipts: what a visitor may read."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from consent_mw.asgi.exchange import Exchange
from consent_mw.asgi.pages import policy_page, preferences_page, receipts_page
from consent_mw.asgi.record import receipts_shown
from consent_mw.asgi.routes.guard import RefusedRequest, same_site_path
from consent_mw.asgi.routes.replies import (
    exchange_of,
    json_reply,
    page_reply,
    state_reply,
    view_of,
    wants_page,
)
from consent_mw.core.decision import Decision
from consent_mw.core.facts import Facts
from consent_mw.errors import StoreError


def state(exchange: Exchange) -> Response:
    """The state of SPEC 6, as JSON."""
    decision, facts = _decided(exchange)
    return state_reply(exchange, decision, facts)


async def asked_state(request: Request) -> Response:
    """The same, for who asks in an unusual way (HEAD)."""
    return state(exchange_of(request))


async def preferences(request: Request) -> Response:
    """The page on which a choice is made and changed."""
    decision, facts = known(request)
    page = preferences_page(
        view_of(request),
        decision,
        consent=facts.consent,
        return_to=same_site_path(request.query_params.get("return", ""), ""),
        saved=request.query_params.get("saved") == "1",
    )
    return page_reply(exchange_of(request), page)


async def policy(request: Request) -> Response:
    """The policy as a page: cookies, vendors, fields by region, signals, clauses."""
    decision, _ = known(request)
    return page_reply(exchange_of(request), policy_page(view_of(request), decision))


async def receipts(request: Request) -> Response:
    """This browser's receipts, newest first: a page for people, JSON otherwise."""
    exchange = exchange_of(request)
    claims = await claims_of(exchange)
    if wants_page(request):
        return page_reply(exchange, receipts_page(view_of(request), claims))
    return json_reply(exchange, {"receipts": claims})


async def claims_of(exchange: Exchange) -> list[dict[str, object]]:
    """What this browser's receipts say, newest first, each with its signed form."""
    gate = exchange.gate
    receipt = exchange.consent.receipt
    if not receipt:
        return []
    try:
        last = await gate.store_result(lambda store: store.receipt(receipt))
        rows = [] if last is None else await gate.store_result(lambda store: store.receipts(last.root))
    except StoreError as error:
        raise RefusedRequest(503, "the receipts cannot be read right now") from error
    return receipts_shown(reversed(rows), gate.lasting.public_keys)


def known(request: Request) -> tuple[Decision, Facts]:
    """What was decided about this request, and of what facts."""
    return _decided(exchange_of(request))


def _decided(exchange: Exchange) -> tuple[Decision, Facts]:
    if exchange.decision is None or exchange.facts is None:
        raise ValueError("the visitor's routes are asked under a decision")
    return exchange.decision, exchange.facts
