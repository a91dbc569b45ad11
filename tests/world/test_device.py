"""Device: what a User-Agent says of browser, system and kind of device."""

from __future__ import annotations

import subprocess
import sys

import pytest
import user_agents
from hypothesis import given, settings
from hypothesis import strategies as st
from ua_parser.regex import Resolver as FastResolver

from consent_mw.world import device
from consent_mw.world.device import LONGEST, Device, DeviceReader

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"

CHROME = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Chrome/120.0.0.0 Safari/537.36"
EDGE = f"{CHROME} Edg/120.0.2210.91"
OPERA = f"{CHROME} OPR/106.0.0.0"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/17.4 Safari/605.1.15"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {WEBKIT} Version/17.4 Mobile/15E148 Safari/604.1"
IPAD = f"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) {WEBKIT} Version/16.6 Mobile/15E148 Safari/604.1"
PIXEL = f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {BLINK} Chrome/120.0.6099.144 Mobile Safari/537.36"
GALAXY_TAB = f"Mozilla/5.0 (Linux; Android 13; SM-X710) {BLINK} Chrome/120.0.0.0 Safari/537.36"
SAMSUNG = (
    f"Mozilla/5.0 (Linux; Android 13; SM-S901B) {BLINK} SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36"
)
CHROME_OS = f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Chrome/120.0.0.0 Safari/537.36"
IE = "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko"
TV = f"Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) {BLINK} Version/5.0 TV Safari/537.36"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
GOOGLEBOT_PHONE = f"{PIXEL} (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
GPTBOT = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)"

TABLE = [
    pytest.param(CHROME, Device("Chrome 120", "Windows 10", "desktop", False), id="Chrome"),
    pytest.param(EDGE, Device("Edge 120", "Windows 10", "desktop", False), id="Edge"),
    pytest.param(OPERA, Device("Opera 106", "Windows 10", "desktop", False), id="Opera"),
    pytest.param(FIREFOX, Device("Firefox 128", "Linux", "desktop", False), id="Firefox"),
    pytest.param(SAFARI, Device("Safari 17", "Mac OS X 10", "desktop", False), id="Safari"),
    pytest.param(IPHONE, Device("Mobile Safari 17", "iOS 17", "mobile", False), id="iPhone"),
    pytest.param(IPAD, Device("Mobile Safari 16", "iOS 16", "tablet", False), id="iPad"),
    pytest.param(PIXEL, Device("Chrome Mobile 120", "Android 14", "mobile", False), id="Android phone"),
    pytest.param(GALAXY_TAB, Device("Chrome 120", "Android 13", "tablet", False), id="Android tablet"),
    pytest.param(SAMSUNG, Device("Samsung Internet 23", "Android 13", "mobile", False), id="Samsung Internet"),
    pytest.param(CHROME_OS, Device("Chrome 120", "Chrome OS 14541", "desktop", False), id="Chrome OS"),
    pytest.param(IE, Device("IE 11", "Windows 7", "desktop", False), id="Internet Explorer"),
    pytest.param(TV, Device("Safari 5", "Tizen 5", "other", False), id="a television"),
    pytest.param(GOOGLEBOT, Device("Googlebot 2", "Other", "bot", True), id="Googlebot"),
    pytest.param(GOOGLEBOT_PHONE, Device("Googlebot 2", "Android 14", "bot", True), id="Googlebot as a phone"),
    pytest.param(GPTBOT, Device("GPTBot 1", "Other", "bot", True), id="GPTBot"),
    pytest.param("curl/8.5.0", Device("curl 8", "Other", "other", False), id="curl"),
    pytest.param("python-httpx/0.27.0", Device("Other", "Other", "other", False), id="python-httpx"),
    pytest.param("", Device("Other", "Other", "other", False), id="empty"),
    pytest.param("\ud800\0\xff", Device("Other", "Other", "other", False), id="garbage"),
]


@pytest.fixture(scope="module")
def reader() -> DeviceReader:
    return DeviceReader()


@pytest.mark.parametrize(("text", "says"), TABLE)
def test_a_user_agent_says(reader: DeviceReader, text: str, says: Device) -> None:
    assert reader.read(text) == says


@pytest.mark.parametrize("text", [one.values[0] for one in TABLE if one.id != "garbage"], ids=lambda text: text[-24:])
def test_the_answer_is_that_of_user_agents(reader: DeviceReader, text: str) -> None:
    theirs, ours = user_agents.parse(text), reader.read(text)
    assert ours.bot == theirs.is_bot
    assert ours.browser == device._named(theirs.browser.family, theirs.browser.version)
    assert ours.os == device._named(theirs.os.family, theirs.os.version)
    assert ours.device == device._kind(theirs)


def test_a_bot_is_seen_where_the_slow_parser_stops_reading(reader: DeviceReader) -> None:
    applebot = f"{SAFARI} (Applebot/0.1; +http://www.apple.com/go/applebot)"
    assert not user_agents.parse(applebot).is_bot
    assert reader.read(applebot) == Device("Applebot 0", "Mac OS X 10", "bot", True)


def test_bytes_are_read_as_latin_1(reader: DeviceReader) -> None:
    assert reader.read(CHROME.encode()) == reader.read(CHROME)
    assert reader.read(b"\xff\xfe\x00") == Device("Other", "Other", "other", False)


def test_what_comes_after_512_characters_is_not_read(reader: DeviceReader) -> None:
    padded = CHROME.ljust(LONGEST)
    assert reader.read(padded + GOOGLEBOT) == reader.read(CHROME)
    assert reader.read("x" * 1_000_000 + GOOGLEBOT) == Device("Other", "Other", "other", False)


def test_recent_agents_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "AGENTS_KEPT", 4)
    few = DeviceReader()
    for number in range(20):
        few.read(f"agent-{number}/1.0")
    assert few.read("agent-19/1.0" + "") == few.read(b"agent-19/1.0")
    assert few._remembered.cache_info().currsize == 4


def test_patterns_are_loaded_on_first_use_and_by_the_fast_resolver(reader: DeviceReader) -> None:
    code = (
        "import sys, consent_mw.world.device as d; d.DeviceReader(); "
        "print([m for m in ('ua_parser', 'user_agents') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert said.stdout == "[]\n"
    assert isinstance(device._resolver(), FastResolver)


@settings(max_examples=60)
@given(st.text(max_size=600) | st.binary(max_size=600))
def test_no_user_agent_raises(text: str | bytes) -> None:
    assert DeviceReader().read(text).device in {"mobile", "tablet", "desktop", "bot", "other"}
