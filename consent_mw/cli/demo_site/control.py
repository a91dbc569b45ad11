"""The page from which one visits as somebody, and sees side by side what was set, dropped and forwarded, and why."""

from __future__ import annotations

import html
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from consent_mw.cli.demo_site.people import PERSONAS, Persona
from consent_mw.cli.demo_site.servers import Answers, Receiver, Server, Shop, page
from consent_mw.cli.demo_site.visits import Asked, Seen, visit
from consent_mw.core.explain import SENTENCES
from consent_mw.core.terms import Reason

VENDOR_WITHIN = 2.0
"""Seconds to wait for what the vendor gets of a visit."""

OURS = frozenset({"__Host-vid", "__Host-consent"})


@dataclass(frozen=True, slots=True)
class Shown:
    """A visit to show: who, what the browser saw, the page and the fields of each event that arrived of it, and for
    each request the cookies that reached the site and those that it set."""

    person: Persona
    seen: Seen
    arrived: list[tuple[str, frozenset[str]]]
    exchanges: list[tuple[Asked, tuple[str, ...], tuple[str, ...]]]

    @property
    def state(self) -> dict[str, Any]:
        """What the sidecar says of this visitor."""
        state: dict[str, Any] = self.seen.state
        return state

    @property
    def sent(self) -> set[str]:
        """The cookies that the browser sent, but for the sidecar's own."""
        return {name for asked, _, _ in self.exchanges for name in asked.sent} - OURS

    @property
    def reached(self) -> set[str]:
        """The cookies that reached the site."""
        return {name for _, reached, _ in self.exchanges for name in reached}

    @property
    def offered(self) -> set[str]:
        """The cookies that the site set."""
        return {name for _, _, offered in self.exchanges for name in offered}

    @property
    def got(self) -> set[str]:
        """The cookies that the browser was given."""
        return {name for asked, _, _ in self.exchanges for name in asked.got}


class Control(Server):
    """The page's server."""

    def __init__(self, port: int, site: str, receiver: Receiver, shop: Shop) -> None:
        self.site = site
        self.receiver = receiver
        self.shop = shop
        super().__init__(ControlPages, port)


class ControlPages(Answers):
    """The list of people, and the comparison of those chosen."""

    server: Control

    def do_GET(self) -> None:
        """Show the people; with `as=KEY` also their visits, made now."""
        chosen = set(parse_qs(urlsplit(self.path).query).get("as", ()))
        people = [one for one in PERSONAS if one.key in chosen]
        with ThreadPoolExecutor(len(PERSONAS)) as pool:
            shown = list(pool.map(self._visit, people))
        self.answer(page("consent_mw: visit as somebody", self._body(chosen, shown)))

    def _visit(self, person: Persona) -> Shown:
        """Visit now, on paths of its own, so that what the vendor gets of it can be told from the rest."""
        where = urlsplit(self.server.site)
        number = secrets.token_hex(4)
        paths = (f"/guides/{number}/first", f"/guides/{number}/second")
        seen = visit(
            where.hostname or "127.0.0.1", where.port or 80, replace(person, key=number), paths, f"/login/{number}"
        )
        expected = any(seen.state["vendors"].values())
        until = time.monotonic() + VENDOR_WITHIN
        while True:
            arrived = [one for one in self.server.receiver.fields_by_event().values() if number in one[0]]
            if time.monotonic() > until or (expected and len(arrived) >= len(paths)):
                return Shown(
                    person, seen, arrived, [(one, *self.server.shop.logged(one.number)) for one in seen.asked]
                )
            time.sleep(0.05)

    def _body(self, chosen: set[str], shown: list[Shown]) -> str:
        boxes = "".join(
            f'<p><label><input type="checkbox" name="as" value="{one.key}"{" checked" if one.key in chosen else ""}>'
            f" <b>{html.escape(one.label)}</b> <span class=soft>{html.escape(one.notes)}</span></label></p>"
            for one in PERSONAS
        )
        head = (
            "<h1>One site, one policy, many visitors</h1>"
            f'<p class=soft>The shop is at <a href="{self.server.site}">{self.server.site}</a>, behind the sidecar. What '
            f'the vendor got is at <a href="{self.server.receiver.url}">{self.server.receiver.url}</a>. Choose who visits:</p>'
        )
        form = f"<form class=card>{boxes}<button>Visit as these</button></form>"
        return head + form + (_comparison(shown) if shown else "")


def _comparison(shown: list[Shown]) -> str:
    rows = [
        ("", [f"<b>{html.escape(one.person.label)}</b><br><small>{one.person.address}</small>" for one in shown]),
        ("Jurisdiction", [html.escape(f"{one.state['jurisdiction']} ({one.state['regime']})") for one in shown]),
        ("Country found", [html.escape(str(one.state["country"] or "unknown")) for one in shown]),
        ("Purposes, and why", [_purposes(one.seen) for one in shown]),
        ("Answer to Do Not Track (<code>Tk</code>)", [f"<code>{html.escape(one.seen.tk)}</code>" for one in shown]),
        ("Banner", ["shown" if one.seen.banner else "none" for one in shown]),
        ("Cookies the browser sent", [_names(one.sent) for one in shown]),
        ("\u2026 dropped before the site", [_names(one.sent - one.reached) for one in shown]),
        ("Cookies the site set", [_names(one.offered) for one in shown]),
        ("\u2026 dropped before the browser", [_names(one.offered - one.got) for one in shown]),
        ("Cookies set in the browser", [_names(set(one.seen.set_names)) for one in shown]),
        ("Fields each vendor may get", [_vendors(one.seen) for one in shown]),
        ("What reached the vendor", [_arrived(one) for one in shown]),
    ]
    body = "".join(
        f"<tr><th>{label}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for label, cells in rows
    )
    return (
        '<h2>Side by side</h2><p class="soft">Each visited two pages and signed in, a moment ago. An answer, where one '
        "was given, came after the first page.</p>"
        f'<div class="card"><table>{body}</table></div>'
    )


def _arrived(one: Shown) -> str:
    if not one.arrived:
        return '<span class="off">nothing</span>'
    fields = set().union(*(names for _, names in one.arrived))
    events = "1 event" if len(one.arrived) == 1 else f"{len(one.arrived)} events"
    return f"{events}: {html.escape(', '.join(sorted(fields)))}"


def _purposes(seen: Seen) -> str:
    lines = []
    for name, told in seen.state["purposes"].items():
        mark = "on" if told["allowed"] else "off"
        why = SENTENCES[Reason(told["reason"])].format(signal="privacy").partition(": ")[2]
        lines.append(f'<span class="{mark}">{html.escape(name)}</span> <small>{html.escape(why)}</small>')
    return "<br>".join(lines)


def _vendors(seen: Seen) -> str:
    told = [f"{name}: {', '.join(fields) or 'nothing'}" for name, fields in seen.state["vendors"].items()]
    return html.escape("; ".join(told))


def _names(names: set[str]) -> str:
    return (
        "<br>".join(f"<code>{html.escape(name)}</code>" for name in sorted(names)) or "<span class=soft>none</span>"
    )
