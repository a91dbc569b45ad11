"""`explain`: one decision, told in sentences or as JSON, without a server.

Rule: asks the same code that serves; nothing is decided here.
Rule: what a visitor could send is read as a visitor's (garbage is absence); what only an operator can get wrong
(a country's form, a purpose's name) is exit 2.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import time
from collections.abc import Sequence

import click

from consent_mw.asgi.jar import fill
from consent_mw.asgi.observe import observe
from consent_mw.asgi.ruleset import Headers, Ruleset
from consent_mw.asgi.tokens import Tokens
from consent_mw.core.consent import NO_CONSENT, Consent, choose
from consent_mw.core.decision import decide
from consent_mw.core.explain import explain_cookie, sentences, state_with_rules
from consent_mw.core.facts import Facts
from consent_mw.core.policy import Policy
from consent_mw.core.regions import COUNTRIES
from consent_mw.core.terms import Whereabouts
from consent_mw.core.whereabouts import SOMEWHERE_IN_EU, Location, Settled, settle
from consent_mw.errors import PolicyError, ServeError
from consent_mw.wire.address import Trust, client_address
from consent_mw.wire.cookies import pieces_named, split_cookies
from consent_mw.wire.industry import refusals
from consent_mw.wire.log_line import LogLine, read_log_line
from consent_mw.wire.token import parse_keys
from consent_mw.world.geo import Locator
from consent_mw.world.policy_file import file_meant, load_policy, parse_policy, read_profile

_COUNTRY = re.compile(r"([A-Za-z]{2})(?:[-_]([A-Za-z0-9]{1,3}))?")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ALSO_KNOWN_AS = {"UK": "GB", "EL": "GR"}


@click.command("explain")
@click.option("--policy", "file", required=True, help="The policy file, or a built-in profile's name.")
@click.option("--ip", help="Where the request comes from, looked up in the policy's databases.")
@click.option("--country", help="A country (DE) or subdivision (US-CA), instead of an address.")
@click.option("--header", "headers", multiple=True, metavar="'N: V'", help="A request header; may be repeated.")
@click.option("--cookie", "cookies", multiple=True, metavar="'n=v'", help="A cookie to judge; may be repeated.")
@click.option("--from-log", "line", metavar="LINE", help="Take address and headers from this line of an access log.")
@click.option("--yes", multiple=True, metavar="P", help="A purpose that this person said yes to.")
@click.option("--no", multiple=True, metavar="P", help="A purpose that this person said no to.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
def command(
    file: str, ip: str | None, country: str | None, headers: tuple[str, ...], cookies: tuple[str, ...],
    line: str | None, yes: tuple[str, ...], no: tuple[str, ...], form: str,
) -> int:  # fmt: skip
    """Tell what a policy decides about one visitor, and why."""
    policy = policy_of(file)
    rules = Ruleset(policy)
    sent = [*(_header(one) for one in headers), *(_cookie(one) for one in cookies)]
    if line is not None:
        read = _logged(line)
        sent = [*read.headers, *sent]
        place = _place_of(read, policy, ip, country, sent)
    else:
        place = _place(policy, ip, country, sent)
    seen = observe(b"GET", b"/", sent)
    held = split_cookies(seen.all(b"cookie"))
    now = int(time.time())
    stored = _stored(rules, seen.cookies, now)
    facts = Facts(
        jurisdiction=place.jurisdiction,
        now=now,
        whereabouts=place.whereabouts,
        country=place.location.country if place.location is not None else "",
        dnt=seen.dnt,
        gpc=seen.gpc,
        consent=_answered(stored, policy, place, yes, no, now),
        refusals=refusals(rules.carriers, seen.cookies),
    )
    decision = decide(facts, policy)
    own = {name.decode() for name in rules.own_cookies}
    stories = [explain_cookie(one.name.decode("latin-1"), decision, own) for one in held]
    if form == "json":
        click.echo(json.dumps(state_with_rules(decision, facts, stories), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(sentences(decision, facts, stories)))
    return 0


def policy_of(file: str) -> Policy:
    """The policy in this file; where there is no such file, the built-in one of this name."""
    if file_meant(file) == file:
        return load_policy(file)
    reading = parse_policy(read_profile(file), f"{file}.toml", base=None)
    if reading.policy is None:
        raise PolicyError(reading.problems)
    return reading.policy


def locator_of(policy: Policy) -> Locator:
    """The databases of this policy. Raises ServeError where one cannot be used, as `serve` would."""
    locator = Locator(policy.geo.databases)
    if locator.problems:
        raise ServeError("; ".join(locator.problems))
    return locator


def _place(policy: Policy, ip: str | None, country: str | None, sent: Headers) -> Settled:
    """Where the request comes from: the country, or the address as the sidecar reads it from peer and headers."""
    if ip is not None and country is not None:
        raise click.ClickException("give --ip or --country, not both")
    if country is not None:
        return settle(_located(country.strip()), True, policy)
    trust = Trust(policy.client_address.trusted, policy.client_address.header)
    client = client_address(sent, ip or "", trust)
    readable = client.readable and (ip is None or client.address is not None)
    located = locator_of(policy).locate(client.address) if client.address is not None else ()
    return settle(located, readable, policy)


def _logged(line: str) -> LogLine:
    read = read_log_line(_bytes(line))
    if read is None:
        raise click.ClickException("--from-log is not a line of an access log that is known here")
    return read


def _place_of(read: LogLine, policy: Policy, ip: str | None, country: str | None, sent: Headers) -> Settled:
    """Where the visitor of this line is: as was given beside it, else as the log says. Our own log has no address,
    and says the jurisdiction itself."""
    if ip is not None or country is not None:
        return _place(policy, ip, country, sent)
    if read.country:
        return _place(policy, None, f"{read.country}-{read.region}" if read.region else read.country, sent)
    named = policy.jurisdiction(read.jurisdiction) if not read.address else None
    return (
        Settled(named, Whereabouts.LOCATED, None) if named is not None else _place(policy, read.address, None, sent)
    )


def _located(country: str) -> list[Location]:
    found = _COUNTRY.fullmatch(country)
    if found is None:
        raise click.ClickException(f"--country `{country}` is not a code like DE or US-CA")
    code = _ALSO_KNOWN_AS.get(found[1].upper(), found[1].upper())
    known = code in COUNTRIES or code == SOMEWHERE_IN_EU
    return [Location(code, (found[2] or "").upper())] if known else []


def _header(text: str) -> tuple[bytes, bytes]:
    name, colon, value = text.partition(":")
    if not colon or not _NAME.fullmatch(name.strip()):
        raise click.ClickException(f"--header `{text}` is not of the form 'Name: value'")
    return name.strip().encode(), _bytes(value.strip())


def _cookie(text: str) -> tuple[bytes, bytes]:
    if "=" not in text:
        raise click.ClickException(f"--cookie `{text}` is not of the form 'name=value'")
    return b"cookie", _bytes(text)


def _stored(rules: Ruleset, joined: bytes, now: int) -> Consent:
    """What our own cookies say, where they were given and CONSENT_MW_KEYS can verify them."""
    keys = os.environ.get("CONSENT_MW_KEYS", "")
    if not keys or not pieces_named(joined, rules.own_names):
        return NO_CONSENT
    return fill(joined, rules, Tokens(parse_keys(keys)), now).consent


def _answered(
    stored: Consent, policy: Policy, place: Settled, yes: Sequence[str], no: Sequence[str], now: int
) -> Consent:
    if not yes and not no:
        return stored
    for name in (*yes, *no):
        _must_be_answerable(name, policy)
    both = sorted(set(yes) & set(no))
    if both:
        raise click.ClickException(f"`{both[0]}` is given both --yes and --no")
    answers = dict.fromkeys(yes, True) | dict.fromkeys(no, False)
    return choose(stored, answers, policy, place.jurisdiction, now)


def _must_be_answerable(name: str, policy: Policy) -> None:
    optional = [one.name for one in policy.optional_purposes]
    if name in optional:
        return
    if policy.purpose(name) is not None:
        raise click.ClickException(f"`{name}` is essential, so nobody is asked about it")
    close = difflib.get_close_matches(name, optional, 1)
    helped = f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(optional) or 'none'}"
    raise click.ClickException(f"the policy has no purpose `{name}`; {helped}")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
