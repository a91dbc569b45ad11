"""GET data and POST erase: what is stored about a browser, and its end.

Rule: what is shown and what is erased is found by the same cookies, and by what they lead to.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from consent_mw.asgi.exchange import Exchange
from consent_mw.asgi.pages import data_page
from consent_mw.asgi.record import moment, pairs_shown, queued_shown
from consent_mw.asgi.routes.choice import TYPES
from consent_mw.asgi.routes.guard import RefusedRequest, heard, same_site_path
from consent_mw.asgi.routes.replies import exchange_of, json_reply, page_reply, see_other, view_of, wants_page
from consent_mw.asgi.routes.views import claims_of
from consent_mw.core.policy import DAY
from consent_mw.errors import StoreError


async def data(request: Request) -> Response:
    """All that is stored about this browser: a page for people, JSON otherwise; with `?format=json` as a file."""
    exchange = exchange_of(request)
    stored = await _stored(exchange)
    as_file = request.query_params.get("format") == "json"
    if wants_page(request) and not as_file:
        return page_reply(
            exchange, data_page(view_of(request), stored, erased=request.query_params.get("erased") == "1")
        )
    answer = json_reply(exchange, stored)
    if as_file:
        answer.headers["content-disposition"] = 'attachment; filename="data.json"'
    return answer


async def erase(request: Request) -> Response:
    """Erase it: receipts and pairs deleted, queued events recalled, cookies expired."""
    posted = await heard(request, types=TYPES, empty=True)
    exchange = exchange_of(request)
    reporter = exchange.gate.reporter
    try:
        number = await exchange.gate.store_result(lambda store: reporter.erase(store, exchange))
    except StoreError as error:
        raise RefusedRequest(503, "your data cannot be erased right now; nothing was changed") from error
    enforced = exchange.rules.enforced
    lines = [*exchange.gate.forget_cookies(exchange), *exchange.expired_after_a_no()] if enforced else []
    if posted.form:
        wanted = dict(posted.pairs()).get("return", "")
        back = same_site_path(wanted, exchange.rules.prefix.decode() + "/data")
        return see_other(exchange, back, lines)
    return json_reply(exchange, {"erased": number}, cookies=lines)


async def _stored(exchange: Exchange) -> dict[str, object]:
    """What the cookies and the store hold about this browser."""
    facts = exchange.facts
    if facts is None:
        raise ValueError("the visitor's routes are asked under a decision")
    consent, identifier = facts.consent, exchange.identifier
    subjects = exchange.gate.reporter.subjects(exchange)
    receipts = await claims_of(exchange)
    try:
        known = await exchange.gate.store_result(lambda store: store.find(subjects))
        queued = await exchange.gate.store_result(lambda store: store.queued(known))
        pairs = await exchange.gate.store_result(lambda store: store.pairs(known))
    except StoreError as error:
        raise RefusedRequest(503, "what is stored cannot be read right now") from error
    return {
        "identifier": identifier.id if identifier is not None else None,
        "identifier_issued": moment(identifier.day * DAY) if identifier is not None else None,
        "consent": {
            "purposes": dict(consent.answers),
            "at": moment(consent.at),
            "revision": consent.revision or None,
            "receipt": consent.receipt or None,
            "notice_read": consent.seen or None,
            "minor": consent.minor,
            "cookie_issued": moment(consent.issued),
        },
        "user_ids": pairs_shown(pairs),
        "queued": queued_shown(queued),
        "receipts": receipts,
    }
