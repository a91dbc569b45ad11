"""What is the same for everybody: public keys, static files, and the two well-known resources."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response

from consent_mw.asgi.routes.guard import RefusedRequest
from consent_mw.asgi.routes.replies import exchange_of
from consent_mw.wire.signals import gpc_resource, tracking_status_resource

FOR_EVER = "public, max-age=31536000, immutable"
AN_HOUR = "public, max-age=3600"
TRACKING_STATUS = "application/tracking-status+json"


async def keys(request: Request) -> Response:
    """The public keys that receipts are verified with (RFC 7517)."""
    return _public(exchange_of(request).gate.lasting.public_keys, "application/json")


async def gpc(request: Request) -> Response:
    """The GPC support resource (GPC 4)."""
    return _public(gpc_resource(exchange_of(request).rules.policy), "application/json")


async def tracking_status(request: Request) -> Response:
    """The site-wide or a request-specific tracking status (W3C TPE 7)."""
    status = request.path_params.get("status", "")
    resource = tracking_status_resource(exchange_of(request).rules.policy, str(status))
    if resource is None:
        raise RefusedRequest(404, "there is no such tracking status")
    return _public(resource, TRACKING_STATUS)


async def static(request: Request) -> Response:
    """A fingerprinted file of the banner and the pages, compressed where the browser takes it."""
    asset = exchange_of(request).gate.assets.get(str(request.path_params["name"]))
    if asset is None:
        raise RefusedRequest(404, "there is no such file")
    takes = zipped(request)
    answer = Response(asset.gzip_body if takes else asset.body, media_type=asset.content_type)
    if takes:
        answer.headers["content-encoding"] = "gzip"
    answer.headers["vary"] = "Accept-Encoding"
    answer.headers["cache-control"] = FOR_EVER
    answer.headers["x-content-type-options"] = "nosniff"
    return answer


def zipped(request: Request) -> bool:
    """Whether the browser takes gzip."""
    accepted = [part.split(";") for part in request.headers.get("accept-encoding", "").lower().split(",")]
    return any(part[0].strip() == "gzip" and part[1:] not in (["q=0"], [" q=0"]) for part in accepted)


def _public(value: object, media_type: str) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    answer = Response(body, media_type=media_type)
    answer.headers["cache-control"] = AN_HOUR
    answer.headers["x-content-type-options"] = "nosniff"
    return answer
