"""Content-Security-Policies: read, narrowed, opened for our own files, written. Pure."""

from consent_mw.wire.csp.changes import (
    NO_NONCES,
    Nonces,
    Own,
    binds,
    let_in,
    narrow,
    nonces_of,
    reporting,
    unreported,
    without_reporting,
)
from consent_mw.wire.csp.policies import NONE, ContentPolicy, directive, read_policies, written
from consent_mw.wire.csp.sources import denies, narrowed_sources, pattern_of

__all__ = [
    "NONE", "NO_NONCES", "ContentPolicy", "Nonces", "Own", "binds", "denies", "directive", "let_in", "narrow",
    "narrowed_sources", "nonces_of", "pattern_of", "read_policies", "reporting", "unreported", "without_reporting",
    "written",
]  # fmt: skip
