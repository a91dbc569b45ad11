"""What a visit leaves in the ledger, and what stays of it when keys, persons and policies go."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from consent_mw import ConsentMiddleware, KeysError, load_policy
from consent_mw.cli import run
from consent_mw.wire.ledger import read_head
from consent_mw.wire.receipts import verify
from consent_mw.wire.token import Keyring
from consent_mw.world import delivery
from tests.journeys.site import BERLIN, KEY, NEW_YORK, POLICY, VENDOR, Browser, Site, mounted, receiving
from tests.sidecar.shop import until
from tests.world.ledgers import kinds, told

NEWER = "a-newer-key-of-the-tests-0123456789"
NOBODY = POLICY + VENDOR.format(port=9)
"""A policy whose vendor nobody listens for."""


def entries(folder: Path, *, without: str = "events") -> list[tuple[str, str, str, dict[str, Any]]]:
    """Every entry but the first, without what is different at each run."""
    left = ("receipt", "digest", "since", "until", without)
    return [
        (kind, vendor, outcome, {name: value for name, value in content.items() if name not in left})
        for kind, vendor, outcome, content in told(folder / "consent.db")[1:]
    ]


def verified(folder: Path, head: str = "") -> int:
    store = f"sqlite:///{folder / 'consent.db'}"
    return run(["ledger", "verify", "--store", store, *(["--head", head] if head else [])])


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSENT_MW_KEYS", KEY)
    monkeypatch.delenv("CONSENT_MW_LEDGER_KEY", raising=False)


POLICY_ENTRY = ("policy", "", "", {"revision": "2026-01", "mode": "enforce"})


def test_a_visit_from_its_first_page_to_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "consent_mw")
    with receiving() as receiver:
        policy = POLICY + VENDOR.format(port=receiver.server_address[1])
        berliner = Browser(mounted(Site(), tmp_path, policy), BERLIN)
        berliner.get("/")
        berliner.get("/")
        berliner.choose(all=True)
        berliner.get("/pricing")
        receiver.wait_for(1)
        assert until(lambda: "delivery" in kinds(tmp_path / "consent.db"))
        berliner.post("/_consent/withdraw", json={})
        berliner.post("/_consent/erase", json={})
        berliner.close()
    chosen = {"revision": "2026-01", "jurisdiction": "eea_uk"}
    fields = ["country", "event", "page_path", "time", "visitor_id"]
    told_of = entries(tmp_path)
    assert [one for one in told_of if one[0] not in ("delivery", "refusal")] == [
        POLICY_ENTRY,
        ("choice", "", "", {**chosen, "purposes": {"analytics": True, "cross_site": True}, "how": "json"}),
        ("withdrawal", "", "", {**chosen, "purposes": {"analytics": False, "cross_site": False}, "how": "withdraw"}),
        ("erasure", "", "", {"receipts": 2, "keys": 1}),
    ]
    [delivered] = [one for one in told_of if one[0] == "delivery"]
    assert delivered[1:3] == ("insights", "accepted")
    assert delivered[3]["fields"] == fields
    refused = {"purpose": "analytics", "reasons": {"opt-in-default": 2}, "number": 2}
    assert [one for one in told_of if one[0] == "refusal"] == [("refusal", "insights", "", refused)]
    heads = [one.partition("ledger head ")[2] for one in caplog.messages if one.startswith("ledger head ")]
    assert len(heads) == 2
    assert [verified(tmp_path, head) for head in heads] == [0, 0]


def test_a_withdrawal_is_told_before_its_reply(tmp_path: Path) -> None:
    visitor = Browser(mounted(Site(), tmp_path, NOBODY), NEW_YORK)
    visitor.get("/")
    visitor.get("/again")
    visitor.post("/_consent/withdraw", json={})
    recalled = [one for one in entries(tmp_path) if one[0] == "recall"]
    visitor.close()
    assert [(vendor, outcome, content["reason"]) for _, vendor, outcome, content in recalled] == [
        ("insights", "recalled", "withdrawal")
    ]
    assert recalled[0][3]["outcomes"] == {"recalled": 2}


@pytest.mark.parametrize(
    ("speaks", "reason"), [(b"consent-minor", "minor"), (b"consent-erase", "erasure")], ids=["minor", "erasure"]
)
def test_what_the_app_declares_recalls_before_its_answer(tmp_path: Path, speaks: bytes, reason: str) -> None:
    site = Site()
    visitor = Browser(mounted(site, tmp_path, NOBODY), NEW_YORK)
    visitor.get("/")
    visitor.get("/again")
    site.headers = [*site.headers, (speaks, b"?1")]
    visitor.get("/birthday")
    recalled = [content for kind, _, _, content in entries(tmp_path) if kind == "recall"]
    visitor.close()
    assert [(content["reason"], content["outcomes"]) for content in recalled] == [(reason, {"recalled": 2})]


def test_a_policy_that_narrows_recalls_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "KEEPS_EVERY", 0.05)
    middleware = mounted(Site(), tmp_path, NOBODY)
    visitor = Browser(middleware, NEW_YORK)
    visitor.get("/")
    narrower = tmp_path / "narrower.toml"
    narrower.write_text(POLICY.replace('"2026-01"', '"2026-02"'))
    visitor._loop.call_soon_threadsafe(middleware.gate.adopt, load_policy(narrower))
    assert until(lambda: "recall" in kinds(tmp_path / "consent.db"))
    visitor.close()
    told_of = [one for one in entries(tmp_path) if one[0] != "refusal"]
    recalled = {"reason": "policy", "purposes": ["analytics"], "outcomes": {"recalled": 1}}
    told_of[2][3].pop("tried")
    assert told_of == [
        POLICY_ENTRY,
        ("policy", "", "", {"revision": "2026-02", "mode": "enforce"}),
        ("recall", "insights", "recalled", recalled),
    ]


def test_events_that_a_full_outbox_refuses_are_told_as_numbers(tmp_path: Path) -> None:
    visitor = Browser(mounted(Site(), tmp_path, NOBODY + '[outbox]\nmax_size = "1B"\n'), NEW_YORK)
    visitor.get("/")
    visitor.get("/")
    visitor.state()
    visitor.close()
    refused = {"purpose": "analytics", "reasons": {"outbox-full": 2}, "number": 2}
    assert entries(tmp_path) == [POLICY_ENTRY, ("refusal", "insights", "", refused)]


# keys


def test_a_signing_key_that_goes_takes_no_receipt_along(tmp_path: Path) -> None:
    """Rotated as it should be: the new key is added, and the old one taken away later."""
    receipts: list[str] = []
    for keys in ([KEY], [KEY, NEWER], [NEWER]):
        middleware = mounted(Site(), tmp_path)
        middleware.gate.adopt(middleware.gate.policy, Keyring(keys))
        visitor = Browser(middleware, BERLIN)
        visitor.choose(all=True)
        claims = visitor.get("/_consent/receipts", document=False, accept="application/json").json()
        receipts += [one["jws"] for one in claims["receipts"]]
        public = visitor.get("/_consent/keys.json", document=False).json()
        visitor.close()
    assert len(receipts) == 3
    assert None not in [verify(one, public) for one in receipts]
    assert len(public["keys"]) == 2


def test_a_public_key_that_somebody_put_into_the_store_is_not_shown(tmp_path: Path) -> None:
    visitor = Browser(mounted(Site(), tmp_path), BERLIN)
    before = visitor.get("/_consent/keys.json", document=False).json()
    store = visitor._middleware.gate.store
    assert store is not None
    forged = '{"kty":"OKP","crv":"Ed25519","x":"AAAA","kid":"forged","use":"sig","alg":"EdDSA"}'
    store.publish([[forged, "0" * 64]]).result(5)
    visitor.close()
    again = Browser(mounted(Site(), tmp_path), BERLIN)
    assert again.get("/_consent/keys.json", document=False).json() == before
    again.close()


def test_what_was_queued_is_recalled_after_the_oldest_key_is_gone(tmp_path: Path) -> None:
    middleware = mounted(Site(), tmp_path, NOBODY)
    middleware.gate.adopt(middleware.gate.policy, Keyring([KEY, NEWER]))
    visitor = Browser(middleware, NEW_YORK)
    visitor.get("/")
    visitor.get("/again")
    visitor._run(middleware.gate.stop(0.0))
    rotated = mounted(Site(), tmp_path, NOBODY)
    rotated.gate.adopt(rotated.gate.policy, Keyring([NEWER]))
    later = Browser(rotated, NEW_YORK)
    later._client.cookies = visitor._client.cookies
    later.post("/_consent/withdraw", json={})
    store = rotated.gate.store
    assert store is not None
    assert store.pending().result(5) == 0
    later.close()
    visitor.close()


def test_a_ledger_of_its_own_key_outlives_the_signing_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSENT_MW_LEDGER_KEY", "the-key-of-the-ledger-0123456789")
    for key in (KEY, NEWER):
        file = tmp_path / "policy.toml"
        file.write_text(POLICY)
        middleware = ConsentMiddleware(Site(), policy=file, keys=[key], store=f"sqlite:///{tmp_path / 'consent.db'}")
        visitor = Browser(middleware, BERLIN)
        visitor.choose(all=True)
        visitor.close()
    monkeypatch.delenv("CONSENT_MW_KEYS")
    assert verified(tmp_path) == 0


def test_a_ledger_key_that_is_none_is_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSENT_MW_LEDGER_KEY", "short")
    with pytest.raises(KeysError, match="CONSENT_MW_LEDGER_KEY: a key is shorter than 16 bytes"):
        mounted(Site(), tmp_path)


def test_a_key_that_is_derived_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "consent_mw")
    visitor = Browser(mounted(Site(), tmp_path), BERLIN)
    visitor.state()
    visitor.close()
    assert caplog.messages[0].startswith("the ledger's key is derived from the oldest signing key")
    assert read_head(caplog.messages[1].removeprefix("ledger head ")) is not None
