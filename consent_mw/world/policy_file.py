"""Policy files: from a path to a Policy, or to everything that is wrong with the file.

Rule: a mistake in the file, or about it, is a Problem with a place; only `load_policy` raises, and only PolicyError.
Rule: relative paths in a policy start at the policy's own folder.
Rule: the environment and other files are looked at here, and are worth warnings only.
"""

from __future__ import annotations

import errno
import os
import re
import select
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from io import BufferedReader
from pathlib import Path

from consent_mw.core.cases import Case
from consent_mw.core.compiler import compile_policy
from consent_mw.core.compiler.cases import compile_cases
from consent_mw.core.compiler.texts import compile_texts
from consent_mw.core.coverage import proof
from consent_mw.core.document import Document, Kind, Node
from consent_mw.core.policy import Policy
from consent_mw.errors import Place, PolicyError, Problem, Severity
from consent_mw.wire.toml import digest_of, parse_toml

MAX_BYTES = 1_048_576
"""The largest policy file that is read."""

BUILTIN = "builtin"
"""The name of the location database that comes along."""

WRITTEN_WITHIN = 2.0
"""Seconds that a pipe is waited for until somebody writes into it."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHECK_PATH = "check the path; it starts at the folder that the command runs in"
_MISSING = "put it there, or correct the path; it starts at the policy file's folder"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a policy file came to: a Policy unless there were errors, every Problem by place, the text, and the bytes
    that were read of a file. `texts` is the text of the file that `[site] texts` names."""

    policy: Policy | None
    problems: tuple[Problem, ...]
    source: str = ""
    data: bytes = b""
    texts: str = ""


def load_policy(path: str | os.PathLike[str]) -> Policy:
    """The Policy in this file. Raises PolicyError with every Problem, warnings included, if there is an error."""
    reading = read_policy(path)
    if reading.policy is None:
        raise PolicyError(reading.problems)
    return reading.policy


