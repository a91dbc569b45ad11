"""The table of the visitor's routes, and what every answer of theirs carries.

Rule: every answer that speaks of one visitor is `no-store`; what is the same for all says how long it holds.
Rule: a request that is refused gets a sentence: JSON to a program, a page to a person.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from consent_mw.asgi.routes import choice, csp, events, resources, rights, shared, views
from consent_mw.asgi.routes.guard import RefusedRequest
from consent_mw.asgi.routes.replies import refused

if TYPE_CHECKING:
    from consent_mw.asgi.exchange import Exchange
    from consent_mw.asgi.ruleset import Ruleset

Handler = Callable[[Request], Awaitable[Response]]
AtOnce = Callable[["Exchange"], Response]


class VisitorRoutes:
    """The visitor's routes under this policy's prefix, with the two well-known resources, as an ASGI app."""

    def __init__(self, rules: Ruleset) -> None:
        prefix = rules.prefix.decode()
        table = _table(prefix)
        # One look instead of a walk along the table, for all that is asked for as it should be.
        self._direct = {(method, path): _answering(handler) for method, path, handler in table if "{" not in path}
        self._at_once: dict[bytes, AtOnce] = {f"{prefix}/state".encode(): views.state}
        self._router = Router(
            [StarletteRoute(path, _answering(handler), methods=[method]) for method, path, handler in table],
            redirect_slashes=False,
        )

    def at_once(self, exchange: Exchange) -> Response | None:
        """The answer to a request that nothing must be read or waited for; None where there is none."""
        seen = exchange.seen
        answer = self._at_once.get(seen.path) if seen.method == b"GET" else None
        return None if answer is None else answer(exchange)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Our paths are the site's, wherever the app that we are mounted in thinks its root is."""
        exchange: Exchange = scope["consent_mw.exchange"]
        known = self.at_once(exchange)
        if known is not None:
            await known(scope, receive, send)
            return
        path = exchange.seen.path.decode("ascii", "replace")
        inner: Scope = {**scope, "root_path": "", "path": path, "app_root_path": "", "app": self._router}
        inner.pop("router", None)
        handler = self._direct.get((scope["method"], path)) if scope["type"] == "http" else None
        try:
            if handler is None:
                await self._router(inner, receive, send)
            else:
                answer = await handler(Request(inner, receive, send))
                await answer(inner, receive, send)
        except HTTPException as error:
            request = Request(inner, receive)
            sentence = "there is no such page" if error.status_code == 404 else "this is not asked for that way"
            answer = refused(request, RefusedRequest(error.status_code, sentence))
            answer.headers.update(error.headers or {})
            await answer(inner, receive, send)


def _table(prefix: str) -> list[tuple[str, str, Handler]]:
    return [
        ("GET", f"{prefix}/state", views.asked_state),
        ("POST", f"{prefix}/choice", choice.choose),
        ("POST", f"{prefix}/withdraw", choice.withdraw),
        ("GET", f"{prefix}/preferences", views.preferences),
        ("GET", f"{prefix}/policy", views.policy),
        ("GET", f"{prefix}/receipts", views.receipts),
        ("GET", f"{prefix}/data", rights.data),
        ("GET", f"{prefix}/banner", shared.banner),
        ("GET", f"{prefix}/consent.js", shared.script),
        ("POST", f"{prefix}/erase", rights.erase),
        ("POST", f"{prefix}/events", events.report),
        ("GET", f"{prefix}/p.gif", events.pixel),
        ("POST", f"{prefix}/csp", csp.violations),
        ("GET", f"{prefix}/keys.json", resources.keys),
        ("GET", f"{prefix}/static/{{name}}", resources.static),
        ("GET", "/.well-known/gpc.json", resources.gpc),
        ("GET", "/.well-known/dnt/", resources.tracking_status),
        ("GET", "/.well-known/dnt/{status}", resources.tracking_status),
    ]


def _answering(handler: Handler) -> Handler:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except RefusedRequest as refusal:
            return refused(request, refusal)

    return endpoint
