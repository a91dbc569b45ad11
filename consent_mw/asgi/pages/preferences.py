"""The page of choices: where things stand, a box for each purpose, and the way to take it all back.

Rule: a box is ticked only where the person said yes and that yes still counts.
"""

from __future__ import annotations

from consent_mw.asgi.pages.markup import Markup, el, facts, join, link
from consent_mw.asgi.pages.shell import View, page
from consent_mw.asgi.pages.signals import signal_lines
from consent_mw.core.consent import Consent
from consent_mw.core.decision import Decision
from consent_mw.core.policy import Purpose
from consent_mw.core.terms import Mode, Status, Whereabouts

_STALE = (Status.EXPIRED, Status.OUTDATED)


def preferences_page(view: View, decision: Decision, *, consent: Consent, return_to: str, saved: bool) -> bytes:
    """The page on which a choice is made and changed; `return_to` is the path it leads back to, or empty."""
    words, site = view.words, view.policy.site.name
    content: list[str] = []
    if saved:
        content.append(el("p", words.say("banner.saved"), role="status", class_="cmw-saved"))
    if return_to:
        content.append(el("p", link(return_to, words.say("nav.back"))))
    content.append(el("p", words.say("preferences.intro", site=site)))
    content += _choices(view, decision, consent, return_to)
    content += [el("h2", words.say("preferences.now")), _standing(view, decision, consent)]
    kept = {"return": return_to} if return_to else {}
    title = words.say("nav.preferences")
    return page(view, title, *content, here="preferences", decision=decision, saved=saved, **kept)


def _standing(view: View, decision: Decision, consent: Consent) -> Markup:
    words, place = view.words, decision.jurisdiction
    status = words.say(f"status.{decision.status.value}", lasts=words.duration(place.lasts))
    located = decision.whereabouts is Whereabouts.LOCATED
    rules = words.pair(words.label(place.name), words.say(f"regime.{place.regime.value}"))
    return facts(
        (words.say("status.title"), status),
        (words.say("status.at"), words.moment(consent.at)),
        (words.say("status.receipt"), _receipt(view, consent)),
        (words.say("status.region"), rules if located else join(rules, f". {words.say('status.uncertain')}")),
        *signal_lines(view, decision),
    )


def _receipt(view: View, consent: Consent) -> str:
    return link(view.address("receipts"), el("code", consent.receipt)) if consent.receipt else ""


def _choices(view: View, decision: Decision, consent: Consent, return_to: str) -> list[str]:
    words, policy = view.words, view.policy
    if policy.mode is Mode.REPORT:
        return [el("p", words.say("preferences.report", site=policy.site.name), class_="cmw-card")]
    essential = [_essential(view, one) for one in policy.purposes if one.essential]
    if not policy.optional_purposes:
        return [*essential, el("p", words.say("preferences.nothing"))]
    boxes = [_box(view, one, decision, consent) for one in policy.optional_purposes]
    back = el("input", type="hidden", name="return", value=_back(view, return_to))
    return [
        el("h2", words.say("banner.preferences")),
        *essential,
        _form(
            view,
            "choice",
            back,
            el("fieldset", el("legend", words.say("preferences.unticked")), *boxes),
            _buttons(el("button", words.say("choice.save"), type="submit")),
        ),
        _form(
            view,
            "choice",
            back,
            _buttons(
                el(
                    "button",
                    words.say("choice.accept"),
                    type="submit",
                    name="all",
                    value="accept",
                    class_="cmw-quiet",
                ),
                el(
                    "button",
                    words.say("choice.reject"),
                    type="submit",
                    name="all",
                    value="reject",
                    class_="cmw-quiet",
                ),
            ),
        ),
        el("h2", words.say("withdraw.title")),
        el("p", words.say("withdraw.text")),
        _form(
            view,
            "withdraw",
            back,
            _buttons(el("button", words.say("choice.withdraw"), type="submit", class_="cmw-quiet")),
        ),
    ]


def _back(view: View, return_to: str) -> str:
    return view.address("preferences", saved="1", **{"return": return_to})


def _form(view: View, route: str, *content: str) -> Markup:
    # A browser that fills in again what was ticked once would tick what nobody ticked now.
    return el("form", *content, method="post", action=f"{view.prefix}/{route}", autocomplete="off")


def _buttons(*buttons: str) -> Markup:
    return el("div", *buttons, class_="cmw-buttons")


def _essential(view: View, purpose: Purpose) -> Markup:
    words = view.words
    note = el("p", words.say("preferences.essential"), class_="cmw-muted")
    return el(
        "div",
        el("h3", words.label(purpose.name)),
        el("p", el("bdi", words.purpose(purpose))),
        note,
        class_="cmw-card",
    )


def _box(view: View, purpose: Purpose, decision: Decision, consent: Consent) -> Markup:
    words, name = view.words, f"purpose-{purpose.name}"
    said_yes = consent.answers.get(purpose.name) is True and decision.status not in _STALE
    box = el(
        "input",
        type="checkbox",
        id=name,
        name="purpose",
        value=purpose.name,
        checked=said_yes,
        aria_describedby=f"{name}-text",
    )
    text = words.purpose(purpose)
    told = el("p", join(el("bdi", text), " ") if text else "", verdict_of(view, decision, purpose), id=f"{name}-text")
    return el("div", box, el("label", words.label(purpose.name), for_=name), told, class_="cmw-choice")


def verdict_of(view: View, decision: Decision, purpose: Purpose) -> Markup:
    """What holds for this purpose now, and why."""
    verdict = decision.verdict(purpose.name)
    if verdict is None:
        return Markup()
    word = view.words.say("now.on" if verdict.allowed else "now.off")
    mark = el("span", word, class_="cmw-on" if verdict.allowed else "cmw-off")
    return el("small", view.words.pair(mark, view.words.say(f"reason.{verdict.reason.value}")))
