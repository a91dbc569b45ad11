"""The frame of every page: head, brand, navigation, footer; and the page that only says something.

Rule: no inline style and no inline script; one stylesheet and one script of ours, and the site's own stylesheet.
"""

from __future__ import annotations

from typing import Protocol

from consent_mw.asgi.pages.markup import Markup, el, join, link, sound_address
from consent_mw.asgi.pages.texts import LANGUAGE, say
from consent_mw.core.decision import Decision
from consent_mw.core.policy import Policy

DB_IP = "https://db-ip.com"
"""What pages that use the built-in database link to (its licence, CC BY 4.0)."""


class Links(Protocol):
    """Where the style and the script are served."""

    @property
    def style(self) -> str:
        """The path of the stylesheet."""

    @property
    def script(self) -> str:
        """The path of the script."""


def prefix_of(policy: Policy) -> str:
    """The path under which the visitor's routes live, without a slash at its end."""
    return policy.site.prefix.rstrip("/")


def script_of(links: Links, decision: Decision | None, *, saved: bool = False) -> Markup:
    """Our script, told what is allowed so that it need not ask."""
    told: dict[str, str | bool] = {}
    if decision is not None and not saved:
        told["data_allows"] = " ".join(one.purpose for one in decision.verdicts if one.allowed)
    return el("script", src=links.script, defer=True, data_saved=saved, **told)


def page(
    policy: Policy,
    title: str,
    *content: str,
    links: Links,
    here: str = "",
    decision: Decision | None = None,
    saved: bool = False,
) -> bytes:
    """A whole page of this title; `here` names the entry of the navigation that it is."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="robots", content="noindex"),
        el("title", f"{title} · {policy.site.name}"),
        el("link", rel="stylesheet", href=links.style),
        _own_stylesheet(policy),
        script_of(links, decision, saved=saved),
    )
    body = el(
        "body",
        el("a", say("nav.skip"), href="#content", class_="cmw-skip"),
        _header(policy, here),
        el("main", el("h1", title), *content, id="content"),
        _footer(policy),
        class_="cmw-page",
    )
    return f"<!doctype html>\n{el('html', head, body, lang=LANGUAGE)}\n".encode()


def message_page(policy: Policy, title: str, text: str, *, links: Links) -> bytes:
    """A page that only says something, such as why a request was refused."""
    sentence = text[:1].upper() + text[1:]
    ended = sentence if sentence.endswith((".", "!", "?")) else sentence + "."
    return page(policy, title, el("p", ended), el("p", link("/", say("nav.start"))), links=links)


def _own_stylesheet(policy: Policy) -> Markup:
    own = policy.site.stylesheet
    return el("link", rel="stylesheet", href=own) if sound_address(own) else Markup()


def _header(policy: Policy, here: str) -> Markup:
    site = policy.site
    logo = el("img", src=site.logo, alt="") if sound_address(site.logo) else Markup()
    entries = [
        el("li", el("a", say(f"nav.{name}"), href=f"{prefix_of(policy)}/{name}", **_current(name == here)))
        for name in ("preferences", "policy", "receipts", "data")
    ]
    brand = el("div", logo, link("/", site.name), class_="cmw-brand")
    return el("header", brand, el("nav", el("ul", *entries), aria_label=say("nav.label")))


def _current(here: bool) -> dict[str, str | bool]:
    return {"aria_current": "page"} if here else {}


def _footer(policy: Policy) -> Markup:
    site = policy.site
    parts = [el("p", link(site.policy_url, say("nav.privacy", site=site.name)))]
    if site.contact:
        before, _, after = say("foot.contact").partition("{contact}")
        parts.append(el("p", before, contact_of(policy), after))
    revision = say("foot.revision", revision=policy.revision)
    parts.append(el("p", revision))
    if "builtin" in policy.geo.databases:
        parts.append(el("p", link(DB_IP, say("foot.geo"))))
    return el("footer", *parts)


def contact_of(policy: Policy) -> Markup:
    """How to reach the site, linked: a mail address, a page, or plain text."""
    contact = policy.site.contact
    if "@" in contact and ":" not in contact and "/" not in contact:
        return link(f"mailto:{contact}", contact)
    return link(contact, contact)


def sentence(key: str, **parts: str) -> Markup:
    """A sentence whose values may be markup; its own words are escaped."""
    text = say(key)
    made: list[str] = []
    while "{" in text:
        before, _, rest = text.partition("{")
        name, _, text = rest.partition("}")
        made += [before, parts[name]]
    return join(*made, text)
