"""The resolver: pure, monotone, and silent about what a person may not see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.accounts.rights import NOBODY, Rights, Role, Scope, matches

ROLES = st.sampled_from(list(Role))
BROKERS = st.integers(1, 4)
PATTERNS = st.sampled_from(["*", "shop", "tenant-*", "tenant-?", "[ab]*", "[!a]*", "/", "Shop", "[[]x]", "\u202e*"])
VHOSTS = st.one_of(
    st.sampled_from(["/", "shop", "Shop", "tenant-1", "tenant-10", "a", "b", "[x]", "\u202eabc", "a\nb"]),
    st.text(max_size=12),
)
SCOPES = st.one_of(
    st.builds(Scope, ROLES),
    st.builds(Scope, ROLES, BROKERS),
    st.builds(Scope, ROLES, BROKERS, PATTERNS),
)
GRANTS = st.frozensets(SCOPES, max_size=5)


def rights(*scopes: Scope) -> Rights:
    return Rights(user_id=1, username="mara", scopes=frozenset(scopes))


def test_it_orders_roles_by_what_they_may() -> None:
    assert Role.VIEWER < Role.OPERATOR < Role.ADMINISTRATOR
    assert Role.ADMINISTRATOR >= Role.OPERATOR >= Role.OPERATOR > Role.VIEWER
    assert max(Role.VIEWER, Role.ADMINISTRATOR) is Role.ADMINISTRATOR


def test_it_gives_nobody_nothing() -> None:
    assert not NOBODY.may(Role.VIEWER)
    assert not NOBODY.sees_broker(1)
    assert not NOBODY.sees_anything
    assert NOBODY.role_on(1, "/") is None
    assert NOBODY.broker_ids_seen([1, 2]) == []


def test_it_gives_all_brokers_everywhere() -> None:
    everywhere = rights(Scope(Role.OPERATOR))
    assert everywhere.may(Role.OPERATOR)
    assert everywhere.may(Role.VIEWER, 7, "any")
    assert everywhere.sees_whole(7)
    assert not everywhere.administers_all
    assert not everywhere.may(Role.ADMINISTRATOR, 7)
    assert everywhere.broker_ids_seen([3, 1, 2]) == [3, 1, 2]


def test_it_limits_a_grant_on_one_broker_to_it() -> None:
    one = rights(Scope(Role.ADMINISTRATOR, 3))
    assert one.may(Role.ADMINISTRATOR, 3)
    assert one.sees_vhost(3, "shop")
    assert not one.may(Role.VIEWER)
    assert not one.administers_all
    assert not one.sees_broker(4)
    assert one.broker_ids_seen([4, 3]) == [3]


def test_it_shows_a_vhosts_viewer_that_vhost_and_nothing_else() -> None:
    limited = rights(Scope(Role.VIEWER, 3, "tenant-acme"))
    assert limited.sees_broker(3)
    assert limited.sees_vhost(3, "tenant-acme")
    assert not limited.sees_whole(3)
    assert not limited.sees_vhost(3, "tenant-acme2")
    assert not limited.sees_vhost(3, "Tenant-acme")
    assert not limited.sees_vhost(4, "tenant-acme")
    assert not limited.may(Role.OPERATOR, 3, "tenant-acme")
    assert limited.role_on(3, "tenant-acme") is Role.VIEWER
    assert limited.role_on(3) is None


def test_it_keeps_the_whole_from_a_pattern_that_matches_every_vhost() -> None:
    star = rights(Scope(Role.ADMINISTRATOR, 3, "*"))
    assert star.sees_vhost(3, "anything/at\nall")
    assert not star.sees_whole(3)


def test_it_gives_a_pattern_without_broker_nothing() -> None:
    stray = rights(Scope(Role.ADMINISTRATOR, None, "*"))
    assert not stray.administers_all
    assert not stray.sees_broker(1)
    assert not stray.sees_vhost(1, "shop")
    assert not stray.sees_anything


@pytest.mark.parametrize(
    ("pattern", "vhost", "expected"),
    [
        ("tenant-*", "tenant-", True),
        ("tenant-*", "a-tenant-1", False),
        ("tenant-?", "tenant-12", False),
        ("[ab]", "a", True),
        ("[ab]", "[ab]", False),
        ("[[]ab]", "[ab]", True),
        ("[*]", "*", True),
        ("[*]", "shop", False),
        ("a[", "a[", True),
        ("*", "a\nb/c", True),
        ("SHOP", "shop", False),
    ],
)
def test_it_matches_patterns_over_the_whole_name(pattern: str, vhost: str, expected: bool) -> None:
    assert matches(pattern, vhost) is expected


@given(GRANTS, SCOPES, ROLES, BROKERS, VHOSTS)
def test_it_never_sees_less_with_one_grant_more(
    grants: frozenset[Scope], more: Scope, role: Role, broker: int, vhost: str
) -> None:
    fewer, greater = rights(*grants), rights(*grants, more)
    assert fewer.may(role, broker, vhost) <= greater.may(role, broker, vhost)
    assert fewer.may(role, broker) <= greater.may(role, broker)
    assert fewer.may(role) <= greater.may(role)
    assert fewer.sees_broker(broker) <= greater.sees_broker(broker)
    assert set(fewer.broker_ids_seen(range(1, 5))) <= set(greater.broker_ids_seen(range(1, 5)))


@given(GRANTS, ROLES, BROKERS, VHOSTS)
def test_it_agrees_with_itself(grants: frozenset[Scope], role: Role, broker: int, vhost: str) -> None:
    some = rights(*grants)
    # A wider scope implies a narrower one, a higher role a lower one.
    assert some.may(role) <= some.may(role, broker) <= some.may(role, broker, vhost)
    assert all(some.may(lower, broker, vhost) >= some.may(role, broker, vhost) for lower in Role if lower <= role)
    assert some.sees_vhost(broker, vhost) <= some.sees_broker(broker)
    assert some.vhost_test(broker, role)(vhost) is some.may(role, broker, vhost)
    highest = some.role_on(broker, vhost)
    assert some.may(role, broker, vhost) is (highest is not None and highest >= role)
    assert some.sees_anything is any(some.sees_broker(one) for one in range(1, 5))


@given(ROLES, BROKERS, PATTERNS, BROKERS, VHOSTS)
def test_it_never_leads_from_a_vhost_elsewhere(
    role: Role, broker: int, pattern: str, elsewhere: int, vhost: str
) -> None:
    limited = rights(Scope(role, broker, pattern))
    assert not limited.sees_whole(elsewhere)
    assert limited.sees_broker(elsewhere) is (elsewhere == broker)
    assert limited.sees_vhost(elsewhere, vhost) is (elsewhere == broker and matches(pattern, vhost))
