"""Device: what a User-Agent header says of browser, system, kind of device, and whether it is a bot.

Rule: loaded on first use: the patterns take a sixth of a second and 27 MB, and many policies never ask.
Rule: what counts as a phone, a tablet or a bot is `user-agents`' judgement; only its slow parser is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ua_parser import Resolver

LONGEST = 512
"""How many characters of a User-Agent are read: patterns cost time that a visitor must not choose."""

AGENTS_KEPT = 4096
"""Bound of the User-Agents whose answers are remembered."""


@dataclass(frozen=True, slots=True)
class Device:
    """What a User-Agent says. `browser` and `os` are family and major version (`Chrome 120`; `Other` where
    unknown); `device` is one of `mobile tablet desktop bot other`; `bot` tells a crawler from a person."""

    browser: str
    os: str
    device: str
    bot: bool


class DeviceReader:
    """Reads User-Agents, each of the recent ones once."""

    def __init__(self) -> None:
        self._remembered = lru_cache(maxsize=AGENTS_KEPT)(_read)

    def read(self, user_agent: str | bytes) -> Device:
        """What this User-Agent says; raw header bytes are taken as Latin-1. Never raises."""
        text = user_agent.decode("latin-1") if isinstance(user_agent, bytes) else user_agent
        return self._remembered(text[:LONGEST])


def _read(text: str) -> Device:
    agent = _judged(text.encode("utf-8", "replace").decode())  # the fast resolver takes no lone surrogates
    return Device(
        browser=_named(agent.browser.family, agent.browser.version),
        os=_named(agent.os.family, agent.os.version),
        device=_kind(agent),
        bot=bool(agent.is_bot),
    )


def _named(family: str, version: tuple[int | str, ...]) -> str:
    return f"{family} {version[0]}" if version else family


def _kind(agent: Any) -> str:
    if agent.is_bot:
        return "bot"
    if agent.is_tablet:
        return "tablet"
    if agent.is_mobile:
        return "mobile"
    return "desktop" if agent.is_pc else "other"


def _judged(text: str) -> Any:
    """The `user_agents.UserAgent` of this text, without its constructor, which runs the legacy parser (900 µs)."""
    from ua_parser import Domain
    from user_agents import parsers

    seen = _resolver()(text, Domain.ALL).complete().with_defaults()
    agent = parsers.UserAgent.__new__(parsers.UserAgent)
    agent.ua_string = text
    browser, system, device = seen.user_agent, seen.os, seen.device
    agent.browser = parsers.parse_browser(browser.family, browser.major, browser.minor, browser.patch)
    agent.os = parsers.parse_operating_system(system.family, system.major, system.minor, system.patch)
    agent.device = parsers.parse_device(device.family, device.brand, device.model)
    return agent


@cache
def _resolver() -> Resolver:
    """The fastest resolver that is installed; one for the whole process."""
    from ua_parser import BestAvailableResolver, load_lazy_builtins

    return BestAvailableResolver(load_lazy_builtins())
