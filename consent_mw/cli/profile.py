"""`profile`: the built-in policies."""

from __future__ import annotations

import json

import click

from consent_mw.world.policy_file import parse_policy, profile_names, read_profile

FORMAT = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON."
)


@click.group("profile")
def command() -> None:
    """List or show the built-in policies."""


@command.command("list")
@FORMAT
def list_profiles(form: str) -> int:
    """List the built-in policies by name."""
    rows = [{"name": name, "site": _site(name)} for name in profile_names()]
    if form == "json":
        click.echo(json.dumps({"profiles": rows}, indent=2))
        return 0
    for row in rows:
        click.echo(f"{row['name']}  {row['site']}".rstrip())
    return 0


@command.command("show")
@click.argument("name")
@FORMAT
def show(name: str, form: str) -> int:
    """Print the built-in policy NAME, ready to be saved and changed."""
    try:
        text = read_profile(name)
    except KeyError:
        known = ", ".join(f"`{one}`" for one in profile_names()) or "none"
        raise click.ClickException(f"there is no profile `{name}`; there are: {known}") from None
    click.echo(json.dumps({"name": name, "policy": text}, indent=2) if form == "json" else text, nl=form == "json")
    return 0


def _site(name: str) -> str:
    policy = parse_policy(read_profile(name), f"{name}.toml", base=None).policy
    return policy.site.name if policy else ""
