"""People, tokens and keys from the command line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from brokers.registry.credentials import SealedError, Secrets, seal, unseal
from brokers.registry.models import Broker
from dashboard.accounts import first_admin, tokens
from dashboard.accounts.models import ApiToken, AuditEntry, Role, User
from dashboard.accounts.rights import rights_of
from tests.support.builders import make_broker, make_user


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


@pytest.mark.django_db
def test_it_prints_a_token_alone_on_its_line() -> None:
    user = make_user("mara")
    text = run("token", "create", "--user", "mara", "--name", "ci")
    assert text.count("\n") == 1
    assert tokens.user_of(text.strip()) == user
    assert (ApiToken.objects.get().name, ApiToken.objects.get().expires_at) == ("ci", None)
    run("token", "create", "--user", "mara", "--days", "3")
    listed = run("token", "list", "--user", "mara")
    assert listed.count("\n") == 2
    assert text.strip() not in listed
    entry = AuditEntry.objects.first()
    assert entry is not None
    assert (entry.via, entry.action, entry.outcome) == ("command", "user.api_token.create", "done")


@pytest.mark.django_db
def test_it_revokes_a_token_by_what_it_begins_with_or_whole() -> None:
    user = make_user("mara")
    first, row = tokens.create(user, "a")
    second, _ = tokens.create(user, "b")
    run("token", "revoke", row.prefix)
    assert tokens.user_of(first) is None
    run("token", "revoke", second)
    assert tokens.user_of(second) is None
    with pytest.raises(CommandError, match="No token begins so"):
        run("token", "revoke", second)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["token", "create", "--user", "nobody"], "There is no person named nobody"),
        (["token", "create", "--user", "mara", "--days", "-1"], "--days is -1"),
        (["user", "add", "mara"], "already an account named mara"),
        (["user", "add", "MARA"], "already an account named MARA"),
        (["user", "add", "a b"], "valid username"),
        (["user", "add", "x", "--vhosts", "a*"], "--vhosts needs --broker"),
        (["user", "add", "x", "--broker", "mill"], "There is no broker named mill. There are: shop."),
        (["user", "deactivate", "mara"], "last active administrator"),
        (["user", "grant", "mara", "--role", "viewer"], "last administrator"),
    ],
)
def test_it_refuses_with_a_sentence(arguments: list[str], sentence: str) -> None:
    make_user("mara", Role.ADMINISTRATOR)
    make_broker("shop")
    with pytest.raises(CommandError, match=sentence):
        run(*arguments)
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_it_adds_grants_lists_and_resets_people() -> None:
    make_broker("shop")
    password = run("user", "add", "ines", "--role", "operator", "--broker", "shop", "--vhosts", "t*").strip()
    ines = User.objects.get()
    assert ines.check_password(password)
    assert ines.must_change_password
    run("user", "grant", "ines", "--role", "administrator")
    assert run("user", "list") == "ines: operator on shop, vhosts t*; administrator on all brokers\n"
    fresh = run("user", "password", "ines").strip()
    ines.refresh_from_db()
    assert ines.check_password(fresh)
    assert password not in str(list(AuditEntry.objects.values()))


@pytest.mark.django_db
def test_it_makes_the_first_administrator_once(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.delenv("WARREN_ADMIN_PASSWORD", raising=False)
    made = first_admin.ensure()
    assert made is not None
    assert made.password is not None
    assert made.password not in repr(made)
    admin = User.objects.get()
    assert admin.check_password(made.password)
    assert rights_of(admin).administers_all
    assert (admin.must_change_password, admin.should_change_password) == (False, True)
    assert first_admin.ensure() is None
    assert made.password not in caplog.text
    assert made.password not in str(list(AuditEntry.objects.values()))


@pytest.mark.django_db
@pytest.mark.parametrize(("password", "weak"), [("correct-horse-battery", False), ("admin", True)])
def test_it_takes_the_first_password_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, password: str, weak: bool
) -> None:
    monkeypatch.setenv("WARREN_ADMIN_PASSWORD", password)
    made = first_admin.ensure()
    assert made == first_admin.FirstAdmin("admin", None)
    admin = User.objects.get()
    assert admin.check_password(password)
    assert admin.should_change_password is weak


@pytest.mark.django_db
def test_it_says_the_first_password_once_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARREN_ADMIN_PASSWORD", raising=False)
    said = run("first_admin")
    assert "Sign in as admin with the password " in said
    assert User.objects.get().check_password(said.split(" the password ")[1].split()[0])
    assert run("first_admin") == ""


@pytest.mark.django_db
def test_it_encrypts_anew_under_the_first_key(settings: Any) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.WARREN_SECRET_KEYS = [old]
    shop = make_broker("shop", password="hunter2")
    bare = make_broker("bare")
    Broker.objects.filter(pk=bare.pk).update(sealed=b"")
    settings.WARREN_SECRET_KEYS = [new, old]
    assert "Credentials of 1 broker stand under the first key." in run("rotate_keys")
    settings.WARREN_SECRET_KEYS = [new]
    shop.refresh_from_db()
    assert unseal(shop) == Secrets(password="hunter2")
    assert "hunter2" not in str(list(AuditEntry.objects.values()))


@pytest.mark.django_db
def test_it_names_the_brokers_whose_key_is_lost_and_rotates_the_others(settings: Any) -> None:
    lost, old, new = (Fernet.generate_key().decode() for _ in range(3))
    settings.WARREN_SECRET_KEYS = [new, old]
    shop, mill = make_broker("shop"), make_broker("mill")
    Broker.objects.filter(pk=mill.pk).update(sealed=seal(Secrets(password="x"), [lost]))
    Broker.objects.filter(pk=shop.pk).update(sealed=seal(Secrets(password="y"), [old]))
    with pytest.raises(CommandError, match="The credentials of mill open under no key"):
        run("rotate_keys")
    settings.WARREN_SECRET_KEYS = [new]
    shop.refresh_from_db()
    mill.refresh_from_db()
    assert unseal(shop).password == "y"
    with pytest.raises(SealedError):
        unseal(mill)


def test_it_makes_a_key_though_the_key_list_is_broken(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "WARREN_SECRET_KEYS": "broken", "WARREN_DATA_DIR": str(tmp_path)}
    environment["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"
    made = subprocess.run(
        [sys.executable, "manage.py", "make_key"], cwd=root, env=environment, check=True, capture_output=True, text=True
    )
    Fernet(made.stdout.strip())
    assert not (tmp_path / "secret-keys").exists()


@pytest.mark.parametrize(
    "arguments",
    [["token", "create", "--user", "admin"], ["token", "list"], ["user", "list"], ["first_admin"]],
)
def test_it_says_in_a_sentence_that_there_are_no_tables_yet(tmp_path: Path, arguments: list[str]) -> None:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "WARREN_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "dashboard.settings"}
    environment.pop("WARREN_DATABASE_URL", None)
    ended = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=root,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert "tables are not there yet" in ended.stderr
    assert "`manage.py up` makes them" in ended.stderr
    assert str(tmp_path) in ended.stderr
