"""A catalogue proposes, with its evidence; sessions and common names stay the operator's to decide."""

from __future__ import annotations

import pytest

from consent_mw.core.learning import Known, Proposal, Seen, proposals
from consent_mw.world.catalogue import read_catalogue

CATALOGUE = (
    Known("Google Analytics", "analytics", "_ga"),
    Known("Google Analytics", "analytics", "_ga_", wildcard=True),
    Known("Rails", "analytics", "_s", wildcard=True),
    Known("Adform", "marketing", "uid", domain="adform.net"),
    Known("Instagram", "marketing", "sessionid", domain="instagram.com"),
    Known("Shop", "functional", "shop_view"),
    Known("One", "analytics", "x_two"),
    Known("Two", "marketing", "x_two", domain="two.example"),
)


def seen(*names: str, hosts: tuple[str, ...] = ()) -> Seen:
    found = Seen(hosts=dict.fromkeys(hosts, 1))
    found.add_sent(names)
    return found


@pytest.mark.parametrize(
    ("name", "hosts", "pattern", "purpose"),
    [
        ("_ga", (), "_ga", "analytics"),
        ("_ga_AB12", (), "_ga_*", "analytics"),
        ("_session_id", (), "_session_id", ""),
        ("_something", (), "_something", ""),
        ("uid", (), "uid", ""),
        ("uid", ("track.adform.net",), "uid", "marketing"),
        ("uid", ("notadform.net",), "uid", ""),
        ("sessionid", ("instagram.com",), "sessionid", ""),
        ("XSRF-TOKEN", (), "XSRF-TOKEN", ""),
        ("shop_view", (), "shop_view", ""),
        ("x_two", (), "x_two", ""),
        ("x_two", ("two.example",), "x_two", "marketing"),
    ],
)
def test_a_purpose_is_proposed_only_where_something_speaks_for_it(
    name: str, hosts: tuple[str, ...], pattern: str, purpose: str
) -> None:
    (one,) = proposals(seen(name, hosts=hosts), CATALOGUE)
    assert (one.pattern, one.purpose) == (pattern, purpose)
    assert one.evidence[0] == "sent 1 time"


def test_cookies_of_one_wildcard_are_one_proposal() -> None:
    found = proposals(seen("_ga_A", "_ga_B", "_ga"), CATALOGUE)
    assert [one.pattern for one in found] == ["_ga", "_ga_*"]


def test_what_was_set_is_told_with_how_long_it_lasts() -> None:
    found = Seen()
    found.add_set("_ga", None)
    found.add_set("_ga", 90)
    found.add_set("_ga", 60)
    told = ("set 3 times", "the catalogue has it as Google Analytics: analytics")
    assert proposals(found, CATALOGUE) == (Proposal("_ga", "analytics", told, 90),)


FRAMEWORKS = (
    "sessionid", "csrftoken", "_session_id", "PHPSESSID", "JSESSIONID", "ASP.NET_SessionId", "connect.sid",
    "laravel_session", "XSRF-TOKEN", "_csrf", "remember_web_59ba", "wordpress_logged_in_abc", "auth_token", "cart",
    "CFID", "ASPSESSIONIDQQ", "SESSION", "session", "rack.session", "_myapp_session", "authjs.session-token",
    "__Host-next-auth.csrf-token", "sid",
)  # fmt: skip


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_no_session_of_a_framework_gets_a_purpose_from_the_real_catalogue(name: str) -> None:
    (one,) = proposals(seen(name, hosts=("instagram.com", "facebook.com", "google.com")), read_catalogue())
    assert one.purpose == ""


def test_the_real_catalogue_never_makes_a_cookie_essential() -> None:
    known = read_catalogue()
    assert len(known) > 2000
    found = proposals(seen(*{one.name for one in known}), known)
    assert {one.purpose for one in found} == {"", "analytics", "marketing"}
