"""POST choice and POST withdraw: a person gives, refuses or takes back consent."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from consent_mw.asgi import answering
from consent_mw.asgi.answering import Choice
from consent_mw.asgi.exchange import Exchange
from consent_mw.asgi.routes.guard import FORM, JSON, Posted, RefusedRequest, heard, same_site_path
from consent_mw.asgi.routes.page_events import shown
from consent_mw.asgi.routes.replies import exchange_of, see_other, state_reply
from consent_mw.core.decision import STATUS_IDS
from consent_mw.core.policy import Policy
from consent_mw.core.terms import TrackingStatus

TYPES = frozenset({FORM, JSON})

_UPDATED = f"{TrackingStatus.UPDATED.value};{STATUS_IDS[TrackingStatus.UPDATED]}"


async def choose(request: Request) -> Response:
    """Take a choice, as JSON or as a form (SPEC 6)."""
    posted = await heard(request, types=TYPES)
    exchange = exchange_of(request)
    _must_be_enforced(exchange)
    policy = exchange.rules.policy
    choice = form_choice(posted.pairs(), policy) if posted.form else json_choice(posted.document(), policy)
    changed = await answering.answer(exchange, choice)
    return _answered(exchange, posted, changed=changed)


async def withdraw(request: Request) -> Response:
    """Refuse everything optional, recall what is queued, expire what was set."""
    posted = await heard(request, types=TYPES, empty=True)
    exchange = exchange_of(request)
    _must_be_enforced(exchange)
    changed = await answering.withdraw(exchange, "withdraw")
    return _answered(exchange, posted, changed=changed)


def form_choice(pairs: list[tuple[str, str]], policy: Policy) -> Choice:
    """The choice that a form makes: `all=accept`, `all=reject`, `seen=1`, or `purpose=…` (not named: refused; with
    `keep=1`, as from a frame that asks for itself, it keeps its answer)."""
    everything = [value for name, value in pairs if name == "all"]
    named = [value for name, value in pairs if name == "purpose"]
    optional = [one.name for one in policy.optional_purposes]
    if everything:
        if everything[-1] not in ("accept", "reject"):
            raise RefusedRequest(400, "`all` is `accept` or `reject`")
        return Choice(dict.fromkeys(optional, everything[-1] == "accept"), how="form")
    if any(name == "seen" for name, _ in pairs) and not named:
        return Choice(seen=True, how="form")
    _must_be_known(dict.fromkeys(named, True), policy)
    if named and any(name == "keep" for name, _ in pairs):
        return Choice(dict.fromkeys(named, True), how="form")
    return Choice({name: name in named for name in optional}, how="form")


def json_choice(sent: Mapping[str, object], policy: Policy) -> Choice:
    """The choice that a JSON object makes; a purpose it does not name keeps its answer, an essential one has none.

    What answers nothing is no answer: a receipt would show a person who chose, and chose nothing.
    """
    unknown = sorted(set(sent) - {"purposes", "all", "seen"})
    if unknown:
        raise RefusedRequest(400, f"`{shown(unknown[0])}` is not one of `purposes`, `all`, `seen`")
    if not sent:
        raise RefusedRequest(400, "send `purposes`, `all` or `seen`")
    for name in ("all", "seen"):
        if name in sent and not isinstance(sent[name], bool):
            raise RefusedRequest(400, f"`{name}` must be true or false")
    answers: dict[str, bool] = {}
    if "all" in sent:
        answers.update({one.name: bool(sent["all"]) for one in policy.optional_purposes})
    if "purposes" in sent:
        answers.update(_purposes(sent["purposes"], policy))
    asked = {one.name for one in policy.optional_purposes}
    chosen = answers if "all" in sent or not asked.isdisjoint(answers) else None
    return Choice(chosen, seen=sent.get("seen") is True, how="json")


def _purposes(sent: object, policy: Policy) -> dict[str, bool]:
    if not isinstance(sent, dict):
        raise RefusedRequest(400, "`purposes` must be an object of purposes to true or false")
    answers: dict[str, bool] = {}
    for name, yes in sent.items():
        if not isinstance(yes, bool):
            raise RefusedRequest(400, "each of `purposes` must be true or false")
        answers[str(name)] = yes
    _must_be_known(answers, policy)
    return answers


def _must_be_known(answers: Mapping[str, bool], policy: Policy) -> None:
    if any(policy.purpose(name) is None for name in answers):
        raise RefusedRequest(400, "the policy has no such purpose")


def _must_be_enforced(exchange: Exchange) -> None:
    if not exchange.rules.enforced:
        raise RefusedRequest(409, "this policy is in report mode, so it asks for nothing and sets nothing")


def _answered(exchange: Exchange, posted: Posted, *, changed: bool) -> Response:
    decision = exchange.decision
    facts = exchange.facts
    if decision is None or facts is None:
        raise ValueError("a choice is answered under a decision")
    cookies = exchange.gate.changed_cookies(exchange)
    if posted.form:
        wanted = dict(posted.pairs()).get("return", "")
        preferences = exchange.rules.prefix.decode() + "/preferences?saved=1"
        answer = see_other(exchange, same_site_path(wanted, preferences), cookies)
    else:
        answer = state_reply(exchange, decision, facts, cookies)
    if changed:
        answer.headers["tk"] = _UPDATED
    return answer
