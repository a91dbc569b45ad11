"""Every language says everything, in its own script and with the same values; the right one is chosen."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from consent_mw.asgi.wording import Wording, ranges
from consent_mw.core.wording import ENGLISH, TRANSLATED, values_in
from consent_mw.world.policy_file import load_policy
from consent_mw.world.wording import texts_in
from tests.builders import a_policy

POLICIES = Path(__file__).parents[1] / "policies"
OFFICIAL = [
    "bg", "hr", "cs", "da", "nl", "en", "et", "fi", "fr", "de", "el", "hu", "ga", "it", "lv", "lt", "mt", "pl", "pt",
    "ro", "sk", "sl", "es", "sv",
]  # fmt: skip
SCRIPTS = {"el": "GREEK", "bg": "CYRILLIC", "ar": "ARABIC", "he": "HEBREW"}
SAME_EVERYWHERE = {
    "Cookie", "Cookies", "Marketing", "Privacy", "Region", "region", "Number", "Statistics", "{name}: {value}",
}  # fmt: skip
"""What reads in some language as it does in English."""


def in_english(texts: dict[str, str]) -> list[str]:
    """The keys whose text is the English one, but for words that are the same."""
    return [key for key, text in texts.items() if text == ENGLISH[key] and text not in SAME_EVERYWHERE]


def test_the_languages_of_the_eu_the_eea_and_the_uk_are_there_and_two_from_right_to_left() -> None:
    assert {*OFFICIAL, "is", "nb", "nn", "cy", "gd", "ar", "he"} == {"en", *TRANSLATED}


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_language_says_everything_with_the_same_values(language: str) -> None:
    texts = dict(texts_in(language))
    file = Path(__file__).parents[2] / "consent_mw" / "data" / "texts" / f"{language}.toml"
    written = re.findall(r'^"([^"]+)" = "', file.read_text(encoding="utf-8"), re.MULTILINE)
    assert written == list(ENGLISH)
    assert {key: values_in(text) for key, text in texts.items()} == {
        key: values_in(text) for key, text in ENGLISH.items()
    }
    assert in_english(texts) == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_language_is_written_in_its_own_script(language: str) -> None:
    words = re.sub(
        r"\{[a-z]+\}|cookies?|browser|IP|email|server", "", " ".join(texts_in(language).values()), flags=re.IGNORECASE
    )
    letters = [unicodedata.name(one).split()[0] for one in words if one.isalpha()]
    own = sum(one == SCRIPTS.get(language, "LATIN") for one in letters)
    assert own / len(letters) > 0.99


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_sentence_ends_otherwise_than_in_english(language: str) -> None:
    ends = {"?": "?;؟", ":": ":", ".": "."}
    for key, text in texts_in(language).items():
        mark = ENGLISH[key][-1]
        assert (text[-1] in ends[mark]) if mark in ends else text[-1] not in ".:", (key, text)


@pytest.mark.parametrize(
    ("sources", "chosen"),
    [
        (["", "", "de-AT,de;q=0.9,en;q=0.8"], "de"),
        (["", "", "en-GB,en;q=0.5"], "en"),
        (["fr-CA", "de", "it"], "fr"),
        (["", "de", "it"], "de"),
        (["zh-Hans-CN", "", "pl"], "pl"),
        (["", "", "sv;q=0.3, da;q=0.7, fi"], "fi"),
        (["", "", "de;q=0, fr;q=0.1"], "fr"),
        (["", "", "no"], "nb"),
        (["gd-GB", "", "en"], "gd"),
        (["", "", "nn-NO, nb"], "nn"),
        (["", "", "iw"], "he"),
        (["", "", "zh, *;q=0.5"], "en"),
        (["", "", "EL"], "el"),
        (["de_AT", "", ""], "de"),
        (["pt-x-private", "", ""], "pt"),
        (["", "", ""], "en"),
        (["", "", ",;q=,;;q=1,de;q=x,\0,;q=0.5,fr-" + "a" * 9], "en"),
        (["", "", "de," * 200], "en"),
        (["<script>", "'\"", "../../etc"], "en"),
    ],
)
def test_the_pages_language_comes_first_then_what_the_browser_asks_for(sources: list[str], chosen: str) -> None:
    assert Wording(a_policy()).choose(*sources) == chosen


def test_a_french_mark_never_begins_a_line() -> None:
    texts = texts_in("fr")
    assert {mark for text in texts.values() for mark in re.findall(r" [?!;:»]|« ", text)} == set()
    assert texts["pair"] == "{name}\N{NO-BREAK SPACE}: {value}"


def test_ranges_come_by_weight_and_those_of_the_same_weight_in_order() -> None:
    assert ranges("da, en-gb;q=0.8, en;q=0.7, fr;q=0.8, x;q=2, y;q=-1") == ("da", "en-gb", "fr", "en")


def test_a_sites_own_words_come_first_and_those_of_the_language_before_those_of_all() -> None:
    policy = load_policy(POLICIES / "good_texts.toml")
    wording = Wording(policy)
    german, french = wording.words("de"), wording.words("fr")
    analytics = policy.purposes[1]
    assert german.say("banner.ask.title", site="X") == "Darf X zählen?"
    assert (german.say("choice.seen"), french.say("choice.seen")) == ("Fine", "Fine")
    assert (german.say("choice.save"), german.say("choice.accept")) == ("Keep", "Alle akzeptieren")
    assert (german.label("analytics"), french.label("analytics")) == ("Zählen", "Statistiques")
    assert (german.purpose(analytics), french.purpose(analytics)) == (
        "Wir zählen Besuche.",
        "Learn which pages are read.",
    )
    assert [one.label("eea") for one in (german, french)] == ["Europe", "Europe"]


def test_a_site_may_add_a_language() -> None:
    policy = replace(a_policy(), texts={"ja": {"choice.accept": "すべて許可"}, "pt-br": {"choice.accept": "Aceitar"}})
    wording = Wording(policy)
    assert wording.choose("ja-JP") == "ja"
    assert wording.words("ja").say("choice.accept") == "すべて許可"
    assert wording.words("ja").say("choice.reject") == "Reject all"
    assert wording.choose("pt-BR") == "pt-BR"
    assert wording.words("pt-BR").say("choice.accept") == "Aceitar"
    assert wording.words("pt-BR").say("choice.reject") == "Rejeitar tudo"


def test_lengths_lists_and_countries_read_as_the_language_writes_them() -> None:
    wording = Wording(a_policy())
    read = {one: wording.words(one) for one in ("en", "pl", "ar", "ro")}
    assert [read[one].duration(395 * 86_400) for one in read] == ["395 days", "395 dni", "395 يومًا", "395 de zile"]
    assert read["pl"].listing(["a", "b", "c"]) == "a, b i c"
    assert [read[one].region("DE") for one in ("en", "pl")] == ["Germany", "Niemcy"]
    assert [read["en"].region(one) for one in ("EEA", "EU", "US-CA", "*")] == [
        "European Economic Area", "European Union", "United States (CA)", "everywhere else",
    ]  # fmt: skip
    assert [one.direction for one in read.values()] == ["ltr", "ltr", "rtl", "ltr"]
    assert read["en"].fields(["event", "query.plan", "props.*"]) == (
        "what happened, parameters of the address (plan), and details of the event"
    )
