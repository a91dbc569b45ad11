"""`explain`: one decision, told in sentences or as JSON, without a server.

Rule: asks the same code that serves; nothing is decided here.
"""

from __future__ import annotations

import ipaddress
import json
import re
import time

import click

from consent_mw.asgi.observe import observe
from consent_mw.asgi.ruleset import Ruleset
from consent_mw.core.consent import NO_CONSENT, Consent
from consent_mw.core.decision import Decision, decide
from consent_mw.core.explain import sentences, state_with_rules
from consent_mw.core.facts import Facts
from consent_mw.core.policy import Policy
from consent_mw.core.whereabouts import Location, Settled, settle
from consent_mw.world.geo import Locator
from consent_mw.world.policy_file import load_policy, parse_policy, profile_names, read_profile

_COUNTRY = re.compile(r"([A-Za-z]{2})(?:-([A-Za-z0-9]{1,3}))?")


@click.command("explain")
@click.option("--policy", "file", required=True, help="The policy file, or a built-in profile's name.")
@click.option("--ip", default="", help="The client's address, looked up in the policy's databases.")
@click.option("--country", default="", help="A country (DE) or subdivision (US-CA), instead of an address.")
@click.option("--header", "headers", multiple=True, metavar="'N: V'", help="A request header; may be repeated.")
@click.option("--cookie", "cookies", multiple=True, metavar="'n=v'", help="A cookie to judge; may be repeated.")
@click.option("--yes", multiple=True, metavar="P", help="A purpose that this person said yes to.")
@click.option("--no", multiple=True, metavar="P", help="A purpose that this person said no to.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
def command(
    file: str, ip: str, country: str, headers: tuple[str, ...], cookies: tuple[str, ...], yes: tuple[str, ...],
    no: tuple[str, ...], form: str,
) -> int:  # fmt: skip
    """Tell what a policy decides about one visitor, and why."""
    policy = _policy(file)
    place = _place(policy, ip, country)
    seen = observe(b"GET", b"/", [_header(one) for one in headers])
    now = int(time.time())
    facts = Facts(
        jurisdiction=place.jurisdiction,
        now=now,
        whereabouts=place.whereabouts,
        country=place.location.country if place.location is not None else "",
        dnt=seen.dnt,
        gpc=seen.gpc,
        consent=_consent(policy, yes, no, now),
    )
    decision = decide(facts, policy)
    judged = [_cookie(one, decision) for one in cookies]
    if form == "json":
        told = state_with_rules(decision, facts)
        click.echo(json.dumps({**told, **({"cookies": judged} if judged else {})}, indent=2, ensure_ascii=False))
        return 0
    lines = sentences(decision, facts)
    lines += ["", "cookies:"] if judged else []
    lines += [f"  {one['name']}: {'kept' if one['kept'] else 'dropped'}, {one['why']}" for one in judged]
    click.echo("\n".join(lines))
    return 0


def _policy(file: str) -> Policy:
    if file in profile_names() and not re.search(r"[./\\]", file):
        reading = parse_policy(read_profile(file), f"{file}.toml", base=None)
        if reading.policy is not None:
            return reading.policy
    return load_policy(file)


def _place(policy: Policy, ip: str, country: str) -> Settled:
    if ip and country:
        raise click.UsageError("give --ip or --country, not both")
    if country:
        found = _COUNTRY.fullmatch(country)
        if found is None:
            raise click.BadParameter(f"`{country}` is not a code like DE or US-CA", param_hint="--country")
        code = found[1].upper()
        known = code not in ("XX", "ZZ", "T1")
        return settle([Location(code, (found[2] or "").upper())] if known else [], True, policy)
    if not ip:
        return settle([], True, policy)
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return settle([], False, policy)
    return settle(Locator(policy.geo.databases).locate(address), True, policy)


def _header(text: str) -> tuple[bytes, bytes]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"`{text}` is not of the form 'Name: value'", param_hint="--header")
    return name.strip().encode("utf-8"), value.strip().encode("utf-8")


def _consent(policy: Policy, yes: tuple[str, ...], no: tuple[str, ...], now: int) -> Consent:
    if not yes and not no:
        return NO_CONSENT
    optional = {one.name for one in policy.optional_purposes}
    for name in (*yes, *no):
        if name not in optional:
            known = ", ".join(sorted(optional)) or "none"
            raise click.UsageError(f"`{name}` is no purpose that can be answered; there are: {known}")
    both = set(yes) & set(no)
    if both:
        raise click.UsageError(f"`{min(both)}` is said yes and no to")
    answers = dict.fromkeys(yes, True) | dict.fromkeys(no, False)
    return Consent(answers, now, policy.revision, "", policy.revision, issued=now)


def _cookie(text: str, decision: Decision) -> dict[str, object]:
    """What becomes of one cookie, and by which rule."""
    rules = Ruleset(decision.policy)
    name = text.partition("=")[0].strip() if "=" in text else ""
    raw = name.encode("utf-8")
    rule = rules.cookie_rule(raw)
    told: dict[str, object] = {"name": name, "kept": rules.keeps(raw, decision)}
    if raw in rules.own_cookies:
        return {**told, "why": "it is our own and stays with us", "rule": None}
    if rule is None:
        return {**told, "why": "no rule names it", "rule": None}
    verdict = "allowed" if rule.purpose in decision.allowed else "denied"
    why = f"`{rule.pattern}` is for {rule.purpose}, which is {verdict}; {rule.place}"
    return {**told, "why": why, "rule": {"file": rule.place.file, "line": rule.place.line}}
