"""`serve`: run the reverse proxy in front of a site.

Rule: what the operator got wrong is one sentence and exit 2, never a traceback.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import resources
from typing import TypeVar

import click
from click.core import ParameterSource

from consent_mw.cli import refused
from consent_mw.errors import ConsentError, ServeError
from consent_mw.sidecar.configuration import Configuration, problems_around, read_configuration
from consent_mw.sidecar.loop import new_runner
from consent_mw.sidecar.serving import serve
from consent_mw.sidecar.settings import Settings
from consent_mw.sidecar.sockets import Sockets, open_sockets
from consent_mw.wire.address import Trust
from consent_mw.wire.native import native
from consent_mw.world.systemd import Notifier, take_sockets
from consent_mw.world.upstream import Upstream, read_upstream

T = TypeVar("T")

EXAMPLES = {
    "systemd": "consent-mw.service",
    "socket": "consent-mw.socket",
    "kubernetes": "kubernetes.yaml",
    "container": "Containerfile",
}
"""What `--example` prints, and the file it stands in."""

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def read_example(name: str) -> str:
    """The deployment example of this name."""
    return (resources.files("consent_mw") / "data" / "deploy" / EXAMPLES[name]).read_text("utf-8")


def _show_example(context: click.Context, _: click.Parameter, name: str | None) -> None:
    if name:
        click.echo(read_example(name), nl=False)
        context.exit()


@click.command("serve")
@click.option("--policy", required=True, help="The policy file, or a built-in profile's name.")
@click.option("--upstream", required=True, help="Where the site is: http://host:port or unix:/path.")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="HOST:PORT to listen on.")
@click.option("--uds", default="", help="A unix socket to listen on instead.")
@click.option("--admin", default="", help="HOST:PORT of the admin port.")
@click.option("--workers", type=click.IntRange(1, 512), default=1, show_default=True, help="Processes that serve.")
@click.option(
    "--store", default="sqlite:///consent.db", show_default=True, help="Where receipts and events are kept."
)
@click.option("--keys-file", default="", help="A file with the signing keys (default: CONSENT_MW_KEYS).")
@click.option("--watch", is_flag=True, help="Reload when the policy or a file that it needs changes.")
@click.option("--drain", default="30s", show_default=True, help="How long the end may take, from the first signal.")
@click.option("--access-log", type=click.Choice(["off", "json"]), default="json", show_default=True)
@click.option("--tls-cert", default="", help="A certificate chain in PEM: serve TLS, HTTP/2 and HTTP/1.1.")
@click.option("--tls-key", default="", help="Its private key in PEM.")
@click.option(
    "--proxy-protocol", default="", help="Networks of balancers, comma-separated, that announce their connections."
)
@click.option("--check", is_flag=True, help="Verify everything, then exit.")
@click.option(
    "--example",
    type=click.Choice(list(EXAMPLES)),
    is_eager=True,
    expose_value=False,
    callback=_show_example,
    help="Print a file to deploy with, then exit.",
)
def command(
    policy: str,
    upstream: str,
    listen: str,
    uds: str,
    admin: str,
    workers: int,
    store: str,
    keys_file: str,
    watch: bool,
    drain: str,
    access_log: str,
    tls_cert: str,
    tls_key: str,
    proxy_protocol: str,
    check: bool,
) -> int:
    """Run the reverse proxy in front of a site."""
    problems: list[ConsentError] = []
    handed = take_sockets()
    settings = Settings(
        policy=policy,
        upstream=_tried(problems, Upstream("localhost", 80), read_upstream, upstream),
        store=store,
        keys_file=keys_file,
        listen=_tried(problems, ("127.0.0.1", 0), _host_port, listen, "--listen"),
        uds=uds,
        admin=_tried(problems, None, _host_port, admin, "--admin") if admin else None,
        admin_token=os.environ.get("CONSENT_MW_ADMIN_TOKEN", ""),
        workers=workers,
        drain=_tried(problems, 0.0, _seconds, drain),
        access_log=access_log == "json",
        watch=watch,
        tls_cert=tls_cert,
        tls_key=tls_key,
        balancers=_tried(problems, (), _networks, proxy_protocol),
        handed=bool(handed),
    )
    if uds and click.get_current_context().get_parameter_source("listen") is ParameterSource.COMMANDLINE:
        problems.append(ServeError("give --listen or --uds, not both"))
    configuration, found = read_configuration(settings)
    problems += found + problems_around(settings)
    sockets = _tried(problems, None, open_sockets, settings, handed)
    if configuration is None or sockets is None or problems:
        return _cannot(problems, sockets)
    if check:
        sockets.close()
        click.echo("consent-mw: everything that `serve` needs is there")
        click.echo(f"consent-mw: the native core is {'in use' if native is not None else 'not in use'}")
        return 0
    return _run(settings, configuration, sockets)


def _run(settings: Settings, configuration: Configuration, sockets: Sockets) -> int:
    with new_runner() as runner:
        runner.run(serve(settings, configuration, sockets, lambda line: click.echo(line), Notifier.take()))
    return 0


def _cannot(problems: list[ConsentError], sockets: Sockets | None) -> int:
    """Tell every problem; the exit code for that."""
    if sockets is not None:
        sockets.close()
    return max(refused(one) for one in problems)


def _tried(problems: list[ConsentError], otherwise: T, read: Callable[..., T], *values: object) -> T:
    """What `read` makes of these values; where that is a problem, it is noted and something else stands in."""
    try:
        return read(*values)
    except ConsentError as error:
        problems.append(error)
        return otherwise


def _host_port(text: str, option: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]/]*)):([0-9]{1,5})", text)
    if found is None or int(found[3]) > 65_535:
        raise ServeError(f"{option} `{text}` is not of the form HOST:PORT")
    return found[1] or found[2] or "0.0.0.0", int(found[3])  # noqa: S104  `:8080` asks for every address


def _networks(text: str) -> tuple[str, ...]:
    networks = tuple(one.strip() for one in text.split(",") if one.strip())
    try:
        Trust(networks)
    except ValueError as error:
        raise ServeError(f"--proxy-protocol: {error}") from None
    return networks


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s|m|h|)", text.strip())
    if found is None:
        raise ServeError(f"--drain `{text}` is not a time such as 30s or 2m")
    return float(found[1]) * _UNITS[found[2]]
