"""A Permissions-Policy of the site's only grows stricter."""

from __future__ import annotations

import http_sf
import pytest

from consent_mw.wire.permissions import ADVERTISING, shut, sound

ALL = ", ".join(f"{one}=()" for one in ADVERTISING).encode()


@pytest.mark.parametrize(
    ("said", "added"),
    [
        ([], ALL),
        ([b"camera=(), geolocation=(self)"], ALL),
        ([b"browsing-topics=*", b"run-ad-auction=(self)"], ALL),
        ([ALL], b""),
        ([ALL, b'browsing-topics=(self "https://x.test")'], b"browsing-topics=()"),
        ([ALL.removesuffix(b", shared-storage-select-url=()")], b"shared-storage-select-url=()"),
    ],
)
def test_what_is_added_denies_what_was_left(said: list[bytes], added: bytes) -> None:
    assert shut(said) == added
    together = http_sf.parse(b", ".join(one for one in (*said, added) if one), tltype="dictionary")
    assert {name: together[name][0] for name in ADVERTISING} == {name: [] for name in ADVERTISING}


@pytest.mark.parametrize("said", [b"camera 'none'", b"Camera=()", b"camera=(", b"a=\xff"])
def test_what_is_no_dictionary_would_silence_what_is_added(said: bytes) -> None:
    assert (sound([said]), sound([b"camera=()", said]), sound([])) == (False, False, True)
