"""Learning: from names that were seen, and a catalogue of known ones, to rules that a person decides about.

Rule: a catalogue's name alone proves little: a short or common name is proposed only where its vendor was seen too.
Rule: what looks like a session is left to the operator, and nothing is ever guessed to be essential.
Rule: names only; no value is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

SHORTEST_WILDCARD = 4
"""Characters before a catalogue's wildcard: `_s*` would take half of every site's cookies."""

PURPOSES: Mapping[str, str] = {"analytics": "analytics", "marketing": "marketing"}
"""Which purpose a catalogue's category stands for; the others (functional, security …) say nothing about consent."""

SESSIONS = re.compile(
    r"(?:php|j|asp)sess\w*|asp\.net_sessionid|aspsessionid\w*|connect\.sid|sid|cf(?:id|token)|"
    r"[\w.-]*sess(?:ion)?[\w.-]*|[\w.-]*csrf[\w.-]*|[\w.-]*xsrf[\w.-]*|[\w.-]*auth[\w.-]*|[\w.-]*remember[\w.-]*|"
    r"[\w.-]*token[\w.-]*|[\w.-]*log(?:ged)?_?in[\w.-]*|[\w.-]*cart[\w.-]*|[\w.-]*basket[\w.-]*",
    re.IGNORECASE,
)
"""Names that frameworks give to sessions, and sites to what keeps people signed in."""

_COMMON = re.compile(r"[a-z0-9]+|.{1,2}")
"""Names that anybody may have chosen for anything."""


@dataclass(frozen=True, slots=True)
class Known:
    """A line of a catalogue: whose cookie it is, its category in lower case, its name (a beginning where `wildcard`)
    and the domain that it is known from, or empty."""

    platform: str
    category: str
    name: str
    wildcard: bool = False
    domain: str = ""

    def names(self, cookie: str) -> bool:
        """Whether this line is about a cookie of this name."""
        if self.wildcard:
            return len(self.name) >= SHORTEST_WILDCARD and cookie.startswith(self.name)
        return cookie == self.name


@dataclass(slots=True)
class Seen:
    """What was seen of a site: how often browsers sent a cookie of each name, how often answers set one and for how
    long at most (seconds; None: for the session), and the third parties' hosts that pages named."""

    sent: dict[str, int] = field(default_factory=dict)
    set: dict[str, int] = field(default_factory=dict)
    lasts: dict[str, int | None] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)

    def add_sent(self, names: Iterable[str]) -> None:
        """A browser sent cookies of these names."""
        for name in names:
            self.sent[name] = self.sent.get(name, 0) + 1

    def add_set(self, name: str, lasts: int | None) -> None:
        """An answer set a cookie of this name."""
        self.set[name] = self.set.get(name, 0) + 1
        before = self.lasts.get(name)
        self.lasts[name] = lasts if before is None or (lasts is not None and lasts > before) else before


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rule to decide about: its pattern, the purpose that is proposed (empty: none is), what speaks for it, in
    sentences, and how long the cookie lasts at most."""

    pattern: str
    purpose: str
    evidence: tuple[str, ...]
    lasts: int | None = None


def proposals(seen: Seen, catalogue: Sequence[Known]) -> tuple[Proposal, ...]:
    """A proposal for each cookie that was seen, those of one wildcard together."""
    made: dict[str, Proposal] = {}
    for name in sorted({*seen.sent, *seen.set}):
        one = _proposal(name, seen, catalogue)
        made.setdefault(one.pattern, one)
    return tuple(made.values())


def _proposal(name: str, seen: Seen, catalogue: Sequence[Known]) -> Proposal:
    evidence = [_counted(name, seen)]
    lasts = seen.lasts.get(name)
    found = [one for one in catalogue if one.names(name)]
    longest = max((len(one.name) for one in found), default=0)
    found = [one for one in found if len(one.name) == longest]
    told = [f"{one.platform or 'somebody'}: {one.category}" for one in found]
    if told:
        evidence.append(f"the catalogue has it as {'; '.join(dict.fromkeys(told))}")
    if SESSIONS.fullmatch(name):
        evidence.append("its name is that of a session or of signing in, so it is yours to decide")
        return Proposal(name, "", tuple(evidence), lasts)
    near = [one for one in found if one.domain and _is_seen(one.domain, seen.hosts)]
    found = near or found
    purposes = {PURPOSES.get(one.category, "") for one in found}
    if len(purposes) != 1 or "" in purposes:
        if found:
            evidence.append("that says nothing about consent, so it is yours to decide")
        return Proposal(name, "", tuple(evidence), lasts)
    if near:
        evidence.append(f"pages name {near[0].domain}")
    elif _COMMON.fullmatch(name):
        evidence.append("the name is too common to go by, and its vendor was not seen")
        return Proposal(name, "", tuple(evidence), lasts)
    first = found[0]
    pattern = f"{first.name}*" if first.wildcard else name
    return Proposal(pattern, purposes.pop(), tuple(evidence), lasts)


def _counted(name: str, seen: Seen) -> str:
    told = [(seen.sent.get(name, 0), "sent"), (seen.set.get(name, 0), "set")]
    return " and ".join(f"{what} {number} time{'s' * (number != 1)}" for number, what in told if number)


def _is_seen(domain: str, hosts: Iterable[str]) -> bool:
    bare = domain.lstrip(".").lower()
    return any(host == bare or host.endswith(f".{bare}") for host in hosts)
