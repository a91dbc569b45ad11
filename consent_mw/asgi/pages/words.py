"""Words: what the banner and the pages say, in one language, under one policy.

Rule: the site's own words come before ours, and those for this language before those for all.
Rule: numbers, lists, dates and names of countries read as the language writes them (CLDR, by Babel).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from babel import Locale
from babel.dates import format_datetime, format_timedelta
from babel.lists import format_list

from consent_mw.asgi.pages.markup import Markup, el, join, name_in_words
from consent_mw.core.policy import ANYWHERE, DAY, Purpose
from consent_mw.core.terms import Signal
from consent_mw.core.wording import ENGLISH, SOURCE, fill, pieces

UNITS: Final = ((DAY, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
"""Seconds of the units that a length of time is told in: the largest that it is whole in."""

SIGNALS: Final = {Signal.DNT: "Do Not Track", Signal.GPC: "Global Privacy Control"}
"""What the signals are called in every language."""


class Words:
    """The sentences of `language` (BCP 47, of those that there are). `own` are the site's texts,
    the nearest first."""

    def __init__(
        self, language: str = SOURCE, texts: Mapping[str, str] = ENGLISH, own: Sequence[Mapping[str, str]] = ()
    ) -> None:
        self.language = language
        self._locale = Locale.parse(language, sep="-")
        self._texts = {**texts}
        for one in reversed(own):
            self._texts.update(one)

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`."""
        return self._locale.text_direction

    def say(self, key: str, /, **values: str) -> str:
        """The sentence of this key with its values filled in. Raises KeyError for a key that is not there."""
        text = self._texts[key]
        return fill(text, values) if values else text

    def sentence(self, key: str, **parts: str) -> Markup:
        """A sentence whose values may be markup; its own words are escaped."""
        taken = pieces(self._texts[key])
        return join(*(parts[one] if at % 2 else one for at, one in enumerate(taken)))

    def pair(self, name: str, value: str) -> Markup:
        """A name and its value, with what stands between them in this language."""
        return self.sentence("pair", name=name, value=value)

    def label(self, name: str) -> str:
        """What a thing of the policy is called: as the site says, else its name as words."""
        return self._texts.get(f"name.{name}") or name_in_words(name)

    def purpose(self, purpose: Purpose) -> str:
        """What a purpose is for."""
        return self._texts.get(f"purpose.{purpose.name}") or purpose.text

    def field(self, name: str) -> str:
        """A field of an event in plain words; of `query.NAME` and `props.NAME` the name too."""
        group, dot, one = name.partition(".")
        words = self._texts.get(f"field.{group}", name)
        return f"{words} ({one})" if dot and one != "*" else words

    def fields(self, names: Sequence[str]) -> str:
        """Fields in a sentence, or that there are none."""
        return self.listing([self.field(one) for one in names]) or self.say("vendors.nothing")

    def listing(self, names: Sequence[str]) -> str:
        """Names in a sentence: `a, b and c`."""
        return format_list(list(names), locale=self._locale) if names else ""

    def labels(self, names: Sequence[str]) -> str:
        """Things of the policy in a sentence."""
        return self.listing([self.label(one) for one in names])

    def region(self, code: str) -> str:
        """The name of a country (`DE`), of a group (`EEA`), of a subdivision as `US-CA`, or of everywhere else."""
        if code == ANYWHERE:
            return self.say("places.anywhere")
        if code == "EEA":
            return self.say("places.eea")
        country, dash, rest = code.partition("-")
        name = self._locale.territories.get(country, country)
        return f"{name} ({rest})" if dash else name

    def duration(self, seconds: int) -> str:
        """A length of time in its largest whole unit."""
        unit = next((name for size, name in UNITS if seconds >= size and seconds % size == 0), "second")
        told: str = format_timedelta(timedelta(seconds=seconds), unit, threshold=10**9, locale=self._locale)  # type: ignore[arg-type]  # a unit's name
        return told

    def moment(self, seconds: int) -> Markup:
        """A point in time (seconds since 1970) for people, or nothing where it is none."""
        try:
            when = datetime.fromtimestamp(seconds, UTC)
        except (ValueError, OverflowError, OSError):
            return Markup()
        if seconds <= 0:
            return Markup()
        told = format_datetime(when, "long", locale=self._locale)
        return el("time", told, datetime=f"{when:%Y-%m-%dT%H:%M:%SZ}")


def own_name(language: str) -> str:
    """What a language calls itself."""
    return Locale.parse(language, sep="-").get_display_name() or language
