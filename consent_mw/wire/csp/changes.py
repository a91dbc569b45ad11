"""What becomes of a policy: narrowed, opened for our own files, told where to report.

Rule: narrowing takes expressions away, or puts narrower ones in their place: the result never allows what the policy
forbade.
Rule: what is let in is our own files and routes, by their address or the page's nonce.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consent_mw.core.hosts import Hosts
from consent_mw.wire.csp.nonces import Nonces
from consent_mw.wire.csp.policies import ANY, NONE, SELF, STRICT_DYNAMIC, ContentPolicy, Directive, directive
from consent_mw.wire.csp.sources import leads_to_denied, meets, narrowed_sources

_SCRIPT = ("script-src-elem", "script-src", "default-src")
_STYLE = ("style-src-elem", "style-src", "default-src")
_CONNECT = ("connect-src", "default-src")
_IMAGE = ("img-src", "default-src")
_FORM = ("form-action",)
_FALLBACKS = (
    _SCRIPT, _STYLE, _CONNECT, _IMAGE,
    ("frame-src", "child-src", "default-src"), ("font-src", "default-src"), ("media-src", "default-src"),
    ("object-src", "default-src"),
)  # fmt: skip
"""Where a browser looks for what governs a load, first to last (CSP3 6.8.3)."""
_NONCE = re.compile(r"'nonce-([A-Za-z0-9+/_-]+={0,2})'", re.IGNORECASE)


def narrow(policy: ContentPolicy, hosts: Hosts) -> ContentPolicy:
    """The policy without what names denied hosts alone, reports to them included. What also names others (a
    wildcard, a scheme) stays."""
    narrowed = [_narrowed(one, hosts) if one.fetches else one for one in policy.directives]
    return unreported(policy.replacing(narrowed), hosts)


def unreported(policy: ContentPolicy, hosts: Hosts) -> ContentPolicy:
    """The policy that reports to no denied host."""
    uri = policy.get("report-uri")
    if uri is None:
        return policy
    left = [one for one in uri.value if not leads_to_denied(one, hosts)]
    if len(left) == len(uri.value):
        return policy
    others = [one for one in policy.directives if one is not uri]
    return policy.having(uri.holding(left)) if left else policy.replacing(others)


def _narrowed(one: Directive, hosts: Hosts) -> Directive:
    kept = narrowed_sources(one.value, hosts)
    return one if kept == one.value else one.holding(kept)


def binds(policies: Sequence[ContentPolicy], hosts: Hosts) -> bool:
    """Whether no denied host can be loaded from by what these policies say: by no wildcard, scheme, nonce or
    `strict-dynamic`, and by nothing being said at all."""
    return all(any(_shut(policy.governing(names), names, hosts) for policy in policies) for names in _FALLBACKS)


def _shut(one: Directive | None, names: Sequence[str], hosts: Hosts) -> bool:
    return one is not None and not any(_passes(source, names, hosts) for source in one.value)


def _passes(source: str, names: Sequence[str], hosts: Hosts) -> bool:
    """Whether this source expression lets something of the denied hosts pass."""
    if source.startswith("'"):
        # A hash of an external script is that script, whoever serves it (CSP3 6.7.1.1).
        lets_code_in = source.lower() == STRICT_DYNAMIC or source.lower().startswith(("'nonce-", "'sha"))
        return lets_code_in and names in (_SCRIPT, _STYLE) and bool(hosts.denied)
    return meets(source, hosts.denied)


def nonces_of(policies: Iterable[ContentPolicy]) -> Nonces:
    """The nonces that markup of ours carries on a page under these policies: the first of each kind."""
    under = tuple(policies)
    return Nonces(_nonce(under, _SCRIPT), _nonce(under, _STYLE))


def _nonce(policies: Sequence[ContentPolicy], names: Sequence[str]) -> str:
    governing = (policy.governing(names) for policy in policies)
    return next((nonce for one in governing if one is not None for nonce in _nonces(one)), "")


def _nonces(one: Directive) -> list[str]:
    """Nonces are compared by case, what stands around them is not (CSP3 6.7.2.2)."""
    return [found[1] for found in map(_NONCE.fullmatch, one.value) if found is not None]


@dataclass(frozen=True, slots=True)
class Own:
    """What is let in, as source expressions: where our files and our routes are, and whatever else of the site's own
    choice stands in our markup: stylesheets and images, `elsewhere` those of them that are on another host."""

    files: str
    routes: str
    styles: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    elsewhere: frozenset[str] = frozenset()


def let_in(policy: ContentPolicy, own: Own, nonces: Nonces) -> ContentPolicy:
    """The policy that our own script, style, state and forms pass, and nothing else that did not.

    Where `strict-dynamic` stands without this page's nonce, no address lets our script in; the banner does without.
    """
    wanted = [
        (_SCRIPT, own.files, nonces.script),
        *((_STYLE, one, nonces.style) for one in (own.files, *own.styles)),
        *((_IMAGE, one, "") for one in own.images),
        (_CONNECT, own.routes, ""),
        (_FORM, own.routes, ""),
    ]
    for names, source, nonce in wanted:
        policy = _admit(policy, names, source, nonce, here=source not in own.elsewhere)
    return policy


def _admit(policy: ContentPolicy, names: Sequence[str], source: str, nonce: str, *, here: bool) -> ContentPolicy:
    governing = policy.governing(names)
    if governing is None or governing.has(ANY) or (here and governing.has(SELF)):
        return policy
    if names is _SCRIPT and governing.has(STRICT_DYNAMIC):
        return policy
    if source in governing.value or (nonce and nonce in _nonces(governing)):
        return policy
    # What stands in for several kinds of loads must not open all of them: the kind gets a directive of its own.
    kind = names[-2] if governing.name == "default-src" else governing.name
    kept = [one for one in governing.value if one.lower() != NONE]
    return policy.having(governing.holding((*kept, source), kind))


def reporting(policy: ContentPolicy, address: str, group: str) -> ContentPolicy | None:
    """The policy that also reports to this address (and by this group, unless empty); None where it names a group
    of its own, which is then the only one that a browser heeds."""
    if policy.get("report-to") is not None:
        return None
    uri = policy.get("report-uri")
    if uri is not None:
        return policy if address in uri.value else policy.having(uri.holding((*uri.value, address)))
    said = policy.having(directive("report-uri", address))
    return said.having(directive("report-to", group)) if group else said


def without_reporting(policy: ContentPolicy) -> ContentPolicy:
    """The policy that reports to nobody."""
    return policy.replacing([one for one in policy.directives if one.name not in ("report-uri", "report-to")])
