"""TOML text to a Document: values by `tomllib`, places by tree-sitter.

Rule: whether a text is TOML, and what it means, is `tomllib`'s answer alone; tree-sitter only says where.
Rule: what tree-sitter cannot place stands at the nearest table or key around it, never nowhere.
Rule: a text that is not TOML becomes one Problem; no exception leaves this file.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import tree_sitter_toml
from tree_sitter import Language, Parser
from tree_sitter import Node as Leaf

from consent_mw.core.document import Document, Entry, Kind, Node
from consent_mw.errors import Place, Problem

Path = tuple[str | int, ...]
Span = tuple[Place, int]

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_LANGUAGE = Language(tree_sitter_toml.language())
_ADVICE = {
    "invalid value": "strings stand in double quotes, and true and false in lower case",
    "unterminated string": "end it with the quote that it began with",
    "expected '=' after a key in a key/value pair": "write `key = value`; a key with spaces stands in double quotes",
}
_TWICE = ("Cannot overwrite a value", "Cannot declare", "Duplicate inline table key")


def digest_of(data: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a policy file's bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def parse_toml(text: str, file: str, digest: str) -> Document | Problem:
    """The Document that this text is, or the one Problem that keeps it from being TOML 1.0."""
    try:
        values = tomllib.loads(text)
        spans = _Spans(text, file)
        root = _node(values, (), (Place(file, 1), 1), spans)
    except tomllib.TOMLDecodeError as error:
        return _syntax_problem(str(error), text, file)
    except RecursionError:
        return Problem(
            Place(file, 1), "toml-syntax", "the file nests lists or tables too deeply", "no policy needs that"
        )
    except ValueError:  # int() refuses numbers of more than 4300 digits
        return Problem(
            Place(file, 1), "toml-syntax", "the file holds a number that is too long", "no policy needs that"
        )
    return Document(file, digest, root)


def _syntax_problem(message: str, text: str, file: str) -> Problem:
    found = _AT.search(message)
    sentence = message[: found.start()] if found else message
    lines = text.split("\n")
    place = Place(file, len(lines), len(lines[-1]) + 1)
    if found and found[1]:
        place = Place(file, int(found[1]), int(found[2]))
    if sentence.startswith(_TWICE):
        line = lines[min(place.line, len(lines)) - 1]
        start = len(line) - len(line.lstrip()) + 1
        message = "this key or table is already defined above"
        return Problem(Place(file, place.line, start), "duplicate-key", message, "keep one of the two")
    sentence = sentence[:1].lower() + sentence[1:]
    return Problem(
        place, "toml-syntax", f"this is not TOML: {sentence}", _ADVICE.get(sentence, "its grammar is at toml.io")
    )


class _Spans:
    """Where every key and value of one text stands, by its path."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        data = text.encode("utf-8", "surrogatepass")
        self._lines = data.split(b"\n")
        self.keys: dict[Path, Span] = {}
        self.values: dict[Path, Span] = {}
        self._tables: dict[Path, int] = {}
        for leaf in Parser(_LANGUAGE).parse(data).root_node.children:
            self._statement(leaf)

    def _statement(self, leaf: Leaf) -> None:
        if leaf.type == "pair":
            self._pair(leaf, ())
            return
        if leaf.type not in ("table", "table_array_element"):
            return
        header = next((child for child in leaf.children if child.type.endswith("_key")), None)
        if header is None:
            return
        path: Path = ()
        *parents, last = _parts(header)
        for part in parents:
            path = self._latest((*path, _name(part)))
            self.keys.setdefault(path, self._span(part))
        path = (*path, _name(last))
        if leaf.type == "table_array_element":
            self.keys.setdefault(path, self._span(last))
            self._tables[path] = self._tables.get(path, -1) + 1
            path = self._latest(path)
        self.keys[path] = self.values[path] = self._span(last)
        for child in leaf.children:
            if child.type == "pair":
                self._pair(child, path)

    def _latest(self, path: Path) -> Path:
        return (*path, self._tables[path]) if path in self._tables else path

    def _pair(self, leaf: Leaf, path: Path) -> None:
        shown = [child for child in leaf.children if child.type not in ("=", "comment")]
        if len(shown) != 2 or not shown[0].type.endswith("_key"):
            return
        for part in _parts(shown[0]):
            path = (*path, _name(part))
            self.keys.setdefault(path, self._span(part))
        self._value(shown[1], path)

    def _value(self, leaf: Leaf, path: Path) -> None:
        self.values[path] = self._span(leaf)
        match leaf.type:
            case "array":
                items = [child for child in leaf.children if child.is_named and child.type != "comment"]
                for index, item in enumerate(items):
                    self._value(item, (*path, index))
            case "inline_table":
                for child in leaf.children:
                    if child.type == "pair":
                        self._pair(child, path)

    def _span(self, leaf: Leaf) -> Span:
        row, start = leaf.start_point
        line = self._lines[row] if row < len(self._lines) else b""
        end = leaf.end_point[1] if leaf.end_point[0] == row else len(line)
        length = len(line[start:end].decode("utf-8", "replace").rstrip("\r"))
        return Place(self._file, row + 1, len(line[:start].decode("utf-8", "replace")) + 1), max(length, 1)


def _parts(key: Leaf) -> Iterator[Leaf]:
    """The parts of a key in order; the grammar nests `a.b.c` as `(a.b).c`."""
    if key.type != "dotted_key":
        yield key
        return
    for child in key.children:
        if child.type.endswith("_key"):
            yield from _parts(child)


def _name(part: Leaf) -> str:
    text = (part.text or b"").decode("utf-8", "replace")
    return text if part.type == "bare_key" else next(iter(tomllib.loads(f"{text} = 0")))


def _node(value: object, path: Path, around: Span, spans: _Spans) -> Node:
    place, length = spans.values.get(path) or spans.keys.get(path) or around
    match value:
        case bool():
            return Node(Kind.BOOLEAN, place, length, number=int(value))
        case int():
            return Node(Kind.INTEGER, place, length, number=value)
        case str():
            return Node(Kind.STRING, place, length, text=value)
        case float():
            return Node(Kind.FLOAT, place, length, text=str(value))
        case list():
            items = tuple(_node(item, (*path, at), (place, length), spans) for at, item in enumerate(value))
            return Node(Kind.ARRAY, place, length, items=items)
        case dict():
            return Node(Kind.TABLE, place, length, entries=_entries(value, path, (place, length), spans))
    return Node(Kind.DATE, place, length, text=str(value))


def _entries(table: dict[str, object], path: Path, around: Span, spans: _Spans) -> Mapping[str, Entry]:
    entries: dict[str, Entry] = {}
    for name, value in table.items():
        place, length = spans.keys.get((*path, name), around)
        entries[name] = Entry(name, place, length, _node(value, (*path, name), (place, length), spans))
    return MappingProxyType(entries)
