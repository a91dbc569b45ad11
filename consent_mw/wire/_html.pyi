from typing import Final

VERSION: Final[int]

def skip(data: bytes, at: int, plain: bool, /) -> int: ...
