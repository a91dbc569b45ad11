"""A parsed TOML document: every key and every value with the place where it stands.

Rule: a Document holds what the file says, in the file's order; it does not know what a policy is.
Rule: lines and columns count from 1, columns in characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from consent_mw.errors import Place


class Kind(StrEnum):
    """The types of TOML 1.0, in the words that a message uses."""

    STRING = "a string"
    INTEGER = "an integer"
    FLOAT = "a float"
    BOOLEAN = "true or false"
    DATE = "a date or time"
    ARRAY = "a list"
    TABLE = "a table"


@dataclass(frozen=True, slots=True)
class Node:
    """One value, with its place. `length` is in characters, on its first line.

    `text` is a string's value, or how a date or float reads; `number` an integer's, or 0 or 1 for a boolean;
    `items` an array's elements; `entries` a table's keys in the file's order."""

    kind: Kind
    place: Place
    length: int = 1
    text: str = ""
    number: int = 0
    items: tuple[Node, ...] = ()
    entries: Mapping[str, Entry] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_list_of_tables(self) -> bool:
        """Whether this is an array of tables, such as `[[cookie]]` makes."""
        return self.kind is Kind.ARRAY and all(item.kind is Kind.TABLE for item in self.items)


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a table, where it stands, and its value."""

    name: str
    place: Place
    length: int
    node: Node


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file: its name as the operator wrote it, a digest of its bytes, and its root table."""

    file: str
    digest: str
    root: Node
