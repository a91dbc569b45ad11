"""The shape of a policy file as a JSON Schema (2020-12), for editors.

Rule: made of the compiler's words and fields; a test holds the two together over every policy of the tests.
Rule: it knows shapes and words only; what names stand for, and what rules mean together, only `check` knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from consent_mw.core.compiler.consent_mode import LONGEST_WAIT, STORAGE_TYPES
from consent_mw.core.compiler.kinds import NEEDS
from consent_mw.core.compiler.strings import HIGHEST, OPT_OUTS
from consent_mw.core.terms import (
    SIMPLE_FIELDS,
    STRINGS,
    Banner,
    CspMode,
    Effect,
    Mode,
    Overflow,
    Regime,
    SameSite,
    Signal,
    VendorKind,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, object]

_TEXT: Schema = {"type": "string", "minLength": 1}
_FLAG: Schema = {"type": "boolean", "default": False}
_DURATION: Schema = {"type": "string", "pattern": "^[0-9]{1,10}[smhd]$"}
_SIZE: Schema = {"type": "string", "pattern": "^[0-9]{1,15} ?([kKMGT]?i?B)$"}
_FIELD: Schema = {
    "anyOf": [{"enum": sorted(SIMPLE_FIELDS)}, {"type": "string", "pattern": r"^(query|props)\.(\*|[^\s*]{1,100})$"}]
}
_WAIT: Schema = {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT}
_PURPOSE_NAME = "^[a-z][a-z0-9_]{0,63}$"
_NAME = "^[A-Za-z][A-Za-z0-9_-]{0,63}$"


def policy_schema() -> Schema:
    """The JSON Schema of policy files."""
    effect = {"effect": _words(Effect, "What the signal does."), "purposes": _list(_TEXT), "clause": _CLAUSES}
    signal = _table(
        {
            **effect,
            "yields_to_consent": _said(_FLAG, "Whether an explicit yes beats the signal."),
            "in": _tables(_NAME, _table(effect, ["effect"])),
        }
    )
    return {
        "$schema": DIALECT,
        "title": "A policy of consent_mw",
        **_table(
            {
                "schema": {"const": 1, "description": "The schema of this file."},
                "revision": _said(_TEXT, "Yours; a new one makes an older yes outdated."),
                "mode": _words(Mode, "Carry the policy out, or decide and count only."),
                "dangerously_keep_unlisted": _said(_FLAG, "Keep cookies that no rule names."),
                "site": _site(),
                "scope": _table(
                    {"exclude": _list(_TEXT), "percent": {"type": "integer", "minimum": 0, "maximum": 100}}
                ),
                "client_address": _table({"trusted": _list(_TEXT), "header": _TEXT}),
                "geo": _table({"databases": _list(_TEXT), "unknown": _TEXT}),
                "clause": {"type": "array", "items": _clause()},
                "purpose": _tables(_PURPOSE_NAME, _purpose()),
                "jurisdiction": _tables(_NAME, _jurisdiction()),
                "signal": _table({one.value: _string(one) if one in STRINGS else signal for one in Signal}),
                "identifier": _identifier(),
                "cookie": {"type": "array", "items": _cookie()},
                "vendor": _tables(_NAME, _vendor()),
                "feature": _tables(_NAME, _feature()),
                "urls": _table({"redact": _list({"type": "string", "pattern": "^/"})}),
                "csp": _table({"mode": _words(CspMode, "Whether a policy is sent."), "sources": _list(_TEXT)}),
                "consent_mode": _table({**dict.fromkeys(STORAGE_TYPES, _TEXT), "wait_for_update": _WAIT}),
                "retention": _table(dict.fromkeys(("receipts", "ledger", "dead_letters", "statistics"), _DURATION)),
                "outbox": _table({"max_size": _SIZE, "overflow": _words(Overflow, "What a full outbox does.")}),
            },
            ["schema", "revision", "site", "purpose", "jurisdiction"],
        ),
    }


def _string(signal: Signal) -> Schema:
    item: Schema = {"enum": list(OPT_OUTS)}
    if signal is Signal.TCF:
        item = {"type": "integer", "minimum": 1, "maximum": HIGHEST}
    effect = {"effect": _words(Effect, "What the string does."), "clause": _CLAUSES}
    return _table(
        {
            **effect,
            "cookie": _said(_TEXT, "The cookie that the string comes in."),
            "refuses": _tables(_PURPOSE_NAME, {**_list(item), "minItems": 1}),
            "yields_to_consent": _said(_FLAG, "Whether an explicit yes beats the string."),
            "in": _tables(_NAME, _table(effect, ["effect"])),
        }
    )


def _site() -> Schema:
    texts = dict.fromkeys(("origin", "contact", "cookie_domain", "stylesheet", "logo", "texts"), _TEXT)
    return _table(
        {
            "name": _said(_TEXT, "Who publishes the policy."),
            "policy_url": _said(_TEXT, "Where the published policy is."),
            **texts,
            "prefix": {"type": "string", "pattern": "^/", "default": "/_consent"},
            "same_party": _list(_TEXT),
            "shared_pages": _FLAG,
            "dangerously_plain_http": _FLAG,
        },
        ["name", "policy_url"],
    )


def _clause() -> Schema:
    told = _said(_TEXT, "Why nothing enforces it.")
    return _table({"id": _TEXT, "text": _TEXT, "informational": told}, ["id", "text"])


def _purpose() -> Schema:
    return _table({"text": _said(_TEXT, "What the visitor reads."), "essential": _FLAG, "clause": _CLAUSES})


def _jurisdiction() -> Schema:
    return _table(
        {
            "regions": _said({**_list(_TEXT), "minItems": 1}, 'ISO 3166 codes ("DE", "US-CA"), "EU", "EEA" or "*".'),
            "regime": _words(Regime, "What holds without an answer."),
            "banner": _words(Banner, "What a page shows to a visitor without a current answer."),
            "lasts": _said(_DURATION, "After this a yes is asked for anew."),
            "clause": _CLAUSES,
        },
        ["regions", "regime"],
    )


def _identifier() -> Schema:
    return _table({"cookie": _TEXT, "purpose": _TEXT, "lasts": _DURATION, "clause": _CLAUSES}, ["cookie", "purpose"])


def _cookie() -> Schema:
    return _table(
        {
            "name": _said(_TEXT, "Exact, or with one trailing `*`."),
            "purpose": _TEXT,
            "lasts": _DURATION,
            "secure": _FLAG,
            "same_site": _words(SameSite, "The weakest that is let be."),
            "clause": _CLAUSES,
        },
        ["name", "purpose"],
    )


def _vendor() -> Schema:
    """A vendor of some kind: settings that only some kinds have are bound to the kind."""
    options = {name for needs in NEEDS.values() for name in (*needs.options, *needs.may)}
    option: Schema = {"type": ["string", "integer"]}
    table = _table(
        {
            "kind": _words(VendorKind, "The format that events are delivered in."),
            "purpose": _TEXT,
            "endpoint": {"type": "string", "pattern": "^https?://"},
            "key": _said(_TEXT, "`env:NAME`, or the key itself."),
            "fields": {**_list(_FIELD), "minItems": 1},
            "fields_in": _tables(_NAME, _list(_FIELD)),
            "hosts": _list(_TEXT),
            "country": {"type": "string", "pattern": "^[A-Z]{2}$"},
            "transfer_basis": _TEXT,
            "resend": _FLAG,
            "clause": _CLAUSES,
            **dict.fromkeys(sorted(options), option),
        },
        ["kind", "purpose", "endpoint", "fields"],
    )
    return {**table, "allOf": [_of_kind(kind, options) for kind in VendorKind]}


def _of_kind(kind: VendorKind, options: set[str]) -> Schema:
    needs = NEEDS[kind]
    foreign = sorted(options - {*needs.options, *needs.may})
    then: Schema = {"properties": dict.fromkeys(foreign, False), "required": list(needs.options)}
    return {"if": {"properties": {"kind": {"const": kind.value}}, "required": ["kind"]}, "then": then}


def _feature() -> Schema:
    return _table({"purpose": _TEXT, "denied_in": _list(_TEXT), "clause": _CLAUSES}, ["purpose"])


def _table(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _tables(name: str, each: Schema) -> Schema:
    return {"type": "object", "propertyNames": {"pattern": name}, "additionalProperties": each}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items, "uniqueItems": True}


def _words(words: type[StrEnum], told: str) -> Schema:
    return {"enum": [one.value for one in words], "description": told}


def _said(schema: Schema, told: str) -> Schema:
    return {**schema, "description": told}


_CLAUSES: Schema = _said(_list(_TEXT), "The sentences of the published policy that this carries out.")
