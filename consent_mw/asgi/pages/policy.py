"""The policy as a page: all that the rules do, by purpose, cookie, vendor, region and signal, with their clauses."""

from __future__ import annotations

from consent_mw.asgi.pages.clauses import clauses_section
from consent_mw.asgi.pages.markup import Markup, bullets, el, facts, join, table
from consent_mw.asgi.pages.preferences import verdict_of
from consent_mw.asgi.pages.shell import View, page
from consent_mw.asgi.pages.signals import signal_lines
from consent_mw.asgi.pages.words import SIGNALS
from consent_mw.core.decision import Decision
from consent_mw.core.policy import CookieRule, SignalEffect, SignalRule, Vendor
from consent_mw.core.terms import Effect, Mode, Signal


def policy_page(view: View, decision: Decision) -> bytes:
    """Everything that the policy does, and what of it applies to this visitor."""
    words, policy = view.words, view.policy
    content = [el("p", words.say("policy.intro", site=policy.site.name))]
    if policy.mode is Mode.REPORT:
        content.append(el("p", words.say("preferences.report", site=policy.site.name), class_="cmw-card"))
    content += [
        _section(view, "purposes", _purposes(view, decision)),
        _section(view, "cookies", _cookies(view)),
        _section(view, "vendors", _vendors(view, decision)),
        _section(view, "places", _places(view, decision)),
        _section(view, "signals", _signals(view, decision)),
        _section(view, "features", _features(view)) if policy.features else Markup(),
        _section(view, "records", _records(view)),
        _section(view, "clauses", clauses_section(view)) if policy.clauses else Markup(),
    ]
    return page(view, words.say("nav.policy"), *content, here="policy", decision=decision)


def _section(view: View, name: str, *content: str) -> Markup:
    return el("section", el("h2", view.words.say(f"{name}.title")), *content, id=name)


def _purposes(view: View, decision: Decision) -> Markup:
    words = view.words
    rows: list[tuple[str, ...]] = [
        (words.label(one.name), el("bdi", words.purpose(one)), verdict_of(view, decision, one))
        for one in view.policy.purposes
    ]
    columns = (words.say("purposes.purpose"), words.say("purposes.what"), words.say("purposes.now"))
    return table(words.say("purposes.title"), columns, rows)


def _cookies(view: View) -> Markup:
    words, policy = view.words, view.policy
    own = "__Secure-consent" if policy.site.cookie_domain else "__Host-consent"
    essential = next((one.name for one in policy.purposes if one.essential), "")
    named = words.sentence("cookies.own", name=el("code", own))
    rows: list[tuple[str, ...]] = [(named, words.label(essential), words.duration(400 * 86_400))]
    rule = policy.identifier
    if rule is not None:
        named = words.sentence("cookies.identifier", name=el("code", rule.cookie))
        rows.append((named, words.label(rule.purpose), words.duration(rule.lasts)))
    rows += [_cookie(view, one) for one in policy.cookies]
    columns = (words.say("cookies.name"), words.say("purposes.purpose"), words.say("cookies.lasts"))
    unlisted = "cookies.kept" if policy.keep_unlisted else "cookies.unlisted"
    return join(table(words.say("cookies.title"), columns, rows), el("p", words.say(unlisted), class_="cmw-muted"))


def _cookie(view: View, rule: CookieRule) -> tuple[str, ...]:
    words = view.words
    begins = rule.pattern.endswith("*")
    stem = el("code", rule.pattern[:-1] if begins else rule.pattern)
    name = words.sentence("cookies.begins", name=stem) if begins else stem
    lasts = words.say("cookies.session") if rule.lasts is None else words.duration(rule.lasts)
    return name, words.label(rule.purpose), lasts


def _vendors(view: View, decision: Decision) -> Markup:
    if not view.policy.vendors:
        return el("p", view.words.say("vendors.none"))
    return join(*(_vendor(view, one, decision) for one in view.policy.vendors))


def _vendor(view: View, vendor: Vendor, decision: Decision) -> Markup:
    words = view.words
    fields = [
        (
            words.say("vendors.fields", jurisdiction=words.label(place.name)),
            words.fields(vendor.fields_for(place.name)),
        )
        for place in view.policy.jurisdictions
    ]
    told = facts(
        (words.say("purposes.purpose"), words.label(vendor.purpose)),
        (words.say("vendors.country"), words.region(vendor.country) if vendor.country else ""),
        (words.say("vendors.basis"), vendor.transfer_basis),
        (words.say("vendors.hosts"), ", ".join(vendor.hosts)),
        *fields,
        (words.say("vendors.now"), words.fields(decision.fields.get(vendor.name, ()))),
    )
    return el("div", el("h3", words.label(vendor.name)), told, class_="cmw-card")


def _places(view: View, decision: Decision) -> Markup:
    words = view.words
    rows: list[tuple[str, ...]] = []
    for one in view.policy.jurisdictions:
        name = words.label(one.name)
        shown = words.say("places.yours", jurisdiction=name) if one is decision.jurisdiction else name
        where = words.listing([words.region(code) for code in one.declared])
        rows.append((shown, where, words.say(f"regime.{one.regime.value}"), words.duration(one.lasts)))
    columns = tuple(words.say(f"places.{one}") for one in ("rules", "where", "regime", "asked"))
    return table(words.say("places.title"), columns, rows)


def _signals(view: View, decision: Decision) -> Markup:
    now = dict(signal_lines(view, decision))
    shown = []
    for signal in (Signal.GPC, Signal.DNT):
        answers = _answers(view, view.policy.signals.get(signal))
        here = (view.words.say("purposes.now"), now[SIGNALS[signal]])
        shown.append(el("div", el("h3", SIGNALS[signal]), facts(*answers, here), class_="cmw-card"))
    return join(*shown)


def _answers(view: View, rule: SignalRule | None) -> list[tuple[str, str]]:
    """How the signal is answered in each jurisdiction that answers it differently, then everywhere else."""
    words = view.words
    if rule is None:
        return [(words.say("signals.everywhere"), words.say("signals.ignored"))]
    special = [
        (words.label(one.name), _effect(view, rule.overrides[one.name], rule))
        for one in view.policy.jurisdictions
        if one.name in rule.overrides
    ]
    rest = "signals.elsewhere" if special else "signals.everywhere"
    return [*special, (words.say(rest), _effect(view, rule.everywhere, rule))]


def _effect(view: View, effect: SignalEffect, rule: SignalRule) -> str:
    words = view.words
    if effect.effect is Effect.IGNORE:
        return words.say("signals.ignored")
    key = "signals.yields" if rule.yields_to_consent else "signals.refuses"
    return words.say(key, purposes=words.labels(sorted(effect.purposes)))


def _features(view: View) -> Markup:
    words = view.words
    items = []
    for one in view.policy.features:
        purpose = words.label(one.purpose)
        denied = [place.name for place in view.policy.jurisdictions if place.name in one.denied_in]
        if denied:
            told = words.say("features.denied", purpose=purpose, jurisdictions=words.labels(denied))
        else:
            told = words.say("features.needs", purpose=purpose)
        items.append(words.pair(el("b", words.label(one.name)), told))
    return bullets(*items)


def _records(view: View) -> Markup:
    words, kept = view.words, view.policy.retention
    return facts(
        (words.say("records.receipts"), words.duration(kept.receipts)),
        (words.say("records.ledger"), words.duration(kept.ledger)),
        (words.say("records.dead"), words.duration(kept.dead_letters)),
        (words.say("records.statistics"), words.duration(kept.statistics)),
    )
