"""What waits is delivered, once, in order, and only as far as the policy in force lets it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consent_mw.core.terms import Mode, Outcome, VendorKind
from consent_mw.wire.vendors.segment import SegmentEncoder
from consent_mw.world.delivery import Delivery, turn
from consent_mw.world.delivery.rows import GIVE_UP_AFTER, TRIES, Check, settlement
from consent_mw.world.delivery.sender import Sender
from consent_mw.world.store import OutboxRow, Settlement, Store, open_store
from tests.builders import a_policy, a_vendor

Answer = Callable[["Receiver", int, asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    """A vendor on loopback: keeps every request and answers the n-th as it is told (the last answer repeats)."""

    def __init__(self, *answers: str | Answer) -> None:
        self.answers = answers or ("200 OK",)
        self.heads: list[str] = []
        self.bodies: list[Any] = []
        self.times: list[float] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in"

    @property
    def ids(self) -> list[str]:
        return [one["id"] for one in self.bodies]

    @property
    def messages(self) -> list[list[str]]:
        return [[one["messageId"] for one in body["batch"]] for body in self.bodies]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                self.heads.append(head)
                self.bodies.append(body)
                self.times.append(time.monotonic())
                number = len(self.bodies) - 1
                answer = self.answers[min(number, len(self.answers) - 1)]
                if callable(answer):
                    await answer(self, number, writer)
                    continue
                writer.write(f"HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
        writer.close()


async def hang(receiver: Receiver, number: int, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def reset(receiver: Receiver, number: int, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def drip(receiver: Receiver, number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(300):
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def receiving(*answers: str | Answer) -> AsyncIterator[Receiver]:
    receiver = Receiver(*answers)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in receiver.tasks:
            task.cancel()
        await asyncio.gather(*receiver.tasks, return_exceptions=True)


class Sending:
    """A delivery over a store, its policy in force and what it told of outcomes."""

    def __init__(
        self, store: Store, *vendors: Any, keys: Callable[[str], str] = lambda key: key, **more: Any
    ) -> None:
        self.store = store
        self.policy = a_policy(vendors=vendors, **more)
        self.outcomes: list[tuple[str, str, int]] = []
        self.delivery = Delivery(store, lambda: self.policy, keys, lambda *told: self.outcomes.append(told))

    async def __aenter__(self) -> Sending:
        await self.delivery.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.delivery.stop(0.0)

    async def queue(self, *rows: OutboxRow) -> None:
        await asyncio.wrap_future(self.store.enqueue(rows))
        self.delivery.notify()

    def told(self, vendor: str = "insights") -> list[str]:
        return [outcome for name, outcome, number in self.outcomes for _ in range(number) if name == vendor]

    async def until(self, holds: Callable[[], object], seconds: float = 8.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, (self.outcomes, "this never held")
            await asyncio.sleep(0.01)

    async def pending(self, vendor: str = "") -> int:
        return await asyncio.wrap_future(self.store.pending(vendor))


def a_row(identity: str, fields: dict[str, Any] | bytes | None = None, **more: Any) -> OutboxRow:
    body = fields if isinstance(fields, bytes) else json.dumps(fields or {"event": "page_view"}).encode()
    made: dict[str, Any] = {"vendor": "insights", "kind": "page_view", "visitor": "ann", "receipt": ""}
    made |= {"jurisdiction": "elsewhere", "purpose": "analytics", "policy": "p1", "created": time.time()}
    return OutboxRow(**{**made, "id": identity, "event_id": identity, "body": body, **more})


def to(receiver: Receiver, name: str = "insights", **more: Any) -> Any:
    return a_vendor(name, **{"endpoint": receiver.url, **more})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'consent.db'}")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def run(journey: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(20):
            await journey()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert [task for task in others if "consent_mw" in str(task.get_coro())] == []

    asyncio.run(whole())


# answers


def test_an_event_is_delivered_once_past_any_proxy_of_the_environment(store: Store) -> None:
    async def journey() -> None:
        async with receiving() as receiver, Sending(store, to(receiver)) as sending:
            await sending.queue(a_row("1"))
            await sending.until(sending.told)
            assert (receiver.ids, sending.told(), await sending.pending()) == (["1"], ["accepted"], 0)
            names = [line.partition(":")[0].lower() for line in receiver.heads[0].split("\r\n")[1:] if line]
            assert sorted(names) == ["accept", "content-length", "content-type", "host", "user-agent"]
            assert "user-agent: consent_mw" in receiver.heads[0]

    run(journey)


@pytest.mark.parametrize("status", ["500 Oops", "503 Busy", "429 Slow down\r\nretry-after: 1"])
def test_a_refused_event_is_sent_again_before_the_later_ones_of_its_person(store: Store, status: str) -> None:
    async def journey() -> None:
        async with receiving(status, "200 OK") as receiver, Sending(store, to(receiver)) as sending:
            await sending.queue(a_row("1"), a_row("2"), a_row("3"))
            await sending.until(lambda: len(sending.told()) == 3)
            assert receiver.ids == ["1", "1", "2", "3"]
            if "429" in status:
                assert receiver.times[1] - receiver.times[0] >= 0.95

    run(journey)


def test_a_rejected_event_ends_and_the_next_one_goes(store: Store) -> None:
    async def journey() -> None:
        async with receiving("400 No", "200 OK") as receiver, Sending(store, to(receiver)) as sending:
            await sending.queue(a_row("1"), a_row("2"))
            await sending.until(lambda: len(sending.told()) == 2)
            assert (receiver.ids, sending.told()) == (["1", "2"], ["rejected", "accepted"])

    run(journey)


def test_a_redirect_is_not_followed(store: Store) -> None:
    async def journey() -> None:
        async with (
            receiving() as elsewhere,
            receiving(f"307 Go\r\nlocation: {elsewhere.url}") as receiver,
            Sending(store, to(receiver)) as sending,
        ):
            await sending.queue(a_row("1"))
            await sending.until(sending.told)
            assert (receiver.ids, elsewhere.ids, sending.told()) == (["1"], [], ["rejected"])

    run(journey)


def test_a_vendors_cookie_is_never_sent_back(store: Store) -> None:
    async def journey() -> None:
        async with (
            receiving("200 OK\r\nset-cookie: id=ann; path=/") as receiver,
            Sending(store, to(receiver)) as sending,
        ):
            await sending.queue(a_row("1"), a_row("2"))
            await sending.until(lambda: len(sending.told()) == 2)
            assert not [head for head in receiver.heads if "cookie" in head.lower()]

    run(journey)


@pytest.mark.parametrize("trouble", [hang, reset, drip], ids=["hang", "reset", "drip"])
def test_an_ambiguous_try_is_repeated_under_the_same_id(
    store: Store, trouble: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "LONGEST_TRY", 0.3)

    async def journey() -> None:
        async with receiving(trouble, "200 OK") as receiver, Sending(store, to(receiver)) as sending:
            await sending.queue(a_row("1"))
            await sending.until(sending.told)
            assert (receiver.ids, sending.told()) == (["1", "1"], ["accepted"])

    run(journey)


def test_a_vendor_that_cannot_deduplicate_gets_an_ambiguous_event_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent_mw.wire.vendors.webhook.WebhookEncoder.dedupes", False)

    async def journey() -> None:
        async with receiving(reset, "200 OK") as receiver, Sending(store, to(receiver)) as sending:
            await sending.queue(a_row("1"))
            await sending.until(sending.told)
            await sending.queue(a_row("2", visitor="bob"))
            await sending.until(lambda: len(sending.told()) == 2)
            assert (receiver.ids, sending.told()) == (["1", "2"], ["unknown", "accepted"])

    run(journey)


def test_a_try_that_a_crash_cut_short_is_ambiguous_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent_mw.wire.vendors.webhook.WebhookEncoder.dedupes", False)
    store.enqueue([a_row("1")])
    store.claim("insights", 1, time.time() - 100, 60.0).result(5)

    async def journey() -> None:
        async with receiving() as receiver, Sending(store, to(receiver)) as sending:
            await sending.until(sending.told)
            assert (receiver.ids, sending.told()) == ([], ["unknown"])

    run(journey)


def test_what_a_crash_cut_short_stays_ambiguous_while_its_vendor_is_busy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent_mw.wire.vendors.webhook.WebhookEncoder.dedupes", False)
    monkeypatch.setattr(turn, "CONCURRENCY", 1)
    store.enqueue([a_row("1", visitor="bob")])
    store.claim("insights", 1, time.time() - 100, 60.0).result(5)
    store.enqueue([a_row("2")])

    async def journey() -> None:
        async with receiving("429 Busy", "200 OK") as receiver, Sending(store, to(receiver)) as sending:
            await sending.until(lambda: len(sending.told()) == 2)
            assert (receiver.ids, sorted(sending.told())) == (["2", "2"], ["accepted", "unknown"])

    store.settle([Settlement("2", retry_at=0.0, tried=False)])
    run(journey)


# one vendor and another


def test_a_dead_vendor_delays_nobody_else(store: Store) -> None:
    async def journey() -> None:
        async with (
            receiving(hang) as dead,
            receiving() as alive,
            Sending(store, to(dead, "dead"), to(alive)) as sending,
        ):
            began = time.monotonic()
            rows = [a_row(f"d{n}", vendor="dead", visitor=f"v{n}") for n in range(20)]
            await sending.queue(*rows, *(a_row(f"a{n}") for n in range(5)))
            await sending.until(lambda: len(sending.told()) == 5)
            assert (alive.ids, sending.told("dead")) == ([f"a{n}" for n in range(5)], [])
            assert time.monotonic() - began < 2.0

    run(journey)


def test_a_vendor_that_is_down_is_not_asked_for_every_event(store: Store) -> None:
    async def journey() -> None:
        async with receiving("503 Busy\r\nretry-after: 60") as receiver, Sending(store, to(receiver)) as sending:
            for number in range(10):
                await sending.queue(a_row(str(number), visitor=f"v{number}"))
                await asyncio.sleep(0.02)
            assert (len(receiver.ids), await sending.pending()) == (1, 10)

    run(journey)


def segment(receiver: Receiver) -> Any:
    return to(receiver, kind=VendorKind.SEGMENT, key="k", fields=("event", "visitor_id"))


def test_one_bad_event_does_not_take_its_batch_along(store: Store) -> None:
    async def judge(receiver: Receiver, number: int, writer: asyncio.StreamWriter) -> None:
        status = "400 Bad" if "5" in receiver.messages[number] else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())

    async def journey() -> None:
        async with receiving(judge) as receiver, Sending(store, segment(receiver)) as sending:
            await sending.queue(*(a_row(str(number)) for number in range(8)))
            await sending.until(lambda: len(sending.told()) == 8)
            assert sorted(sending.told()) == ["accepted"] * 7 + ["rejected"]
            assert receiver.messages[-1] == ["6", "7"]

    run(journey)


def test_later_batches_wait_for_the_one_that_is_tried_again(store: Store) -> None:
    async def journey() -> None:
        async with receiving("500 Oops", "200 OK") as receiver, Sending(store, segment(receiver)) as sending:
            await sending.queue(*(a_row(f"{number:03}") for number in range(120)))
            await sending.until(lambda: len(sending.told()) == 120)
            once = receiver.messages[1:]
            assert [one for batch in once for one in batch] == [f"{number:03}" for number in range(120)]

    run(journey)


def test_batches_are_as_large_as_the_vendor_takes_them_and_keep_their_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SegmentEncoder, "size_limit", 4000)

    async def journey() -> None:
        async with receiving("500 Oops", "200 OK") as receiver, Sending(store, segment(receiver)) as sending:
            await sending.queue(*(a_row(f"{number:03}") for number in range(120)))
            await sending.until(lambda: len(sending.told()) == 120)
            once = receiver.messages[1:]
            assert set(once[0]) >= set(receiver.messages[0])
            assert [one for batch in once for one in batch] == [f"{number:03}" for number in range(120)]
            sizes = [int(head.lower().partition("content-length: ")[2].split("\r\n")[0]) for head in receiver.heads]
            assert max(sizes) <= 4000
            assert sorted(sizes[1:])[1] > 3500

    run(journey)


def test_events_that_come_while_a_batch_is_gathered_go_together(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent_mw.world.delivery.GATHERS_FOR", 1.0)

    async def journey() -> None:
        async with receiving() as receiver, Sending(store, segment(receiver)) as sending:
            await sending.queue(a_row("first"))
            await sending.until(sending.told)
            for number in range(3):
                await sending.queue(a_row(str(number)))
            await sending.until(lambda: len(sending.told()) == 4)
            assert receiver.messages == [["first"], ["0", "1", "2"]]

    run(journey)


def test_a_recall_stops_the_batches_that_are_not_yet_sent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "CLAIMED_AT_ONCE", 5)

    async def slow(receiver: Receiver, number: int, writer: asyncio.StreamWriter) -> None:
        if number == 0:
            await asyncio.wrap_future(store.recall(["bob"]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async def journey() -> None:
        async with receiving(slow) as receiver, Sending(store, segment(receiver)) as sending:
            await sending.queue(*(a_row(f"{n}", visitor="bob" if n % 2 else "ann") for n in range(10)))
            await sending.until(lambda: len(sending.told()) == 7)
            assert receiver.messages == [["0", "1", "2", "3", "4"], ["6", "8"]]
            assert await sending.pending() == 0

    run(journey)


# what cannot be sent

POISON = {
    "no-json": b"\xff{",
    "no-object": b'["event"]',
    "half-a-surrogate": b'{"event":"\\ud800"}',
    "endless-time": b'{"event":"x","time":1e300}',
}


@pytest.mark.parametrize("body", POISON.values(), ids=POISON)
@pytest.mark.parametrize("kind", [VendorKind.WEBHOOK, VendorKind.SEGMENT])
def test_a_poisoned_row_ends_and_the_others_go(store: Store, body: bytes, kind: VendorKind) -> None:
    async def journey() -> None:
        async with receiving() as receiver, Sending(store, to(receiver, kind=kind, key="k")) as sending:
            await sending.queue(a_row("1"), a_row("2", body), a_row("3"))
            await sending.until(lambda: len(sending.told()) == 3)
            assert sending.told().count("accepted") >= 2
            assert set(sending.told()) <= {"accepted", "rejected"}
            assert await sending.pending() == 0

    run(journey)


@pytest.mark.parametrize("kind", ["", "unheard-of"])
def test_a_row_of_no_known_kind_is_rejected(kind: str) -> None:
    assert (
        Check("insights", a_policy(vendors=(a_vendor("insights"),))).left(a_row("1", kind=kind)) is Outcome.REJECTED
    )


@pytest.mark.parametrize(
    "more",
    [
        {"endpoint": "http://127.0.0.1:99999/"},
        {"endpoint": "http://[::1/"},
        {"endpoint": "ftp://127.0.0.1/"},
    ],
    ids=["port", "host", "scheme"],
)
def test_a_request_that_cannot_be_made_is_rejected_and_counted(store: Store, more: dict[str, str]) -> None:
    async def journey() -> None:
        async with receiving() as receiver, Sending(store, to(receiver, **more), to(receiver, "good")) as sending:
            await sending.queue(a_row("1"), a_row("2"), a_row("g", vendor="good"))
            await sending.until(lambda: len(sending.told()) == 2 and sending.told("good"))
            assert (sending.told(), receiver.ids) == (["rejected", "rejected"], ["g"])

    run(journey)


# the policy in force


def test_a_field_that_the_policy_no_longer_names_stays(store: Store) -> None:
    async def journey() -> None:
        async with receiving() as receiver, Sending(store, to(receiver, fields=("event",))) as sending:
            await sending.queue(a_row("1", {"event": "signup", "email": "ann@example.com", "props.plan": "pro"}))
            await sending.until(sending.told)
            assert receiver.bodies[0]["data"] == {"event": "signup"}

    run(journey)


def test_what_nothing_is_left_of_is_recalled(store: Store) -> None:
    async def journey() -> None:
        async with receiving() as receiver, Sending(store, to(receiver, purpose="cross_site")) as sending:
            await sending.queue(a_row("1"), a_row("2", {"email": "a@b.example"}, purpose="cross_site"))
            await sending.until(lambda: len(sending.told()) == 2)
            assert (receiver.ids, sending.told()) == ([], ["recalled", "recalled"])

    run(journey)


def test_a_place_that_the_policy_no_longer_knows_gets_what_every_place_gets() -> None:
    vendor = a_vendor("insights", fields=("event", "email"), fields_in={"eea_uk": ("event",)})
    policy = a_policy(vendors=(vendor,))
    row = {"event": "x", "email": "a@b.example"}
    left = [
        Check("insights", policy).left(a_row("1", row, jurisdiction=place))
        for place in ("elsewhere", "eea_uk", "gone")
    ]
    assert [getattr(one, "fields", one) for one in left] == [row, {"event": "x"}, {"event": "x"}]


def test_a_vendor_that_leaves_the_policy_has_its_rows_recalled(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent_mw.world.delivery.KEEPS_EVERY", 0.05)

    async def journey() -> None:
        async with (
            receiving("503 Busy") as busy,
            receiving() as receiver,
            Sending(store, to(busy, "old"), to(receiver)) as sending,
        ):
            await sending.queue(a_row("1", vendor="old"))
            await sending.until(lambda: busy.ids)
            sending.policy = a_policy(vendors=(to(receiver),))
            await sending.until(lambda: sending.told("old"))
            assert (sending.told("old"), await sending.pending()) == (["recalled"], 0)
            sending.policy = a_policy(vendors=(to(receiver), to(receiver, "new")))
            await asyncio.sleep(0.1)
            await sending.queue(a_row("2", vendor="new"))
            await sending.until(lambda: sending.told("new"))

    run(journey)


def test_rows_of_vendors_before_this_policy_are_recalled_at_the_start(store: Store) -> None:
    store.enqueue([a_row("1", vendor="old")]).result(5)

    async def journey() -> None:
        async with receiving() as receiver, Sending(store, to(receiver)) as sending:
            await sending.until(lambda: sending.told("old"))
            assert (sending.told("old"), receiver.ids) == (["recalled"], [])

    run(journey)


def test_a_recall_stops_what_was_claimed_and_not_yet_sent(store: Store) -> None:
    async def slow(receiver: Receiver, number: int, writer: asyncio.StreamWriter) -> None:
        if number == 0:
            await asyncio.wrap_future(store.recall(["ann"]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async def journey() -> None:
        async with receiving(slow) as receiver, Sending(store, to(receiver)) as sending:
            await sending.queue(a_row("1"), a_row("2"), a_row("3"))
            await sending.until(sending.told)
            await sending.queue(a_row("4", visitor="bob"))
            await sending.until(lambda: len(sending.told()) == 2)
            assert receiver.ids == ["1", "4"]

    run(journey)


def test_what_is_recalled_while_a_connection_is_made_is_not_sent_on_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = Sender._connect

    async def slow(sender: Any, target: Any) -> Any:
        made = await connect(sender, target)
        await asyncio.wrap_future(store.recall(["ann"]))
        return made

    monkeypatch.setattr(Sender, "_connect", slow)

    async def journey() -> None:
        async with receiving() as receiver, Sending(store, segment(receiver)) as sending:
            await sending.queue(a_row("1"), a_row("2", visitor="bob"))
            await sending.until(sending.told)
            assert (receiver.messages, sending.told()) == ([["2"]], ["accepted"])

    run(journey)


@pytest.mark.parametrize(
    ("mode", "key"),
    [(Mode.REPORT, "k"), (Mode.ENFORCE, ""), (Mode.ENFORCE, "ü\n")],
    ids=["report-mode", "no-key", "a-key-that-cannot-be-sent"],
)
def test_events_wait_while_nothing_may_be_sent_and_nothing_spins(store: Store, mode: Mode, key: str) -> None:
    asked = 0

    def keys(_: str) -> str:
        nonlocal asked
        asked += 1
        return key

    async def journey() -> None:
        async with (
            receiving() as receiver,
            Sending(store, to(receiver, key="env:K"), keys=keys, mode=mode) as sending,
        ):
            await sending.queue(a_row("1"))
            await asyncio.sleep(0.3)
            assert (receiver.ids, await sending.pending()) == ([], 1)
            assert asked < 20

    run(journey)


# the end


def test_stopping_delivers_what_waits(store: Store) -> None:
    async def journey() -> None:
        async with receiving() as receiver:
            sending = Sending(store, to(receiver))
            await sending.delivery.start()
            await sending.queue(*(a_row(str(number)) for number in range(30)))
            await sending.delivery.stop(5.0)
            assert (len(receiver.ids), await sending.pending()) == (30, 0)

    run(journey)


def test_stopping_does_not_wait_for_a_vendor_longer_than_told(store: Store) -> None:
    async def journey() -> None:
        async with receiving(hang) as receiver:
            sending = Sending(store, to(receiver))
            await sending.delivery.start()
            await sending.queue(*(a_row(str(number)) for number in range(3)))
            await sending.until(lambda: receiver.ids)
            began = time.monotonic()
            await sending.delivery.stop(0.2)
            assert time.monotonic() - began < 1.5
            assert await sending.pending() == 3
            sending.delivery.notify()

    run(journey)


def test_a_delivery_starts_again_after_a_stop(store: Store) -> None:
    async def journey() -> None:
        async with receiving() as receiver:
            sending = Sending(store, to(receiver))
            for number in range(2):
                async with sending:
                    await sending.queue(a_row(str(number)))
                    await sending.until(lambda number=number: len(sending.told()) == number + 1)  # type: ignore[misc]
            assert receiver.ids == ["0", "1"]

    run(journey)


def test_a_store_that_fails_does_not_end_the_delivery(store: Store, tmp_path: Path) -> None:
    async def journey() -> None:
        closed = open_store(f"sqlite:///{tmp_path / 'other.db'}")
        async with receiving() as receiver, Sending(closed, to(receiver)) as sending:
            await asyncio.to_thread(closed.close)
            sending.delivery.notify()
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in sending.delivery._tasks.values())

    run(journey)


def test_an_event_is_dead_after_many_tries_and_a_day() -> None:
    row = a_row("1", created=1000.0, attempts=TRIES)
    again = turn.VendorAnswer(None, 77.0)
    assert settlement(row, again, 1000.0 + GIVE_UP_AFTER + 1) == Settlement("1", "dead")
    late = settlement(row, again, 1000.0 + GIVE_UP_AFTER)
    assert (late.outcome, late.retry_at - 1000.0 - GIVE_UP_AFTER >= 77.0) == ("", True)
    young = settlement(a_row("1", created=0.0, attempts=2), again, 10**9)
    assert (young.outcome, young.retry_at) == ("", 10**9 + 77.0)
