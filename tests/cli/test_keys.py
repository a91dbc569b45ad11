"""A receipt can be verified by whoever has it and the public keys: with our verb, and with what others wrote."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jwt
import pytest

from consent_mw.cli import run
from tests.journeys.site import BERLIN, POLICY, Browser, Site, mounted

DER = bytes.fromhex("302a300506032b6570032100")
"""What stands before an Ed25519 key of 32 bytes in its SubjectPublicKeyInfo (RFC 8410 10.1)."""


class Kept:
    """What a visitor keeps: a receipt, the download that it was in, and the site's keys."""

    def __init__(self, folder: Path) -> None:
        visitor = Browser(mounted(Site(), folder, POLICY), BERLIN)
        visitor.choose(purposes={"analytics": True, "cross_site": False})
        self.document = visitor.get("/_consent/receipts", document=False).json()
        self.keys = visitor.get("/_consent/keys.json", document=False).json()
        visitor.close()
        self.jws = str(self.document["receipts"][0]["jws"])
        self.claims = {name: value for name, value in self.document["receipts"][0].items() if name != "jws"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("site"))


@pytest.fixture
def folder(kept: Kept, tmp_path: Path) -> Path:
    (tmp_path / "receipt.jws").write_text(kept.jws + "\n")
    (tmp_path / "keys.json").write_text(json.dumps(kept.keys))
    return tmp_path


def verified(folder: Path, *more: str, receipt: str = "receipt.jws", keys: str = "keys.json") -> int:
    return run(["keys", "verify", str(folder / receipt), "--keys", str(folder / keys), *more])


def test_a_receipt_is_verified_without_a_secret(
    kept: Kept, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONSENT_MW_KEYS", raising=False)
    assert verified(folder) == 0
    told = f"valid: receipt {kept.claims['receipt']} of Example, {kept.claims['at']}: analytics yes, cross_site no\n"
    assert capsys.readouterr().out == told
    assert verified(folder, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == {"receipts": [{"valid": True, "claims": kept.claims}]}


def test_every_receipt_of_a_download_is_verified(
    kept: Kept, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "data.json").write_text(json.dumps({"consent": {}, **kept.document}))
    assert verified(folder, "--format", "json", receipt="data.json") == 0
    assert json.loads(capsys.readouterr().out) == {"receipts": [{"valid": True, "claims": kept.claims}]}


def changed(jws: str) -> dict[str, str]:
    head, payload, signature = jws.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["purposes"]["cross_site"] = True
    other = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return {
        "another answer": f"{head}.{other}.{signature}",
        "no signature": f"{head}.{payload}.",
        "no algorithm": f"{none}.{payload}.",
        "half of it": jws[: len(jws) // 2],
        "garbage": "garbage",
    }


def test_what_was_changed_is_not_valid(kept: Kept, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes: dict[str, int] = {}
    for name, receipt in changed(kept.jws).items():
        (folder / "changed.jws").write_text(receipt)
        codes[name] = verified(folder, receipt="changed.jws")
    assert codes == dict.fromkeys(codes, 1)
    assert capsys.readouterr().out == "not valid: none of these keys signed this\n" * len(codes)


UNREADABLE: dict[str, tuple[str, str, str]] = {
    "no receipt": ("", '{"keys": []}', "holds no receipt"),
    "no keys": ("a.b.c", "{}", "holds no public keys: it must be the site's keys.json"),
    "keys that are no JSON": ("a.b.c", "{", "is not JSON"),
    "a download that is no JSON": ("{", '{"keys": []}', "is not JSON"),
}


@pytest.mark.parametrize(("receipt", "keys", "sentence"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_told(
    tmp_path: Path, receipt: str, keys: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "receipt.jws").write_text(receipt)
    (tmp_path / "keys.json").write_text(keys)
    assert verified(tmp_path) == 2
    assert sentence in capsys.readouterr().err


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verified(tmp_path) == 2
    assert "keys.json` cannot be read: no such file or directory" in capsys.readouterr().err


# what others wrote


def test_a_general_library_verifies_a_receipt(kept: Kept) -> None:
    keys = jwt.PyJWKSet.from_dict(kept.keys)

    def read(token: str) -> Any:
        return jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]], algorithms=["EdDSA"])

    assert read(kept.jws) == kept.claims
    with pytest.raises(jwt.InvalidSignatureError):
        read(changed(kept.jws)["another answer"])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_a_receipt(kept: Kept, folder: Path) -> None:
    head, payload, signature = kept.jws.split(".")
    kid = json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]
    (x,) = [key["x"] for key in kept.keys["keys"] if key["kid"] == kid]
    (folder / "key.der").write_bytes(DER + base64.urlsafe_b64decode(x + "="))
    (folder / "signature").write_bytes(base64.urlsafe_b64decode(signature + "=="))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der"]
    command += ["-rawin", "-in", "signed", "-sigfile", "signature"]
    codes = []
    for signed in (f"{head}.{payload}", f"{head}.{payload[:-2]}"):
        (folder / "signed").write_text(signed)
        codes.append(subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=30).returncode)
    assert codes == [0, 1]
