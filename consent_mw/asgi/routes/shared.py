"""GET banner and GET consent.js: what a page that is the same for everybody gets apart (SPEC 4, `shared_pages`).

Rule: both speak of one visitor: no cache keeps them, and no other site may read them or run them.
"""

from __future__ import annotations

import gzip
import json
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from consent_mw.asgi.pages import View, fragment_page
from consent_mw.asgi.routes.guard import RefusedRequest, same_site_path
from consent_mw.asgi.routes.replies import dress, exchange_of, page_reply, view_of
from consent_mw.asgi.routes.resources import zipped
from consent_mw.asgi.routes.views import known
from consent_mw.asgi.ruleset import Ruleset
from consent_mw.core.policy import Policy
from consent_mw.world.assets import TOLD

SCRIPTS_KEPT = 256


async def banner(request: Request) -> Response:
    """The banner as a small document, in the page's language (`lang`), leading back to `return`."""
    exchange = exchange_of(request)
    decision, _ = known(request)
    rules = exchange.rules
    language = rules.wording.choose(request.query_params.get("lang", ""), exchange.seen.asked_in)
    view = View(rules.policy, exchange.gate.links(rules), rules.wording.words(language), chosen=language)
    back = same_site_path(request.query_params.get("return", ""), "/")
    return page_reply(exchange, fragment_page(view, decision, back))


async def script(request: Request) -> Response:
    """Our script with the state of this visitor in it, so that `consent.allows` is right at once."""
    if request.headers.get("sec-fetch-site", "same-origin").lower() == "cross-site":
        raise RefusedRequest(403, "this is for pages of this site alone")
    exchange = exchange_of(request)
    decision, _ = known(request)
    allowed = [one.purpose for one in decision.verdicts if one.allowed]
    rules = exchange.rules
    covered = not rules.partial or exchange.gate.within_share(exchange)
    due = rules.enforced and covered and (decision.ask or decision.notice)
    state = {"allows": allowed, "due": due, "prefix": view_of(request).prefix, "hosts": _hosts(rules.policy)}
    told = json.dumps(state | _consent_mode(rules), separators=(",", ":"))
    assets = exchange.gate.assets
    plain, coded = _told(assets.source("banner.js"), told, assets.source("hosts.js"))
    takes = zipped(request)
    answer = dress(Response(coded if takes else plain, media_type="text/javascript; charset=utf-8"), exchange)
    if takes:
        answer.headers["content-encoding"] = "gzip"
    answer.headers["vary"] += ", Accept-Encoding"
    answer.headers["cross-origin-resource-policy"] = "same-site" if rules.cookie_domain else "same-origin"
    return answer


def _consent_mode(rules: Ruleset) -> dict[str, object]:
    """What Google's Consent Mode is told, where the policy asks for it and is carried out."""
    mode = rules.policy.consent_mode
    if not mode.purposes or not rules.enforced:
        return {}
    wait = {"wait_for_update": mode.wait_for_update} if mode.wait_for_update else {}
    return {"mode": dict(mode.purposes), "wait": wait}


def _hosts(policy: Policy) -> list[tuple[str, list[str]]]:
    """Every host that is a vendor's, with the purposes of the vendors that have it."""
    listed: dict[str, list[str]] = {}
    for vendor in policy.vendors:
        for host in vendor.hosts:
            listed.setdefault(host.lower(), []).append(vendor.purpose)
    return list(listed.items())


@lru_cache(maxsize=SCRIPTS_KEPT)
def _told(source: bytes, told: str, hosts: bytes) -> tuple[bytes, bytes]:
    """The script with this state and what reads the hosts in it, plain and in gzip."""
    made = source.replace(TOLD, b"const told = " + told.encode() + b";\n" + hosts, 1)
    return made, gzip.compress(made, 6, mtime=0)
