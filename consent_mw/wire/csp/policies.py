"""Content-Security-Policies as a browser reads them.

Rule: of two directives of one name a browser heeds the first (CSP3 2.2.1); so do we, and write only that one.
Rule: a policy that need not change stays the text that came; in one that does, a directive that need not change does.
Source: W3C Content Security Policy Level 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NONE = "'none'"
SELF = "'self'"
ANY = "*"
STRICT_DYNAMIC = "'strict-dynamic'"

_ENDS_FETCH = ("-src", "-src-elem", "-src-attr")
_BLANK = " \t\n\f\r"


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive: its name in lower case, its value, and how it is written."""

    name: str
    value: tuple[str, ...]
    text: str

    @property
    def fetches(self) -> bool:
        """Whether it says where something may be loaded from (CSP3 6.1)."""
        return self.name.endswith(_ENDS_FETCH)

    def has(self, keyword: str) -> bool:
        """Whether this keyword, scheme or `*` is among its expressions."""
        return any(one.lower() == keyword for one in self.value)

    def holding(self, value: Sequence[str], name: str = "") -> Directive:
        """The directive with this value; without one it says `'none'`, which is the same."""
        held = tuple(value) or ((NONE,) if self.fetches else ())
        name = name or self.name
        return Directive(name, held, " ".join((name, *held)))


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """One policy: the directives that a browser heeds, in order, and how it is written."""

    directives: tuple[Directive, ...]
    text: str

    @property
    def fetches(self) -> bool:
        """Whether it governs any load at all."""
        return any(one.fetches for one in self.directives)

    def get(self, name: str) -> Directive | None:
        """The directive of this name."""
        return next((one for one in self.directives if one.name == name), None)

    def governing(self, names: Sequence[str]) -> Directive | None:
        """The first of these directives that is there (CSP3 6.8.3)."""
        return next((found for found in map(self.get, names) if found is not None), None)

    def replacing(self, changed: Sequence[Directive]) -> ContentPolicy:
        """The policy of these directives; itself where they are its own."""
        return self if tuple(changed) == self.directives else written(changed)

    def having(self, directive: Directive) -> ContentPolicy:
        """The policy with this directive, in the place of its namesake or at the end."""
        if self.get(directive.name) is None:
            return written((*self.directives, directive))
        return written([directive if one.name == directive.name else one for one in self.directives])


def written(directives: Iterable[Directive]) -> ContentPolicy:
    """The policy that these directives make."""
    made = tuple(directives)
    return ContentPolicy(made, "; ".join(one.text for one in made))


def directive(name: str, *value: str) -> Directive:
    """A directive of ours."""
    return Directive(name, value, " ".join((name, *value)))


def read_policies(field: bytes) -> tuple[ContentPolicy, ...]:
    """The policies that one field holds (CSP3 2.2.2); one without a directive that a browser heeds is none."""
    read = (_read_policy(one) for one in field.decode("latin-1").split(","))
    return tuple(one for one in read if one.directives)


def _read_policy(text: str) -> ContentPolicy:
    found: dict[str, Directive] = {}
    for token in text.split(";"):
        plain = token.strip(_BLANK)
        if plain and plain.isascii():
            name, *value = re.split(f"[{_BLANK}]+", plain)
            found.setdefault(name.lower(), Directive(name.lower(), tuple(value), plain))
    return ContentPolicy(tuple(found.values()), text.strip(_BLANK))
