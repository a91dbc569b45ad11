"""The banner: one question or one notice, at the bottom of a page, that works as a plain form.

Rule: yes and no stand side by side in the same form, size and colour; the purposes are one link away.
Rule: the markup is ASCII, so that it reads the same in whatever charset the page has.
"""

from __future__ import annotations

from urllib.parse import quote

from consent_mw.asgi.pages.markup import Markup, bullets, el, join, label, link, listing
from consent_mw.asgi.pages.shell import Links, prefix_of, script_of, sentence
from consent_mw.asgi.pages.signals import sent, signal_sentence
from consent_mw.asgi.pages.texts import LANGUAGE, say
from consent_mw.core.decision import Decision
from consent_mw.core.policy import Policy

VENDORS_NAMED = 4
"""How many vendors the banner names; where there are more it says how many, and the policy page names all."""


def banner_markup(policy: Policy, decision: Decision, *, return_to: str, links: Links) -> bytes:
    """The banner that this decision asks for, with its stylesheet and script; empty where none is due."""
    if not (decision.ask or decision.notice):
        return b""
    section = el(
        "section",
        el("div", *_told(policy, decision, return_to), class_="cmw-told"),
        _form(policy, decision, return_to),
        id="cmw-banner",
        role="region",
        aria_label=say("banner.label"),
        lang=LANGUAGE,
        dir="ltr",
        data_saved=say("banner.saved"),
    )
    style = el("link", rel="stylesheet", href=links.style)
    return join(style, section, script_of(links, decision)).encode("ascii", "xmlcharrefreplace")


def preferences_address(policy: Policy, return_to: str) -> str:
    """The page of choices, which leads back to this path."""
    address = f"{prefix_of(policy)}/preferences"
    return f"{address}?return={quote(return_to, safe='/')}" if return_to else address


def _told(policy: Policy, decision: Decision, return_to: str) -> list[str]:
    site = policy.site.name
    kind = "ask" if decision.ask else "notice"
    asked = [one for one in policy.optional_purposes if decision.ask or decision.allows(one.name)]
    told: list[str] = [el("h2", say(f"banner.{kind}.title", site=site))]
    if asked:
        told.append(el("p", say(f"banner.{kind}.text", site=site)))
        told.append(bullets(*(join(el("b", label(one.name)), f": {one.text}" if one.text else "") for one in asked)))
        told.append(el("p", _receivers(policy, frozenset(one.name for one in asked))))
    else:
        told.append(el("p", say("banner.nothing", site=site)))
    told += [el("p", signal_sentence(policy, decision, one), class_="cmw-signal") for one in sent(decision)]
    told.append(el("p", _later(policy, return_to)))
    return told


def _receivers(policy: Policy, purposes: frozenset[str]) -> str:
    names = tuple(
        label(one.name) + (f" ({one.country})" if one.country else "")
        for one in policy.vendors
        if one.purpose in purposes
    )
    if not names:
        return say("banner.nobody")
    shown = names if len(names) <= VENDORS_NAMED else (*names[:VENDORS_NAMED], f"{len(names) - VENDORS_NAMED} more")
    return say("banner.who", vendors=listing(shown))


def _later(policy: Policy, return_to: str) -> Markup:
    return sentence(
        "banner.later",
        preferences=link(preferences_address(policy, return_to), say("link.preferences")),
        policy=link(f"{prefix_of(policy)}/policy", say("link.policy")),
    )


def _form(policy: Policy, decision: Decision, return_to: str) -> Markup:
    if decision.ask:
        first = el("button", say("choice.accept"), type="submit", name="all", value="accept")
    else:
        first = el("button", say("choice.seen"), type="submit", name="seen", value="1")
    return el(
        "form",
        el("input", type="hidden", name="return", value=return_to),
        first,
        el("button", say("choice.reject"), type="submit", name="all", value="reject"),
        link(preferences_address(policy, return_to), say("banner.preferences")),
        method="post",
        action=f"{prefix_of(policy)}/choice",
    )
