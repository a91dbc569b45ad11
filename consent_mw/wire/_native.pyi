from collections.abc import Callable
from typing import Final, TypeVar

from consent_mw.wire.fields import Field, Fields, Read
from consent_mw.wire.known import PlainKnown

V = TypeVar("V")

VERSION: Final[int]

class Reader:
    def __new__(
        cls,
        names: dict[bytes, tuple[bytes, int]],
        classify: Callable[[bytes], tuple[bytes, int]],
        never_kept: frozenset[bytes],
        nothing_repeated: dict[bytes, list[bytes]],
        /,
    ) -> Reader: ...
    def request(self, raw: bytes, /) -> tuple[tuple[bytes, bytes, bool], Read] | None: ...
    def response(self, raw: bytes, /) -> tuple[tuple[int, bytes, bool], Read] | None: ...
    def forget(self) -> None: ...

class Known(PlainKnown[V]): ...

def render(first_line: bytes, fields: Fields, /) -> bytes: ...
def block(headers: object, more: object, /) -> bytes | None: ...
def named(fields: Fields, name: bytes, /) -> Fields: ...
def observe(
    headers: object,
    names: dict[bytes, tuple[bytes, int]],
    classify: Callable[[bytes], tuple[bytes, int]],
    nothing_repeated: dict[bytes, list[bytes]],
    /,
) -> tuple[dict[bytes, bytes], dict[bytes, list[bytes]], list[tuple[int, bytes]]] | None: ...
def forward(
    first_line: bytes,
    fields: Fields,
    gone: frozenset[bytes],
    remaining_cookies: Callable[[], bytes | None],
    changed_field: Callable[[bytes, bytes], bytes | None],
    added: list[Field],
    /,
) -> bytes | None: ...
def pieces_named(joined: bytes, names: tuple[bytes, ...], /) -> list[tuple[bytes, bytes]]: ...
def remaining(joined: bytes, known: dict[bytes, bool], keeps: Callable[[bytes], bool], /) -> bytes | None: ...
def called(joined: bytes, known: dict[bytes, str], call: Callable[[bytes], str], /) -> frozenset[str]: ...
def mentions(text: bytes, word: bytes, /) -> bool: ...
