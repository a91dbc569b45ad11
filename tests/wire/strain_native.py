"""Strains the native core: every way in, good and bad, again and again. Run by test_native_memory.py, on its own
interpreter, since a mistake in C ends it.

`strain_native.py [FILE] [--without-memory]`: FILE is another build of the core to strain.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

NAME = "consent_mw.wire._native"


def load(file: str) -> None:
    """Let this build be the one that is imported."""
    spec = importlib.util.spec_from_file_location(NAME, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[NAME] = module
    package = importlib.import_module("consent_mw.wire")
    package._native = module  # type: ignore[attr-defined]  # as an import of it would


def calls(core: ModuleType) -> list[Callable[[], object]]:
    """Calls of everything, most of which raise or answer None."""
    from consent_mw.wire import fields
    from tests.wire import heads
    from tests.wire.test_native import WRONG, Edits

    reader = core.Reader(fields._request_names, fields.request_level, fields._NEVER_KEPT, fields.NOTHING_REPEATED)
    requests = {**heads.ORDINARY_REQUESTS, **heads.ODD_REQUESTS}.values()
    answers = {**heads.ORDINARY_ANSWERS, **heads.UNUSUAL_ANSWERS, **heads.ODD_ANSWERS}.values()
    made: list[Callable[[], object]] = []
    made += [lambda raw=raw: reader.request(raw) for raw in requests if len(raw) < 9000]
    made += [lambda raw=raw: reader.response(raw) for raw in answers if len(raw) < 9000]
    made += [lambda call=call: call(core, reader) for call in WRONG.values()]
    held = [fields.request_field(b"Cookie", b"a=b"), fields.request_field(b"Via", b"x" * 700)]
    for kept in (None, b"a=b", b"c" * 700):
        edits = Edits(kept)
        edits.asked = Forgetful()
        ask = (edits.remaining_cookies, edits.changed_field)
        made.append(lambda ask=ask: core.forward(b"GET / HTTP/1.1", held * 9, frozenset({b"te"}), *ask, held))
    made.append(lambda: core.forward(b"x", held, frozenset(), lambda: 1 / 0, lambda lower, value: value, []))
    made.append(lambda: core.forward(b"x", held, frozenset(), lambda: None, lambda lower, value: 1, []))
    made.append(lambda: core.render(b"x" * 600, held * 300))
    made.append(lambda: core.named(held * 3, b"via"))
    jar = b"a=1; _ga=2; ;x;=y; long=" + b"z" * 600
    made.append(lambda: core.pieces_named(jar, (b"a", b"long", b"")))
    made.append(lambda: core.remaining(jar, {b"a": True}, lambda name: name == b"long"))
    made.append(lambda: core.remaining(jar, {}, lambda name: 1 / 0))
    made.append(lambda: core.called(jar, {b"a": "a"}, lambda name: name.hex()))
    made.append(lambda: core.called(jar, {}, lambda name: 1 / 0))
    made.append(reader.forget)
    pairs = [(b"Host", b"a"), (b"Cookie", b"a=1"), (b"cookie", b"b=2"), (b"cookie", b"c"), (b"X-New", b"y" * 600)]
    observed = [pairs, pairs * 40, [*pairs, (b"a",)], [*pairs, [b"a", b"b"]], [(b"a", "b")], (), [], [1]]
    made += [
        lambda raw=raw: core.observe(raw, fields._request_names, fields.request_level, fields.NOTHING_REPEATED)
        for raw in observed
    ]
    made += [lambda: core.observe(pairs, {}, lambda name: (name, -1), {}), lambda: core.observe(pairs, {}, len, {})]
    made += [lambda raw=raw: core.mentions(raw, b"a-b") for raw in (b"", b"-", b"a-", b"xA-B", b"a-c-", 1)]
    made += [lambda: core.mentions(b"a", b"a"), lambda: core.mentions(b"a", 1)]
    table = core.Known(3, 1)
    made += [lambda raw=raw: table.keep(raw, [raw], 1, raw) for raw in (b"", b"a" * 700, b"b" * 40, b"c", b"d")]
    asked = [b"GET / HTTP/1.1\r\n" + b"a" * 700, b"GET / HTTP/1.1\r\nb", b"c\r\n\r\nx", b"c\r\n\r\n", b"\r\n\r\n\r"]
    made += [lambda raw=raw: table.request(raw, 0, (b"/x", b"")) for raw in asked]
    made += [lambda raw=raw: table.request(raw, 0.5, ()) for raw in asked]
    made += [lambda raw=raw: table.answer(raw) for raw in asked]
    made += [lambda raw=raw: table.get(raw) for raw in (b"a" * 700, b"c", b"e")]
    made += [lambda: table.keep(1, 1, 1, b""), lambda: table.keep(b"", 1, b"", b""), lambda: core.Known(0, 0)]
    made += [lambda: table.request(b"GET / HTTP/1.1\r\n", 0, [b"/"]), lambda: table.get(""), lambda: table.answer(1)]
    shown = [*observed, [(b"a", b"b\n")], [(b"a", b"b" * 4093)]]
    made += [lambda raw=raw: table.headers(raw, "a", 0) for raw in shown]
    made += [lambda raw=raw: core.block(raw, "a" * 700) for raw in shown]
    made += [lambda more=more: core.block(pairs, more) for more in ("\xe9", "\ud800", b"a", None)]
    made += [lambda: table.headers(pairs, "a", ""), lambda: table.headers(pairs, "a"), lambda: core.block(pairs)]
    made += [lambda: table.once(b"a"), lambda: table.once(1), table.age, lambda: len(table), table.clear]
    made.append(lambda: core.Reader({}, len, frozenset(), {}).request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
    return made


class Forgetful(list[tuple[bytes, bytes]]):
    """A list that takes note of nothing."""

    def append(self, item: tuple[bytes, bytes]) -> None:
        pass


def run(made: list[Callable[[], object]]) -> None:
    """Make every call once; whatever is raised is dropped."""
    for call in made:
        with contextlib.suppress(Exception):
            call()


def without_memory(made: list[Callable[[], object]]) -> None:
    """Make every call with each of its allocations failing in turn."""
    import _testcapi

    for call in made:
        for number in range(60):
            with contextlib.suppress(Exception):
                _testcapi.set_nomemory(number, number + 1)
                try:
                    call()
                finally:
                    _testcapi.remove_mem_hooks()


def main(arguments: list[str]) -> int:
    """Strain the core; the octets that 1,000 rounds left allocated are printed."""
    files = [one for one in arguments if not one.startswith("--")]
    if files:
        load(files[0])
    from consent_mw.wire import native

    if native.native is None:
        return 3
    made = calls(native.native)
    run(made)
    if "--without-memory" in arguments:
        without_memory(made)
        run(made)
    for _ in range(20):
        run(made)
    tracemalloc.start()
    for _ in range(20):
        run(made)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(int(next((one[9:] for one in arguments if one.startswith("--rounds=")), "1000"))):
        run(made)
    print("left:", tracemalloc.get_traced_memory()[0] - before)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main(sys.argv[1:]))
