"""People, tokens and keys from the command line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from brokers.registry.credentials import SealedError, Secrets, seal, unseal
from brokers.registry.models import Broker
from dashboard import data_folder
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


ABOUT_WHAT_IS_STORED = [
    ["token", "create", "--user", "admin"],
    ["token", "list"],
    ["user", "list"],
    ["first_admin"],
    ["rotate_keys"],
    ["changepassword", "admin"],
    ["axes_list_attempts"],
]


def manage(folder: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process over a data folder; None: WARREN_DATA_DIR is not set."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WARREN_")}
    environment["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"
    if folder is not None:
        environment["WARREN_DATA_DIR"] = str(folder)
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=Path(__file__).resolve().parents[2],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("arguments", ABOUT_WHAT_IS_STORED)
def test_it_says_in_which_folder_it_looked_for_a_database_and_leaves_nothing_there(
    tmp_path: Path, arguments: list[str]
) -> None:
    folder = tmp_path / "mistyped"
    ended = manage(folder, *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"There is no database of Warren's in {folder}, the folder that WARREN_DATA_DIR")
    assert "Set WARREN_DATA_DIR to the folder that Warren runs on" in ended.stderr
    assert not folder.exists()


def test_it_names_the_folder_that_it_takes_where_none_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(data_folder, "BASE_DIR", tmp_path)
    said = data_folder.nothing_stored(["token", "list"], {})
    assert f"in {tmp_path / 'var'}, the folder that is taken since WARREN_DATA_DIR is not set." in said
    demo = tmp_path / "var" / "demo"
    demo.mkdir(parents=True)
    (demo / "warren.sqlite3").touch()
    said = data_folder.nothing_stored(["token", "list"], {})
    assert f"There is one in {demo}." in said
    assert f"WARREN_DATA_DIR={demo} manage.py token" in said
    for needs_none in (["token", "--help"], ["up"], ["demo"], ["migrate"], ["make_key"], []):
        assert data_folder.nothing_stored(needs_none, {}) == ""
    assert data_folder.nothing_stored(["token", "list"], {"WARREN_DATABASE_URL": "postgres://db/warren"}) == ""


@pytest.mark.parametrize("arguments", ABOUT_WHAT_IS_STORED[:5])
def test_it_says_in_a_sentence_that_there_are_no_tables_yet(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "warren.sqlite3").touch()
    ended = manage(tmp_path, *arguments)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert "tables are not there yet" in ended.stderr
    assert "`manage.py up` makes them" in ended.stderr
    assert str(tmp_path) in ended.stderr


@pytest.mark.django_db
def test_it_says_where_a_token_and_a_password_are_good(settings: Any, tmp_path: Path) -> None:
    settings.WARREN_DATA_DIR = tmp_path
    make_user("mara", Role.ADMINISTRATOR)
    out, said = io.StringIO(), io.StringIO()
    call_command("token", "create", "--user", "mara", stdout=out, stderr=said)
    assert out.getvalue().count("\n") == 1
    if connection.vendor != "sqlite":
        assert "It is good where Warren runs on the database" in said.getvalue()
        return
    assert "no `manage.py up` does now. WARREN_DATA_DIR names another folder." in said.getvalue()
    up = {"pid": os.getpid(), "address": "http://127.0.0.1:8000"}
    (tmp_path / "up.json").write_text(json.dumps(up))
    said = io.StringIO()
    call_command("user", "password", "mara", stdout=io.StringIO(), stderr=said)
    assert f"runs on the database file {connection.settings_dict['NAME']}: at http://127.0.0.1:8000 now." in (
        said.getvalue()
    )
    with pytest.raises(CommandError, match=r"no person named ines in the database file .*WARREN_DATA_DIR names"):
        run("token", "list", "--user", "ines")
