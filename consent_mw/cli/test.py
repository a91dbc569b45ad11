"""`test`: run the cases that stand beside a policy, and tell what no case puts to the test.

Rule: exit 0 where every case holds, 1 where one does not or a file has mistakes, 2 where there is nothing to run.
Rule: coverage is told, and is a finding only with `--strict`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import click

from consent_mw.cli.check import exit_code
from consent_mw.cli.findings import as_json, as_text
from consent_mw.core.cases import Case, Difference, differences
from consent_mw.core.coverage import Coverage, coverage
from consent_mw.core.policy import Policy
from consent_mw.world.policy_file import Reading, file_meant, read_cases, read_policy, where_cases_stand


@dataclass(frozen=True, slots=True)
class Result:
    """A case and what came out otherwise than it expects."""

    case: Case
    differences: tuple[Difference, ...]


@click.command("test")
@click.argument("file")
@click.option("--cases", "beside", help="The file of cases; by default NAME.cases.toml beside NAME.toml.")
@click.option("--coverage", "covers", is_flag=True, help="Tell which rules and clauses no case puts to the test.")
@click.option("--strict", is_flag=True, help="A rule or a clause without a case is a finding.")
@click.option("--junit", type=click.Path(dir_okay=False, writable=True), help="Also write JUnit XML to this file.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
def command(file: str, beside: str | None, covers: bool, strict: bool, junit: str | None, form: str) -> int:
    """Run the cases of the policy FILE."""
    file = file_meant(file)
    reading = read_policy(file)
    if reading.policy is None:
        return _mistaken(reading, file, form)
    where = beside or str(where_cases_stand(file))
    if not Path(where).exists():
        raise click.ClickException(f"there are no cases for `{file}`: `{where}` does not exist")
    book = read_cases(where, reading.policy)
    if book.reading.problems:
        return _mistaken(book.reading, where, form)
    results = [Result(one, differences(one, reading.policy)) for one in book.cases]
    covered = coverage(reading.policy, book.cases)
    if junit is not None:
        _write_junit(junit, where, results)
    if form == "json":
        click.echo(json.dumps(_values(reading.policy, results, covered), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(results, covered, covers=covers or strict)))
    failed = any(one.differences for one in results)
    return int(failed or (strict and not covered.complete))


def _mistaken(reading: Reading, file: str, form: str) -> int:
    if form == "json":
        click.echo(json.dumps({"problems": [as_json(one) for one in reading.problems]}, indent=2))
    else:
        click.echo(as_text(reading, file))
    return max(exit_code(reading.problems, strict=False), 1)


def _lines(results: Sequence[Result], covered: Coverage, *, covers: bool) -> list[str]:
    lines: list[str] = []
    for result in results:
        lines.append(f"{'FAIL' if result.differences else 'ok  '} {result.case.name}")
        if result.differences:
            lines.append(f"     at {result.case.place.file}:{result.case.place.line}")
        lines += [f"     {one.member}: expected {one.expected}, came {one.came}" for one in result.differences]
    failed = sum(bool(one.differences) for one in results)
    number = len(results)
    lines.append(f"{number} case{'s' * (number != 1)}, {f'{failed} failed' if failed else 'all hold'}")
    return [*lines, *(_covered(covered) if covers else ())]


def _covered(covered: Coverage) -> list[str]:
    bare = [one for one in covered.rules if not one.cases]
    clauses = [clause for clause, cases in covered.clauses if not cases]
    lines = ["", f"rules with a case: {len(covered.rules) - len(bare)} of {len(covered.rules)}"]
    lines += [f"    {one.place.file}:{one.place.line}: {one.sort} `{one.name}` has none" for one in bare]
    lines.append(f"clauses with a case: {len(covered.clauses) - len(clauses)} of {len(covered.clauses)}")
    lines += [f"    {one.place.file}:{one.place.line}: clause `{one.id}` has none" for one in clauses]
    places = [one for one in covered.rules if one.sort == "jurisdiction"]
    lines.append(f"jurisdictions with a case: {sum(bool(one.cases) for one in places)} of {len(places)}")
    return [*lines, *(f"    {one.name}: {len(one.cases)} case{'s' * (len(one.cases) != 1)}" for one in places)]


def _values(policy: Policy, results: Sequence[Result], covered: Coverage) -> dict[str, object]:
    return {
        "policy": policy.file,
        "revision": policy.revision,
        "cases": [
            {
                "name": one.case.name,
                "file": one.case.place.file,
                "line": one.case.place.line,
                "holds": not one.differences,
                "differences": [
                    {"member": each.member, "expected": each.expected, "came": each.came} for each in one.differences
                ],
            }
            for one in results
        ],
        "failed": sum(bool(one.differences) for one in results),
        "coverage": {
            "rules": [
                {
                    "kind": one.sort,
                    "name": one.name,
                    "file": one.place.file,
                    "line": one.place.line,
                    "cases": list(one.cases),
                }
                for one in covered.rules
            ],
            "clauses": [{"id": clause.id, "cases": list(cases)} for clause, cases in covered.clauses],
            "complete": covered.complete,
        },
    }


def _write_junit(path: str, file: str, results: Sequence[Result]) -> None:
    failures = sum(bool(one.differences) for one in results)
    suite = ET.Element("testsuite", name=file, tests=str(len(results)), failures=str(failures), errors="0")
    for result in results:
        place = result.case.place
        case = ET.SubElement(
            suite, "testcase", classname=file, name=_xml(result.case.name), file=place.file, line=str(place.line)
        )
        if result.differences:
            told = [f"{one.member}: expected {one.expected}, came {one.came}" for one in result.differences]
            failure = ET.SubElement(case, "failure", message=_xml(told[0]))
            failure.text = _xml("\n".join(told))
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def _xml(text: str) -> str:
    """The text with what XML 1.0 cannot hold replaced."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
