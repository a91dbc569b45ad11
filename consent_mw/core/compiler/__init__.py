"""The compiler: a Document in, a Policy or its Problems out. Pure; one file per group of tables.

Rule: every mistake at once, sorted by place; root causes only.
Rule: names are collected before they are used: clauses, purposes, jurisdictions, then all that names them.
"""

from __future__ import annotations

from dataclasses import dataclass

from consent_mw.core.compiler import values
from consent_mw.core.compiler.codes import CODES
from consent_mw.core.compiler.consent_mode import compile_consent_mode
from consent_mw.core.compiler.cookies import compile_cookies, compile_identifier
from consent_mw.core.compiler.csp import compile_csp
from consent_mw.core.compiler.names import Names
from consent_mw.core.compiler.places import compile_jurisdictions
from consent_mw.core.compiler.report import Report
from consent_mw.core.compiler.review import review
from consent_mw.core.compiler.rules import (
    compile_clauses,
    compile_features,
    compile_purposes,
    compile_signals,
    warn_of_idle_clauses,
)
from consent_mw.core.compiler.section import Section
from consent_mw.core.compiler.site import (
    compile_client_address,
    compile_geo,
    compile_outbox,
    compile_redact,
    compile_retention,
    compile_schema,
    compile_scope,
    compile_site,
)
from consent_mw.core.compiler.vendors import compile_vendors
from consent_mw.core.document import Document
from consent_mw.core.policy import Policy
from consent_mw.core.terms import Mode
from consent_mw.errors import Problem

__all__ = ["CODES", "Compiled", "compile_policy"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a document came to: a Policy unless there were errors, and every Problem, warnings included."""

    policy: Policy | None
    problems: tuple[Problem, ...]


def compile_policy(document: Document) -> Compiled:
    """The Policy that this document states, or what is wrong with it. Total: no document makes it raise."""
    report = Report(document.file)
    root = Section(report, "the policy", document.root)
    policy = _compile(root, document)
    if policy is not None and not report.failed:
        review(policy, document.root, report)
    return Compiled(None if report.failed else policy, report.problems)


def _compile(root: Section, document: Document) -> Policy | None:
    names = Names()
    compile_schema(root)
    revision = root.parsed("revision", values.revision, "", required=True)
    mode = root.choice("mode", Mode) or Mode.ENFORCE
    keep_unlisted = root.flag("dangerously_keep_unlisted")
    site = compile_site(root)
    clauses = compile_clauses(root, names)
    purposes = compile_purposes(root, names)
    jurisdictions = compile_jurisdictions(root, names)
    identifier = compile_identifier(root, site, names)
    scope = compile_scope(root)
    client_address = compile_client_address(root)
    geo = compile_geo(root, names)
    signals = compile_signals(root, names)
    cookies = compile_cookies(root, identifier, names)
    vendors = compile_vendors(root, names)
    features = compile_features(root, names)
    redact = compile_redact(root)
    csp = compile_csp(root, site, vendors)
    consent_mode = compile_consent_mode(root, names)
    retention = compile_retention(root)
    outbox = compile_outbox(root)
    root.finish()
    warn_of_idle_clauses(root, clauses, names)
    if root.report.failed:
        return None
    return Policy(
        file=document.file,
        digest=document.digest,
        revision=revision,
        site=site,
        purposes=purposes,
        jurisdictions=jurisdictions,
        mode=mode,
        keep_unlisted=keep_unlisted,
        scope=scope,
        client_address=client_address,
        geo=geo,
        clauses=clauses,
        signals=signals,
        identifier=identifier,
        cookies=cookies,
        vendors=vendors,
        features=features,
        redact=redact,
        csp=csp,
        consent_mode=consent_mode,
        retention=retention,
        outbox=outbox,
    )
