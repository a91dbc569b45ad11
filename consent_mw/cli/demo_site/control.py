"""The page from which one visits as somebody, and sees side by side what was set, dropped and forwarded, and why."""

from __future__ import annotations

import html
from urllib.parse import parse_qs, urlsplit

from consent_mw.cli.demo_site.people import PERSONAS, Persona
from consent_mw.cli.demo_site.servers import Answers, Server, Shop, page
from consent_mw.cli.demo_site.visits import SENT_ALONG, Seen, visit
from consent_mw.core.explain import SENTENCES
from consent_mw.core.terms import Reason


class Control(Server):
    """The page's server."""

    def __init__(self, port: int, site: str, receiver: str, shop: Shop) -> None:
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
        where = urlsplit(self.server.site)
        shown = []
        for person in people:
            seen = visit(where.hostname or "127.0.0.1", where.port or 80, person)
            with self.server.shop.lock:
                heard = dict(self.server.shop.heard.get(person.address, {}))
            shown.append((person, seen, heard))
        self.answer(page("consent_mw: visit as somebody", self._body(chosen, shown)))

    def _body(self, chosen: set[str], shown: list[tuple[Persona, Seen, dict[str, str]]]) -> str:
        boxes = "".join(
            f'<p><label><input type="checkbox" name="as" value="{one.key}"{" checked" if one.key in chosen else ""}>'
            f" <b>{html.escape(one.label)}</b> <span class=soft>{html.escape(one.notes)}</span></label></p>"
            for one in PERSONAS
        )
        head = (
            "<h1>One site, one policy, many visitors</h1>"
            f'<p class=soft>The shop is at <a href="{self.server.site}">{self.server.site}</a>, behind the sidecar. What '
            f'the vendor got is at <a href="{self.server.receiver}">{self.server.receiver}</a>. Choose who visits:</p>'
        )
        form = f"<form class=card>{boxes}<button>Visit as these</button></form>"
        return head + form + (_comparison(shown) if shown else "")


def _comparison(shown: list[tuple[Persona, Seen, dict[str, str]]]) -> str:
    rows = [
        ("", [f"<b>{html.escape(person.label)}</b><br><small>{person.address}</small>" for person, _, _ in shown]),
        (
            "Jurisdiction",
            [html.escape(f"{seen.state['jurisdiction']} ({seen.state['regime']})") for _, seen, _ in shown],
        ),
        ("Country found", [html.escape(str(seen.state["country"])) for _, seen, _ in shown]),
        ("Purposes, and why", [_purposes(seen) for _, seen, _ in shown]),
        (
            "Answer to Do Not Track (<code>Tk</code>)",
            [f"<code>{html.escape(seen.tk)}</code>" for _, seen, _ in shown],
        ),
        ("Banner", ["shown" if seen.banner else "none" for _, seen, _ in shown]),
        ("Cookies the browser sent", [_names(sorted(SENT_ALONG)) for _ in shown]),
        ("… of which reached the site", [_names(_reached(heard)) for _, _, heard in shown]),
        ("Cookies set in the browser", [_names(sorted(set(seen.set_names))) for _, seen, _ in shown]),
        ("Fields each vendor may get", [_vendors(seen) for _, seen, _ in shown]),
    ]
    body = "".join(
        f"<tr><th>{label}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for label, cells in rows
    )
    return f'<h2>Side by side</h2><div class="card"><table>{body}</table></div>'


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


def _reached(heard: dict[str, str]) -> list[str]:
    return sorted(one.partition("=")[0].strip() for one in heard.get("cookie", "").split(";") if one.strip())


def _names(names: list[str]) -> str:
    return "<br>".join(f"<code>{html.escape(name)}</code>" for name in names) or "<span class=soft>none</span>"
