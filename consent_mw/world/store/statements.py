"""What the ledger and the keys ask of a database: statements that SQLite and PostgreSQL understand alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Statements(Protocol):
    """A connection inside a transaction. Values stand where the question marks are."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any:
        """Do this; what it found can be fetched from what is returned."""

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]], /) -> Any:
        """Do this with each of these rows."""
