"""Every code that a Problem of a policy file can carry, and what it means in one sentence.

Rule: a code is never renamed and never means another mistake; scripts depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CODES: Mapping[str, str] = MappingProxyType(
    {
        # the file
        "no-such-file": "The policy file does not exist.",
        "unreadable-file": "The policy file is there and cannot be read: a directory, or no permission.",
        "file-too-large": "The policy file is larger than 1 MiB.",
        "not-utf-8": "The policy file is not UTF-8 text.",
        "toml-syntax": "The file is not TOML 1.0.",
        "duplicate-key": "A key or a table is defined twice.",
        # shapes
        "missing-key": "A required setting or table is absent.",
        "unknown-key": "A table has a setting that does not exist there.",
        "wrong-type": "A value is of another type than its setting takes.",
        "unknown-word": "A value is none of the words that its setting takes.",
        "duplicate-item": "A list names the same thing twice.",
        "empty-list": "A list that must name something is empty.",
        "empty-text": "A text says nothing.",
        "control-character": "A text holds control characters.",
        "bad-name": "A name is not made of the characters that names are made of.",
        # values
        "unsupported-schema": "The schema is not one that this version reads.",
        "bad-revision": "The revision is empty, too long or not printable.",
        "bad-duration": "A duration is not a whole number with s, m, h or d, or is out of bounds.",
        "bad-size": "A size is not a whole number with B, KB, MB, GB or TB.",
        "bad-path": "A path pattern does not begin with a slash, or has a star elsewhere than at its end.",
        "bad-prefix": "The prefix cannot hold the visitor's routes.",
        "bad-wait": "A wait in milliseconds is below 0 or too long.",
        "bad-percent": "The share of visitors is not from 0 to 100.",
        "bad-network": "A trusted peer is not an address or a network.",
        "bad-header-name": "The header of client addresses is not a header's name.",
        "bad-cookie-name": "A cookie's name cannot be one, or its star is elsewhere than at its end.",
        "bad-domain": "A domain or host is not one.",
        "bad-origin": "The origin is not a scheme and a host alone.",
        "bad-url": "An address of a page or file is not a URL or a path.",
        "bad-endpoint": "A vendor's endpoint is not a sound http or https URL.",
        "plain-http": "A URL is plain http off loopback.",
        "bad-file": "A file's path is empty or impossible.",
        "bad-key": "A vendor's key is not printable, or names no environment variable.",
        "bad-option": "A setting of one kind of vendor cannot be sent.",
        "bad-csp-source": "A source would break the Content-Security-Policy.",
        # names and rules
        "unknown-purpose": "A rule or a case names a purpose that the policy does not define.",
        "unknown-jurisdiction": "A rule or a case names a jurisdiction that the policy does not define.",
        "unknown-clause": "A rule cites a clause that the policy does not quote.",
        "unknown-vendor": "A case names a vendor that its policy does not define.",
        "unknown-feature": "A case names a feature that its policy does not define.",
        "unknown-signal": "A signal is none of those that a policy can answer.",
        "unknown-region": "A region or country is not in ISO 3166.",
        "unknown-field": "A vendor lists a field that does not exist.",
        "no-essential-purpose": "No purpose is essential.",
        "essential-denied": "A signal refuses an essential purpose.",
        "purposes-without-refuse": "A signal is ignored and yet names purposes.",
        "no-catch-all": "No jurisdiction covers the rest of the world.",
        "second-catch-all": "Two jurisdictions cover the rest of the world.",
        "overlapping-regions": "Two jurisdictions claim the same region.",
        "duplicate-clause": "Two clauses have the same id.",
        "duplicate-cookie": "Two rules name the same cookie.",
        "reserved-cookie": "A rule names a cookie of our own.",
        "host-prefix-with-domain": "The identifier's cookie is bound to one host, and the site shares its cookies.",
        "foreign-cookie-domain": "The cookie domain does not cover the site's origin.",
        "vendor-needs-field": "A vendor cannot work without a field that it is not given.",
        # texts
        "unknown-text": "A texts file has a text for a sentence, a purpose or a name that does not exist.",
        "value-left-out": "A text leaves out a value that the sentence it replaces has a place for.",
        "unknown-value": "A text names a value that the sentence it replaces does not have.",
        # warnings
        "unused-clause": "Warning: no rule cites a clause, and the clause does not say why.",
        "rule-without-clause": "Warning: a rule cites no clause, although the policy quotes some.",
        "unused-purpose": "Warning: no cookie, vendor, feature or identifier rests on a purpose.",
        "idle-vendor": "Warning: a vendor gets nothing in any jurisdiction.",
        "idle-feature": "Warning: a feature is offered nowhere.",
        "redundant-cookie": "Warning: a wildcard says the same of a cookie that has a rule of its own.",
        "rule-without-case": "Warning: a file of cases stands beside the policy, and none of them is about a rule.",
        "dnt-ignored-in-eea": "Warning: DNT is ignored where a court held it to be an objection.",
        "gpc-not-honoured": "Warning: GPC refuses nothing where law makes it an opt-out.",
        "opt-out-in-opt-in-country": "Warning: an opt-out regime covers a country whose law asks for a yes.",
        "no-transfer-basis": "Warning: a vendor processes in a third country, and what that rests on is not named.",
        "longer-than-13-months": "Warning: a cookie that is not essential lasts longer than 13 months.",
        "nobody-in-scope": "Warning: the scope leaves no path or no visitor under the policy.",
        "trusts-everyone": "Warning: every peer's header is believed, so any visitor can choose an address.",
        "csp-cannot-stop": "Warning: with this source or host, a Content-Security-Policy cannot stop a vendor.",
        "csp-cannot-bind": "Warning: a Content-Security-Policy is asked for that no page can carry.",
        "longer-than-browsers-keep": "Warning: a cookie is meant to last longer than browsers keep one.",
        "vendor-without-key": "Warning: a vendor that needs a key has none.",
        "field-not-carried": "Warning: a vendor lists a field that its format has no place for.",
        "unset-variable": "Warning: a vendor's key is in an environment variable that is not set.",
        "incomplete-language": "Warning: a language of a texts file lacks sentences, which are read in English.",
        "missing-file": "Warning: a file that the policy names is not there.",
    }
)
