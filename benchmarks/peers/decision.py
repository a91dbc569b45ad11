"""A small decision service for nginx's auth_request, as it is written by hand: plain ASGI, served by uvicorn.

It looks at the address, the consent and GPC; its answer says which purposes are allowed and which cookies stay.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any

import maxminddb

OPT_IN = frozenset(re.findall("..", "ATBEBGHRCYCZDKEEFIFRDEGRHUIEITLVLTLUMTNLPLPTROSKSIESSEISLINOAXGFGPMFMQREYTGB"))
KEY = b"the key of the decision service"
PURPOSES = {"session": "essential", "csrf_token": "essential", "cart": "essential", "ad_id": "cross_site"}
READER = maxminddb.open_database(os.environ["DECISION_DATABASE"], maxminddb.MODE_MMAP_EXT)


def decide(headers: dict[bytes, bytes]) -> tuple[bool, bool, str]:
    """Whether analytics and cross_site are allowed, and the Cookie header that stays."""
    address = headers.get(b"x-forwarded-for", b"").split(b",")[0].strip().decode("latin-1")
    try:
        record = READER.get(address)
    except ValueError:
        record = None
    country = record.get("country_code") if isinstance(record, dict) else None
    pairs = [pair.partition("=") for pair in headers.get(b"cookie", b"").decode("latin-1").split("; ")]
    given = next((consented(value) for name, _, value in pairs if name == "consent"), None)
    analytics = given if given is not None else country is not None and country not in OPT_IN
    cross_site = analytics and headers.get(b"sec-gpc") != b"1"
    allowed = {"essential", *(["analytics"] if analytics else []), *(["cross_site"] if cross_site else [])}
    kept = [f"{name}={value}" for name, _, value in pairs if purpose(name) in allowed]
    return analytics, cross_site, "; ".join(kept)


def purpose(name: str) -> str:
    """The purpose of a cookie, or nothing."""
    return "analytics" if name.startswith("_ga") else PURPOSES.get(name, "")


def consented(token: str) -> bool | None:
    """What a signed consent says; None where it is forged."""
    said, _, signature = token.partition(".")
    good = hmac.new(KEY, said.encode(), hashlib.sha256).hexdigest()
    return said == "yes" if hmac.compare_digest(good, signature) else None


async def app(scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Answer 204 with what was decided."""
    if scope["type"] != "http":
        return
    analytics, cross_site, kept = decide(dict(scope["headers"]))
    allows = "essential" + ", analytics" * analytics + ", cross_site" * cross_site
    told = [(b"x-analytics", b"%d" % analytics), (b"x-allows", allows.encode()), (b"x-kept", kept.encode("latin-1"))]
    await send({"type": "http.response.start", "status": 204, "headers": told})
    await send({"type": "http.response.body", "body": b""})
