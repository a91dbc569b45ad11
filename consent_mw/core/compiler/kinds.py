"""The kinds of vendors: which fields each cannot work without, which it cannot carry, and the settings only it has.

Rule: a kind's row here says the same as its encoder does; a test holds them together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from consent_mw.core.compiler.section import BadValue, Grammar
from consent_mw.core.terms import VendorKind

_PERSON = ("visitor_id", "user_id")
_NAMED = (("event",),)
_OPTION = re.compile(r"[!-~](?:[ -~]{0,198}[!-~])?")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a kind cannot work without: of each group of `fields` one, each of `options`; `may` are further options;
    `key` is whether the vendor turns away what carries none. `lost` are fields that its format has no place for;
    `lost_without` those that it takes only with this setting, and `props` the only properties that it then takes
    (none said: all)."""

    fields: tuple[tuple[str, ...], ...] = ()
    options: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    key: bool = False
    lost: frozenset[str] = frozenset()
    lost_without: tuple[str, frozenset[str]] = ("", frozenset())
    props: re.Pattern[str] | None = None

    def loses(self, field: str, settings: frozenset[str]) -> str | None:
        """Whether this field goes nowhere: the setting that would change that, `""` where none would; None where it
        is carried."""
        setting, lost = self.lost_without
        if field in lost and setting not in settings:
            return setting
        if field in self.lost:
            return ""
        if self.props is None or not field.startswith("props.") or field == "props.*":
            return None
        # A context of the operator's own takes every property.
        if self.props.fullmatch(field) or (setting != "key" and setting in settings):
            return None
        return "" if setting == "key" else setting


NEEDS: Mapping[VendorKind, Needs] = MappingProxyType(
    {
        VendorKind.WEBHOOK: Needs(),
        VendorKind.SEGMENT: Needs((_PERSON,), key=True),
        VendorKind.GA4: Needs((*_NAMED, _PERSON), ("measurement_id",), key=True),
        VendorKind.POSTHOG: Needs((*_NAMED, _PERSON), key=True),
        # Without an address or an id, Matomo merges all our visitors into one.
        VendorKind.MATOMO: Needs(
            (*_NAMED, ("visitor_id", "user_id", "ip")),
            ("site_id",),
            lost=frozenset({"browser", "os", "device", "name", "email"}),
            lost_without=("key", frozenset({"ip", "ip_truncated", "country", "region", "city"})),
            props=re.compile(r"props\.(?:category|label|value|dimension[1-9][0-9]{0,2})"),
        ),
        # Plausible drops an event without address or user agent, and answers 202.
        VendorKind.PLAUSIBLE: Needs(
            (*_NAMED, ("ip", "ip_truncated"), ("user_agent",)),
            ("domain",),
            lost=frozenset({"time", "visitor_id", "user_id", "name", "email"}),
        ),
        VendorKind.MIXPANEL: Needs((*_NAMED, _PERSON), may=("project_id",), key=True),
        VendorKind.AMPLITUDE: Needs((*_NAMED, _PERSON), key=True),
        VendorKind.SNOWPLOW: Needs(
            _NAMED,
            may=("app_id", "context_schema"),
            lost_without=(
                "context_schema",
                frozenset({"browser", "os", "device", "country", "region", "city", "name", "email"}),
            ),
            props=re.compile(r"props\.(?:category|label|property|value)"),
        ),
        VendorKind.OTLP: Needs(may=("service_name",)),
    }
)
"""Every kind."""


def option(text: str) -> str:
    """A setting that is sent as it stands."""
    if not _OPTION.fullmatch(text):
        raise BadValue("bad-option", "cannot be sent", "write at most 200 printable ASCII characters")
    return text


def _shaped(pattern: str, what: str, advice: str) -> Grammar[str]:
    shape = re.compile(pattern)

    def grammar(text: str) -> str:
        if not shape.fullmatch(option(text)):
            raise BadValue("bad-option", f"is not {what}", advice)
        return text

    return grammar


OPTIONS: Mapping[str, Grammar[str]] = MappingProxyType(
    {
        "measurement_id": _shaped(
            r"G-[A-Za-z0-9]{1,40}", "the id of a web stream", 'write its measurement id, as in "G-1A2B3C4D5E"'
        ),
        "site_id": _shaped(r"[1-9][0-9]{0,9}", "the id of a site in Matomo", "write its `idsite`, as in 7"),
        "domain": _shaped(
            r"[\w.-]+(?:/[\w./-]*)?(?:, ?[\w.-]+(?:/[\w./-]*)?)*",
            "the name of a site in Plausible",
            'write it without a scheme, as in "example.com"',
        ),
        "project_id": _shaped(
            r"[1-9][0-9]{0,17}", "the id of a project in Mixpanel", "write its number, as in 123456"
        ),
        "context_schema": _shaped(
            r"iglu:[\w.-]+/[\w.-]+/jsonschema/[1-9][0-9]*-[0-9]+-[0-9]+",
            "the address of a schema",
            'write it as in "iglu:com.example/visit/jsonschema/1-0-0"',
        ),
    }
)
"""How the settings of single kinds are written; those not here are sent as they stand."""
