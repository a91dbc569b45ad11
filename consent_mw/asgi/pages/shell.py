"""The frame of every page: head, brand, navigation, footer; and the page that only says something.

Rule: no inline style and no inline script; one stylesheet and one script of ours, and the site's own stylesheet.
Rule: a language that was chosen by hand goes with every link, so that it needs no cookie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

from consent_mw.asgi.pages.markup import Markup, el, join, link, sound_address
from consent_mw.asgi.pages.words import Words, own_name
from consent_mw.core.decision import Decision
from consent_mw.core.policy import Policy
from consent_mw.core.wording import SOURCE

DB_IP = "https://db-ip.com"
DB_IP_SAID = "IP Geolocation by DB-IP"
"""What pages that use the built-in database say, and link to (its licence, CC BY 4.0)."""

PAGES = ("preferences", "policy", "receipts", "data")


class Links(Protocol):
    """Where the style and the script are served."""

    @property
    def style(self) -> str:
        """The path of the stylesheet."""

    @property
    def script(self) -> str:
        """The path of the script."""

    @property
    def pages(self) -> str:
        """The path of the stylesheet that pages have besides."""


@dataclass(frozen=True, slots=True)
class View:
    """Whose page it is, where its files are, and in which words: `languages` are those that there are, `chosen` is
    the one that was chosen by hand (empty: by what the browser asks for)."""

    policy: Policy
    links: Links
    words: Words
    languages: tuple[str, ...] = (SOURCE,)
    chosen: str = ""

    @property
    def prefix(self) -> str:
        """The path under which the visitor's routes live, without a slash at its end."""
        return self.policy.site.prefix.rstrip("/")

    def address(self, route: str, **query: str) -> str:
        """The address of a route of ours; values that are empty are left out."""
        asked = {name: value for name, value in query.items() if value}
        if self.chosen and "lang" not in asked:
            asked["lang"] = self.chosen
        return f"{self.prefix}/{route}" + (f"?{urlencode(asked, safe='/')}" if asked else "")


def script_of(links: Links, decision: Decision | None, *, saved: bool = False) -> Markup:
    """Our script, told what is allowed so that it need not ask."""
    told: dict[str, str | bool] = {}
    if decision is not None and not saved:
        told["data_allows"] = allowed_by(decision)
    return el("script", src=links.script, defer=True, data_saved=saved, **told)


def allowed_by(decision: Decision) -> str:
    """The purposes that are allowed, in the policy's order, with a space between."""
    return " ".join(one.purpose for one in decision.verdicts if one.allowed)


def page(
    view: View,
    title: str,
    *content: str,
    here: str = "",
    decision: Decision | None = None,
    saved: bool = False,
    **query: str,
) -> bytes:
    """A whole page of this title; `here` names the entry of the navigation that it is, `query` is what its own
    address must keep in another language."""
    words = view.words
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="robots", content="noindex"),
        el("title", f"{title} · {view.policy.site.name}"),
        stylesheets(view, whole=True),
        script_of(view.links, decision, saved=saved),
    )
    body = el(
        "body",
        el("a", words.say("nav.skip"), href="#content", class_="cmw-skip"),
        _header(view, here),
        el("main", el("h1", title), *content, id="content"),
        _footer(view, here, query),
        class_="cmw-page",
    )
    return f"<!doctype html>\n{el('html', head, body, lang=words.language, dir=words.direction)}\n".encode()


def message_page(view: View, key: str) -> bytes:
    """A page that only says something, such as why a request was refused."""
    words = view.words
    text = words.say(key, site=view.policy.site.name)
    return page(view, words.say("error.title"), el("p", text), el("p", link("/", words.say("nav.start"))))


def stylesheets(view: View, *, whole: bool = False) -> Markup:
    """Our stylesheet, where the page is ours as a `whole` that of pages, and the site's own after them."""
    own = view.policy.site.stylesheet
    ours = (view.links.style, view.links.pages) if whole else (view.links.style,)
    return join(*(el("link", rel="stylesheet", href=one) for one in (*ours, own) if sound_address(one)))


def _header(view: View, here: str) -> Markup:
    site = view.policy.site
    logo = el("img", src=site.logo, alt="") if sound_address(site.logo) else Markup()
    entries = [
        el("li", el("a", view.words.say(f"nav.{name}"), href=view.address(name), **_current(name == here)))
        for name in PAGES
    ]
    brand = el("div", logo, link("/", site.name), class_="cmw-brand")
    return el("header", brand, el("nav", el("ul", *entries), aria_label=view.words.say("nav.label")))


def _current(here: bool) -> dict[str, str | bool]:
    return {"aria_current": "page"} if here else {}


def _footer(view: View, here: str, query: dict[str, str]) -> Markup:
    site, words = view.policy.site, view.words
    parts = [el("p", link(site.policy_url, words.say("nav.privacy", site=site.name)))]
    if site.contact:
        parts.append(el("p", words.sentence("foot.contact", contact=contact_of(view.policy))))
    parts.append(el("p", words.pair(words.say("foot.revision"), view.policy.revision)))
    if "builtin" in view.policy.geo.databases:
        parts.append(el("p", link(DB_IP, DB_IP_SAID, lang=SOURCE)))
    if here and len(view.languages) > 1:
        parts.append(_languages(view, here, query))
    return el("footer", *parts)


def _languages(view: View, here: str, query: dict[str, str]) -> Markup:
    """The page in each other language, folded away."""
    words = view.words
    entries = [
        el(
            "li",
            el("a", own_name(one), href=view.address(here, **query, lang=one), lang=one, hreflang=one, dir="auto"),
        )
        for one in sorted(view.languages, key=own_name)
        if one != words.language
    ]
    folded = el("summary", words.pair(words.say("nav.language"), own_name(words.language)))
    return el("details", folded, el("ul", *entries), class_="cmw-languages")


def contact_of(policy: Policy) -> Markup:
    """How to reach the site, linked: a mail address, a page, or plain text."""
    contact = policy.site.contact
    if "@" in contact and ":" not in contact and "/" not in contact:
        return link(f"mailto:{contact}", contact)
    return link(contact, join(contact))
