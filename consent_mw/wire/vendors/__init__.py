"""One pure file for each kind of vendor: permits to request bytes, response to outcomes.

Rule: an encoder writes permitted fields and constants, nothing else; what the vendor would derive is switched off.
Rule: a 2xx is not delivery unless this kind of vendor means it so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from consent_mw.core.policy import Vendor
from consent_mw.core.terms import VendorKind
from consent_mw.wire.vendors.segment import SegmentEncoder
from consent_mw.wire.vendors.terms import Encoder, OutgoingRequest, VendorAnswer
from consent_mw.wire.vendors.webhook import WebhookEncoder

ENCODERS: Mapping[VendorKind, Callable[[Vendor, str, str], Encoder]] = {
    VendorKind.WEBHOOK: WebhookEncoder,
    VendorKind.SEGMENT: SegmentEncoder,
}
"""How each kind is written; a kind that is not here cannot be delivered to."""


def encoder(vendor: Vendor, key: str, source: str) -> Encoder:
    """The encoder for this vendor. `key` is its secret (blanks around it do not count), `source` the site's origin.
    Raises ValueError for a kind that cannot be delivered to, and for a key that no header can carry."""
    make = ENCODERS.get(vendor.kind)
    if make is None:
        raise ValueError(f"vendor {vendor.name!r}: kind {vendor.kind.value!r} cannot be delivered to")
    secret = key.strip()
    if not (secret.isascii() and (secret.isprintable() or not secret)):
        raise ValueError(f"vendor {vendor.name!r}: its key holds characters that no header can carry")
    return make(vendor, secret, source)


__all__ = ["ENCODERS", "Encoder", "OutgoingRequest", "VendorAnswer", "encoder"]
