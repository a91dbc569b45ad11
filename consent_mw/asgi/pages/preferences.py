"""The page of choices: where things stand, a box for each purpose, and the way to take it all back.

Rule: a box is ticked only where the person said yes and that yes still counts.
"""

from __future__ import annotations

from urllib.parse import urlencode

from consent_mw.asgi.pages.markup import Markup, duration, el, facts, join, label, link, moment
from consent_mw.asgi.pages.shell import Links, page, prefix_of
from consent_mw.asgi.pages.signals import sent, signal_sentence
from consent_mw.asgi.pages.texts import say
from consent_mw.core.consent import Consent
from consent_mw.core.decision import Decision
from consent_mw.core.policy import Policy, Purpose
from consent_mw.core.terms import Mode, Signal, Status, Whereabouts

_STALE = (Status.EXPIRED, Status.OUTDATED)


def preferences_page(
    policy: Policy, decision: Decision, *, consent: Consent, return_to: str, saved: bool, links: Links
) -> bytes:
    """The page on which a choice is made and changed; `return_to` is the path it leads back to, or empty."""
    content: list[str] = []
    if saved:
        content.append(el("p", say("preferences.saved"), role="status", class_="cmw-saved"))
    if return_to:
        content.append(el("p", link(return_to, say("nav.home"))))
    content.append(el("p", say("preferences.intro", site=policy.site.name)))
    content += [el("h2", say("preferences.now")), _standing(policy, decision, consent)]
    content += _choices(policy, decision, consent, return_to)
    title = say("preferences.title")
    return page(policy, title, *content, links=links, here="preferences", decision=decision, saved=saved)


def signal_lines(policy: Policy, decision: Decision) -> tuple[tuple[str, str], ...]:
    """Each signal with what became of it in this request."""
    here = sent(decision)
    return tuple(
        (
            say(f"signal.{one.value}"),
            signal_sentence(policy, decision, one) if one in here else say("signal.absent"),
        )
        for one in (Signal.GPC, Signal.DNT)
    )


def _standing(policy: Policy, decision: Decision, consent: Consent) -> Markup:
    place = decision.jurisdiction
    status = say(f"status.{decision.status.value}")
    if decision.status is Status.EXPIRED:
        status = say("status.expired", lasts=duration(place.lasts))
    located = decision.whereabouts is Whereabouts.LOCATED
    return facts(
        (say("status"), status),
        (say("status.at"), moment(consent.at)),
        (say("status.receipt"), _receipt(policy, consent)),
        (say("status.region"), f"{label(place.name)}: {say(f'regime.{place.regime.value}')}"),
        (say("status.whereabouts"), "" if located else say(f"whereabouts.{decision.whereabouts.value}")),
        *signal_lines(policy, decision),
    )


def _receipt(policy: Policy, consent: Consent) -> str:
    if not consent.receipt:
        return ""
    return link(f"{prefix_of(policy)}/receipts", el("code", consent.receipt))


def _choices(policy: Policy, decision: Decision, consent: Consent, return_to: str) -> list[str]:
    if policy.mode is Mode.REPORT:
        return [el("p", say("preferences.report", site=policy.site.name), class_="cmw-card")]
    essential = [_essential(one) for one in policy.purposes if one.essential]
    if not policy.optional_purposes:
        return [*essential, el("p", say("preferences.only-essential"))]
    boxes = [_box(one, decision, consent) for one in policy.optional_purposes]
    back = el("input", type="hidden", name="return", value=_back(policy, return_to))
    return [
        el("h2", say("preferences.purposes")),
        *essential,
        _form(
            policy,
            "choice",
            back,
            el("fieldset", el("legend", say("preferences.unticked")), *boxes),
            _buttons(el("button", say("choice.save"), type="submit")),
        ),
        _form(
            policy,
            "choice",
            back,
            _buttons(
                el("button", say("choice.accept"), type="submit", name="all", value="accept", class_="cmw-quiet"),
                el("button", say("choice.reject"), type="submit", name="all", value="reject", class_="cmw-quiet"),
            ),
        ),
        el("h2", say("preferences.withdraw")),
        el("p", say("preferences.withdraw.text")),
        _form(
            policy,
            "withdraw",
            back,
            _buttons(el("button", say("choice.withdraw"), type="submit", class_="cmw-quiet")),
        ),
    ]


def _back(policy: Policy, return_to: str) -> str:
    query = {"saved": "1"} | ({"return": return_to} if return_to else {})
    return f"{prefix_of(policy)}/preferences?{urlencode(query)}"


def _form(policy: Policy, route: str, *content: str) -> Markup:
    return el("form", *content, method="post", action=f"{prefix_of(policy)}/{route}")


def _buttons(*buttons: str) -> Markup:
    return el("div", *buttons, class_="cmw-buttons")


def _essential(purpose: Purpose) -> Markup:
    note = el("p", say("preferences.essential"), class_="cmw-muted")
    return el("div", el("h3", label(purpose.name)), el("p", purpose.text), note, class_="cmw-card")


def _box(purpose: Purpose, decision: Decision, consent: Consent) -> Markup:
    name = f"purpose-{purpose.name}"
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
    told = el("p", join(purpose.text, " ") if purpose.text else "", verdict_of(decision, purpose), id=f"{name}-text")
    return el("div", box, el("label", label(purpose.name), for_=name), told, class_="cmw-choice")


def verdict_of(decision: Decision, purpose: Purpose) -> Markup:
    """What holds for this purpose now, and why."""
    verdict = decision.verdict(purpose.name)
    if verdict is None:
        return Markup()
    word = say("preferences.now.on" if verdict.allowed else "preferences.now.off")
    mark = el("span", word, class_="cmw-on" if verdict.allowed else "cmw-off")
    return el("small", mark, f": {say(f'reason.{verdict.reason.value}')}")
