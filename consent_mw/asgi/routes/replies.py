"""The answers of the visitor's routes: JSON and pages that are nobody else's.

Rule: no answer here may be stored by a shared cache, and none may be framed or sniffed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from consent_mw.asgi.pages import View, message_page
from consent_mw.asgi.routes.guard import RefusedRequest
from consent_mw.asgi.telling import to_json
from consent_mw.core.decision import Decision
from consent_mw.core.facts import Facts

if TYPE_CHECKING:
    from consent_mw.asgi.exchange import Exchange

PRIVATE = "no-store"
_PRIVATE_FIELDS = (
    (b"cache-control", PRIVATE.encode()),
    (b"vary", b"Cookie, DNT, Sec-GPC"),
    (b"x-content-type-options", b"nosniff"),
)
_SAID = {
    403: "error.elsewhere", 404: "error.missing", 405: "error.missing", 409: "preferences.report",
    429: "error.busy", 503: "error.down",
}  # fmt: skip
"""What a person is told of a refused request; a program gets the sentence that says more."""

_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def exchange_of(request: Request) -> Exchange:
    """The exchange that this request is part of."""
    exchange: Exchange = request.scope["consent_mw.exchange"]
    return exchange


def view_of(request: Request) -> View:
    """Whose page this is, in the language that was chosen by `?lang=`, else in what the browser asks for."""
    exchange = exchange_of(request)
    rules = exchange.rules
    chosen = rules.wording.found(request.query_params.get("lang", ""))
    language = chosen or rules.wording.choose(exchange.seen.asked_in)
    links = exchange.gate.links(rules)
    return View(rules.policy, links, rules.wording.words(language), rules.wording.languages, chosen)


def json_reply(exchange: Exchange, value: object, *, status: int = 200, cookies: Sequence[bytes] = ()) -> Response:
    """A JSON answer for this visitor only."""
    return _json_reply(exchange, to_json(value).encode(), status, cookies)


def state_reply(exchange: Exchange, decision: Decision, facts: Facts, cookies: Sequence[bytes] = ()) -> Response:
    """The state of this visitor (SPEC 6), for them only."""
    return _json_reply(exchange, exchange.rules.telling.state(decision, facts), 200, cookies)


def page_reply(exchange: Exchange, page: bytes, *, status: int = 200, cookies: Sequence[bytes] = ()) -> Response:
    """A page for this visitor only."""
    answer = Response(page, status, media_type="text/html")
    answer.headers["content-security-policy"] = _PAGE_POLICY
    answer.headers["referrer-policy"] = "same-origin"
    dressed = dress(answer, exchange, cookies)
    dressed.headers["vary"] += ", Accept-Language"
    return dressed


def see_other(exchange: Exchange, path: str, cookies: Sequence[bytes]) -> Response:
    """303 to a path of this site."""
    return dress(Response(b"", 303, headers={"location": path}), exchange, cookies)


def dress(answer: Response, exchange: Exchange, cookies: Sequence[bytes] = ()) -> Response:
    """The answer with what every answer to one visitor carries."""
    answer.raw_headers.extend(_PRIVATE_FIELDS)
    if exchange.decision is not None:
        answer.raw_headers.append((b"tk", exchange.decision.tk.encode()))
    for line in cookies:
        answer.raw_headers.append((b"set-cookie", line))
    return answer


def refused(request: Request, refusal: RefusedRequest) -> Response:
    """The answer to a request that is not heard; a no that was taken all the same keeps its cookie."""
    exchange = exchange_of(request)
    cookies = exchange.gate.changed_cookies(exchange)
    if wants_page(request):
        page = message_page(view_of(request), _SAID.get(refusal.status, "error.bad"))
        return _retrying(page_reply(exchange, page, status=refusal.status, cookies=cookies), refusal)
    body = {"error": refusal.sentence}
    return _retrying(json_reply(exchange, body, status=refusal.status, cookies=cookies), refusal)


def wants_page(request: Request) -> bool:
    """Whether a person asks: text/html is accepted by name."""
    return "text/html" in request.headers.get("accept", "").lower()


def _json_reply(exchange: Exchange, body: bytes, status: int, cookies: Sequence[bytes]) -> Response:
    return dress(Response(body, status, media_type="application/json"), exchange, cookies)


def _retrying(answer: Response, refusal: RefusedRequest) -> Response:
    if refusal.status in (429, 503):
        answer.headers["retry-after"] = "60"
    return answer
