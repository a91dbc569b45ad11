"""The policy as a page: all that the rules do, by purpose, cookie, vendor, region and signal, with their clauses."""

from __future__ import annotations

from consent_mw.asgi.pages.clauses import clauses_section
from consent_mw.asgi.pages.markup import Markup, bullets, duration, el, facts, join, label, listing, table
from consent_mw.asgi.pages.preferences import signal_lines, verdict_of
from consent_mw.asgi.pages.shell import Links, page, sentence
from consent_mw.asgi.pages.texts import say
from consent_mw.core.decision import Decision
from consent_mw.core.policy import ANYWHERE, CookieRule, Jurisdiction, Policy, SignalEffect, SignalRule, Vendor
from consent_mw.core.terms import Effect, Mode, Signal


def policy_page(policy: Policy, decision: Decision, *, links: Links) -> bytes:
    """Everything that the policy does, and what of it applies to this visitor."""
    content = [el("p", say("policy.intro", site=policy.site.name))]
    if policy.mode is Mode.REPORT:
        content.append(el("p", say("preferences.report", site=policy.site.name), class_="cmw-card"))
    content += [
        _section("purposes", _purposes(policy, decision)),
        _section("cookies", _cookies(policy)),
        _section("vendors", _vendors(policy, decision)),
        _section("jurisdictions", _jurisdictions(policy, decision)),
        _section("signals", _signals(policy, decision)),
        _section("features", _features(policy)) if policy.features else Markup(),
        _section("retention", _retention(policy)),
        _section("clauses", clauses_section(policy)) if policy.clauses else Markup(),
    ]
    return page(policy, say("policy.title"), *content, links=links, here="policy", decision=decision)


def _section(name: str, *content: str) -> Markup:
    heading = el("h2", say(f"policy.{name}"), id=f"{name}-heading")
    return el("section", heading, *content, id=name, aria_labelledby=f"{name}-heading")


def _purposes(policy: Policy, decision: Decision) -> Markup:
    rows: list[tuple[str, ...]] = [(label(one.name), one.text, verdict_of(decision, one)) for one in policy.purposes]
    return table(say("policy.purposes"), (say("policy.purpose"), say("policy.what"), say("policy.for-you")), rows)


def _cookies(policy: Policy) -> Markup:
    rows: list[tuple[str, ...]] = []
    own = "__Secure-consent" if policy.site.cookie_domain else "__Host-consent"
    essential = next((one.name for one in policy.purposes if one.essential), "")
    rows.append((sentence("policy.cookie.own", name=el("code", own)), label(essential), duration(400 * 86_400)))
    rule = policy.identifier
    if rule is not None:
        rows.append(
            (sentence("policy.identifier", name=el("code", rule.cookie)), label(rule.purpose), duration(rule.lasts))
        )
    rows += [_cookie(one) for one in policy.cookies]
    columns = (say("policy.cookie"), say("policy.purpose"), say("policy.lasts"))
    unlisted = "policy.unlisted.kept" if policy.keep_unlisted else "policy.unlisted"
    return join(table(say("policy.cookies"), columns, rows), el("p", say(unlisted), class_="cmw-muted"))


def _cookie(rule: CookieRule) -> tuple[str, ...]:
    begins = rule.pattern.endswith("*")
    stem = el("code", rule.pattern[:-1] if begins else rule.pattern)
    name = sentence("policy.cookie.begins", name=stem) if begins else stem
    lasts = say("policy.lasts.session") if rule.lasts is None else duration(rule.lasts)
    return name, label(rule.purpose), lasts


def _vendors(policy: Policy, decision: Decision) -> Markup:
    if not policy.vendors:
        return el("p", say("policy.vendors.none"))
    return join(*(_vendor(one, policy, decision) for one in policy.vendors))


def _vendor(vendor: Vendor, policy: Policy, decision: Decision) -> Markup:
    fields = [
        (
            say("policy.vendor.fields", jurisdiction=label(place.name)),
            ", ".join(vendor.fields_for(place.name)) or say("policy.nothing"),
        )
        for place in policy.jurisdictions
    ]
    now = ", ".join(decision.fields.get(vendor.name, ())) or say("policy.nothing")
    told = facts(
        (say("policy.purpose"), label(vendor.purpose)),
        (say("policy.vendor.where"), vendor.country),
        (say("policy.vendor.basis"), vendor.transfer_basis),
        (say("policy.vendor.hosts"), ", ".join(vendor.hosts)),
        *fields,
        (say("policy.vendor.now"), now),
    )
    return el("div", el("h3", label(vendor.name)), told, class_="cmw-card")


def _jurisdictions(policy: Policy, decision: Decision) -> Markup:
    rows: list[tuple[str, ...]] = [
        (
            say("policy.yours", jurisdiction=label(one.name)) if one is decision.jurisdiction else label(one.name),
            _regions(one),
            say(f"regime.{one.regime.value}"),
            duration(one.lasts),
        )
        for one in policy.jurisdictions
    ]
    columns = (say("policy.region"), say("policy.where"), say("policy.regime"), say("policy.asked"))
    return table(say("policy.jurisdictions"), columns, rows)


def _regions(place: Jurisdiction) -> str:
    return ", ".join(say("policy.anywhere") if one == ANYWHERE else one for one in place.declared)


def _signals(policy: Policy, decision: Decision) -> Markup:
    return join(*(_signal(one, policy, decision) for one in (Signal.GPC, Signal.DNT)))


def _signal(signal: Signal, policy: Policy, decision: Decision) -> Markup:
    rule = policy.signals.get(signal)
    now = dict(signal_lines(policy, decision))[say(f"signal.{signal.value}")]
    heading = el("h3", say(f"signal.{signal.value}"))
    return el("div", heading, facts(*_answers(rule, policy), (say("policy.for-you"), now)), class_="cmw-card")


def _answers(rule: SignalRule | None, policy: Policy) -> list[tuple[str, str]]:
    """How the signal is answered in each jurisdiction that answers it differently, then everywhere else."""
    if rule is None:
        return [(say("policy.signal.everywhere"), say("policy.signal.ignored"))]
    special = [
        (label(one.name), _effect(rule.overrides[one.name], rule))
        for one in policy.jurisdictions
        if one.name in rule.overrides
    ]
    rest = "policy.signal.elsewhere" if special else "policy.signal.everywhere"
    return [*special, (say(rest), _effect(rule.everywhere, rule))]


def _effect(effect: SignalEffect, rule: SignalRule) -> str:
    if effect.effect is Effect.IGNORE:
        return say("policy.signal.ignored")
    key = "policy.signal.yields" if rule.yields_to_consent else "policy.signal.refuses"
    return say(key, purposes=listing(tuple(map(label, sorted(effect.purposes)))))


def _features(policy: Policy) -> Markup:
    items = []
    for one in policy.features:
        denied = tuple(label(place.name) for place in policy.jurisdictions if place.name in one.denied_in)
        if denied:
            told = say("policy.feature.denied", purpose=label(one.purpose), jurisdictions=listing(denied))
        else:
            told = say("policy.feature", purpose=label(one.purpose))
        items.append(join(el("b", label(one.name)), f": {told}"))
    return bullets(*items)


def _retention(policy: Policy) -> Markup:
    kept = policy.retention
    return facts(
        (say("policy.retention.receipts"), duration(kept.receipts)),
        (say("policy.retention.ledger"), duration(kept.ledger)),
        (say("policy.retention.dead"), duration(kept.dead_letters)),
        (say("policy.retention.statistics"), duration(kept.statistics)),
    )
