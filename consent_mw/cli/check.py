"""`check`: tell every mistake in a policy file, as compilers do, or as JSON, SARIF or for GitHub.

Rule: exit 1 where there are errors, with `--strict` also for warnings; 2 where there is no file to read.
Rule: cases that stand beside the policy are looked at for rules that none of them is about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from consent_mw.cli.findings import as_github, as_json, as_sarif, as_text
from consent_mw.core.cases import Case
from consent_mw.core.coverage import coverage
from consent_mw.core.policy import Policy
from consent_mw.errors import Problem, Severity
from consent_mw.world.policy_file import Reading, read_cases, read_policy

UNREADABLE = frozenset({"no-such-file", "unreadable-file"})
"""Codes that mean there was nothing to check."""

FORMATS = ["text", "json", "sarif", "github"]


@click.command("check")
@click.argument("file")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", help="For people, or for programs.")
@click.option("--strict", is_flag=True, help="Warnings count as findings.")
def command(file: str, form: str, strict: bool) -> int:
    """Tell every mistake in the policy FILE."""
    reading = with_cases(read_policy(file), file)
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
    beside = Path(file).with_suffix(".cases.toml") if reading.policy is not None else None
    if reading.policy is None or beside is None or not beside.is_file():
        return reading
    book = read_cases(beside, reading.policy)
    if book.reading.problems:
        # `test` tells what is wrong with the cases; here nothing follows from them.
        return reading
    found = [*reading.problems, *_uncovered(reading.policy, book.cases, beside.name)]
    return replace(reading, problems=tuple(sorted(found, key=lambda one: (one.place, one.code, one.message))))


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
