"""One pure file for each kind of vendor: permits to request bytes, response to outcomes.

Rule: an encoder writes permitted fields and constants, nothing else; what the vendor would derive is switched off.
Rule: a 2xx is not delivery unless this kind of vendor means it so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from consent_mw.core.policy import Vendor
from consent_mw.core.terms import VendorKind
from consent_mw.wire.vendors.amplitude import AmplitudeEncoder
from consent_mw.wire.vendors.ga4 import Ga4Encoder
from consent_mw.wire.vendors.matomo import MatomoEncoder
from consent_mw.wire.vendors.mixpanel import MixpanelEncoder
from consent_mw.wire.vendors.otlp import OtlpEncoder
from consent_mw.wire.vendors.plausible import PlausibleEncoder
from consent_mw.wire.vendors.posthog import PosthogEncoder
from consent_mw.wire.vendors.segment import SegmentEncoder
from consent_mw.wire.vendors.snowplow import SnowplowEncoder
from consent_mw.wire.vendors.terms import Encoder, OutgoingRequest, Piecemeal, VendorAnswer
from consent_mw.wire.vendors.webhook import WebhookEncoder

ENCODERS: Mapping[VendorKind, Callable[[Vendor, str, str], Encoder]] = {
    VendorKind.WEBHOOK: WebhookEncoder,
    VendorKind.SEGMENT: SegmentEncoder,
    VendorKind.GA4: Ga4Encoder,
    VendorKind.POSTHOG: PosthogEncoder,
    VendorKind.MATOMO: MatomoEncoder,
    VendorKind.PLAUSIBLE: PlausibleEncoder,
    VendorKind.MIXPANEL: MixpanelEncoder,
    VendorKind.AMPLITUDE: AmplitudeEncoder,
    VendorKind.SNOWPLOW: SnowplowEncoder,
    VendorKind.OTLP: OtlpEncoder,
}
"""How each kind is written."""


def encoder(vendor: Vendor, key: str, source: str) -> Encoder:
    """The encoder for this vendor. `key` is its secret (blanks around it do not count), `source` the site's origin.
    Raises ValueError for a key that no header can carry."""
    secret = key.strip()
    if not (secret.isascii() and (secret.isprintable() or not secret)):
        raise ValueError(f"vendor {vendor.name!r}: its key holds characters that no header can carry")
    return ENCODERS[vendor.kind](vendor, secret, source)


__all__ = ["ENCODERS", "Encoder", "OutgoingRequest", "Piecemeal", "VendorAnswer", "encoder"]
