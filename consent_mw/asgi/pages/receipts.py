"""The pages of a person's own records: receipts of choices, and all that is stored.

Rule: whatever is stored is shown, also what these pages have no words for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from consent_mw.asgi.pages.markup import Markup, bullets, el, facts, link
from consent_mw.asgi.pages.shell import View, page
from consent_mw.asgi.pages.words import SIGNALS

DEEPEST: Final = 12
"""Levels of what is stored that are shown one in the other; what lies deeper is in the file to download."""

_WORDS: Final = {
    "identifier": "data.identifier", "consent": "status.title", "receipts": "records.receipts",
    "purposes": "purposes.title", "at": "status.at", "revision": "foot.revision", "signals": "signals.title",
    "jurisdiction": "status.region", "receipt": "receipts.id", "previous": "receipts.previous",
    "jws": "receipts.signed", "country": "field.country", "user_id": "field.user_id", "name": "field.name",
    "email": "field.email", "visitor_id": "field.visitor_id",
}  # fmt: skip
"""The members of what is stored that have words of their own."""

_SIGNALS: Final = {signal.value: name for signal, name in SIGNALS.items()}
_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def receipts_page(view: View, receipts: Sequence[Mapping[str, object]]) -> bytes:
    """The receipts of this browser, in the order given: their claims, and `jws`, the signed form."""
    words = view.words
    keys = link(f"{view.prefix}/keys.json", "keys.json")
    content: list[str] = [el("p", words.sentence("receipts.intro", keys=keys))]
    if not receipts:
        content.append(el("p", words.say("receipts.none"), class_="cmw-card"))
    for number, claims in zip(range(len(receipts), 0, -1), receipts, strict=True):
        content.append(_receipt(view, number, claims))
    return page(view, words.say("nav.receipts"), *content, here="receipts")


def data_page(view: View, stored: Mapping[str, object], *, erased: bool = False) -> bytes:
    """All that is stored about this browser, with the ways to keep it and to erase it."""
    words = view.words
    content: list[str] = []
    if erased:
        content.append(el("p", words.say("erase.done"), role="status", class_="cmw-saved"))
    if _holds(stored):
        download = view.address("data", format="json")
        content += [el("p", words.say("data.intro")), _shown(view, stored, DEEPEST)]
        content.append(el("p", link(download, words.say("data.download"), download="data.json")))
    else:
        content.append(el("p", words.say("data.nothing"), class_="cmw-card"))
    content += [
        el("h2", words.say("erase.title")),
        el("p", words.say("erase.text")),
        el(
            "form",
            el("input", type="hidden", name="return", value=view.address("data", erased="1")),
            el(
                "div", el("button", words.say("erase.title"), type="submit", class_="cmw-quiet"), class_="cmw-buttons"
            ),
            method="post",
            action=f"{view.prefix}/erase",
        ),
    ]
    return page(view, words.say("nav.data"), *content, here="data")


def _holds(value: object) -> bool:
    """Whether anything is stored in this value, however deep."""
    if isinstance(value, Mapping):
        return any(_holds(one) for one in value.values())
    if isinstance(value, list | tuple):
        return any(_holds(one) for one in value)
    return value not in (None, "", False)


def _shown(view: View, value: object, levels: int, name: str = "") -> str:
    """A value of what is stored under this name, as a person reads it."""
    if isinstance(value, Mapping) and levels:
        return facts(
            *((_named(view, str(one)), _shown(view, held, levels - 1, str(one))) for one, held in value.items())
        )
    if isinstance(value, list | tuple) and levels:
        return bullets(*(_shown(view, one, levels - 1) for one in value)) if value else ""
    if isinstance(value, bool):
        return view.words.say("now.on" if value else "now.off")
    text = "" if value is None else str(value)
    if name == "jws" and text:
        return _signed(view, text)
    return view.words.label(text) if name == "jurisdiction" and text else _moment(view, text)


def _named(view: View, name: str) -> str:
    known = _WORDS.get(name)
    return view.words.say(known) if known else _SIGNALS.get(name) or view.words.label(name)


def _moment(view: View, text: str) -> str:
    """A point in time as people write it; any other text as it is."""
    if not _INSTANT.fullmatch(text):
        return text
    try:
        seconds = int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return text
    return view.words.moment(seconds) or text


def _signed(view: View, signed: str) -> Markup:
    """A receipt's signed form, folded away."""
    folded = view.words.say("receipts.signed")
    area = el("textarea", signed, readonly=True, spellcheck="false", dir="ltr", aria_label=folded)
    return el("details", el("summary", folded), area)


def _receipt(view: View, number: int, claims: Mapping[str, object]) -> Markup:
    words = view.words
    signed = str(claims.get("jws") or "")
    place = _text(claims, "jurisdiction")
    return el(
        "article",
        el("h2", words.say("receipts.receipt", number=str(number))),
        facts(
            (words.say("status.at"), _moment(view, _text(claims, "at"))),
            (words.say("receipts.yes"), _answered(view, claims, yes=True)),
            (words.say("receipts.no"), _answered(view, claims, yes=False)),
            (words.say("signals.title"), _signals(view, claims)),
            (words.say("status.region"), words.label(place) if place else ""),
            (words.say("foot.revision"), _text(claims, "revision")),
            (words.say("receipts.id"), _text(claims, "receipt")),
            (words.say("receipts.previous"), _text(claims, "previous")),
        ),
        _signed(view, signed) if signed else Markup(),
    )


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    return "" if value is None else str(value)


def _answered(view: View, claims: Mapping[str, object], *, yes: bool) -> str:
    answers = claims.get("purposes")
    if not isinstance(answers, Mapping):
        return ""
    return view.words.labels([str(name) for name, answer in answers.items() if answer is yes])


def _signals(view: View, claims: Mapping[str, object]) -> str:
    signals = claims.get("signals")
    if not isinstance(signals, Mapping):
        return ""
    return view.words.listing([str(name).upper() for name, value in signals.items() if value is True])
