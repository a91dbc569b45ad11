"""No page that was gated calls a denied host: by what arrives there, with Chromium's own parser to judge."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from consent_mw.wire.html import Gating, Hosts, PageGate
from tests.wire import strange_pages
from tests.wire.in_chromium import Chromium, chromium

GATING = Gating(Hosts([("*.vendor.test", "analytics")]), frozenset({"essential"}), lambda _, __: b"<p>ask")
PAGES = int(os.environ.get("CONSENT_MW_FUZZ", "240"))

SELDOM = {
    "track", "icon", "manifest", "style unfinished", "template that is cloned", "without scripts", "attribution",
    "preconnect",
}  # fmt: skip
"""Ways that Chromium does not take in a frame, or not with scripting, or without saying which page took it."""


@pytest.fixture
def browser() -> Iterator[Chromium]:
    """A browser of one test's own, in which gated pages come first: what pages that are not gated open may linger."""
    with chromium() as running:
        yield running


def gated(page: bytes) -> bytes:
    gate = PageGate(GATING)
    return gate.feed(page) + gate.finish()


def host(number: int) -> str:
    return f"d{number}.vendor.test"


def test_every_known_way_is_one_and_is_closed(browser: Chromium) -> None:
    pages = [way.format(u=f"http://{host(n)}/a").encode() for n, way in enumerate(strange_pages.LOADS.values())]
    assert browser.calls([gated(page) for page in pages]) == set()
    assert browser.calls([gated(page) for page in pages], scripting=False) == set()
    called = browser.calls(pages) | browser.calls(pages)  # a busy machine is late for some
    assert [name for n, name in enumerate(strange_pages.LOADS) if n not in called and name not in SELDOM] == []


def test_every_spelling_of_an_address_is_understood(browser: Chromium) -> None:
    spelt = [strange_pages.addresses(host(n))[n] for n in range(len(strange_pages.addresses("a.b")))]
    pages = [f"<script src={one}></script>".encode() for one in spelt]
    assert browser.calls([gated(page) for page in pages]) == set()
    # Chromium takes no part of a page from an address with a user in it.
    assert len(browser.calls(pages)) > len(pages) * 0.85


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
def test_pages_in_wide_letters_are_gated(browser: Chromium, coding: str) -> None:
    pages = [("\ufeff" + f"<p>ü<img src=//{host(n)}/>").encode(coding) for n in range(3)]
    assert browser.calls([gated(page) for page in pages]) == set()
    assert browser.calls(pages) == {0, 1, 2}


@pytest.mark.parametrize("scripting", [True, False], ids=["with scripts", "without"])
def test_no_strange_page_calls_what_is_denied(browser: Chromium, scripting: bool) -> None:
    chance = random.Random(2026 + scripting)
    pages = [strange_pages.page(chance, host(n)).encode() for n in range(PAGES // 2)]
    called = browser.calls([gated(page) for page in pages], scripting=scripting)
    assert [(n, pages[n], gated(pages[n])) for n in sorted(called)] == []
    assert len(browser.calls(pages[:40], scripting=scripting)) > 8
