"""An app's answer that comes again is found by all that it says, and by nothing less."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from consent_mw import ConsentMiddleware
from consent_mw.asgi import answers
from consent_mw.asgi.answers import Answers
from tests.journeys.site import KEY, NEW_YORK, POLICY

PAGE = [(b"content-type", b"text/html"), (b"set-cookie", b"_ga=1")]


def test_a_head_is_remembered_once_it_came_twice() -> None:
    known = Answers()
    heads = [known.head(200, list(PAGE)) for _ in range(4)]
    assert [head.replies for head in heads] == [None, {}, {}, {}]
    assert heads[1] is heads[2] is heads[3]
    assert known.head(404, PAGE) is not heads[3]
    assert known.head(200, PAGE[:1]) is not heads[3]
    known.forget()
    assert known.head(200, PAGE).replies is None


def test_headers_that_are_lists_are_read_and_not_remembered() -> None:
    known = Answers()
    heads: Any = [known.head(200, [[b"content-type", b"text/css"]]) for _ in range(3)]  # type: ignore[list-item]
    assert [(head.seen, head.replies) for head in heads] == [({b"content-type": b"text/css"}, None)] * 3


def test_what_is_long_or_many_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Answers()
    assert [known.head(200, [(b"a", b"b" * 5000)]).replies for _ in range(3)] == [None] * 3
    monkeypatch.setattr(answers, "HEADS_KEPT", 8)
    known.forget()
    for number in range(100):
        for _ in range(2):
            known.head(200, [(b"a", b"%d" % number)])
    assert len(known._known) <= 16


def test_an_answer_that_comes_again_is_each_visitors_own(tmp_path: Path) -> None:
    """One visitor's identifier, and what one may get, is never another's; and what an app says counts every time."""
    (tmp_path / "policy.toml").write_text(POLICY.replace('"opt-out"', '"opt-out"\nbanner = "none"'))
    says: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if b"minor" in scope["path"].encode():
            scope["consent_mw"].declare_minor()
        await send({"type": "http.response.start", "status": 200, "headers": list(PAGE)})
        await send({"type": "http.response.body", "body": b"ok"})

    async def visit(middleware: ConsentMiddleware, path: str, *headers: tuple[bytes, bytes]) -> list[bytes]:
        async def send(message: Any) -> None:
            says.append(message)

        asked = [(b"host", b"a"), (b"sec-fetch-dest", b"document"), (b"x-forwarded-for", NEW_YORK.encode()), *headers]
        scope = {"type": "http", "method": "GET", "path": path, "headers": asked, "client": ("127.0.0.1", 1)}
        await middleware(scope, None, send)  # type: ignore[arg-type]  # nothing is received
        start = says[-2]
        start["headers"].append((b"x-late", b"1"))  # an app around us may write into its list
        return [value for name, value in start["headers"] if name.lower() == b"set-cookie"]

    async def visits() -> list[list[bytes]]:
        middleware = ConsentMiddleware(app, tmp_path / "policy.toml", [KEY], f"sqlite:///{tmp_path / 'c.db'}")
        await middleware.gate.start()
        gpc, minor = (b"sec-gpc", b"1"), "/minor"
        asked = [("/", ()), ("/", (gpc,)), (minor, ()), ("/", ())]
        told = [await visit(middleware, path, *more) for _ in range(4) for path, more in asked]
        await middleware.gate.stop(0)
        return told

    told = asyncio.run(visits())
    named = [[line.partition(b"=")[0] for line in lines] for lines in told]
    assert (
        named == [[b"_ga", b"__Host-vid"], [b"_ga", b"__Host-vid"], [b"__Host-consent"], [b"_ga", b"__Host-vid"]] * 4
    )
    given = [line for lines in told for line in lines if line.startswith(b"__Host-vid=")]
    assert len(set(given)) == len(given) == 12


PARTS = {
    "whole": [b"<p>one</p>"],
    "in two parts": [b"<p>one", b"</p>"],
    "in parts, the last empty": [b"<p>one</p>", b""],
    "empty": [b""],
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_a_page_arrives_as_it_was_sent_however_it_was_cut(tmp_path: Path, parts: list[bytes]) -> None:
    (tmp_path / "policy.toml").write_text(POLICY.replace('"opt-out"', '"opt-out"\nbanner = "none"'))
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": PAGE[:1]})
        for number, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts) - 1})

    async def send(message: Any) -> None:
        got.append(message)

    async def visits() -> None:
        middleware = ConsentMiddleware(app, tmp_path / "policy.toml", [KEY], f"sqlite:///{tmp_path / 'c.db'}")
        await middleware.gate.start()
        asked = [(b"host", b"a"), (b"sec-fetch-dest", b"document"), (b"x-forwarded-for", NEW_YORK.encode())]
        for _ in range(4):
            scope = {"type": "http", "method": "GET", "path": "/", "headers": asked, "client": ("127.0.0.1", 1)}
            await middleware(scope, None, send)  # type: ignore[arg-type]  # nothing is received
        await middleware.gate.stop(0)

    asyncio.run(visits())
    starts = [message for message in got if message["type"] == "http.response.start"]
    body = b"".join(message["body"] for message in got if message["type"] == "http.response.body")
    assert got[0] is starts[0]
    assert (len(starts), body) == (4, b"".join(parts) * 4)
