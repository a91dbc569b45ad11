"""`serve`: the reverse-proxy sidecar.

Rule: what is wrong is one sentence and exit 2, before a request is taken.
"""

from __future__ import annotations

import re

import click

from consent_mw.errors import PolicyError
from consent_mw.sidecar.serving import Options, check, serve


@click.command("serve")
@click.option("--policy", required=True, help="The policy file.")
@click.option("--upstream", required=True, help="The site: http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH.")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="HOST:PORT; port 0 takes a free one.")
@click.option("--uds", default="", help="A unix socket to listen on, instead of --listen.")
@click.option("--admin", default="", help="HOST:PORT of the admin port; none without it.")
@click.option("--store", default="sqlite:///consent.db", show_default=True, help="The store's URL.")
@click.option("--keys-file", default="", help="A file of keys, oldest first; default: CONSENT_MW_KEYS.")
@click.option("--drain", default="30s", show_default=True, help="How long what is under way may take at the end.")
@click.option("--access-log", type=click.Choice(["json", "off"]), default="json", show_default=True)
@click.option("--check", "only_check", is_flag=True, help="Say whether it would start, and end.")
def command(
    policy: str, upstream: str, listen: str, uds: str, admin: str, store: str, keys_file: str, drain: str,
    access_log: str, only_check: bool,
) -> int:  # fmt: skip
    """Serve a site in any language under a policy."""
    options = Options(
        policy=policy,
        upstream=upstream,
        listen=listen,
        uds=uds,
        admin=admin,
        store=store,
        keys_file=keys_file,
        drain=_seconds(drain),
        access_log=access_log == "json",
    )
    try:
        if only_check:
            check(options)
            click.echo("consent-mw: it would start")
        else:
            serve(options, lambda line: click.echo(line))
    except PolicyError as error:
        click.echo(str(error), err=True)
        return 2
    return 0


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)?", text)
    if found is None:
        raise click.BadParameter(f"`{text}` is not a duration like 30s", param_hint="--drain")
    return float(found[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[found[2] or "s"]
