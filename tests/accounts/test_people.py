"""Adding and changing people; whatever happens, somebody administers everything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction

from brokers.registry import slots
from brokers.registry.slots import ObjectName
from dashboard.accounts import people
from dashboard.accounts.models import Grant, Role, User
from dashboard.accounts.words import grant_words
from tests.support.builders import make_broker, make_user

pytestmark = pytest.mark.django_db


def _withdraw(user: User) -> None:
    people.withdraw(user.grants.get(broker=None))


def _demote(user: User) -> None:
    people.grant(user, Role.OPERATOR, None)


CHANGES = [_withdraw, _demote, people.deactivate, people.remove]


@pytest.mark.parametrize("change", CHANGES)
def test_it_keeps_the_last_administrator_of_everything(change: Callable[[User], None]) -> None:
    user = make_user("mara", Role.ADMINISTRATOR)
    make_user("broker-admin", (Role.ADMINISTRATOR, make_broker()))
    asleep = make_user("asleep", Role.ADMINISTRATOR)
    people.deactivate(asleep)
    with pytest.raises(people.LastAdministratorError, match="Make somebody else administrator of all brokers first"):
        change(user)
    user = User.objects.get(username="mara")
    assert user.is_active
    assert user.grants.get().role == Role.ADMINISTRATOR


@pytest.mark.parametrize("change", CHANGES)
def test_it_lets_one_of_two_administrators_go(change: Callable[[User], None]) -> None:
    user = make_user("mara", Role.ADMINISTRATOR)
    make_user("noor", Role.ADMINISTRATOR)
    change(user)
    assert people.administrators() == 1


@pytest.mark.django_db(transaction=True)
def test_it_keeps_an_administrator_when_both_go_at_once() -> None:
    for name in ("mara", "noor"):
        make_user(name, Role.ADMINISTRATOR)
    together = threading.Barrier(2)

    def go(name: str) -> str:
        user = User.objects.get(username=name)
        together.wait()
        try:
            people.deactivate(user)
        except people.LastAdministratorError:
            return "stayed"
        finally:
            connection.close()
        return "went"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(go, ("mara", "noor"))) == ["stayed", "went"]
    assert people.administrators() == 1


def test_it_adds_a_person_with_a_temporary_password() -> None:
    broker = make_broker("shop")
    user, password = people.add("ines", Role.OPERATOR, broker, "tenant-*")
    assert user.check_password(password)
    assert user.must_change_password
    assert password not in user.password
    assert [grant_words(grant) for grant in user.grants.all()] == ["operator on shop, vhosts tenant-*"]


def test_it_adds_nobody_when_the_grant_fails() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        people.add("ines", Role.OPERATOR, None, "tenant-*")
    assert not User.objects.exists()


def test_it_replaces_the_role_on_the_same_scope() -> None:
    broker, user = make_broker("shop"), make_user("mara")
    people.grant(user, Role.VIEWER, broker, "a*")
    people.grant(user, Role.OPERATOR, broker, "a*")
    people.grant(user, Role.VIEWER, broker)
    assert sorted(grant_words(grant) for grant in user.grants.all()) == [
        "operator on shop, vhosts a*",
        "viewer on shop",
    ]


def test_it_says_which_vhosts_a_pattern_matches_now() -> None:
    broker, other = make_broker("shop"), make_broker("other")
    names = ["/", "tenant-a", "tenant-b", "Tenant-c", "gone-tenant", "tenant-gone"]
    slots.assign(broker, "vhost", [ObjectName("", name) for name in names], 1)
    slots.assign(other, "vhost", [ObjectName("", "tenant-elsewhere")], 1)
    slots.describe(broker, "vhost", {}, {names.index("tenant-gone"): 5})
    assert people.vhosts_matching(broker, "tenant-*") == (["tenant-a", "tenant-b"], 5)


def test_it_lets_a_database_hold_no_pattern_without_a_broker() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Grant.objects.create(user=make_user(), role=Role.VIEWER, vhost_pattern="*")