def read_policy(path: str | os.PathLike[str]) -> Reading:
    """What this file says, mistakes included. Never raises for what is in the file or for its absence."""
    file = os.fspath(path)
    try:
        data = read_bounded(file, MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return _failed(_problem_of(error, file))
    return read_policy_bytes(data, file)


def read_policy_bytes(data: bytes, path: str | os.PathLike[str]) -> Reading:
    """What these bytes say, as if they were in the file of this name."""
    file = os.fspath(path)
    text = _text_of(data, file)
    if isinstance(text, Problem):
        return replace(_failed(text), source=_shown_of(data, text))
    reading = _parse(text, file, Path(file).absolute().parent, digest_of(data))
    policy = reading.policy
    return replace(reading, policy=None if policy is None else _proven(policy, file), data=data)


def parse_policy(text: str, file: str, *, base: Path | None) -> Reading:
    """What this text says, as if it stood in `file`; relative paths start at `base` (None: they stay as they are)."""
    return _parse(text, file, base, digest_of(text.encode("utf-8", "surrogatepass")))


@dataclass(frozen=True, slots=True)
class CasesReading:
    """What a file of cases came to: its cases, and its text with every Problem."""

    cases: tuple[Case, ...]
    reading: Reading


def read_cases(path: str | os.PathLike[str], policy: Policy) -> CasesReading:
    """The cases in this file, for this policy. Never raises for what is in the file or for its absence."""
    file = os.fspath(path)
    try:
        data = read_bounded(file, MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return CasesReading((), _failed(_problem_of(error, file, "file of cases")))
    text = _text_of(data, file, "file of cases")
    if isinstance(text, Problem):
        return CasesReading((), replace(_failed(text), source=_shown_of(data, text)))
    source = text.removeprefix("\ufeff")
    document = parse_toml(source, file, digest_of(data))
    if isinstance(document, Problem):
        return CasesReading((), Reading(None, (document,), source))
    book = compile_cases(document, policy)
    return CasesReading(book.cases, Reading(policy, book.problems, source))


def read_bounded(path: str | os.PathLike[str], limit: int) -> bytes:
    """The first `limit` bytes of this file, which may be a pipe, as a shell's `<(...)` gives. Raises OSError with a
    reason in words, or ValueError for an impossible name."""
    with open_stream(path) as stream:
        return stream.read(limit)


def open_stream(path: str | os.PathLike[str]) -> BufferedReader:
    """This file, or this pipe if somebody writes into it. Raises as `read_bounded`."""
    # A device may never end, and opening a pipe waits for whoever writes.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    stream = os.fdopen(descriptor, "rb")
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise OSError("is neither a file nor a pipe")
        if stat.S_ISFIFO(mode) and not _is_written(descriptor):
            raise OSError("is a pipe that nobody writes into")
        os.set_blocking(descriptor, True)
    except BaseException:
        stream.close()
        raise
    return stream


def _is_written(pipe: int) -> bool:
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    if waiting.poll(WRITTEN_WITHIN * 1000):
        return True
    try:
        os.read(pipe, 1)
    except BlockingIOError:
        return True  # somebody holds its other end, and takes long
    return False


def where_cases_stand(file: str) -> Path:
    """Where the cases of the policy in this file stand, if there are any."""
    whole = Path(file)
    return whole.with_suffix(".cases.toml") if whole.name else whole / "policy.cases.toml"


def profile_names() -> tuple[str, ...]:
    """The names of the built-in policies."""
    folder = resources.files("consent_mw") / "profiles"
    if not folder.is_dir():
        return ()
    names = (one.name for one in folder.iterdir())
    return tuple(sorted(name[:-5] for name in names if name.endswith(".toml") and not name.endswith(".cases.toml")))


def file_meant(named: str) -> str:
    """The file of this name; where there is none, that of the built-in policy of this name, if there is one."""
    if named not in profile_names() or Path(named).exists():
        return named
    return str(resources.files("consent_mw") / "profiles" / f"{named}.toml")


def read_profile(name: str) -> str:
    """The text of the built-in policy of this name. Raises KeyError for a name not in `profile_names()`."""
    if name not in profile_names():
        raise KeyError(name)
    return (resources.files("consent_mw") / "profiles" / f"{name}.toml").read_text(encoding="utf-8")


def read_profile_cases(name: str) -> str:
    """The cases of the built-in policy of this name. Raises KeyError for a name not in `profile_names()`."""
    if name not in profile_names():
        raise KeyError(name)
    return (resources.files("consent_mw") / "profiles" / f"{name}.cases.toml").read_text(encoding="utf-8")


def _parse(text: str, file: str, base: Path | None, digest: str) -> Reading:
    source = text.removeprefix("\ufeff")  # some editors put a byte order mark
    document = parse_toml(source, file, digest)
    if isinstance(document, Problem):
        return Reading(None, (document,), source)
    compiled = compile_policy(document)
    problems = [*compiled.problems, *_unset_variables(document, os.environ)]
    policy = compiled.policy
    if policy is not None and base is not None:
        policy = _resolved(policy, base)
        problems += _missing_files(policy, document)
    words = ""
    if policy is not None and base is not None and policy.site.texts:
        policy, words, found = _with_texts(policy, _shown_beside(file, document))
        problems += found
    problems.sort(key=lambda one: (one.place, one.code, one.message))
    return Reading(policy, tuple(problems), source, texts=words)


def _proven(policy: Policy, file: str) -> Policy:
    """The policy with the cases that stand beside it and hold. Those of a file with mistakes, which `test` tells of,
    prove nothing."""
    beside = where_cases_stand(file)
    if not policy.clauses or not _is_file(str(beside)):
        return policy
    book = read_cases(beside, policy)
    return policy if book.reading.problems else replace(policy, proof=proof(policy, book.cases))


def _with_texts(policy: Policy, shown: str) -> tuple[Policy | None, str, tuple[Problem, ...]]:
    """The policy with the site's own words, their text, and what is wrong with them: in a file that is told of as
    `shown`. A file that is not there is told of elsewhere, and changes nothing."""
    try:
        data = read_bounded(policy.site.texts, MAX_BYTES + 1)
    except FileNotFoundError:
        return policy, "", ()
    except (OSError, ValueError) as error:
        return None, "", (_problem_of(error, shown, "file of texts"),)
    text = _text_of(data, shown, "file of texts")
    if isinstance(text, Problem):
        return None, _shown_of(data, text), (text,)
    text = text.removeprefix("\ufeff")
    document = parse_toml(text, shown, digest_of(data))
    if isinstance(document, Problem):
        return None, text, (document,)
    texts, problems = compile_texts(document, policy)
    if any(one.severity is Severity.ERROR for one in problems):
        return None, text, problems
    return replace(policy, texts=texts, texts_digest=document.digest), text, problems


def _shown_beside(file: str, document: Document) -> str:
    """The texts file as a message names it: as the policy does, seen from where the policy file was named."""
    named = document.root.entries["site"].node.entries["texts"].node.text
    return str(Path(file).parent / named)


def _text_of(data: bytes, file: str, what: str = "policy file") -> str | Problem:
    if len(data) > MAX_BYTES:
        return _file_problem(file, "file-too-large", "is larger than 1 MiB", f"a {what} is shorter", what)
    if b"\0" in data:
        return _file_problem(file, "not-utf-8", "is not text: it holds NUL bytes", "name a text file", what)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        begin = data.rfind(b"\n", 0, error.start) + 1
        column = len(data[begin : error.start].decode("utf-8", "replace")) + 1
        message = f"byte `0x{data[error.start]:02x}` is not UTF-8"
        return Problem(Place(file, line, column), "not-utf-8", message, "save the file as UTF-8")


def _shown_of(data: bytes, problem: Problem) -> str:
    """The text to show a line of, where bytes are no text; nothing where there are no lines."""
    return data.decode("utf-8", "replace") if problem.code == "not-utf-8" and b"\0" not in data else ""


def _problem_of(error: Exception, file: str, what: str = "policy file") -> Problem:
    if isinstance(error, FileNotFoundError):
        return _file_problem(file, "no-such-file", "does not exist", _CHECK_PATH, what)
    if isinstance(error, IsADirectoryError):
        return _file_problem(
            file,
            "unreadable-file",
            "is a directory",
            "name the policy file in it" if what == "policy file" else "name the file in it",
            what,
        )
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    told = f"cannot be read: {reason[:1].lower()}{reason[1:]}"
    return _file_problem(file, "unreadable-file", told, _CHECK_PATH, what)


def _file_problem(file: str, code: str, fault: str, advice: str, what: str = "policy file") -> Problem:
    shown = "".join(char if char.isprintable() else "\ufffd" for char in file)
    return Problem(Place(shown, 1), code, f"{what} `{shown}` {fault}", advice)


def _failed(problem: Problem) -> Reading:
    return Reading(None, (problem,))


def _resolved(policy: Policy, base: Path) -> Policy:
    databases = tuple(one if one == BUILTIN else str(base / one) for one in policy.geo.databases)
    texts = str(base / policy.site.texts) if policy.site.texts else ""
    return replace(policy, geo=replace(policy.geo, databases=databases), site=replace(policy.site, texts=texts))


def _missing_files(policy: Policy, document: Document) -> list[Problem]:
    wanted = [one for one in policy.geo.databases if one != BUILTIN]
    nodes = [one for one in _items(document.root, "geo", "databases") if one.text != BUILTIN]
    if policy.site.texts:
        wanted.append(policy.site.texts)
        nodes.append(document.root.entries["site"].node.entries["texts"].node)
    return [
        Problem(
            node.place, "missing-file", f"there is no file `{node.text}`", _MISSING, Severity.WARNING, node.length
        )
        for path, node in zip(wanted, nodes, strict=True)
        if not _is_file(path)
    ]


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _items(root: Node, table: str, key: str) -> tuple[Node, ...]:
    entry = root.entries.get(table)
    inner = entry.node.entries.get(key) if entry else None
    return inner.node.items if inner else ()


def _unset_variables(document: Document, environment: Mapping[str, str]) -> list[Problem]:
    vendors = document.root.entries.get("vendor")
    problems = []
    for name, entry in vendors.node.entries.items() if vendors else ():
        key = entry.node.entries.get("key")
        if key is None or key.node.kind is not Kind.STRING or not key.node.text.startswith("env:"):
            continue
        variable = key.node.text[4:]
        if _VARIABLE.fullmatch(variable) and not environment.get(variable):
            message = f"vendor `{name}` takes its key from `{variable}`, which is not set"
            advice = f"set `{variable}` where the policy is served"
            problems.append(
                Problem(key.node.place, "unset-variable", message, advice, Severity.WARNING, key.node.length)
            )
    return problems
