"""The compiled rules. A Policy exists only if the file it came from was sound.

Rule: values only; whatever can be worked out before a request is worked out when the policy is compiled.
Rule: every rule knows its place in the file and the clauses that it carries out.
Rule: order is the file's order; "strictest" is opt-in before opt-out, then the first in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from consent_mw.core.terms import (
    Banner,
    CspMode,
    Effect,
    Mode,
    Overflow,
    Regime,
    SameSite,
    Signal,
    VendorKind,
)
from consent_mw.errors import Place

DAY = 86_400
"""Seconds in a day."""

ANYWHERE = "*"
"""The region of the one catch-all jurisdiction."""


@dataclass(frozen=True, slots=True)
class Site:
    """Who publishes the policy, and where. `origin` is a scheme and a host without a path, or empty."""

    name: str
    policy_url: str
    origin: str = ""
    contact: str = ""
    prefix: str = "/_consent"
    same_party: tuple[str, ...] = ()
    cookie_domain: str = ""
    stylesheet: str = ""
    logo: str = ""
    texts: str = ""
    shared_pages: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Which paths and what share of visitors (0 to 100) the policy covers. A path pattern may end in `*`."""

    exclude: tuple[str, ...] = ()
    percent: int = 100


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """Which peers (networks in CIDR notation) are believed, and which of their headers names the client."""

    trusted: tuple[str, ...] = ()
    header: str = "x-forwarded-for"


@dataclass(frozen=True, slots=True)
class Geo:
    """Which databases say where an address is (`builtin` or absolute paths), and what an unknown place means:
    a jurisdiction's name, or `strictest`."""

    databases: tuple[str, ...] = ("builtin",)
    unknown: str = "strictest"


@dataclass(frozen=True, slots=True)
class Clause:
    """A sentence of the published policy. `informational` says why nothing enforces it, or is empty."""

    id: str
    text: str
    place: Place
    informational: str = ""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What data is used for. `text` is the sentence the visitor reads."""

    name: str
    place: Place
    text: str = ""
    essential: bool = False
    clauses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Jurisdiction:
    """A set of regions with one regime. `regions` is expanded: country codes (`DE`), subdivisions (`US-CA`) or
    `*`; `declared` is what the file says. `lasts` is in seconds."""

    name: str
    place: Place
    regions: frozenset[str]
    declared: tuple[str, ...]
    regime: Regime
    banner: Banner
    lasts: int = 182 * DAY
    clauses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignalEffect:
    """What a signal does in one jurisdiction: `purposes` are refused when `effect` is refuse."""

    effect: Effect
    place: Place
    purposes: frozenset[str] = frozenset()
    clauses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignalRule:
    """How one signal is answered: everywhere, and per jurisdiction (by name) where that differs. A string comes in
    `cookie`, and refuses a purpose by what `refuses` names: TCF purposes that it must permit, or GPP's opt-outs that
    it must not hold."""

    signal: Signal
    everywhere: SignalEffect
    overrides: Mapping[str, SignalEffect] = field(default_factory=dict)
    yields_to_consent: bool = False
    cookie: str = ""
    refuses: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def effect_in(self, jurisdiction: str) -> SignalEffect:
        """The effect that holds in the jurisdiction of this name."""
        return self.overrides.get(jurisdiction, self.everywhere)


@dataclass(frozen=True, slots=True)
class IdentifierRule:
    """Our own identifier cookie; `lasts` is in seconds from the day of issue."""

    cookie: str
    purpose: str
    lasts: int
    place: Place
    clauses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CookieRule:
    """A cookie, by exact name or by prefix (`pattern` ends in `*`). `lasts` (seconds), `secure` and `same_site`
    are the bounds that a Set-Cookie is brought within; None and False leave it alone."""

    pattern: str
    purpose: str
    place: Place
    lasts: int | None = None
    secure: bool = False
    same_site: SameSite | None = None
    clauses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vendor:
    """A third party that may receive events. `fields_in` replaces `fields` in the jurisdictions it names.
    `key` is a literal or `env:NAME`; `options` are the settings only this kind has."""

    name: str
    kind: VendorKind
    purpose: str
    endpoint: str
    fields: tuple[str, ...]
    place: Place
    fields_in: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    key: str = ""
    hosts: tuple[str, ...] = ()
    country: str = ""
    transfer_basis: str = ""
    resend: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    clauses: tuple[str, ...] = ()

    def fields_for(self, jurisdiction: str) -> tuple[str, ...]:
        """The fields this vendor may get of a visitor in the jurisdiction of this name."""
        return self.fields_in.get(jurisdiction, self.fields)


@dataclass(frozen=True, slots=True)
class Feature:
    """Something the site offers only where its purpose is allowed and its jurisdiction is not named."""

    name: str
    purpose: str
    place: Place
    denied_in: frozenset[str] = frozenset()
    clauses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Csp:
    """Whether and on which base a Content-Security-Policy is written."""

    mode: CspMode = CspMode.OFF
    sources: tuple[str, ...] = ("'self'",)


@dataclass(frozen=True, slots=True)
class ConsentMode:
    """Which purpose each storage type of Google's Consent Mode (version 2) is granted by; `wait_for_update` is in
    milliseconds, and 0 where nothing is waited for."""

    purposes: Mapping[str, str] = field(default_factory=dict)
    wait_for_update: int = 0


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is stored stays, in seconds."""

    receipts: int = 1825 * DAY
    ledger: int = 1825 * DAY
    dead_letters: int = 30 * DAY
    statistics: int = 760 * DAY


