"""Content-Security-Policies: read, narrowed, opened for our own files, written. Pure."""

from consent_mw.wire.csp.changes import (
    Own,
    binds,
    let_in,
    narrow,
    nonces_of,
    reporting,
    unreported,
    without_reporting,
)
from consent_mw.wire.csp.nonces import NO_NONCES, Nonces, carrying, hide, reveal
from consent_mw.wire.csp.policies import NONE, ContentPolicy, directive, read_policies, written
from consent_mw.wire.csp.sources import denies, leads_to_denied, narrowed_sources, pattern_in

__all__ = [
    "NONE", "NO_NONCES", "ContentPolicy", "Nonces", "Own", "binds", "carrying", "denies", "directive", "hide",
    "leads_to_denied", "let_in", "narrow", "narrowed_sources", "nonces_of", "pattern_in", "read_policies",
    "reporting", "reveal", "unreported", "without_reporting", "written",
]  # fmt: skip
