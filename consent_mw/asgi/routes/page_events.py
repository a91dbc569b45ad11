"""What a page says of an event, read from JSON or from a query.

Rule: a member that does not exist is refused with its name, so that a slip of the pen is no silent loss.
Rule: a page tells only of a page of its own site; where it tells of none, the Referer does, but for routes of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from consent_mw.asgi.exchange import Exchange
from consent_mw.asgi.gathering import page_named
from consent_mw.asgi.routes.guard import RefusedRequest
from consent_mw.asgi.ruleset import Route
from consent_mw.core.event import IDENTIFY, PAGE_VIEW, Event, Value
from consent_mw.core.terms import EventKind
from consent_mw.wire.query import target_of_page

EVENTS_AT_MOST: Final = 20
LONGEST_EVENT: Final = 200
"""Characters that the name of an event may have."""

MEMBERS: Final = ("event", "page_path", "page_url", "referrer_url", "title", "props")


@dataclass(frozen=True, slots=True)
class Told:
    """An event that a page tells of: what happened; the target of the page, or nothing; where it was come to from."""

    event: Event
    page: bytes = b""
    referrer: bytes = b""


def told_by_json(value: object, exchange: Exchange) -> list[Told]:
    """What this JSON value tells, one event or a list. Raises RefusedRequest (400), and then takes none of it."""
    if not isinstance(value, list):
        return [_told(value, "the body", exchange)]
    if len(value) > EVENTS_AT_MOST:
        raise RefusedRequest(400, f"send at most {EVENTS_AT_MOST} events at once")
    return [_told(one, f"event {number}", exchange) for number, one in enumerate(value, 1)]


def told_by_query(exchange: Exchange) -> list[Told]:
    """What the query of a pixel tells: `event`, the other members of the same names, and `p.NAME` for properties;
    nothing where it cannot be understood."""
    try:
        pairs = parse_qsl(exchange.seen.query.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=200)
    except ValueError:
        return []
    said: dict[str, object] = {name: value for name, value in reversed(pairs) if name in MEMBERS and name != "props"}
    said["props"] = {name[2:]: value for name, value in reversed(pairs) if name.startswith("p.")}
    try:
        return [_told(said, "the query", exchange)]
    except RefusedRequest:
        return []


def _told(said: object, where: str, exchange: Exchange) -> Told:
    if not isinstance(said, Mapping):
        raise RefusedRequest(400, f"{where} must be a JSON object")
    unknown = sorted(set(said) - set(MEMBERS))
    if unknown:
        raise RefusedRequest(400, f"{where}: `{shown(unknown[0])}` is not one of {', '.join(MEMBERS)}")
    texts = {name: _text(said, name, where) for name in MEMBERS if name != "props"}
    name = texts["event"]
    if not name or len(name) > LONGEST_EVENT:
        raise RefusedRequest(400, f"{where}: `event` must be a name of 1 to {LONGEST_EVENT} characters")
    if name == IDENTIFY:
        raise RefusedRequest(400, f"{where}: who a visitor is can only be said by the site's server")
    kind = EventKind.PAGE_VIEW if name == PAGE_VIEW else EventKind.TRACK
    values = {"title": texts["title"]} if texts["title"] else {}
    return Told(
        Event(name, _props(said.get("props"), where), kind, values),
        _page(texts["page_path"], texts["page_url"], where, exchange),
        target_of_page(texts["referrer_url"]),
    )


def _text(said: Mapping[str, object], name: str, where: str) -> str:
    value = said.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RefusedRequest(400, f"{where}: `{name}` must be text")
    return value


def _props(said: object, where: str) -> dict[str, Value]:
    if said is None:
        return {}
    if not isinstance(said, Mapping):
        raise RefusedRequest(400, f"{where}: `props` must be an object")
    props: dict[str, Value] = {}
    for name, value in said.items():
        if value is not None and not isinstance(value, (str, int, float)):
            raise RefusedRequest(400, f"{where}: each of `props` must be text, a number, true, false or null")
        props[str(name)] = value
    return props


def _page(path: str, url: str, where: str, exchange: Exchange) -> bytes:
    """The target of the page that the event tells of; nothing where none is known."""
    if path and not path.startswith("/"):
        raise RefusedRequest(400, f"{where}: `page_path` must begin with a slash")
    target = _own(url, where, exchange) if url else b""
    if path:
        said, mark, query = target_of_page(path).partition(b"?")
        return said + (b"?" + query if mark else target[len(target.partition(b"?")[0]) :])
    if target:
        return target
    known = page_named(exchange, exchange.seen.first(b"referer")) or b""
    # A page of ours tells nothing of the site; no more does the path of this request.
    return b"" if exchange.rules.route(known.partition(b"?")[0]) is Route.OURS else known


def _own(url: str, where: str, exchange: Exchange) -> bytes:
    target = page_named(exchange, target_of_page(url))
    if target is None:
        raise RefusedRequest(400, f"{where}: `page_url` must be a page of this site")
    return target


def shown(name: object) -> str:
    """A name that a page sent, as an answer in UTF-8 can repeat it: a lone surrogate is JSON."""
    return str(name)[:40].encode("utf-8", "replace").decode()
