"""`[identifier]` and `[[cookie]]`: our own cookie, and the site's."""

from __future__ import annotations

from consent_mw.core.compiler import values
from consent_mw.core.compiler.names import Names, listed_tables
from consent_mw.core.compiler.report import quoted
from consent_mw.core.compiler.section import Section
from consent_mw.core.document import Kind, Node
from consent_mw.core.policy import DAY, CookieRule, IdentifierRule, Site
from consent_mw.core.terms import SameSite
from consent_mw.errors import Label

BROWSERS_KEEP = 400 * DAY
"""No browser keeps a cookie for longer (RFC 6265bis 5.5)."""

OWN = ("__Host-consent", "__Secure-consent")
"""The names of the consent cookie; no rule may speak about it."""


def compile_identifier(root: Section, site: Site, names: Names) -> IdentifierRule | None:
    """`[identifier]`: absent, none is set."""
    section = root.table("identifier")
    if section is None:
        return None
    section.label = "`[identifier]`"
    cookie = section.parsed("cookie", values.identifier_name, "__Host-vid", required=True)
    purpose = names.purposes.one(section, "purpose", required=True) or ""
    lasts = section.parsed("lasts", values.duration, 395 * DAY)
    clauses = names.cited(section)
    _check_prefix(section, cookie, site)
    _warn_of_long_life(section, lasts)
    section.finish()
    return IdentifierRule(cookie, purpose, lasts, section.place, clauses)


def compile_cookies(root: Section, identifier: IdentifierRule | None, names: Names) -> tuple[CookieRule, ...]:
    """`[[cookie]]`: each name or beginning of names once."""
    reserved = (*OWN, *((identifier.cookie,) if identifier else ()))
    seen: dict[str, Node] = {}
    rules = []
    for section in listed_tables(root, "cookie", root.report):
        rule = _cookie(section, names)
        entry = section.node.entries.get("name")
        if entry is None or not rule.pattern:
            continue
        if rule.pattern in seen:
            first = seen[rule.pattern]
            message = f"cookie {quoted(rule.pattern)} already has a rule on line {first.place.line}"
            also = Label(first.place, "the first one", first.length)
            root.report.error(entry.node, "duplicate-cookie", message, "keep one of the two", also)
        if rule.pattern in reserved:
            message = f"cookie {quoted(rule.pattern)} is our own, so no rule can name it"
            root.report.error(entry.node, "reserved-cookie", message, "remove the rule")
        seen.setdefault(rule.pattern, entry.node)
        rules.append(rule)
    return tuple(rules)


def _cookie(section: Section, names: Names) -> CookieRule:
    rule = CookieRule(
        pattern=section.parsed("name", values.cookie_pattern, "", required=True),
        purpose=names.purposes.one(section, "purpose", required=True) or "",
        place=section.place,
        lasts=section.parsed("lasts", _lasts, None),
        secure=section.flag("secure"),
        same_site=section.choice("same_site", SameSite),
        clauses=names.cited(section),
    )
    _warn_of_long_life(section, rule.lasts or 0)
    section.finish()
    return rule


def _lasts(text: str) -> int | None:
    return values.duration(text)


def _check_prefix(section: Section, cookie: str, site: Site) -> None:
    entry = section.node.entries.get("cookie")
    if entry is None or entry.node.kind is not Kind.STRING:
        return
    if site.cookie_domain and cookie.lower().startswith("__host-"):
        message = f"`cookie` of {section.label}: {quoted(cookie)} cannot be shared by subdomains"
        advice = f"with `cookie_domain`, write `__Secure-{cookie[7:]}` (RFC 6265bis 4.1.3.2)"
        section.report.error(entry.node, "host-prefix-with-domain", message, advice)
    if cookie in OWN:
        message = f"`cookie` of {section.label}: {quoted(cookie)} holds the visitor's answers"
        section.report.error(entry.node, "reserved-cookie", message, 'write another name, as in "__Host-vid"')


def _warn_of_long_life(section: Section, lasts: int) -> None:
    entry = section.node.entries.get("lasts")
    if entry is not None and lasts > BROWSERS_KEEP:
        message = f"{section.label} lasts {quoted(entry.node.text)}, longer than browsers keep a cookie"
        section.report.warning(
            entry.node, "longer-than-browsers-keep", message, 'write at most "400d" (RFC 6265bis 5.5)'
        )
