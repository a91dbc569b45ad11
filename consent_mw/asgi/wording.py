"""Wording: which language a visitor reads, and its words under one policy.

Rule: the page's own language first, then what the browser asks for (RFC 9110 12.5.4), then English.
Rule: a range is looked up as RFC 4647 3.4 says: as it is, then without its last subtag, and so on.
Rule: what is remembered is bounded by the languages that there are, never by what visitors send.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from consent_mw.asgi.pages import Words
from consent_mw.core.policy import Policy
from consent_mw.core.wording import ALIASES, SOURCE, TRANSLATED
from consent_mw.world.wording import texts_in

LONGEST_ASKED: Final = 256
"""Bytes of an Accept-Language field beyond which it is not read."""

MOST_RANGES: Final = 20


class Wording:
    """The languages of one policy: those that come along, and those that the site wrote itself."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        own = tuple(_as_babel_knows(one) for one in policy.texts if one)
        self.languages = tuple(dict.fromkeys((SOURCE, *TRANSLATED, *filter(None, own))))
        self._known = {one.lower(): one for one in self.languages}
        self._made: dict[str, Words] = {}

    def words(self, language: str) -> Words:
        """The words of one of the languages."""
        made = self._made.get(language)
        if made is None:
            low = language.lower()
            base = low.partition("-")[0]
            texts = self._policy.texts
            own = [texts[one] for one in dict.fromkeys((low, base, "")) if one in texts]
            made = self._made[language] = Words(language, texts_in(base), own)
        return made

    def choose(self, *sources: str) -> str:
        """The language of the first of these sources (each a language, or a list with weights as Accept-Language
        has) that names one that there is; else English."""
        return next(filter(None, (self.found(one) for one in sources)), SOURCE)

    def found(self, source: str) -> str:
        """The first language that this source asks for, or nothing."""
        for wanted in ranges(source):
            found = self._looked_up(wanted)
            if found:
                return found
        return ""

    def _looked_up(self, wanted: str) -> str:
        parts = wanted.split("-")
        parts[0] = ALIASES.get(parts[0], parts[0])
        while parts:
            found = self._known.get("-".join(parts))
            if found is not None:
                return found
            parts.pop()
            if parts and len(parts[-1]) == 1:  # a singleton goes with what it introduces (RFC 4647 3.4)
                parts.pop()
        return ""


@lru_cache(maxsize=512)
def ranges(field: str) -> Sequence[str]:
    """The language ranges of an Accept-Language field, the most wanted first, in lower case; none that is refused
    (`q=0`) and no `*`, which is as good as nothing said."""
    if len(field) > LONGEST_ASKED:
        return ()
    weighed = sorted(_weighed(field), key=lambda one: -one[1])
    return tuple(wanted for wanted, weight in weighed if weight > 0)


def _weighed(field: str) -> Iterator[tuple[str, float]]:
    for part in field.lower().split(",")[:MOST_RANGES]:
        wanted, _, parameters = part.partition(";")
        wanted = wanted.strip().replace("_", "-")
        if all(one.isascii() and one.isalnum() and len(one) <= 8 for one in wanted.split("-")):
            yield wanted, _weight(parameters)


def _weight(parameters: str) -> float:
    name, equals, value = parameters.strip().partition("=")
    if not equals or name.strip() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


def _as_babel_knows(language: str) -> str:
    """The language as it is written, or nothing where nobody knows how it writes its numbers and lists."""
    from babel import Locale, UnknownLocaleError

    try:
        return str(Locale.parse(language, sep="-")).replace("_", "-")
    except (UnknownLocaleError, ValueError):
        return ""
