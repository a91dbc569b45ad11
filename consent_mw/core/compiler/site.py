"""The tables about the site and about running: `[site]`, `[scope]`, `[client_address]`, `[geo]` and the rest."""

from __future__ import annotations

from consent_mw.core.compiler import values
from consent_mw.core.compiler.names import Names
from consent_mw.core.compiler.report import quoted
from consent_mw.core.compiler.section import Section
from consent_mw.core.document import Kind, Node
from consent_mw.core.policy import ClientAddress, Geo, OutboxRule, Retention, Scope, Site
from consent_mw.core.terms import Overflow

SCHEMA = 1
"""The one schema of policy files so far."""


def compile_schema(root: Section) -> None:
    """`schema` must be there, and be the one that this version reads."""
    node = root.value("schema", Kind.INTEGER, required=True)
    if node is not None and node.number != SCHEMA:
        message = f"schema `{str(node.number)[:20]}` is not one that this version reads"
        root.report.error(node, "unsupported-schema", message, f"write `schema = {SCHEMA}`")


def compile_site(root: Section) -> Site:
    """`[site]`: who publishes the policy, and where."""
    section = root.table("site")
    if section is None:
        if "site" not in root.node.entries:
            root.missing("[site]", "`[site]` with `name` and `policy_url` is required")
        return Site("", "")
    section.label = "`[site]`"
    plain = section.flag("dangerously_plain_http")
    site = Site(
        name=section.parsed("name", values.one_line, "", required=True),
        policy_url=section.parsed("policy_url", values.page_address, "", required=True),
        origin=section.parsed("origin", values.origin, ""),
        contact=section.parsed("contact", values.one_line, ""),
        prefix=section.parsed("prefix", values.prefix, Site("", "").prefix),
        same_party=section.parsed_list("same_party", values.party),
        cookie_domain=section.parsed("cookie_domain", values.domain, ""),
        stylesheet=section.parsed("stylesheet", values.page_address, ""),
        logo=section.parsed("logo", values.page_address, ""),
        texts=section.parsed("texts", values.relative_file, ""),
        shared_pages=section.flag("shared_pages"),
    )
    if not plain:
        _refuse_plain_http(section, ("origin", "policy_url"))
    _check_cookie_domain(section, site)
    section.finish()
    return site


def compile_scope(root: Section) -> Scope:
    """`[scope]`: which paths and what share of visitors the policy covers."""
    section = _optional(root, "scope")
    if section is None:
        return Scope()
    exclude = section.parsed_list("exclude", values.path_pattern)
    node = section.value("percent", Kind.INTEGER)
    percent = Scope().percent
    if node is not None and 0 <= node.number <= 100:
        percent = node.number
    if node is not None and not 0 <= node.number <= 100:
        message = f"`percent` of {section.label} is `{str(node.number)[:20]}`, which is no share of visitors"
        section.report.error(node, "bad-percent", message, "write a whole number from 0 to 100")
    _warn_of_nobody(section, node)
    section.finish()
    return Scope(exclude, percent)


def _warn_of_nobody(section: Section, percent: Node | None) -> None:
    """A scope that leaves nobody leaves a site without a policy, and nothing else would show it."""
    everything = next((one for one in section.strings("exclude") or () if one.text == "/*"), None)
    if everything is not None:
        message = "`/*` in `exclude` covers every path, so that the policy holds nowhere"
        section.report.warning(everything, "nobody-in-scope", message, "name the paths that need none")
    if percent is not None and percent.number == 0:
        message = f"`percent` of {section.label} is `0`, so that the policy holds for nobody"
        section.report.warning(percent, "nobody-in-scope", message, "write from which share on it is to hold")


def compile_client_address(root: Section) -> ClientAddress:
    """`[client_address]`: which peers are believed, and which of their headers names the client."""
    section = _optional(root, "client_address")
    if section is None:
        return ClientAddress()
    trusted = section.parsed_list("trusted", values.network)
    header = section.parsed("header", values.header_name, ClientAddress().header)
    for node in section.strings("trusted") or ():
        if node.text.endswith("/0"):
            message = f"`trusted` of {section.label} believes every peer, so any visitor can choose an address"
            section.report.warning(node, "trusts-everyone", message, "name the addresses of your own proxies")
    section.finish()
    return ClientAddress(trusted, header)


def compile_geo(root: Section, names: Names) -> Geo:
    """`[geo]`: which databases say where an address is, and what an unknown place means."""
    section = _optional(root, "geo")
    if section is None:
        return Geo()
    databases = section.parsed_list("databases", values.relative_file, Geo().databases)
    node = section.value("unknown", Kind.STRING)
    unknown = Geo().unknown
    if node is not None and node.text != unknown:
        unknown = names.jurisdictions.resolve(section, node, node.text) or unknown
    section.finish()
    return Geo(databases, unknown)


def compile_redact(root: Section) -> tuple[str, ...]:
    """`[urls]`: paths whose `*` part never leaves."""
    section = _optional(root, "urls")
    if section is None:
        return ()
    redact = section.parsed_list("redact", values.redacted_path)
    section.finish()
    return redact


def compile_retention(root: Section) -> Retention:
    """`[retention]`: how long what is stored stays."""
    section = _optional(root, "retention")
    if section is None:
        return Retention()
    default = Retention()
    retention = Retention(
        receipts=section.parsed("receipts", values.duration, default.receipts),
        ledger=section.parsed("ledger", values.duration, default.ledger),
        dead_letters=section.parsed("dead_letters", values.duration, default.dead_letters),
        statistics=section.parsed("statistics", values.duration, default.statistics),
    )
    section.finish()
    return retention


def compile_outbox(root: Section) -> OutboxRule:
    """`[outbox]`: how large the outbox may grow, and what happens then."""
    section = _optional(root, "outbox")
    if section is None:
        return OutboxRule()
    max_size = section.parsed("max_size", values.size, OutboxRule().max_size)
    overflow = section.choice("overflow", Overflow) or OutboxRule().overflow
    section.finish()
    return OutboxRule(max_size, overflow)


def _optional(root: Section, key: str) -> Section | None:
    section = root.table(key)
    if section is not None:
        section.label = f"`[{key}]`"
    return section


def _refuse_plain_http(section: Section, keys: tuple[str, ...]) -> None:
    for key in keys:
        entry = section.node.entries.get(key)
        if entry is None or entry.node.kind is not Kind.STRING:
            continue
        try:
            plain = values.is_plain_http(entry.node.text)
        except ValueError:  # told already, as no URL
            continue
        if plain:
            message = f"`{key}` of {section.label}: {quoted(entry.node.text)} is plain http off loopback"
            section.report.error(
                entry.node, "plain-http", message, "use https://, or set `dangerously_plain_http = true`"
            )


def _check_cookie_domain(section: Section, site: Site) -> None:
    if not site.cookie_domain or not site.origin:
        return
    host = site.origin.split("://")[1].split(":")[0]
    if host == site.cookie_domain or host.endswith("." + site.cookie_domain):
        return
    message = f"`cookie_domain` of {section.label}: {quoted(site.cookie_domain)} does not cover {quoted(site.origin)}"
    advice = "a browser takes a cookie only for the page's own domain or one above it (RFC 6265 5.3)"
    section.report.error(section.node.entries["cookie_domain"].node, "foreign-cookie-domain", message, advice)
