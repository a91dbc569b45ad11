"""The same bare app under every middleware that is measured; the first part of the path says which: `/bare/…`.

Rule: what is written by hand here is written as such things are: it decides the same as the policy, and gives no
      banner, receipt or event.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any

import itsdangerous
import maxminddb
import user_agents
from starlette.datastructures import MutableHeaders
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response

from consent_mw import ConsentMiddleware

FOLDER = Path(os.environ["MOUNTED_FOLDER"])
KEY = os.environ["MOUNTED_KEY"]
OPT_IN = frozenset(re.findall("..", "ATBEBGHRCYCZDKEEFIFRDEGRHUIEITLVLTLUMTNLPLPTROSKSIESSEISLINOGB"))
PURPOSES = {"session": "essential", "csrf_token": "essential", "cart": "essential", "ad_id": "cross_site"}
PAGE = (Path(__file__).parent / "page.html").read_bytes()
PAGE_FIELDS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-length", str(len(PAGE)).encode()),
    (b"set-cookie", b"cart=c81f; Path=/; Secure; HttpOnly; SameSite=Lax"),
    (b"set-cookie", b"_ga=GA1.2.1034211942.1730000000; Path=/; Max-Age=31536000; Secure; SameSite=Lax"),
]
STYLE = b"p { margin: 0 }\n" * 128
STYLE_FIELDS = [(b"content-type", b"text/css"), (b"content-length", str(len(STYLE)).encode())]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once: a page, or a part of one."""
    style = scope["path"].endswith(".css")
    await send({"type": "http.response.start", "status": 200, "headers": STYLE_FIELDS if style else PAGE_FIELDS})
    await send({"type": "http.response.body", "body": STYLE if style else PAGE})


async def with_session(scope: Scope, receive: Receive, send: Send) -> None:
    """As `bare`, for an app that looks into its session."""
    if scope["session"]["person"]:
        await bare(scope, receive, send)


class ByHand:
    """What a site writes itself: filters cookies by region, signed consent and GPC, in both directions."""

    def __init__(self, app: App, database: str) -> None:
        self._app = app
        self._reader = maxminddb.open_database(database, maxminddb.MODE_MMAP_EXT)
        self._signer = itsdangerous.URLSafeTimedSerializer(KEY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(request.headers.get("cookie", ""))
        except CookieError:
            cookies.clear()
        allowed = self._allowed(request, cookies)
        kept = "; ".join(f"{name}={one.coded_value}" for name, one in cookies.items() if purpose(name) in allowed)
        headers = MutableHeaders(scope=dict(scope, headers=list(scope["headers"])))
        headers["cookie"] = kept
        agent = user_agents.parse(request.headers.get("user-agent", ""))
        scope = {**scope, "headers": headers.raw, "allowed": allowed, "bot": agent.is_bot}

        async def filtered(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": list(message["headers"])}
                answer = MutableHeaders(scope=message)
                lines = answer.getlist("set-cookie")
                del answer["set-cookie"]
                for line in lines:
                    if purpose(line.partition("=")[0]) in allowed:
                        answer.append("set-cookie", line)
                answer.add_vary_header("Cookie")
                answer["cache-control"] = "private"
            await send(message)

        await self._app(scope, receive, filtered)

    def _allowed(self, request: Request, cookies: SimpleCookie) -> set[str]:
        address = request.headers.get("x-forwarded-for", "").partition(",")[0].strip()
        record = self._reader.get(address) if address else None
        country = record.get("country_code") if isinstance(record, dict) else None
        analytics = country is not None and country not in OPT_IN
        if "consent" in cookies:
            with suppress(itsdangerous.BadData):
                analytics = self._signer.loads(cookies["consent"].value, max_age=182 * 86_400)["analytics"]
        cross_site = analytics and request.headers.get("sec-gpc") != "1"
        return {"essential"} | ({"analytics"} if analytics else set()) | ({"cross_site"} if cross_site else set())


class ReadsAndSets(BaseHTTPMiddleware):
    """Reads one cookie and sets one header, and nothing else."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-consent"] = "yes" if "consent" in request.cookies else "no"
        return response


def purpose(name: str) -> str:
    """The purpose of a cookie, or nothing."""
    return "analytics" if name.startswith("_ga") else PURPOSES.get(name, "")


def ours(name: str) -> App:
    """The middleware of this project, with the policy of this name."""
    return ConsentMiddleware(bare, policy=FOLDER / f"{name}.toml", keys=[KEY], store=f"sqlite:///{FOLDER}/{name}.db")


def mounted() -> dict[str, App]:
    """The apps by the first part of the path."""
    if os.environ.get("MOUNTED") == "events":
        return {"events": ours("events")}
    return {
        "bare": bare,
        "plain": ours("plain"),
        "asking": ours("asking"),
        "hand": ByHand(bare, os.environ["MOUNTED_DATABASE"]),
        "base": ReadsAndSets(bare),
        "session": SessionMiddleware(with_session, KEY),
    }


APPS = mounted()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand on to whichever the path names; what is ours by its prefix goes to the first of ours."""
    name = scope["path"].split("/", 2)[1]
    await APPS.get(name, APPS.get("plain") or APPS["events"])(scope, receive, send)
