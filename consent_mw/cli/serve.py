"""`serve`: run the reverse proxy in front of a site.

Rule: what the operator got wrong is one sentence and exit 2, never a traceback.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import click

from consent_mw.errors import KeysError, ServeError
from consent_mw.sidecar.serving import Settings, prepare, serve
from consent_mw.wire.token import Keyring, parse_keys
from consent_mw.world.upstream import read_upstream

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@click.command("serve")
@click.option("--policy", required=True, help="The policy file.")
@click.option("--upstream", required=True, help="Where the site is: http://host:port or unix:/path.")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="HOST:PORT to listen on.")
@click.option("--uds", default="", help="A unix socket to listen on instead.")
@click.option("--admin", default="", help="HOST:PORT of the admin port.")
@click.option(
    "--store", default="sqlite:///consent.db", show_default=True, help="Where receipts and events are kept."
)
@click.option("--keys-file", default="", help="A file with the signing keys (default: CONSENT_MW_KEYS).")
@click.option("--drain", default="30s", show_default=True, help="How long requests may take to end at the end.")
@click.option("--access-log", type=click.Choice(["off", "json"]), default="json", show_default=True)
@click.option("--tls-cert", default="", help="A certificate chain in PEM: serve TLS, HTTP/2 and HTTP/1.1.")
@click.option("--tls-key", default="", help="Its private key in PEM.")
@click.option("--check", is_flag=True, help="Verify everything, then exit.")
def command(
    policy: str,
    upstream: str,
    listen: str,
    uds: str,
    admin: str,
    store: str,
    keys_file: str,
    drain: str,
    access_log: str,
    tls_cert: str,
    tls_key: str,
    check: bool,
) -> int:
    """Run the reverse proxy in front of a site."""
    settings = Settings(
        policy=policy,
        upstream=read_upstream(upstream),
        keyring=_keys(keys_file),
        store=store,
        listen=_host_port(listen, "--listen"),
        uds=uds,
        admin=_host_port(admin, "--admin") if admin else None,
        admin_token=os.environ.get("CONSENT_MW_ADMIN_TOKEN", ""),
        drain=_seconds(drain),
        access_log=access_log == "json",
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    gate = prepare(settings)
    if check:
        click.echo("consent-mw: everything that `serve` needs is there")
        return 0
    with _runner() as runner:
        runner.run(serve(settings, gate, lambda line: click.echo(line)))
    return 0


def _runner() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _keys(file: str) -> Keyring:
    if file:
        try:
            return parse_keys(Path(file).read_text("utf-8"))
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or "it is not text").lower()
            raise KeysError(f"--keys-file `{file}` cannot be read: {reason}") from None
    text = os.environ.get("CONSENT_MW_KEYS", "")
    if not text:
        raise KeysError("no keys: set CONSENT_MW_KEYS or --keys-file (`consent-mw keys new` makes one)")
    return parse_keys(text)


def _host_port(text: str, option: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]/]*)):([0-9]{1,5})", text)
    if found is None or int(found[3]) > 65_535:
        raise ServeError(f"{option} `{text}` is not of the form HOST:PORT")
    return found[1] or found[2] or "0.0.0.0", int(found[3])  # noqa: S104  `:8080` asks for every address


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s|m|h|)", text.strip())
    if found is None:
        raise ServeError(f"--drain `{text}` is not a time such as 30s or 2m")
    return float(found[1]) * _UNITS[found[2]]
