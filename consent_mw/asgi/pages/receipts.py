"""The pages of a person's own records: receipts of choices, and all that is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from consent_mw.asgi.pages.markup import Markup, el, facts, label, link, listing
from consent_mw.asgi.pages.shell import Links, page, prefix_of, sentence
from consent_mw.asgi.pages.texts import say
from consent_mw.core.policy import Policy


def receipts_page(policy: Policy, receipts: Sequence[Mapping[str, object]], *, links: Links) -> bytes:
    """The receipts of this browser, in the order given: their claims, and `jws`, the signed form."""
    keys = link(f"{prefix_of(policy)}/keys.json", say("receipts.keys"))
    content: list[str] = [el("p", sentence("receipts.intro", keys=keys))]
    if not receipts:
        content.append(el("p", say("receipts.none"), class_="cmw-card"))
    for number, claims in zip(range(len(receipts), 0, -1), receipts, strict=True):
        content.append(_receipt(number, claims))
    return page(policy, say("receipts.title"), *content, links=links, here="receipts")


def data_page(policy: Policy, stored: Mapping[str, object], *, links: Links) -> bytes:
    """All that is stored about this browser, with the way to erase it."""
    record = json.dumps(stored, ensure_ascii=False, indent=2, default=str)
    return page(
        policy,
        say("data.title"),
        el("p", say("data.intro")),
        el("textarea", record, readonly=True, rows="16", spellcheck="false", aria_label=say("data.stored")),
        el("h2", say("data.erase")),
        el("p", say("data.erase.text")),
        el(
            "form",
            el("input", type="hidden", name="return", value=f"{prefix_of(policy)}/data"),
            el("div", el("button", say("data.erase"), type="submit", class_="cmw-quiet"), class_="cmw-buttons"),
            method="post",
            action=f"{prefix_of(policy)}/erase",
        ),
        links=links,
        here="data",
    )


def _receipt(number: int, claims: Mapping[str, object]) -> Markup:
    title = say("receipts.receipt", number=str(number))
    signed = str(claims.get("jws") or "")
    details = el(
        "details",
        el("summary", say("receipts.signed")),
        el("textarea", signed, readonly=True, spellcheck="false", aria_label=say("receipts.signed")),
    )
    return el(
        "article",
        el("h2", title),
        facts(
            (say("receipts.at"), _text(claims, "at")),
            (say("receipts.yes"), _answered(claims, yes=True)),
            (say("receipts.no"), _answered(claims, yes=False)),
            (say("receipts.signals"), _signals(claims)),
            (say("receipts.jurisdiction"), label(_text(claims, "jurisdiction"))),
            (say("receipts.revision"), _text(claims, "revision")),
            (say("receipts.id"), _text(claims, "receipt")),
            (say("receipts.previous"), _text(claims, "previous")),
            (say("receipts.how"), _text(claims, "how")),
        ),
        details if signed else Markup(),
    )


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    return "" if value is None else str(value)


def _answered(claims: Mapping[str, object], *, yes: bool) -> str:
    answers = claims.get("purposes")
    if not isinstance(answers, Mapping):
        return ""
    return listing(tuple(label(str(name)) for name, answer in answers.items() if answer is yes))


def _signals(claims: Mapping[str, object]) -> str:
    signals = claims.get("signals")
    if not isinstance(signals, Mapping):
        return ""
    return listing(tuple(str(name).upper() for name, value in signals.items() if value is True))