@dataclass(frozen=True, slots=True)
class OutboxRule:
    """How large the outbox may grow (bytes), and what happens then."""

    max_size: int = 2_000_000_000
    overflow: Overflow = Overflow.REJECT_NEW


Proof = Mapping[tuple[str, str], tuple[str, ...]]
"""The names of the cases that put a rule to the test and hold, by its sort (`cookie`) and its name."""


@dataclass(frozen=True, eq=False)
class Policy:
    """The compiled rules of one policy file. Compared and hashed by identity: a reload makes another one.
    `texts` are the site's own words by language (lower case, or empty for every one) and key; `texts_digest` is that
    of the file that they came from; `proof` is there where cases stand beside the file."""

    file: str
    digest: str
    revision: str
    site: Site
    purposes: tuple[Purpose, ...]
    jurisdictions: tuple[Jurisdiction, ...]
    mode: Mode = Mode.ENFORCE
    keep_unlisted: bool = False
    scope: Scope = Scope()
    client_address: ClientAddress = ClientAddress()
    geo: Geo = Geo()
    clauses: tuple[Clause, ...] = ()
    signals: Mapping[Signal, SignalRule] = field(default_factory=dict)
    identifier: IdentifierRule | None = None
    cookies: tuple[CookieRule, ...] = ()
    vendors: tuple[Vendor, ...] = ()
    features: tuple[Feature, ...] = ()
    redact: tuple[str, ...] = ()
    csp: Csp = Csp()
    consent_mode: ConsentMode = field(default_factory=ConsentMode)
    retention: Retention = Retention()
    outbox: OutboxRule = OutboxRule()
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    texts_digest: str = ""
    proof: Proof | None = field(default=None, repr=False)
    _exact: dict[str, CookieRule] = field(default_factory=dict, init=False, repr=False)
    _prefixes: dict[str, CookieRule] = field(default_factory=dict, init=False, repr=False)
    _lengths: tuple[int, ...] = field(default=(), init=False, repr=False)
    _regions: dict[str, Jurisdiction] = field(default_factory=dict, init=False, repr=False)
    _optional: tuple[Purpose, ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        exact = {rule.pattern: rule for rule in self.cookies if not rule.pattern.endswith("*")}
        prefixes = {rule.pattern[:-1]: rule for rule in self.cookies if rule.pattern.endswith("*")}
        regions = {region: place for place in self.jurisdictions for region in place.regions}
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_prefixes", prefixes)
        object.__setattr__(self, "_lengths", tuple(sorted({len(one) for one in prefixes}, reverse=True)))
        object.__setattr__(self, "_regions", regions)
        object.__setattr__(self, "_optional", tuple(one for one in self.purposes if not one.essential))

    def cookie_rule(self, name: str) -> CookieRule | None:
        """The rule that names this cookie: the exact one, else the longest prefix, else None."""
        rule = self._exact.get(name)
        if rule is not None:
            return rule
        # A name that nobody sent before costs a look for each length of prefix, however many rules there are.
        for length in self._lengths:
            rule = self._prefixes.get(name[:length])
            if rule is not None:
                return rule
        return None

    def jurisdiction_of(self, region: str) -> Jurisdiction | None:
        """The jurisdiction that lists this country (`DE`) or subdivision (`US-CA`) or `*`, if one does."""
        return self._regions.get(region)

    @property
    def catch_all(self) -> Jurisdiction:
        """The one jurisdiction whose region is `*`."""
        return self._regions[ANYWHERE]

    def strictest(self, candidates: tuple[Jurisdiction, ...] = ()) -> Jurisdiction:
        """The strictest of the candidates (of all, when none are given)."""
        among = candidates or self.jurisdictions
        return min(among, key=lambda one: (one.regime is not Regime.OPT_IN, self.jurisdictions.index(one)))

    def jurisdiction(self, name: str) -> Jurisdiction | None:
        """The jurisdiction of this name."""
        return next((one for one in self.jurisdictions if one.name == name), None)

    def purpose(self, name: str) -> Purpose | None:
        """The purpose of this name."""
        return next((one for one in self.purposes if one.name == name), None)

    def vendor(self, name: str) -> Vendor | None:
        """The vendor of this name."""
        return next((one for one in self.vendors if one.name == name), None)

    @property
    def optional_purposes(self) -> tuple[Purpose, ...]:
        """The purposes that a person may give or refuse consent to."""
        return self._optional
