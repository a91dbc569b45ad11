"""Cases: what must follow from a policy for one visitor each, written beside the policy and compared with it.

Rule: a case is decided by the code that decides for visitors; nothing is decided here.
Rule: only the members that a case expects are compared; what it gives is read as a visit would be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consent_mw.core.consent import NO_CONSENT, Consent
from consent_mw.core.decision import Decision, decide
from consent_mw.core.explain import explain_cookie
from consent_mw.core.facts import Facts
from consent_mw.core.policy import Policy
from consent_mw.core.whereabouts import Location, settle
from consent_mw.errors import Place

NOW = 1_800_000_000
"""When every case takes place, in seconds since 1970; cases give ages, never dates."""

MEMBERS = (
    "jurisdiction", "allows", "denies", "reasons", "status", "ask", "notice", "tk", "identifier", "features",
    "cookies", "vendors",
)  # fmt: skip
"""What a case may expect."""

Plain = str | bool | tuple[str, ...]
Expected = Plain | Mapping[str, Plain]


@dataclass(frozen=True, slots=True)
class Given:
    """The visitor of one case. `country` and `region` are ISO 3166 codes or empty; `age` is how many seconds ago the
    answers `yes` and `no` were given, `revision` under which revision; `seen` whether this notice was read."""

    country: str = ""
    region: str = ""
    dnt: bool | None = None
    gpc: bool = False
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()
    age: int = 60
    revision: str = ""
    seen: bool = False
    minor: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its name, where it stands, what it gives and what it expects, by the names in MEMBERS."""

    name: str
    place: Place
    given: Given
    expect: Mapping[str, Expected]


@dataclass(frozen=True, slots=True)
class Difference:
    """A member of a case (`vendors.segment`) that came out otherwise than expected, both as TOML writes them."""

    member: str
    expected: str
    came: str


def differences(case: Case, policy: Policy) -> tuple[Difference, ...]:
    """What came out otherwise than this case expects."""
    came = outcome(decision_of(case.given, policy), tuple(_names(case.expect.get("cookies"))))
    found: list[Difference] = []
    for member, expected in case.expect.items():
        value = came[member]
        if not isinstance(expected, Mapping):
            found += _compared(member, expected, value)
            continue
        inner = value if isinstance(value, Mapping) else {}
        for name, one in expected.items():
            found += _compared(f"{member}.{name}", one, inner.get(name, ""))
    return tuple(found)


def decision_of(given: Given, policy: Policy) -> Decision:
    """What the policy decides for the visitor of a case."""
    places = [Location(given.country, given.region)] if given.country else []
    settled = settle(places, True, policy)
    facts = Facts(
        settled.jurisdiction,
        NOW,
        settled.whereabouts,
        given.country,
        dnt=given.dnt,
        gpc=given.gpc,
        consent=_consent(given, policy),
        minor=given.minor,
    )
    return decide(facts, policy)


def outcome(decision: Decision, cookies: Sequence[str] = ()) -> Mapping[str, Expected]:
    """Everything a case may expect of this decision; of cookies, what becomes of these names."""
    identifier = decision.policy.identifier
    return {
        "jurisdiction": decision.jurisdiction.name,
        "allows": tuple(one.purpose for one in decision.verdicts if one.allowed),
        "denies": tuple(one.purpose for one in decision.verdicts if not one.allowed),
        "reasons": {one.purpose: one.reason.value for one in decision.verdicts},
        "status": decision.status.value,
        "ask": decision.ask,
        "notice": decision.notice,
        "tk": decision.tk,
        "identifier": identifier is not None and decision.allows(identifier.purpose) and not decision.minor,
        "features": tuple(name for name, offered in decision.features.items() if offered),
        "cookies": {name: explain_cookie(name, decision).kept for name in cookies},
        "vendors": dict(decision.fields),
    }


def _consent(given: Given, policy: Policy) -> Consent:
    answers = dict.fromkeys(given.yes, True) | dict.fromkeys(given.no, False)
    seen = policy.revision if given.seen or answers else ""
    if not answers:
        return Consent(seen=seen) if seen else NO_CONSENT
    return Consent(answers, NOW - given.age, given.revision or policy.revision, "r", seen)


def _compared(member: str, expected: Plain, came: Expected) -> list[Difference]:
    if isinstance(expected, tuple) and isinstance(came, tuple) and set(expected) == set(came):
        # The policy's order is no promise of a case.
        return []
    return [] if expected == came else [Difference(member, _toml(expected), _toml(came))]


def _toml(value: Expected) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return f"[{', '.join(_toml(one) for one in value)}]"


def _names(value: Expected | None) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, Mapping) else ()
