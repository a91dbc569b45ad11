"""`[csp]`: whether a Content-Security-Policy is written, on which base, and where it could not bind.

Rule: what lets a denied vendor pass is a warning, since it may be meant; what would break the header is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import permutations

from consent_mw.core.compiler import values
from consent_mw.core.compiler.report import quoted
from consent_mw.core.compiler.section import Section
from consent_mw.core.document import Kind, Node
from consent_mw.core.policy import Csp, Site, Vendor
from consent_mw.core.terms import CspMode

UNSTOPPABLE = ("'strict-dynamic'", "*", "https:", "http:", "wss:", "ws:")
"""Source expressions through which any denied vendor can still be loaded."""

_BY_PROOF = ("'nonce-", "'sha")
_WILDCARD = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(\*(?:\.[^:/]+)?)(?::[0-9*]+)?(?:/.*)?", re.IGNORECASE)


def compile_csp(root: Section, site: Site, vendors: Sequence[Vendor]) -> Csp:
    """`[csp]`, with a warning wherever it cannot keep a denied vendor out."""
    section = root.table("csp")
    if section is None:
        return Csp()
    section.label = "`[csp]`"
    mode = section.choice("mode", CspMode) or CspMode.OFF
    csp = Csp(mode, section.parsed_list("sources", values.csp_source, Csp().sources))
    for node in section.strings("sources") or ():
        _warn_of_source(section, node, vendors)
    if mode is not CspMode.OFF:
        _warn_of_shared_pages(section, site)
        _warn_of_shared_hosts(section, vendors)
    section.finish()
    return csp


def _warn_of_source(section: Section, node: Node, vendors: Sequence[Vendor]) -> None:
    source = node.text.lower()
    if source in UNSTOPPABLE or source.startswith(_BY_PROOF):
        message = f"with {quoted(node.text)} in `sources`, a page can load what the policy denies"
        section.report.warning(node, "csp-cannot-stop", message, "list hosts instead")
        return
    wildcard = _WILDCARD.fullmatch(source)
    if wildcard is None:
        return
    others = [one for one in vendors if wildcard[1] not in one.hosts]
    covered = next(((one, host) for one in others for host in one.hosts if _beneath(host, wildcard[1])), None)
    if covered is not None:
        vendor, host = covered
        message = f"{quoted(node.text)} in `sources` covers {quoted(host)} of vendor {quoted(vendor.name)}"
        advice = "list the hosts that are meant, or give the vendor this very pattern in `hosts`"
        section.report.warning(node, "csp-cannot-stop", message, advice)


def _warn_of_shared_pages(section: Section, site: Site) -> None:
    node = section.value("mode", Kind.STRING)
    if site.shared_pages and node is not None:
        message = "with `shared_pages`, a page is the same for all, so that it carries no policy of one decision"
        section.report.warning(node, "csp-cannot-bind", message, "remove one of the two")


def _warn_of_shared_hosts(section: Section, vendors: Iterable[Vendor]) -> None:
    """One vendor's host that another's pattern names is let pass wherever the other is allowed."""
    for denied, allowed in permutations([one for one in vendors if one.hosts], 2):
        if denied.purpose == allowed.purpose:
            continue
        shared = next((one for one in denied.hosts for host in allowed.hosts if _named_by(one, host)), None)
        if shared is not None:
            who, other = quoted(denied.name), quoted(allowed.name)
            message = f"{quoted(shared)} of vendor {who} is let pass wherever {other} is allowed"
            advice = "two vendors of different purposes that share a host cannot be told apart by it"
            section.report.warning(denied.place, "csp-cannot-stop", message, advice)


def _named_by(host: str, pattern: str) -> bool:
    return host == pattern or _beneath(host, pattern)


def _beneath(host: str, wildcard: str) -> bool:
    """Whether this host is one of those that the wildcard names, and not all of them."""
    name, suffix = host.partition(":")[0], wildcard.partition(":")[0].removeprefix("*")
    return wildcard.startswith("*") and name.endswith(suffix) and name != "*" + suffix
