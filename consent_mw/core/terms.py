"""The closed sets of the field's words: every enum a rule, a policy or a wire format may name.

Rule: a member's value is the word as it stands in policy files, headers and JSON.
Rule: nothing here looks at a request; these are names only.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Mode(StrEnum):
    """Whether the policy is carried out, or decided and counted only."""

    ENFORCE = "enforce"
    REPORT = "report"


class Regime(StrEnum):
    """What holds without an answer: nothing before a yes, or allowed until a no."""

    OPT_IN = "opt-in"
    OPT_OUT = "opt-out"


class Banner(StrEnum):
    """What a page shows to a visitor without a current answer."""

    ASK = "ask"
    NOTICE = "notice"
    NONE = "none"


class Signal(StrEnum):
    """A preference that comes with a request: the browser's own, or the string of a consent platform."""

    DNT = "dnt"
    GPC = "gpc"
    TCF = "tcf"
    GPP = "gpp"


STRINGS = (Signal.TCF, Signal.GPP)
"""The signals that are strings of the industry, which come in a cookie."""


class Effect(StrEnum):
    """What a signal does: nothing, or refuse the purposes that its rule names."""

    IGNORE = "ignore"
    REFUSE = "refuse"


class Answer(IntEnum):
    """What a person's consent says about one purpose today."""

    NONE = 0
    YES = 1
    NO = 2


class Status(StrEnum):
    """What a person's consent is as a whole."""

    UNKNOWN = "unknown"
    GIVEN = "given"
    REFUSED = "refused"
    PARTIAL = "partial"
    EXPIRED = "expired"
    OUTDATED = "outdated"


class Reason(StrEnum):
    """Why a purpose is allowed or denied; listed in the order in which the first answer wins."""

    ESSENTIAL = "essential"
    MINOR = "minor"
    CONSENT_REFUSED = "consent-refused"
    SIGNAL_REFUSES = "signal-refuses"
    CONSENT_GIVEN = "consent-given"
    OPT_IN_DEFAULT = "opt-in-default"
    OPT_OUT_DEFAULT = "opt-out-default"


class Whereabouts(StrEnum):
    """How the jurisdiction was found; all but `located` mean that the strictest candidate won."""

    LOCATED = "located"
    UNKNOWN_COUNTRY = "unknown-country"
    UNKNOWN_REGION = "unknown-region"
    DATABASES_DISAGREE = "databases-disagree"
    UNREADABLE_ADDRESS = "unreadable-address"


class TrackingStatus(StrEnum):
    """Tracking status values of W3C Tracking Preference Expression that we send."""

    UNDER_TEST = "!"
    DYNAMIC = "?"
    NOT_TRACKING = "N"
    TRACKING = "T"
    CONSENT = "C"
    DISREGARDED = "D"
    UPDATED = "U"


class SameSite(StrEnum):
    """Floors of the SameSite attribute, weakest first (draft-ietf-httpbis-rfc6265bis)."""

    NONE = "none"
    LAX = "lax"
    STRICT = "strict"


class VendorKind(StrEnum):
    """The wire formats that events are delivered in."""

    WEBHOOK = "webhook"
    SEGMENT = "segment"
    GA4 = "ga4"
    POSTHOG = "posthog"
    MATOMO = "matomo"
    PLAUSIBLE = "plausible"
    MIXPANEL = "mixpanel"
    AMPLITUDE = "amplitude"
    SNOWPLOW = "snowplow"
    OTLP = "otlp"


class Outcome(StrEnum):
    """What became of an accepted event at one vendor."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DROPPED = "dropped"
    UNKNOWN = "unknown"
    DEAD = "dead"
    RECALLED = "recalled"


class Overflow(StrEnum):
    """What a full outbox does."""

    REJECT_NEW = "reject-new"
    DROP_OLDEST = "drop-oldest"


class CspMode(StrEnum):
    """Whether a Content-Security-Policy is written from the decision."""

    OFF = "off"
    REPORT = "report"
    ENFORCE = "enforce"


class EventKind(StrEnum):
    """What an event is to a vendor."""

    PAGE_VIEW = "page_view"
    TRACK = "track"
    IDENTIFY = "identify"


SIMPLE_FIELDS = frozenset(
    {
        "event", "time", "page_path", "page_url", "referrer_host", "referrer_url", "title",
        "ip", "ip_truncated", "user_agent", "browser", "os", "device", "language",
        "country", "region", "city", "visitor_id", "user_id", "name", "email",
    }
)  # fmt: skip
"""Fields that carry one value each; `props.*`, `query.*`, `props.NAME` and `query.NAME` stand beside them."""

FIELD_FAMILIES = ("query.", "props.")
"""Prefixes of the fields that carry a named value, or with `*` all of them."""
