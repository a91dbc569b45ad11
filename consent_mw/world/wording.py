"""The translations that come along: one file a language, read when the language is first asked for.

Rule: a language whose file lacks a sentence has the English one; a language without a file is English.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from consent_mw.core.wording import ENGLISH, SOURCE


@cache
def texts_in(language: str) -> Mapping[str, str]:
    """Every sentence in this language, by key."""
    if language == SOURCE:
        return ENGLISH
    file = resources.files("consent_mw") / "data" / "texts" / f"{language}.toml"
    if not file.is_file():
        return ENGLISH
    return MappingProxyType({**ENGLISH, **tomllib.loads(file.read_text(encoding="utf-8"))})
