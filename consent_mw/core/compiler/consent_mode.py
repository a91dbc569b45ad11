"""`[consent_mode]`: which purposes grant the storage types of Google's Consent Mode.

Source: Google, "Consent mode reference" (version 2).
"""

from __future__ import annotations

from types import MappingProxyType

from consent_mw.core.compiler.names import Names
from consent_mw.core.compiler.section import Section
from consent_mw.core.document import Kind
from consent_mw.core.policy import ConsentMode

STORAGE_TYPES = (
    "ad_storage", "ad_user_data", "ad_personalization", "analytics_storage", "functionality_storage",
    "personalization_storage", "security_storage",
)  # fmt: skip

LONGEST_WAIT = 10_000
"""Milliseconds that Google's tags may be told to wait for an update."""


def compile_consent_mode(root: Section, names: Names) -> ConsentMode:
    """Absent: nothing is told to Google's tags."""
    section = root.table("consent_mode")
    if section is None:
        return ConsentMode()
    section.label = "`[consent_mode]`"
    purposes = {name: purpose for name in STORAGE_TYPES if (purpose := names.purposes.one(section, name)) is not None}
    node = section.value("wait_for_update", Kind.INTEGER)
    wait = node.number if node is not None else 0
    if node is not None and not 0 <= wait <= LONGEST_WAIT:
        message = f"`wait_for_update` of {section.label} is `{str(wait)[:20]}`, which is no wait in milliseconds"
        section.report.error(node, "bad-wait", message, f"write a whole number from 0 to {LONGEST_WAIT}")
        wait = 0
    section.finish()
    return ConsentMode(MappingProxyType(purposes), wait)
