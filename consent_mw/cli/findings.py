"""Problems as people and other programs read them: compiler-style text, JSON, SARIF 2.1.0, GitHub's commands.

Rule: every form tells the same problems in the same order.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from consent_mw.core.compiler.codes import CODES
from consent_mw.errors import Label, Place, Problem, Severity
from consent_mw.world.policy_file import Reading

LONGEST_SHOWN = 160
"""Characters of a source line that are shown; of a longer one, those around what is wrong."""

BEFORE = 60

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


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
    lines, of_texts = reading.source.split("\n"), reading.texts.split("\n")
    told = (_told(one, lines if one.place.file == file else of_texts) for one in reading.problems)
    return "\n".join([*told, _count(reading.problems, file)])


def as_sarif(problems: Sequence[Problem], version: str) -> dict[str, object]:
    """A SARIF log of one run (OASIS SARIF 2.1.0), as code hosts take it."""
    codes = sorted({one.code for one in problems})
    rules = [{"id": code, "shortDescription": {"text": CODES[code]}} for code in codes]
    driver = {"name": "consent-mw", "version": version, "rules": rules}
    results = [
        {
            "ruleId": one.code,
            "ruleIndex": codes.index(one.code),
            "level": one.severity.value,
            "message": {"text": f"{one.message}; {one.help}" if one.help else one.message},
            "locations": [{"physicalLocation": _location(one.place, one.length)}],
            "relatedLocations": [
                {"physicalLocation": _location(each.place, each.length), "message": {"text": each.text}}
                for each in (one.also,)
                if each is not None
            ],
        }
        for one in problems
    ]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def as_github(problem: Problem) -> str:
    """The workflow command that puts this Problem beside the line in a pull request."""
    place = problem.place
    told = f"{problem.message}; {problem.help}" if problem.help else problem.message
    where = {"file": place.file, "line": str(place.line), "col": str(place.column), "title": problem.code}
    named = ",".join(f"{name}={_property(value)}" for name, value in where.items())
    return f"::{problem.severity.value} {named}::{_escaped(told)}"


def _location(place: Place, length: int) -> dict[str, object]:
    region = {"startLine": place.line, "startColumn": place.column, "endColumn": place.column + max(length, 1)}
    return {"artifactLocation": {"uri": place.file.replace("\\", "/")}, "region": region}


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def _told(problem: Problem, lines: Sequence[str]) -> str:
    head, newline, help_line = str(problem).partition("\n")
    also = problem.also
    widest = max(problem.place.line, also.place.line if also is not None else 0)
    margin = " " * max(len(str(widest)), 3)
    quote = _quoted(Label(problem.place, "", problem.length), lines, margin, "^")
    if not quote:
        return f"{head}{newline}{help_line}\n"
    if also is not None and also.place.line != problem.place.line:
        other = _quoted(also, lines, margin, "-")
        quote += f"\n{margin} :{other.removeprefix(f'{margin} |')}" if other else ""
    return f"{head}\n{quote}{newline}{help_line}\n"


def _quoted(label: Label, lines: Sequence[str], margin: str, mark: str) -> str:
    """The source line of this label, with what it is about underlined; nothing where there is no such line."""
    number = label.place.line
    if not 0 < number <= len(lines) or not any(lines):
        return ""
    line = lines[number - 1].rstrip("\r").replace("\t", " ")
    begin = label.place.column - 1
    cut = max(begin - BEFORE, 0) if len(line) > LONGEST_SHOWN else 0
    rest = line[cut : cut + LONGEST_SHOWN]
    shown = "".join(char if char.isprintable() else "\ufffd" for char in rest)
    dots, more = "…" if cut else "", "…" if len(line) > cut + LONGEST_SHOWN else ""
    before = len(dots) + _width(shown[: begin - cut])
    marks = _width(shown[begin - cut : begin - cut + label.length])
    under = f"{' ' * before}{mark * max(marks, 1)} {label.text}".rstrip()
    shown = f"{dots}{shown}{more}"
    return f"{margin} |\n{number:>{len(margin)}} | {shown}\n{margin} | {under}"


def _count(problems: Sequence[Problem], file: str) -> str:
    if not problems:
        return f"{file}: no problems"
    errors = sum(one.severity is Severity.ERROR for one in problems)
    counts = [(errors, "error"), (len(problems) - errors, "warning")]
    words = [f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts if count]
    return f"{' and '.join(words)} in {file}"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
