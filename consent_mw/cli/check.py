"""`check`: tell every mistake in a policy file, as compilers do, or as JSON.

Rule: exit 1 where there are errors, with `--strict` also for warnings; 2 where there is no file to read.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence

import click

from consent_mw.errors import Problem, Severity
from consent_mw.world.policy_file import Reading, read_policy

UNREADABLE = frozenset({"no-such-file", "unreadable-file"})
"""Codes that mean there was nothing to check."""


@click.command("check")
@click.argument("file")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
@click.option("--strict", is_flag=True, help="Warnings count as findings.")
def command(file: str, form: str, strict: bool) -> int:
    """Tell every mistake in the policy FILE."""
    reading = read_policy(file)
    if form == "json":
        click.echo(json.dumps({"problems": [as_json(one) for one in reading.problems]}, indent=2))
    else:
        click.echo(as_text(reading, file))
    return exit_code(reading.problems, strict=strict)


def exit_code(problems: Sequence[Problem], *, strict: bool) -> int:
    """0 fine, 1 findings, 2 nothing to check."""
    if any(one.code in UNREADABLE for one in problems):
        return 2
    return int(any(strict or one.severity is Severity.ERROR for one in problems))


def as_json(problem: Problem) -> dict[str, str | int]:
    """The JSON members of one Problem."""
    return {
        "file": problem.place.file,
        "line": problem.place.line,
        "column": problem.place.column,
        "severity": problem.severity.value,
        "code": problem.code,
        "message": problem.message,
        "help": problem.help,
    }


def as_text(reading: Reading, file: str) -> str:
    """Every Problem with its source line and a caret, and a last line that counts them."""
    lines = reading.source.split("\n")
    return "\n".join([*(_told(one, lines) for one in reading.problems), _count(reading.problems, file)])


def _told(problem: Problem, lines: Sequence[str]) -> str:
    head, newline, help_line = str(problem).partition("\n")
    number = problem.place.line
    if not 0 < number <= len(lines) or not any(lines):
        return f"{head}{newline}{help_line}\n"
    line = lines[number - 1].rstrip("\r").replace("\t", " ")
    shown = "".join(char if char.isprintable() else "\ufffd" for char in line)
    before = _width(shown[: problem.place.column - 1])
    carets = _width(shown[problem.place.column - 1 : problem.place.column - 1 + problem.length])
    margin = " " * max(len(str(number)), 3)
    quote = f"{margin} |\n{number:>{len(margin)}} | {shown}\n{margin} | {' ' * before}{'^' * max(carets, 1)}"
    return f"{head}\n{quote}{newline}{help_line}\n"


def _count(problems: Sequence[Problem], file: str) -> str:
    if not problems:
        return f"{file}: no problems"
    errors = sum(one.severity is Severity.ERROR for one in problems)
    counts = [(errors, "error"), (len(problems) - errors, "warning")]
    words = [f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts if count]
    return f"{' and '.join(words)} in {file}"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
