"""A Section reads one table of the file: each setting by name and type, and then whatever was left unread.

Rule: a key that no rule asked for is an error; so the settings a table may hold are those that are read from it.
Rule: a value of the wrong type is told once and then counts as absent, so that nothing follows from it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar, cast

from consent_mw.core.compiler.report import Report, listed, nearest, quoted
from consent_mw.core.document import Entry, Kind, Node
from consent_mw.errors import Place

Choice = TypeVar("Choice", bound=StrEnum)
Read = TypeVar("Read")
Grammar = Callable[[str], Read]

_TOP = "at the top of the file, above the first table"
ELSEWHERE = {
    **dict.fromkeys(("schema", "revision", "mode", "dangerously_keep_unlisted"), _TOP),
    **dict.fromkeys(("dangerously_plain_http", "shared_pages", "prefix", "same_party"), "in `[site]`"),
    **dict.fromkeys(("policy_url", "origin", "cookie_domain"), "in `[site]`"),
    "trusted": "in `[client_address]`",
    "databases": "in `[geo]`",
    "redact": "in `[urls]`",
    "exclude": "in `[scope]`",
    "percent": "in `[scope]`",
}
"""Where a setting belongs that is often written in the wrong table."""


class BadValue(ValueError):  # noqa: N818  (never leaves the compiler)
    """A value breaks its grammar. `code` is the Problem's; `help` says what to write."""

    def __init__(self, code: str, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.help = advice


class Section:
    """One table, called `label` in messages; `place` is where it is defined."""

    def __init__(self, report: Report, label: str, node: Node, place: Place | None = None) -> None:
        self.report = report
        self.label = label
        self.node = node
        self.place = place or node.place
        self._asked: list[str] = []
        self._missing: list[tuple[str, str]] = []

    def entry(self, key: str) -> Entry | None:
        """The key's entry, if the table has it."""
        self._asked.append(key)
        return self.node.entries.get(key)

    def value(self, key: str, kind: Kind, *, required: bool = False) -> Node | None:
        """The key's value if it is of this kind; another kind is an error."""
        entry = self.entry(key)
        if entry is None:
            if required:
                self.missing(key)
            return None
        return entry.node if self.is_kind(entry.node, f"`{key}`", kind) else None

    def is_kind(self, node: Node, what: str, kind: Kind) -> bool:
        """Whether this value is of this kind; if it is not, that is an error."""
        if node.kind is kind:
            return True
        advice = _WRITE[kind]
        if kind is Kind.ARRAY and node.kind is Kind.STRING:
            advice = f"write `[{quoted_toml(node.text)}]`"
        self.report.error(
            node, "wrong-type", f"{what} of {self.label} must be {kind.value}, not {node.kind.value}", advice
        )
        return False

    def missing(self, key: str, advice: str = "") -> None:
        """Note that a required setting is absent; `finish` tells it, unless it is there and misspelt."""
        self._missing.append((key, advice or f"`{key}` is required"))

    def flag(self, key: str) -> bool:
        """A boolean; absent is false."""
        node = self.value(key, Kind.BOOLEAN)
        return node is not None and bool(node.number)

    def text(self, key: str, default: str = "", *, required: bool = False) -> str:
        """A string that is not empty; line ends are fine in it."""
        return self.parsed(key, _any_text, default, required=required)

    def parsed(self, key: str, grammar: Grammar[Read], default: Read, *, required: bool = False) -> Read:
        """A string that follows this grammar, as what it stands for."""
        node = self.value(key, Kind.STRING, required=required)
        return self.read(node, key, grammar, default) if node else default

    def read(self, node: Node, key: str, grammar: Grammar[Read], default: Read) -> Read:
        """What one string stands for under this grammar; a breach is an error and gives the default."""
        try:
            return grammar(node.text)
        except BadValue as error:
            subject = f"`{key}` of {self.label}: {quoted(node.text)} {error}"
            self.report.error(node, error.code, subject, error.help)
            return default

    def choice(self, key: str, choices: type[Choice], *, required: bool = False) -> Choice | None:
        """A word of a closed list."""
        node = self.value(key, Kind.STRING, required=required)
        if node is None:
            return None
        words = [one.value for one in choices]
        if node.text in words:
            return choices(node.text)
        self.report.error(
            node,
            "unknown-word",
            f"`{key}` of {self.label} is {quoted(node.text)}, which is none of {listed(words)}",
            _meant(node.text, words) or f"write one of {listed(words)}",
        )
        return None

    def strings(self, key: str, *, required: bool = False) -> tuple[Node, ...] | None:
        """A list of strings, each once; None when absent. Elements of another type are errors and left out."""
        node = self.value(key, Kind.ARRAY, required=required)
        return self.strings_of(node, key) if node else None

    def strings_of(self, node: Node, key: str) -> tuple[Node, ...]:
        """The strings of a list, each once."""
        seen: dict[str, Node] = {}
        for item in node.items:
            if not self.is_kind(item, f"every element in `{key}`", Kind.STRING):
                continue
            if item.text in seen:
                self.report.error(
                    item, "duplicate-item", f"`{key}` of {self.label} has {quoted(item.text)} twice", "remove one"
                )
            seen.setdefault(item.text, item)
        return tuple(seen.values())

    def parsed_list(self, key: str, grammar: Grammar[Read], default: tuple[Read, ...] = ()) -> tuple[Read, ...]:
        """A list of strings that follow this grammar; those that do not are errors and left out."""
        nodes = self.strings(key)
        if nodes is None:
            return default
        read: list[Read] = []
        for node in nodes:
            one = self.read(node, key, cast("Grammar[Read | None]", grammar), None)
            read += [] if one is None else [one]
        return tuple(read)

    def table(self, key: str) -> Section | None:
        """A table in this one."""
        node = self.value(key, Kind.TABLE)
        entry = self.node.entries.get(key)
        return Section(self.report, f"`{key}` of {self.label}", node, entry.place) if node and entry else None

    def finish(self, *, known_settings: bool = True) -> None:
        """Call every key that nobody asked for an error, and every required one that is absent; only the latter
        where it is not known which settings the table may have."""
        known = dict.fromkeys(self._asked)
        unknown = {name: entry for name, entry in self.node.entries.items() if name not in known}
        meant = {nearest(name, known) for name in unknown}
        for key, advice in self._missing:
            if key.strip("[]") not in meant:
                self.report.error(self.place, "missing-key", f"{self.label} has no `{key}`", advice)
        for name, entry in unknown.items() if known_settings else ():
            advice = _meant(name, known) or f"{self.label} may have {listed(known)}"
            if name in ELSEWHERE:
                advice = f"it belongs {ELSEWHERE[name]}"
            self.report.error(entry, "unknown-key", f"{self.label} has no setting {quoted(name)}", advice)


_WRITE = {
    Kind.STRING: "write it in double quotes",
    Kind.INTEGER: "write a whole number, without quotes",
    Kind.FLOAT: "write a number, without quotes",
    Kind.BOOLEAN: "write `true` or `false`, without quotes",
    Kind.DATE: "write a date, as in `2018-05-22`",
    Kind.ARRAY: 'write a list, as in `["a", "b"]`',
    Kind.TABLE: "write a table, as in `{ key = value }`",
}


def quoted_toml(text: str) -> str:
    """A short string as TOML writes it."""
    return '"' + text[:60].replace("\\", "\\\\").replace('"', '\\"') + '"'


def _meant(name: str, known: list[str] | dict[str, None]) -> str:
    found = nearest(name, known)
    return f"did you mean `{found}`?" if found else ""


def _any_text(text: str) -> str:
    if not text.strip():
        raise BadValue("empty-text", "says nothing", "write a sentence, or remove the setting")
    if any((ord(char) < 32 and char not in "\t\r\n") or ord(char) == 127 for char in text):
        raise BadValue("control-character", "holds a control character", "remove it")
    return text
