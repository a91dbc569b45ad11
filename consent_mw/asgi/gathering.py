"""Gathering: what an exchange itself says for an event, field by field.

Rule: a value is worked out only if somebody may get it.
Rule: a URL carries only parameters that the same list of fields names.
Rule: what is remembered of a visitor's text is short and bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from consent_mw.wire.address import truncate
from consent_mw.wire.query import PageAddress, ReferrerAddress, clean_page, clean_referrer
from consent_mw.world.device import Device

if TYPE_CHECKING:
    from consent_mw.asgi.exchange import Exchange

LONGEST_KEPT: Final = 256
"""Bytes of a visitor's text beyond which it is not kept as a key of any cache."""

PAGES_KEPT: Final = 4096
"""Bound of the pages and of the referrers that are remembered as they may leave."""

Named = frozenset[str]
Source = Callable[["Exchange", Named], str]
"""What gives the value of one field, or nothing; `Named` are the parameters that a URL may carry."""

_clean_page = lru_cache(maxsize=PAGES_KEPT)(clean_page)
_clean_referrer = lru_cache(maxsize=PAGES_KEPT)(clean_referrer)


def _page(exchange: Exchange, named: Named) -> PageAddress:
    """Where the visitor is, without what the policy keeps back (SPEC 2)."""
    seen, policy = exchange.seen, exchange.rules.policy
    if not seen.path:
        return PageAddress()
    origin = policy.site.origin or f"https://{seen.first(b'host').decode('latin-1')}"
    # Without a named parameter no query leaves, and a page is the same page whatever its query.
    target = seen.path + b"?" + seen.query if named and seen.query else seen.path
    clean = _clean_page if len(target) + len(origin) <= LONGEST_KEPT else clean_page
    return clean(origin, target, policy.redact, named)


def query_of(exchange: Exchange) -> bytes:
    """The query of the page; a fragment that some client sent with it is none of it."""
    seen = exchange.seen
    return b"" if b"#" in seen.path else seen.query.partition(b"#")[0]


def _referrer(exchange: Exchange, named: Named) -> ReferrerAddress:
    """Where the visitor came from, without what the policy keeps back; a page of ours is nowhere."""
    raw = exchange.seen.first(b"referer")
    if exchange.rules.prefix in raw:
        path = (page_named(exchange, raw) or b"").partition(b"?")[0]
        if path == exchange.rules.prefix or path.startswith(exchange.rules.prefix + b"/"):
            return ReferrerAddress()
    clean = _clean_referrer if len(raw) <= LONGEST_KEPT else clean_referrer
    return clean(raw, exchange.rules.policy.redact, named)


def _device(exchange: Exchange) -> Device:
    return exchange.gate.devices.read(exchange.seen.first(b"user-agent"))


def _user_agent(exchange: Exchange, _: Named) -> str:
    return exchange.seen.first(b"user-agent").decode("latin-1")


def _language(exchange: Exchange, _: Named) -> str:
    return exchange.seen.first(b"accept-language").partition(b",")[0].decode("latin-1")


def _address_truncated(exchange: Exchange, _: Named) -> str:
    return truncate(exchange.address) if exchange.address else ""


def _location(part: str) -> Source:
    def source(exchange: Exchange, _: Named) -> str:
        location = exchange.location
        return str(getattr(location, part)) if location is not None else ""

    return source


def _identity(part: str) -> Source:
    def source(exchange: Exchange, _: Named) -> str:
        # Only a visit that the app spoke through can tell who this is.
        visit = exchange.visit if exchange.spoke else None
        return str(getattr(visit.identity, part)) if visit is not None and visit.identity is not None else ""

    return source


def page_named(exchange: Exchange, url: bytes) -> bytes | None:
    """The request target of this URL, where it is a page of the site that this request was sent to; else None."""
    try:
        parts = urlsplit(url.decode("latin-1"))
    except ValueError:
        return None
    host = parts.netloc.rpartition("@")[2].lower()
    origin = exchange.rules.policy.site.origin
    ours = (exchange.seen.first(b"host").decode("latin-1").lower(), origin.partition("://")[2].lower())
    if parts.scheme not in ("http", "https") or not host or host not in ours:
        return None
    return ((parts.path or "/") + (f"?{parts.query}" if parts.query else "")).encode("latin-1")


SOURCES: Final[Mapping[str, Source]] = {
    "visitor_id": lambda exchange, _: exchange.visitor,
    "ip": lambda exchange, _: exchange.address,
    "ip_truncated": _address_truncated,
    "user_agent": _user_agent,
    "language": _language,
    "country": _location("country"),
    "region": _location("region"),
    "city": _location("city"),
    "user_id": _identity("user_id"),
    "name": _identity("name"),
    "email": _identity("email"),
    "browser": lambda exchange, _: _device(exchange).browser,
    "os": lambda exchange, _: _device(exchange).os,
    "device": lambda exchange, _: _device(exchange).device,
    "page_path": lambda exchange, named: _page(exchange, named).path,
    "page_url": lambda exchange, named: _page(exchange, named).url,
    "referrer_host": lambda exchange, named: _referrer(exchange, named).host,
    "referrer_url": lambda exchange, named: _referrer(exchange, named).url,
}
"""Where each field that an exchange tells comes from; the others are what an app reports."""

OF_REFERRER: Final = frozenset({"referrer_host", "referrer_url"})
OF_PAGE: Final = frozenset({"page_path", "page_url"}) | OF_REFERRER
"""Fields that are another value on each page; the others stay with the visitor."""
