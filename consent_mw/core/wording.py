"""Every sentence that a visitor reads, in English and by key; `{name}` stands for a value.

Rule: no sentence for people stands elsewhere, so that a translation or a site's own words replace this one.
Rule: plain words; nothing nudges, and yes and no are told alike.
Rule: no key is the beginning of another (`a` and `a.b`), so that every key can be written as a dotted one in TOML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

SOURCE = "en"
"""The language of the table below, which every other falls back on."""

TRANSLATED = (
    "bg", "hr", "cs", "da", "nl", "et", "fi", "fr", "de", "el", "hu", "ga", "it", "lv", "lt", "mt", "pl", "pt",
    "ro", "sk", "sl", "es", "sv", "is", "nb", "nn", "cy", "gd", "ar", "he",
)  # fmt: skip
"""The other languages that come along (BCP 47): of the EU, the EEA and the UK, and two that are written from right
to left."""

ALIASES: Mapping[str, str] = MappingProxyType({"no": "nb", "iw": "he"})
"""Codes that mean a language of another code: the macrolanguage Norwegian, and what Hebrew was called before."""

NAMES = ("purpose", "name")
"""The tables of a texts file that are keyed by the policy's own names: what a purpose is for, what a thing is
called."""

ENGLISH: Mapping[str, str] = MappingProxyType(
    {
        "banner.label": "Privacy choices",
        "banner.ask.title": "May {site} use optional cookies?",
        "banner.ask.text": "Nothing optional happens unless you say yes. {site} would like to:",
        "banner.notice.title": "How {site} uses cookies",
        "banner.notice.text": "Unless you say no, {site} does the following:",
        "banner.changed": "The policy has changed since you last answered. A no that you gave still stands.",
        "banner.nothing": "{site} uses no optional cookies.",
        "banner.who": "Others who would receive data: {vendors}.",
        "banner.more": "{number} more",
        "banner.nobody": "No other company receives data.",
        "banner.later": "You can change this at any time under {preferences}. What is used, and by whom: {policy}.",
        "banner.preferences": "Choose by purpose",
        "banner.saved": "Your choice is saved.",
        "link.preferences": "privacy choices",
        "link.policy": "cookie policy",
        "choice.accept": "Accept all",
        "choice.reject": "Reject all",
        "choice.seen": "Keep as is",
        "choice.save": "Save these choices",
        "choice.withdraw": "Withdraw everything",
        "frame.text": "This content comes from another site. It is loaded only if you allow this purpose: {purpose}.",
        "frame.allow": "Allow and show",
        "pair": "{name}: {value}",
        "nav.label": "Privacy",
        "nav.skip": "Skip to the content",
        "nav.preferences": "Your choices",
        "nav.policy": "Cookie policy",
        "nav.receipts": "Your receipts",
        "nav.data": "Your data",
        "nav.privacy": "Privacy policy of {site}",
        "nav.back": "Back to the page you came from",
        "nav.start": "Back to the site",
        "nav.language": "Language",
        "foot.contact": "Questions: {contact}",
        "foot.revision": "Policy revision",
        "preferences.intro": "What {site} may do with data about your visit. A no costs you nothing; a yes can be "
        "taken back here at any time.",
        "preferences.now": "Where things stand",
        "preferences.unticked": "Saving refuses what is not ticked.",
        "preferences.essential": "Always on: the site cannot work without it, so it needs no consent.",
        "preferences.nothing": "This site has no optional purposes, so there is nothing to choose.",
        "preferences.report": "{site} is trying out this policy. Nothing is asked, changed or sent by it yet.",
        "withdraw.title": "Take it all back",
        "withdraw.text": "Refuses every purpose, deletes the cookies that rested on your yes, and recalls what was "
        "not yet sent to others.",
        "now.on": "On",
        "now.off": "Off",
        "status.title": "Your consent",
        "status.unknown": "No answer yet",
        "status.given": "Given for every purpose",
        "status.refused": "Refused for every purpose",
        "status.partial": "Given for some purposes, refused for others",
        "status.expired": "Expired: your answer is older than {lasts}, so a yes no longer counts; a no still does",
        "status.outdated": "Outdated: the policy has changed since, so a yes no longer counts; a no still does",
        "status.at": "Answered",
        "status.receipt": "Receipt",
        "status.region": "Rules that apply",
        "status.uncertain": "It is not certain where you are, so the strictest rules apply.",
        "reason.essential": "needed for the site to work",
        "reason.minor": "never for minors",
        "reason.consent-refused": "you said no",
        "reason.signal-refuses": "your browser's signal says no",
        "reason.consent-given": "you said yes",
        "reason.opt-in-default": "you have not said yes",
        "reason.opt-out-default": "you have not said no",
        "regime.opt-in": "nothing optional before a yes",
        "regime.opt-out": "allowed until a no",
        "signal.honored": "Opt-out request honored: your browser sends {signal}, so this is off: {purposes}.",
        "signal.yielded": "Your browser sends {signal}. You said yes to {purposes} yourself, and that yes stands.",
        "signal.ignored": "Your browser sends {signal}. This site does not act on it.",
        "signal.cited": "Your browser sends {signal}. This site does not act on it; its policy says: “{clause}”.",
        "signal.absent": "Your browser does not send it.",
        "policy.intro": "What {site} uses, for what, who else gets it, and by which rule. This page is made from the "
        "rules that the site's server carries out.",
        "purposes.title": "Purposes",
        "purposes.purpose": "Purpose",
        "purposes.what": "What for",
        "purposes.now": "For you now",
        "cookies.title": "Cookies",
        "cookies.name": "Cookie",
        "cookies.lasts": "Kept for",
        "cookies.session": "As long as the site says when it is set",
        "cookies.identifier": "{name} recognises your browser; later visits do not extend it",
        "cookies.own": "{name} keeps your answers",
        "cookies.begins": "{name} and whatever comes after it",
        "cookies.unlisted": "A cookie that is not listed here does not pass.",
        "cookies.kept": "Cookies that are not listed here pass as the site sets them.",
        "vendors.title": "Who else receives data",
        "vendors.none": "Nobody: no data leaves for another company.",
        "vendors.country": "Country of processing",
        "vendors.basis": "Basis of the transfer",
        "vendors.hosts": "Called by your browser",
        "vendors.fields": "Gets, under these rules: {jurisdiction}",
        "vendors.now": "Gets from you now",
        "vendors.nothing": "nothing",
        "places.title": "Rules by region",
        "places.rules": "Rules",
        "places.where": "Where",
        "places.regime": "Without an answer",
        "places.anywhere": "everywhere else",
        "places.eea": "European Economic Area",
        "places.asked": "An answer holds for",
        "places.yours": "{jurisdiction} (these apply to you)",
        "signals.title": "Signals of your browser",
        "signals.everywhere": "Everywhere",
        "signals.elsewhere": "Elsewhere",
        "signals.refuses": "counts as a no to: {purposes}",
        "signals.yields": "counts as a no, unless you say yes yourself, to: {purposes}",
        "signals.ignored": "is not acted on",
        "features.title": "What depends on your choice",
        "features.needs": "needs: {purpose}",
        "features.denied": "needs: {purpose}; not offered under: {jurisdictions}",
        "clauses.title": "What the published policy says",
        "clauses.rests": "Carried out by: {rules}",
        "clauses.idle": "No rule rests on this sentence.",
        "clauses.detail": "Where this is carried out, and how it is tested",
        "clauses.cases": "Tested by these cases:",
        "clauses.untested": "No case tests this.",
        "clauses.unproven": "No test cases come with this policy.",
        "where.purpose": "Carried out in every decision about a request.",
        "where.jurisdiction": "Carried out by where your address is, and in the banner.",
        "where.signal": "Carried out in every decision, and in what your browser is told about tracking.",
        "where.identifier": "Carried out in the cookie that pages set.",
        "where.cookie": "Carried out in the cookies of every request and answer.",
        "where.vendor": "Carried out in what this company is sent, and in what pages may load.",
        "where.feature": "Carried out in what the site is told that it may offer.",
        "records.title": "How long records are kept",
        "records.receipts": "Receipts of your choices",
        "records.ledger": "Book of choices and deliveries",
        "records.dead": "Events that could not be delivered",
        "records.statistics": "Page statistics",
        "receipts.intro": "Each receipt is signed. Anyone can check it with the public keys: {keys}.",
        "receipts.none": "There is no receipt for this browser yet. You get one with every choice you make.",
        "receipts.receipt": "Receipt {number}",
        "receipts.id": "Number",
        "receipts.previous": "Replaces",
        "receipts.yes": "Yes to",
        "receipts.no": "No to",
        "receipts.signed": "Signed form",
        "data.intro": "All that is stored about this browser.",
        "data.nothing": "Nothing is stored about this browser.",
        "data.identifier": "Identifier of this browser",
        "data.download": "Download as a file",
        "erase.title": "Erase it",
        "erase.text": "Deletes this record, your receipts and our cookies. It cannot be undone. A no stays in force.",
        "erase.done": "It is erased.",
        "error.title": "This did not work",
        "error.bad": "The request could not be understood.",
        "error.elsewhere": "This must be sent from a page of this site.",
        "error.missing": "There is no such page.",
        "error.busy": "There were too many requests. Please try again in a minute.",
        "error.down": "This cannot be done right now. A no is honoured all the same; a yes was not recorded.",
        "name.essential": "Essential",
        "name.analytics": "Analytics",
        "name.marketing": "Marketing",
        "field.event": "what happened",
        "field.time": "when",
        "field.page_path": "the page's path",
        "field.page_url": "the page's address",
        "field.referrer_host": "the site you came from",
        "field.referrer_url": "the page you came from",
        "field.title": "the page's title",
        "field.query": "parameters of the address",
        "field.ip": "your IP address",
        "field.ip_truncated": "your IP address, shortened",
        "field.user_agent": "your browser's full description",
        "field.browser": "kind of browser",
        "field.os": "operating system",
        "field.device": "kind of device",
        "field.language": "language",
        "field.country": "country",
        "field.region": "region",
        "field.city": "city",
        "field.visitor_id": "this browser's identifier",
        "field.user_id": "your account's number",
        "field.name": "your name",
        "field.email": "your e-mail address",
        "field.props": "details of the event",
    }
)
"""The sentences in English."""

_VALUE = re.compile(r"\{([a-z]+)\}")


def values_in(text: str) -> frozenset[str]:
    """The names of the values that a sentence has a place for."""
    return frozenset(_VALUE.findall(text))


def fill(text: str, values: Mapping[str, str]) -> str:
    """The sentence with its values filled in; a brace that names none of them is a brace."""
    return _VALUE.sub(lambda found: values.get(found[1], found[0]), text)


def pieces(text: str) -> tuple[str, ...]:
    """A sentence taken apart: its own words at even places, the names of its values at odd ones."""
    return tuple(_VALUE.split(text))
