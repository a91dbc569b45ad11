"""Answering: a person's choice becomes a receipt, a cookie and a recall, in that order of importance.

Rule: a no is never lost: with the store down, or above the limit, the cookie alone carries it.
Rule: a yes needs its receipt first; without one it is not taken, but the no beside it is.
Rule: the same choice again writes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from consent_mw.asgi.routes.guard import RefusedRequest
from consent_mw.core.consent import Consent, choose, standing
from consent_mw.core.explain import rfc3339
from consent_mw.core.facts import Facts
from consent_mw.core.ledger import choice as choice_entry
from consent_mw.core.policy import Policy
from consent_mw.core.terms import Answer, Signal, Status
from consent_mw.errors import StoreError
from consent_mw.world.store import ReceiptRow

if TYPE_CHECKING:
    from consent_mw.asgi.exchange import Exchange

WITHDRAWAL = "withdrawal"

CURRENT = (Status.GIVEN, Status.REFUSED, Status.PARTIAL)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person sent: answers by purpose (None: no answer among it), and that a notice was read."""

    answers: Mapping[str, bool] | None = None
    seen: bool = False
    how: str = "api"


async def answer(exchange: Exchange, choice: Choice) -> bool:
    """Take the choice into the exchange (consent, facts, decision). Returns whether anything changed.

    Raises RefusedRequest 503 where a yes cannot be recorded, 429 above the limit of this address; what the choice
    refuses is taken even then.
    """
    facts = exchange.facts
    if facts is None:
        raise ValueError("an exchange without facts takes no choice")
    policy = exchange.rules.policy
    before = exchange.consent
    if choice.answers is None:
        return _seen(exchange, before, policy) if choice.seen else False
    after = choose(before, choice.answers, policy, facts.jurisdiction, facts.now)
    now_says = standing(before, policy, facts.jurisdiction, facts.now)
    then_says = standing(after, policy, facts.jurisdiction, facts.now)
    if now_says.answers == then_says.answers and now_says.status in CURRENT:
        return _seen(exchange, before, policy)
    agrees = any(
        then is Answer.YES and now is not Answer.YES
        for now, then in zip(now_says.answers, then_says.answers, strict=True)
    )
    reason = WITHDRAWAL if choice.how == "withdraw" else "choice"
    # Asked for before the receipt: a crash in between must not leave a no on record beside what it takes back.
    refused = frozenset(name for name, yes in after.answers.items() if not yes)
    recalled = exchange.gate.reporter.recall(exchange, reason, refused) if refused else None
    refusal = await _record(exchange, before, after, choice.how, agrees=agrees)
    if recalled is not None:
        await exchange.gate.settled(recalled)
    if refusal is None:
        exchange.gate.count(f"choice_{then_says.status.value}")
        await exchange.gate.recall_denied(exchange, reason)
        return True
    if agrees:
        after = _only_the_no(before, choice.answers, policy, facts)
        if after == before:
            raise refusal
        exchange.take(after)
    await exchange.gate.recall_denied(exchange, reason)
    if agrees or refusal.status == 429:
        raise refusal
    return True


async def withdraw(exchange: Exchange, how: str) -> bool:
    """Refuse every optional purpose and recall what is queued for this browser."""
    everything = {one.name: False for one in exchange.rules.policy.optional_purposes}
    changed = await answer(exchange, Choice(everything, how=how))
    await exchange.gate.recall_denied(exchange, WITHDRAWAL)
    return changed


def _only_the_no(before: Consent, answers: Mapping[str, bool], policy: Policy, facts: Facts) -> Consent:
    """The consent with what these answers newly refuse, where their yes cannot be taken; else `before` itself."""
    names = {one.name for one in policy.optional_purposes if before.answers.get(one.name) is not False}
    refused = {name: False for name, yes in answers.items() if name in names and not yes}
    return choose(before, refused, policy, facts.jurisdiction, facts.now) if refused else before


async def _record(
    exchange: Exchange, before: Consent, after: Consent, how: str, *, agrees: bool
) -> RefusedRequest | None:
    """Write the receipt and take the new consent; a pure no is taken even where no receipt can be written.

    Returns why there is no receipt, if there is none.
    """
    refusal: RefusedRequest | None = None
    try:
        if not exchange.gate.limiter.admits(exchange.address):
            refusal = RefusedRequest(429, "too many choices from this address; try again in a minute")
        else:
            after = await _with_receipt(exchange, before, after, how)
    except StoreError:
        exchange.gate.count("store_failed")
        refusal = RefusedRequest(503, "your choice cannot be recorded right now, so that no yes was taken")
    if refusal is None or not agrees:
        exchange.take(after)
    return refusal


async def _with_receipt(exchange: Exchange, before: Consent, after: Consent, how: str) -> Consent:
    gate = exchange.gate
    chain = await gate.store_result(lambda store: store.receipt(before.receipt)) if before.receipt else None
    identity = secrets.token_urlsafe(16)
    root = chain.root if chain is not None else identity
    claims = _claims(exchange, after, identity, before.receipt if chain is not None else "", how)
    row = ReceiptRow(id=identity, root=root, previous=before.receipt, at=after.at, jws=gate.signer.sign(claims))
    entry = choice_entry(
        identity, after.answers,
        revision=str(claims["revision"]), jurisdiction=str(claims["jurisdiction"]), how=how,
        withdrawn=how == "withdraw",
    )  # fmt: skip
    visitor = gate.reporter.visitor(exchange)
    await gate.store_result(lambda store: store.add_receipt(row, entry, visitor=visitor))
    return after.kept_as(identity)


def _seen(exchange: Exchange, before: Consent, policy: Policy) -> bool:
    if before.seen == policy.revision or exchange.facts is None:
        return False
    exchange.take(replace(before, seen=policy.revision, issued=exchange.facts.now))
    return True


def _claims(exchange: Exchange, consent: Consent, identity: str, previous: str, how: str) -> dict[str, object]:
    """The receipt: what was chosen, when, where and how, under which policy; nothing that says who."""
    policy = exchange.rules.policy
    facts = exchange.facts
    decision = exchange.decision
    if facts is None or decision is None:
        raise ValueError("an exchange without facts has no receipt")
    return {
        "receipt": identity,
        "previous": previous or None,
        "at": rfc3339(consent.at),
        "site": policy.site.name,
        "origin": policy.site.origin or None,
        "policy_url": policy.site.policy_url,
        "revision": policy.revision,
        "policy_digest": policy.digest,
        "jurisdiction": facts.jurisdiction.name,
        "regime": facts.jurisdiction.regime.value,
        "purposes": dict(consent.answers),
        "signals": {Signal.DNT.value: facts.dnt, Signal.GPC.value: facts.gpc},
        "how": how,
    }
