"""Report mode counts on live traffic what enforcing would do, changes nothing, and keeps names alone."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from consent_mw.asgi.inventory import shown
from consent_mw.cli import run
from consent_mw.core.inventory import NAMES_KEPT, OTHER, Item
from consent_mw.world.store import open_store, read_inventory
from tests.journeys.sidecar import an_origin, serving
from tests.journeys.site import BERLIN, NEW_YORK, POLICY, VENDOR

REPORTING = POLICY.replace("schema = 1", 'schema = 1\nmode = "report"') + VENDOR.format(port=9)


def test_what_would_be_done_is_counted_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with an_origin() as origin, serving(tmp_path, REPORTING, origin.url) as address:
        for place, cookie in ((BERLIN, "session=hushed; _ga_1=hushed; ann@example.com=1"), (NEW_YORK, "_ga=hushed")):
            said = {
                "x-forwarded-for": place,
                "cookie": cookie,
                "sec-fetch-dest": "document",
                "user-agent": "Mozilla/5.0",
            }
            answer = httpx.get(address, headers=said)
            assert [one.partition("=")[0] for one in answer.headers.get_list("set-cookie")] == [
                "session",
                "_ga",
                "odd",
            ]
    store = f"sqlite:///{tmp_path / 'consent.db'}"
    assert run(["inventory", "--store", store, "--format", "json"]) == 0
    told = [
        (one["kind"], one["name"], one["fate"], one["count"])
        for one in json.loads(capsys.readouterr().out)["inventory"]
    ]
    assert told == [
        ("cookie", "(other)", "dropped, no rule names it", 1),
        ("cookie", "_ga*", "dropped", 1),
        ("cookie", "_ga*", "kept", 1),
        ("cookie", "session", "kept", 1),
        ("set-cookie", "_ga*", "dropped", 1),
        ("set-cookie", "_ga*", "kept, brought within its rule", 1),
        ("set-cookie", "odd", "dropped, no rule names it", 2),
        ("set-cookie", "session", "kept", 2),
        ("identifier", "__Host-vid", "not set", 1),
        ("identifier", "__Host-vid", "set", 1),
        ("vendor", "insights", "a page view sent", 1),
        ("vendor", "insights", "withheld (opt-in-default)", 1),
        ("banner", "eea_uk", "ask", 1),
        ("banner", "elsewhere", "notice", 1),
    ]
    assert run(["inventory", "--store", store]) == 0
    assert "cookies that browsers sent:\n" in capsys.readouterr().out
    whole = b"".join(one.read_bytes() for one in tmp_path.glob("consent.db*"))
    assert (b"hushed" in whole, b"ann@" in whole) == (False, False)
    draft = tmp_path / "learned.toml"
    assert run(["init", str(draft), "--learn", store]) == 0
    assert '# name    = "odd"' in draft.read_text()


def test_where_nothing_was_counted_or_there_is_no_store_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = f"sqlite:///{tmp_path / 'consent.db'}"
    assert run(["inventory", "--store", store]) == 2
    open_store(store).close()
    assert run(["inventory", "--store", store]) == 0
    assert "nothing was counted" in capsys.readouterr().out
    assert run(["init", str(tmp_path / "learned.toml"), "--learn", store]) == 2
    assert "the store has no inventory to learn from" in capsys.readouterr().err
    assert not (tmp_path / "learned.toml").exists()
    (tmp_path / "other.db").write_bytes(b"x" * 5000)
    assert run(["inventory", "--store", f"sqlite:///{tmp_path / 'other.db'}"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_names_are_bounded_in_the_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'consent.db'}"
    store = open_store(url)
    for part in (0, 700):
        items = [Item(1, "cookie", f"n{number}", "kept", 1) for number in range(part, part + 700)]
        store.add_inventory(items).result(10)
    store.add_inventory([Item(1, "cookie", "n1", "kept", 5)]).result(10)
    store.close()
    found = {one.name: one.number for one in read_inventory(url)}
    assert (len(found), found[OTHER], found["n1"]) == (NAMES_KEPT + 1, 1400 - NAMES_KEPT, 6)


@pytest.mark.parametrize(
    ("name", "told"),
    [("odd", "odd"), ("", OTHER), ("x" * 65, OTHER), ("ann@example.com", OTHER), ("a\x85b", OTHER)],
)
def test_a_name_that_says_too_much_is_not_kept(name: str, told: str) -> None:
    assert shown(name) == told
