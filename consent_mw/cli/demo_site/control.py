"""The page from which one visits as somebody, and sees side by side what was set, dropped and forwarded, and why.

Rule: what happened is read from the visit's sockets; only the sentences that say why are taken from the policy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlsplit

from consent_mw.cli.demo_site.listening import Answers, Server, page
from consent_mw.cli.demo_site.people import PERSONAS, Persona
from consent_mw.cli.demo_site.receiver import Receiver
from consent_mw.cli.demo_site.shop import Shop
from consent_mw.cli.demo_site.visits import OURS, Step, Visit, VisitFailedError, Visitors
from consent_mw.core.explain import SENTENCES
from consent_mw.core.policy import Policy
from consent_mw.core.terms import Reason

ARRIVES_WITHIN = 1.5
"""Seconds that an event gets to arrive before the page is shown without it."""

ANSWERS = {"": "does not answer", "accept": "says yes to all", "reject": "says no to all"}
NOTHING = "<span class=soft>none</span>"


class Control(Server):
    """The page's server. Raises OSError where the port cannot be taken."""

    def __init__(self, port: int, policy: Policy, site: str, receiver: Receiver, shop: Shop) -> None:
        self.policy = policy
        self.site = site
        self.receiver = receiver
        self.visitors = Visitors(site, shop)
        super().__init__(ControlPages, port)

    def visit(self, person: Persona) -> tuple[Visit, list[dict[str, Any]]]:
        """A visit made now, and the data of the events of it that reached the vendor."""
        visit = self.visitors.visit(person)
        due = {step.path for step in visit.steps if step.permitted}
        until = time.monotonic() + ARRIVES_WITHIN
        while due - {event.path for event in self.receiver.arrived()} and time.monotonic() < until:
            time.sleep(0.05)
        paths = {step.path for step in visit.steps}
        return visit, [event for event in self.receiver.newest() if event.get("page_path") in paths]


Shown = Sequence[tuple[Visit, list[dict[str, Any]]]]


class ControlPages(Answers):
    """The list of people, and the comparison of those chosen."""

    server: Control

    def do_GET(self) -> None:
        """Show the people; with `as=KEY` also their visits, made now."""
        asked = parse_qs(urlsplit(self.path).query)
        says = asked.get("says", [""])[-1]
        says = says if says in ANSWERS else ""
        signs_in = "signs_in" in asked
        people = [one for one in PERSONAS if one.key in asked.get("as", ())]
        chosen = {one.key for one in people} or {"berlin", "california"}
        body = self._head() + _form(chosen, says, signs_in)
        try:
            with ThreadPoolExecutor(len(PERSONAS)) as pool:
                going = [replace(one, chooses=says, signs_in=signs_in) for one in people]
                shown = list(pool.map(self.server.visit, going))
            body += _comparison(shown, self.server.policy) if shown else ""
        except VisitFailedError as error:
            body += f"<p class=no>{escape(str(error))}</p>"
        self.answer(page("consent_mw: visit as somebody", body), headers=[("Cache-Control", "no-store")])

    def _head(self) -> str:
        site, vendor = self.server.site, self.server.receiver.url
        return (
            "<h1>One site, one policy, many visitors</h1>"
            f'<p class=soft>The little shop runs behind the sidecar at <a href="{site}">{site}</a>. It sets its cookies '
            f'on everybody. What its analytics vendor got, live: <a href="{vendor}">{vendor}</a>.</p>'
        )


def _form(chosen: set[str], says: str, signs_in: bool) -> str:
    people = "".join(
        f'<label><input type="checkbox" name="as" value="{one.key}"{_checked(one.key in chosen)}> {escape(one.label)}'
        f"<small>{escape(one.notes)}, {one.address}</small></label>"
        for one in PERSONAS
    )
    answers = "".join(
        f'<label><input type="radio" name="says" value="{value}"{_checked(value == says)}> {text}</label>'
        for value, text in ANSWERS.items()
    )
    return (
        f"<form class=card><fieldset><legend>Visit as somebody in</legend>{people}</fieldset>"
        f"<fieldset><legend>who, asked or told about cookies,</legend>{answers}"
        f'<label><input type="checkbox" name="signs_in"{_checked(signs_in)}> and signs in as Ann</label></fieldset>'
        "<button>Visit</button></form>"
    )


def _checked(on: bool) -> str:
    return " checked" if on else ""


