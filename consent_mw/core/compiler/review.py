"""What a sound policy probably does not mean, or what law speaks against: warnings, seen over the whole of it.

Rule: a warning never changes what the policy does; it says what was found, where, and what would mend it.
Rule: what law says is told as a fact with its source, as far as it is known here; it is no legal advice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from consent_mw.core.compiler.report import Report, quoted
from consent_mw.core.coverage import every_rule
from consent_mw.core.document import Entry, Node
from consent_mw.core.policy import DAY, CookieRule, Jurisdiction, Policy, SignalEffect
from consent_mw.core.regions import COUNTRIES, EEA
from consent_mw.core.terms import Effect, Regime, Signal
from consent_mw.errors import Label, Place

THIRTEEN_MONTHS = 395 * DAY
"""How long a cookie of audience measurement may last at most (CNIL, délibération 2020-091 and after)."""

OPT_IN_COUNTRIES = EEA | {"GB"}
"""Where storing on a device needs a yes (Art. 5(3) of directive 2002/58/EC; PECR)."""

GPC_STATES = tuple(f"US-{one}" for one in ("CA", "CO", "CT", "DE", "MD", "MN", "MT", "NE", "NH", "NJ", "OR", "TX"))
"""States whose law makes Global Privacy Control an opt-out (11 CCR 7025 and laws like it)."""

ADEQUATE = EEA | frozenset(("AD", "AR", "CA", "CH", "FO", "GB", "GG", "IL", "IM", "JE", "JP", "KR", "NZ", "UY"))
"""Where personal data from the EEA may go without a further basis (Art. 45 GDPR); the US only with the DPF."""

Finding = tuple[Node | Entry | Place, str, str, str] | tuple[Node | Entry | Place, str, str, str, Label]
"""Where, the code, the sentence, the help, and the other line that it is about."""


def review(policy: Policy, root: Node, report: Report) -> None:
    """Note every warning about the policy as a whole."""
    for look in _LOOKS:
        for finding in look(policy, root):
            report.warning(*finding)


def _unused_purposes(policy: Policy, root: Node) -> Iterator[Finding]:
    used = {one.purpose for rules in (policy.cookies, policy.vendors, policy.features) for one in rules}
    used |= {policy.identifier.purpose} if policy.identifier is not None else set()
    for purpose in policy.optional_purposes:
        if purpose.name not in used:
            message = f"purpose {quoted(purpose.name)} has no cookie, vendor, feature or identifier"
            advice = "visitors are asked for what decides nothing here; name what it is for, or remove it"
            yield _at(root, "purpose", purpose.name) or purpose.place, "unused-purpose", message, advice


def _idle_vendors(policy: Policy, root: Node) -> Iterator[Finding]:
    for vendor in policy.vendors:
        if not any(vendor.fields_for(place.name) for place in policy.jurisdictions):
            message = f"vendor {quoted(vendor.name)} gets nothing in any jurisdiction"
            yield (
                _at(root, "vendor", vendor.name) or vendor.place,
                "idle-vendor",
                message,
                "remove it, or give it fields",
            )


def _idle_features(policy: Policy, root: Node) -> Iterator[Finding]:
    everywhere = {one.name for one in policy.jurisdictions}
    for feature in policy.features:
        if feature.denied_in >= everywhere:
            message = f"feature {quoted(feature.name)} is offered nowhere"
            yield (
                _at(root, "feature", feature.name, "denied_in") or feature.place,
                "idle-feature",
                message,
                "remove it",
            )


def _redundant_cookies(policy: Policy, root: Node) -> Iterator[Finding]:
    wildcards = {rule.pattern[:-1]: rule for rule in policy.cookies if rule.pattern.endswith("*")}
    for number, rule in enumerate(policy.cookies):
        wider = _wider(rule, wildcards)
        if wider is not None and _says(wider) == _says(rule):
            message = (
                f"cookie {quoted(rule.pattern)} is already covered by {quoted(wider.pattern)}, which says the same"
            )
            advice = f"remove it; {quoted(wider.pattern)} is on line {wider.place.line}"
            at = _at(root, "cookie", number, "name") or rule.place
            yield (
                at,
                "redundant-cookie",
                message,
                advice,
                _label(_at(root, "cookie", policy.cookies.index(wider), "name") or wider.place, "this one covers it"),
            )


def _wider(rule: CookieRule, wildcards: Mapping[str, CookieRule]) -> CookieRule | None:
    """The wildcard that would name this cookie, were this rule not there."""
    beginning = rule.pattern.removesuffix("*")
    found = (wildcards.get(beginning[:length]) for length in range(len(beginning), -1, -1))
    return next((one for one in found if one is not None and one is not rule), None)


def _says(rule: CookieRule) -> tuple[object, ...]:
    return rule.purpose, rule.lasts, rule.secure, rule.same_site


def _long_lives(policy: Policy, root: Node) -> Iterator[Finding]:
    rules: list[tuple[str, int | None, Node | Entry | Place]] = []
    if policy.identifier is not None:
        rules.append(
            ("`[identifier]`", policy.identifier.lasts, _at(root, "identifier", "lasts") or policy.identifier.place)
        )
    for number, rule in enumerate(policy.cookies):
        purpose = policy.purpose(rule.purpose)
        if purpose is not None and not purpose.essential:
            rules.append(
                (f"cookie {quoted(rule.pattern)}", rule.lasts, _at(root, "cookie", number, "lasts") or rule.place)
            )
    for label, lasts, at in rules:
        # Beyond 400 days there is a warning of its own.
        if lasts is not None and THIRTEEN_MONTHS < lasts <= 400 * DAY:
            message = f"{label} lasts longer than 13 months"
            yield at, "longer-than-13-months", message, 'write at most "395d" (CNIL, délibération 2020-091)'


def _dnt_in_the_eea(policy: Policy, root: Node) -> Iterator[Finding]:
    rule = policy.signals.get(Signal.DNT)
    for place in policy.jurisdictions:
        countries = _countries_in(place, policy, EEA)
        if not countries or not policy.optional_purposes:
            continue
        effect = rule.effect_in(place.name) if rule is not None else None
        if (effect is None and place.regime is Regime.OPT_IN) or (effect and effect.effect is Effect.REFUSE):
            continue
        message = f"signal `dnt` is ignored in jurisdiction {quoted(place.name)}, which covers {_few(countries)}"
        advice = (
            "a court held DNT to be an objection (LG Berlin, 16 O 420/19; Art. 21(5) GDPR); write"
            f' `in.{place.name} = {{ effect = "refuse", purposes = [...] }}` in `[signal.dnt]`'
        )
        yield (
            _at(root, "signal", "dnt", "effect") or _at(root, "jurisdiction", place.name) or place.place,
            "dnt-ignored-in-eea",
            message,
            advice,
        )


def _gpc_where_law_binds(policy: Policy, root: Node) -> Iterator[Finding]:
    rule = policy.signals.get(Signal.GPC)
    for place in policy.jurisdictions:
        states = [one for one in GPC_STATES if _place_of(one, policy) is place]
        if not states or place.regime is Regime.OPT_IN or not policy.optional_purposes:
            continue
        effect = rule.effect_in(place.name) if rule is not None else None
        if effect is not None and _refuses(effect):
            continue
        message = f"signal `gpc` is not honoured in jurisdiction {quoted(place.name)}, which covers {_few(states)}"
        advice = (
            "the law of these states makes it an opt-out of sale and of advertising (11 CCR 7025); write"
            ' `effect = "refuse"` with `purposes` in `[signal.gpc]`'
        )
        yield (
            _at(root, "signal", "gpc", "effect") or _at(root, "jurisdiction", place.name) or place.place,
            "gpc-not-honoured",
            message,
            advice,
        )


def _opt_out_where_a_yes_is_needed(policy: Policy, root: Node) -> Iterator[Finding]:
    for place in policy.jurisdictions:
        countries = _countries_in(place, policy, OPT_IN_COUNTRIES) if place.regime is Regime.OPT_OUT else []
        if countries and policy.optional_purposes:
            message = f"jurisdiction {quoted(place.name)} is opt-out and covers {_few(countries)}"
            advice = "storing on a device needs a yes there (directive 2002/58/EC 5(3), PECR); list them as opt-in"
            at = _at(root, "jurisdiction", place.name, "regime") or place.place
            yield at, "opt-out-in-opt-in-country", message, advice


def _transfers(policy: Policy, root: Node) -> Iterator[Finding]:
    for vendor in policy.vendors:
        if not vendor.country or vendor.country in ADEQUATE or vendor.transfer_basis:
            continue
        places = [one for one in policy.jurisdictions if vendor.fields_for(one.name)]
        if any(_countries_in(one, policy, EEA | {"GB"}) for one in places):
            message = f"vendor {quoted(vendor.name)} processes in {vendor.country} without a `transfer_basis`"
            advice = 'name what the transfer rests on (chapter V GDPR), as in `transfer_basis = "SCC"`'
            yield _at(root, "vendor", vendor.name, "country") or vendor.place, "no-transfer-basis", message, advice


def _rules_without_a_clause(policy: Policy, root: Node) -> Iterator[Finding]:
    if not policy.clauses:
        return
    resting = {one.name for one in policy.purposes if one.essential or one.clauses}
    serves = {("purpose", one.name): one.name for one in policy.purposes}
    serves |= {("cookie", one.pattern): one.purpose for one in policy.cookies}
    serves |= {("vendor", one.name): one.purpose for one in policy.vendors}
    serves |= {("feature", one.name): one.purpose for one in policy.features}
    if policy.identifier is not None:
        serves["identifier", policy.identifier.cookie] = policy.identifier.purpose
    for sort, name, place, clauses in every_rule(policy):
        if clauses or serves.get((sort, name)) in resting:
            continue
        message = f"{sort} {quoted(name)} cites no clause"
        advice = "name the sentence of the published policy that it carries out (`clause = [...]`)"
        yield _at(root, sort, name) or place, "rule-without-clause", message, advice


_LOOKS: tuple[Callable[[Policy, Node], Iterable[Finding]], ...] = (
    _unused_purposes,
    _idle_vendors,
    _idle_features,
    _redundant_cookies,
    _long_lives,
    _dnt_in_the_eea,
    _gpc_where_law_binds,
    _opt_out_where_a_yes_is_needed,
    _transfers,
    _rules_without_a_clause,
)


def _at(root: Node, *path: str | int) -> Entry | Node | None:
    """What stands at this path of the file, if something does: a value where the path ends in a setting's name."""
    node, entry = root, None
    for step in path:
        if isinstance(step, int):
            if step >= len(node.items):
                return None
            node, entry = node.items[step], None
            continue
        entry = node.entries.get(step)
        if entry is None:
            return None
        node = entry.node
    return entry if entry is not None and node.entries else node


def _label(at: Node | Entry | Place, text: str) -> Label:
    return Label(at, text) if isinstance(at, Place) else Label(at.place, text, at.length)


def _place_of(region: str, policy: Policy) -> Jurisdiction:
    country = region.partition("-")[0]
    return policy.jurisdiction_of(region) or policy.jurisdiction_of(country) or policy.catch_all


def _countries_in(place: Jurisdiction, policy: Policy, among: Iterable[str]) -> list[str]:
    """Those of these countries that the jurisdiction covers."""
    return [one for one in sorted(among) if one in COUNTRIES and _place_of(one, policy) is place]


def _refuses(effect: SignalEffect) -> bool:
    return effect.effect is Effect.REFUSE and bool(effect.purposes)


def _few(regions: list[str]) -> str:
    return ", ".join(regions[:4]) + (f" and {len(regions) - 4} more" if len(regions) > 4 else "")
