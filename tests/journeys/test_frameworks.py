"""Mounted in the frameworks people use: five lines each, and the same policy holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from consent_mw import ConsentMiddleware
from tests.journeys.site import BERLIN, FIREFOX, KEY, NEW_YORK, POLICY


def in_starlette(options: dict[str, Any]) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    async def page(request: Any) -> HTMLResponse:
        return HTMLResponse(f"<body>{request.scope['consent_mw'].allows('analytics')}</body>")

    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(ConsentMiddleware, **options)
    return app


def in_fastapi(options: dict[str, Any]) -> Any:
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse

    async def page(request: Any) -> HTMLResponse:
        return HTMLResponse(f"<body>{request.scope['consent_mw'].allows('analytics')}</body>")

    app = FastAPI()
    app.add_route("/", page)
    app.add_middleware(ConsentMiddleware, **options)
    return app


def in_django(options: dict[str, Any]) -> Any:
    import django
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse
    from django.urls import path

    def page(request: Any) -> HttpResponse:
        return HttpResponse(f"<body>{request.scope['consent_mw'].allows('analytics')}</body>")

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="only for tests")
        django.setup()
    globals()["urlpatterns"] = [path("", page)]
    return ConsentMiddleware(get_asgi_application(), **options)


def in_litestar(options: dict[str, Any]) -> Any:
    from litestar import Litestar, MediaType, Request, get

    @get("/", media_type=MediaType.HTML)
    async def page(request: Request[Any, Any, Any]) -> str:
        return f"<body>{request.scope['consent_mw'].allows('analytics')}</body>"

    page.fn.__annotations__ = {"request": Request, "return": str}
    return ConsentMiddleware(Litestar([page]), **options)


@pytest.mark.parametrize("mount", [in_starlette, in_fastapi, in_django, in_litestar])
def test_the_same_policy_holds_in_every_framework(mount: Callable[[dict[str, Any]], Any], tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    app = mount({"policy": str(file), "keys": [KEY], "store": f"sqlite:///{tmp_path / 'consent.db'}"})
    assert asyncio.run(visits(app)) == {
        BERLIN: (200, False, "consent-allows denied", ["Cookie"]),
        NEW_YORK: (200, True, "consent-allows granted", ["Cookie"]),
    }


async def visits(app: Any) -> dict[str, tuple[int, bool, str, list[str]]]:
    """One page view from each place, and the state after it."""
    seen = {}
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://example.com") as client:
        for place in (BERLIN, NEW_YORK):
            headers = {"x-forwarded-for": place, "sec-fetch-dest": "document", "user-agent": FIREFOX}
            page = await client.get("/", headers=headers)
            allowed = "granted" if "True</body>" in page.text else "denied"
            vary = [name.strip() for name in page.headers["vary"].split(",") if "cookie" in name.lower()]
            seen[place] = (page.status_code, "__Host-vid" in client.cookies, f"consent-allows {allowed}", vary)
    return seen
