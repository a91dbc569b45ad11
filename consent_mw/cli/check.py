"""`check`: tell every mistake in a policy file, as compilers do, or as JSON, SARIF or for GitHub.

Rule: exit 1 where there are errors, with `--strict` also for warnings; 2 where there is no text to read.
Rule: cases that stand beside the policy are looked at for rules that none of them is about.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from consent_mw.cli.findings import as_github, as_json, as_sarif, as_text
from consent_mw.core.cases import Case
from consent_mw.core.coverage import CARRIED_OUT, coverage
from consent_mw.core.policy import Policy
from consent_mw.core.schema import policy_schema
from consent_mw.errors import Problem, Severity
from consent_mw.world.policy_file import Reading, file_meant, read_cases, read_policy, where_cases_stand

UNREADABLE = frozenset({"no-such-file", "unreadable-file", "file-too-large", "not-utf-8"})
"""Codes that mean there was nothing to check."""

FORMATS = ["text", "json", "sarif", "github"]


@click.command("check")
@click.argument("file", required=False)
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", help="For people, or for programs.")
@click.option("--strict", is_flag=True, help="Warnings count as findings.")
@click.option("--clauses", is_flag=True, help="Tell which rules and cases each sentence of the policy rests on.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of policy files, for editors, and check nothing.")
def command(file: str | None, form: str, strict: bool, clauses: bool, schema: bool) -> int:
    """Tell every mistake in the policy FILE."""
    if schema:
        click.echo(json.dumps(policy_schema(), indent=2))
        return 0
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    file = file_meant(file)
    reading = with_cases(read_policy(file), file)
    if clauses and reading.policy is not None:
        told = rested(reading.policy, cases_beside(reading.policy, file))
        click.echo(json.dumps({"clauses": told}, indent=2, ensure_ascii=False) if form == "json" else _rested(told))
        return exit_code(reading.problems, strict=strict)
    match form:
        case "json":
            click.echo(json.dumps({"problems": [as_json(one) for one in reading.problems]}, indent=2))
        case "sarif":
            click.echo(json.dumps(as_sarif(reading.problems, _release()), indent=2))
        case "github":
            for one in reading.problems:
                click.echo(as_github(one))
        case _:
            click.echo(as_text(reading, file))
    return exit_code(reading.problems, strict=strict)


def exit_code(problems: Sequence[Problem], *, strict: bool) -> int:
    """0 fine, 1 findings, 2 nothing to check."""
    if any(one.code in UNREADABLE for one in problems):
        return 2
    return int(any(strict or one.severity is Severity.ERROR for one in problems))


def with_cases(reading: Reading, file: str) -> Reading:
    """This reading with a warning for each rule that no case is about, where cases stand beside the policy."""
    cases = cases_beside(reading.policy, file) if reading.policy is not None else ()
    if reading.policy is None or not cases:
        return reading
    found = [*reading.problems, *_uncovered(reading.policy, cases, where_cases_stand(file).name)]
    return replace(reading, problems=tuple(sorted(found, key=lambda one: (one.place, one.code, one.message))))


def cases_beside(policy: Policy, file: str) -> Sequence[Case]:
    """The cases that stand beside a policy; none where they have mistakes, which `test` tells."""
    beside = where_cases_stand(file)
    if not beside.is_file():
        return ()
    book = read_cases(beside, policy)
    return () if book.reading.problems else book.cases


def rested(policy: Policy, cases: Sequence[Case]) -> list[dict[str, object]]:
    """Each clause with the rules that carry it out, where they do, and the cases that put them to the test."""
    rules = coverage(policy, cases).rules
    return [
        {
            "id": clause.id,
            "text": clause.text,
            "informational": clause.informational or None,
            "rules": [
                {
                    "kind": rule.sort,
                    "name": rule.name,
                    "file": rule.place.file,
                    "line": rule.place.line,
                    "carried_out": CARRIED_OUT[rule.sort],
                    "cases": list(rule.cases),
                }
                for rule in rules
                if clause.id in rule.clauses
            ],
        }
        for clause in policy.clauses
    ]


def _rested(told: Sequence[dict[str, Any]]) -> str:
    if not told:
        return "the policy quotes no clause: quote the sentences of the published policy as `[[clause]]`"
    lines: list[str] = []
    for clause in told:
        quoted = f"“{clause['text']}”"
        lines += [
            f"clause {clause['id']}",
            *textwrap.wrap(quoted, 110, initial_indent="    ", subsequent_indent="    "),
        ]
        if clause["informational"]:
            lines.append(f"    nothing enforces it: {clause['informational']}")
        for rule in clause["rules"]:
            lines.append(f"    {rule['file']}:{rule['line']}: {rule['kind']} `{rule['name']}`: {rule['carried_out']}")
            lines += [f"        case: {one}" for one in rule["cases"]] or ["        no case"]
        lines.append("")
    bare = sum(not one["rules"] and not one["informational"] for one in told)
    return "\n".join([*lines, f"{len(told)} clause{'s' * (len(told) != 1)}, {bare or 'none'} of them without a rule"])


def _uncovered(policy: Policy, cases: Sequence[Case], beside: str) -> Iterator[Problem]:
    for rule in coverage(policy, cases).rules:
        if not rule.cases:
            message = f"no case is about {rule.sort} `{rule.name}`"
            advice = f"write one in {beside}, where something of it is expected"
            yield Problem(rule.place, "rule-without-case", message, advice, Severity.WARNING)


def _release() -> str:
    try:
        return version("consent_mw")
    except PackageNotFoundError:
        return "0"