def _comparison(shown: Shown, policy: Policy) -> str:
    states = [visit.state for visit, _ in shown]
    people = [visit.person for visit, _ in shown]
    head = "".join(f"<th>{escape(one.label)}<small class=soft>{one.address}</small></th>" for one in people)
    rows = [
        _row(
            "Found in", [f"{one['country'] or 'an unknown country'}: {one['jurisdiction']}" for one in states], escape
        ),
    ]
    longest = max((visit.steps for visit, _ in shown), key=len)
    for index, step in enumerate(longest):
        steps = [visit.steps[index] for visit, _ in shown]
        rows += [
            f'<tr><th colspan="{len(shown) + 1}"><h2>{escape(step.label)}</h2></th></tr>',
            _row("Purposes, and why", list(zip(steps, people, strict=True)), lambda one: _purposes(*one)),
            _row("Answered with", steps, _answered),
            _row("Cookies from the browser", steps, lambda one: _to_site(one, policy)),
            _row("Cookies set by the site", steps, lambda one: _to_browser(one, policy)),
        ]
    rows.append(f'<tr><th colspan="{len(shown) + 1}"><h2>What reached the vendor</h2></th></tr>')
    rows.append(_row("Permitted at the end", states, lambda one: _permitted(one["vendors"])))
    rows.append(_row("Arrived", shown, lambda one: _arrived(one[1])))
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="card">{table}</div>'


def _row(label: str, values: Sequence[Any], cell: Callable[[Any], str]) -> str:
    return f"<tr><th>{label}</th>{''.join(f'<td>{cell(one)}</td>' for one in values)}</tr>"


def _purposes(step: Step, person: Persona) -> str:
    sent = " and ".join("GPC" if name == "Sec-GPC" else name for name, _ in person.signals)
    signal = f"the browser's {sent} signal"
    return _list(
        f'<b class="{"yes" if told["allowed"] else "no"}">{escape(name)}</b>'
        f"<small>{escape(SENTENCES[Reason(told['reason'])].format(signal=signal))}</small>"
        for name, told in step.state["purposes"].items()
    )


def _answered(step: Step) -> str:
    banner = ", with the banner" if step.banner else ""
    tk = f"<br><code>Tk: {escape(step.tk)}</code>" if step.tk else ""
    return f"{step.status}{banner}{tk}"


def _to_site(step: Step, policy: Policy) -> str:
    dropped = step.dropped_to_site
    lines = [_cookie(one, one not in dropped, policy) for one in step.sent if one not in OURS]
    ours = [one for one in step.sent if one in OURS]
    return _list(
        [*lines, *(f"<code>{escape(one)}</code><small>consent_mw's own: stays with it</small>" for one in ours)]
    )


def _to_browser(step: Step, policy: Policy) -> str:
    offered = step.reached.set if step.reached is not None else ()
    ours = [one for one in step.set if one not in offered]
    lines = [_cookie(one, one in step.set, policy) for one in offered]
    lines += [f'<code class="yes">{escape(one)}</code><small>set by consent_mw itself</small>' for one in ours]
    return _list([*lines, *(f"<code>{escape(one)}</code><small>deleted</small>" for one in dict.fromkeys(step.gone))])


def _cookie(name: str, passed: bool, policy: Policy) -> str:
    rule = policy.cookie_rule(name)
    why = f"{escape(rule.purpose)} is {'allowed' if passed else 'denied'}" if rule is not None else "no rule names it"
    mark = "passed" if passed else "dropped"
    return f'<code class="{"yes" if passed else "no"}">{escape(name)}</code><small>{mark}: {why}</small>'


def _permitted(vendors: dict[str, list[str]]) -> str:
    return _list(f"{escape(name)}: {escape(', '.join(fields) or 'nothing')}" for name, fields in vendors.items())


def _arrived(events: list[dict[str, Any]]) -> str:
    return _list(
        f"<b>{escape(str(event.get('event', 'an event')))}</b>"
        + "".join(
            f"<small>{escape(str(name))}: {escape(_told(name, value))}</small>" for name, value in event.items()
        )
        for event in events
    )


def _told(name: str, value: object) -> str:
    """A value as people read it."""
    return (
        time.strftime("%H:%M:%S", time.localtime(value))
        if name == "time" and isinstance(value, float)
        else str(value)
    )


def _list(items: Any) -> str:
    lines = "".join(f"<li>{one}</li>" for one in items)
    return f"<ul>{lines}</ul>" if lines else NOTHING
