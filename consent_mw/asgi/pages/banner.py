"""The banner: one question or one notice, at the bottom of a page, that works as a plain form.

Rule: yes and no stand side by side in the same form, size and colour; the purposes are one step further, folded
    away in the banner, with nothing ticked but what the person allowed.
Rule: the purposes are a form of their own, so that Enter on a box never says yes to all.
Rule: it reads and works without its style as well, where a page's own policy forbids that.
Rule: the markup is ASCII, so that it reads the same in whatever charset the page has.
Rule: it is the same for everybody whom a decision asks alike; only the path to return to is put in for each page.
"""

from __future__ import annotations

from html import escape
from typing import Final
from urllib.parse import quote

from consent_mw.asgi.pages.markup import Markup, bullets, el, join, link, sound_address
from consent_mw.asgi.pages.shell import View, script_of, stylesheets
from consent_mw.asgi.pages.signals import sent, signal_sentence
from consent_mw.core.decision import Decision
from consent_mw.core.policy import Purpose
from consent_mw.core.terms import Reason

VENDORS_NAMED: Final = 4
"""How many vendors the banner names; where there are more it says how many, and the policy page names all."""

_PATH: Final = "\x01"
_QUOTED: Final = "\x02"
"""Where the path to return to comes: as an attribute has it, and as a query does. No text has control characters."""


class Banner:
    """The banner that a decision asks for, in one language; made once, put into many pages."""

    def __init__(self, view: View, decision: Decision) -> None:
        markup = _markup(view, decision).encode("ascii", "xmlcharrefreplace").decode()
        self._parts = tuple(tuple(one.split(_QUOTED)) for one in markup.split(_PATH))

    def for_page(self, path: str) -> bytes:
        """The banner for the page at this path and query, with its stylesheet and script."""
        shown, quoted = escape(path), escape(quote(path, safe="/"))
        joined = shown.join(quoted.join(part) for part in self._parts)
        return joined.encode("ascii", "xmlcharrefreplace")


def banner_of(view: View, decision: Decision) -> Banner | None:
    """The banner that this decision asks for; None where none is due."""
    return Banner(view, decision) if decision.ask or decision.notice else None


def banner_section(view: View, decision: Decision, path: str = _PATH, quoted: str = _QUOTED) -> Markup:
    """The banner itself, without its files; `path` is where it leads back to, `quoted` the same in a query."""
    words = view.words
    return el(
        "section",
        el("div", *_told(view, decision, quoted), class_="cmw-told"),
        _form(view, decision, path),
        _choices(view, decision, path),
        # Where the page forbids our style, this is where the banner ends; our style hides it.
        el("hr"),
        id="cmw-banner",
        role="region",
        aria_label=words.say("banner.label"),
        lang=words.language,
        dir=words.direction,
        data_saved=words.say("banner.saved"),
    )


def _markup(view: View, decision: Decision) -> Markup:
    return join(stylesheets(view), banner_section(view, decision), script_of(view.links, decision))


def _told(view: View, decision: Decision, quoted: str) -> list[str]:
    words, site = view.words, view.policy.site
    kind = "ask" if decision.ask else "notice"
    asked = _asked(view, decision)
    told: list[str] = [el("img", src=site.logo, alt="", height="24", width="128")] if sound_address(site.logo) else []
    told.append(el("h2", words.say(f"banner.{kind}.title", site=site.name)))
    if decision.changed:
        told.append(el("p", words.say("banner.changed"), class_="cmw-signal"))
    if asked:
        told.append(el("p", words.say(f"banner.{kind}.text", site=site.name)))
        told.append(bullets(*(_purpose(view, one) for one in asked)))
        told.append(el("p", _receivers(view, frozenset(one.name for one in asked))))
    else:
        told.append(el("p", words.say("banner.nothing", site=site.name)))
    told += [el("p", signal_sentence(view, decision, one), class_="cmw-signal") for one in sent(decision)]
    told.append(el("p", _later(view, quoted)))
    return told


def _asked(view: View, decision: Decision) -> list[Purpose]:
    return [one for one in view.policy.optional_purposes if decision.ask or decision.allows(one.name)]


def _purpose(view: View, purpose: Purpose) -> Markup:
    text = view.words.purpose(purpose)
    name = el("b", view.words.label(purpose.name))
    return view.words.pair(name, el("bdi", text, id=_about(purpose))) if text else name


def _about(purpose: Purpose) -> str:
    return f"cmw-{purpose.name}-text"


def _receivers(view: View, purposes: frozenset[str]) -> str:
    words = view.words
    names = [
        words.label(one.name) + (f" ({words.region(one.country)})" if one.country else "")
        for one in view.policy.vendors
        if one.purpose in purposes
    ]
    if not names:
        return words.say("banner.nobody")
    # One more is named as well: that is no longer, and spares a sentence for one.
    if len(names) > VENDORS_NAMED + 1:
        names[VENDORS_NAMED:] = [words.say("banner.more", number=str(len(names) - VENDORS_NAMED))]
    return words.say("banner.who", vendors=words.listing(names))


def _preferences(view: View, quoted: str) -> str:
    """The page of choices, which leads back to the page that the banner is on."""
    language = f"&lang={view.chosen}" if view.chosen else ""
    return f"{view.prefix}/preferences?return={quoted}{language}"


def _later(view: View, quoted: str) -> Markup:
    words = view.words
    return words.sentence(
        "banner.later",
        preferences=link(_preferences(view, quoted), words.say("link.preferences")),
        policy=link(view.address("policy"), words.say("link.policy")),
    )


def _form(view: View, decision: Decision, path: str) -> Markup:
    words = view.words
    if decision.ask:
        first = el("button", words.say("choice.accept"), type="submit", name="all", value="accept")
    else:
        first = el("button", words.say("choice.seen"), type="submit", name="seen", value="1")
    return el(
        "form",
        el("input", type="hidden", name="return", value=path),
        first,
        " ",
        el("button", words.say("choice.reject"), type="submit", name="all", value="reject"),
        method="post",
        action=f"{view.prefix}/choice",
    )


def _choices(view: View, decision: Decision, path: str) -> Markup:
    """Yes or no to each purpose, folded away; nothing where there is none to choose."""
    words, purposes = view.words, view.policy.optional_purposes
    if not purposes:
        return Markup()
    form = el(
        "form",
        el("input", type="hidden", name="return", value=path),
        el(
            "fieldset",
            el("legend", words.say("preferences.unticked")),
            *(_box(view, decision, one) for one in purposes),
        ),
        el("button", words.say("choice.save"), type="submit"),
        method="post",
        action=f"{view.prefix}/choice",
        # A browser that fills in again what was ticked once would tick what nobody ticked now.
        autocomplete="off",
    )
    return el("details", el("summary", words.say("banner.preferences")), form)


def _box(view: View, decision: Decision, purpose: Purpose) -> Markup:
    verdict = decision.verdict(purpose.name)
    said_yes = verdict is not None and verdict.reason is Reason.CONSENT_GIVEN
    about = _about(purpose) if purpose in _asked(view, decision) and view.words.purpose(purpose) else False
    box = el("input", type="checkbox", name="purpose", value=purpose.name, checked=said_yes, aria_describedby=about)
    return el("div", el("label", box, el("bdi", view.words.label(purpose.name))))
