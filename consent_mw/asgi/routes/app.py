"""The table of the visitor's routes, and what every answer of theirs carries.

Rule: every answer that speaks of one visitor is `no-store`; what is the same for all says how long it holds.
Rule: a request that is refused gets a sentence: JSON to a program, a page to a person.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from consent_mw.asgi.routes import choice, csp, events, resources, rights, shared, views
from consent_mw.asgi.routes.guard import RefusedRequest
from consent_mw.asgi.routes.replies import refused

if TYPE_CHECKING:
    from consent_mw.asgi.ruleset import Ruleset

Handler = Callable[[Request], Awaitable[Response]]


def visitor_routes(rules: Ruleset) -> ASGIApp:
    """The visitor's routes under this policy's prefix, with the two well-known resources."""
    prefix = rules.prefix.decode()
    table: list[tuple[str, str, Handler]] = [
        ("GET", f"{prefix}/state", views.state),
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
    # One look instead of a walk along the table, for all that is asked for as it should be.
    direct = {(method, path): _answering(handler) for method, path, handler in table if "{" not in path}
    router = Router(
        [StarletteRoute(path, _answering(handler), methods=[method]) for method, path, handler in table],
        redirect_slashes=False,
    )
    return _at_the_root(router, direct)


def _answering(handler: Handler) -> Handler:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except RefusedRequest as refusal:
            return refused(request, refusal)

    return endpoint


def _at_the_root(router: Router, direct: Mapping[tuple[str, str], Handler]) -> ASGIApp:
    """Our paths are the site's, wherever the app that we are mounted in thinks its root is."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = scope["consent_mw.exchange"]
        path = exchange.seen.path.decode("ascii", "replace")
        inner: Scope = {**scope, "root_path": "", "path": path, "app_root_path": "", "app": router}
        inner.pop("router", None)
        handler = direct.get((scope["method"], path)) if scope["type"] == "http" else None
        try:
            if handler is None:
                await router(inner, receive, send)
            else:
                answer = await handler(Request(inner, receive, send))
                await answer(inner, receive, send)
        except HTTPException as error:
            request = Request(inner, receive)
            sentence = "there is no such page" if error.status_code == 404 else "this is not asked for that way"
            answer = refused(request, RefusedRequest(error.status_code, sentence))
            answer.headers.update(error.headers or {})
            await answer(inner, receive, send)

    return app
