"""Acts: the intent is there before, the outcome after, and no secret in either."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from dashboard.accounts.audit import HIDDEN, ActRefusedError, Via, act, by_command, by_request, redacted
from dashboard.accounts.guards import RefusedError
from dashboard.accounts.models import AuditEntry, Role, User
from tests.support.builders import make_broker, make_user


def _by(user: User) -> RequestFactory:
    request = RequestFactory().post("/", REMOTE_ADDR="192.0.2.7", HTTP_X_FORWARDED_FOR="198.51.100.1")
    request.user = user
    return request


@pytest.mark.django_db
def test_it_writes_the_intent_before_and_the_outcome_after() -> None:
    broker = make_broker("shop")
    user = make_user("mara", (Role.OPERATOR, broker))
    with act(
        by_request(_by(user)), "broker.pause", needs=Role.OPERATOR, broker=broker, subject="shop", intent={"why": "x"}
    ) as running:
        entry = AuditEntry.objects.get()
        assert (entry.who, entry.via, entry.action, entry.broker_name) == ("mara", "page", "broker.pause", "shop")
        assert entry.intent == {"why": "x"}
        assert entry.address == "192.0.2.7"
        assert (entry.outcome, entry.finished_at) == ("", None)
        running.sentence = "Paused."
    entry.refresh_from_db()
    assert (entry.outcome, entry.sentence) == ("done", "Paused.")
    assert entry.finished_at is not None


@pytest.mark.django_db
def test_it_refuses_without_the_right_and_says_so_in_the_trail() -> None:
    broker = make_broker("shop")
    ran = False
    with (
        pytest.raises(RefusedError, match=r"operator on shop; you are viewer there"),
        act(by_request(_by(make_user("noor", (Role.VIEWER, broker)))), "x", needs=Role.OPERATOR, broker=broker),
    ):
        ran = True
    assert not ran
    entry = AuditEntry.objects.get()
    assert (entry.outcome, entry.who) == ("refused", "noor")
    assert entry.finished_at is not None


@pytest.mark.django_db
def test_it_tells_refusals_failures_and_unknown_errors_apart() -> None:
    class BrokerSaysNoError(Exception):
        sentence = "shop refused it: 403."

    for error, outcome, sentence in (
        (ActRefusedError("It has 2 consumers."), "refused", "It has 2 consumers."),
        (BrokerSaysNoError("password=hunter2"), "failed", "shop refused it: 403."),
        (ValueError("hunter2"), "failed", "It broke off: ValueError. What was changed until then stays."),
        (KeyboardInterrupt(), "failed", "It broke off: KeyboardInterrupt. What was changed until then stays."),
    ):
        with pytest.raises(type(error)), act(by_command(), "x", needs=Role.ADMINISTRATOR):
            raise error
        entry = AuditEntry.objects.first()
        assert entry is not None
        assert (entry.outcome, entry.sentence) == (outcome, sentence)


@pytest.mark.django_db
def test_it_outlives_person_and_broker() -> None:
    broker, user = make_broker("shop"), make_user("mara", Role.ADMINISTRATOR)
    with act(by_request(_by(user), Via.API), "broker.remove", needs=Role.ADMINISTRATOR, broker=broker):
        broker.delete()
    user.delete()
    entry = AuditEntry.objects.get()
    assert (entry.who, entry.broker_name, entry.user, entry.broker, entry.outcome) == (
        "mara",
        "shop",
        None,
        None,
        "done",
    )


@pytest.mark.django_db(transaction=True)
def test_it_refuses_to_run_where_the_intent_would_not_be_committed() -> None:
    with pytest.raises(RuntimeError), transaction.atomic(), act(by_command(), "x", needs=None):
        pass
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.faults
def test_it_leaves_an_act_that_was_killed_without_outcome() -> None:
    code = (
        "import django, os, signal; django.setup()\n"
        "from dashboard.accounts.audit import act, by_command\n"
        "with act(by_command(), 'queue.purge', needs=None, subject='orders'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("WARREN_")},
        "DJANGO_SETTINGS_MODULE": "dashboard.settings",
        "WARREN_DATA_DIR": str(settings.WARREN_DATA_DIR),
        "WARREN_DATABASE_URL": f"sqlite:///{settings.DATABASES['default']['NAME']}",
    }
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject, entry.outcome) == ("queue.purge", "orders", "")


@pytest.mark.django_db
def test_it_stores_names_that_are_hostile_or_long() -> None:
    name = "\x00<script>\ud800\u202e" + "🐇" * 300
    with act(by_command(), "x", needs=None, vhost=name, subject=name, intent={name: name}):
        pass
    entry = AuditEntry.objects.get()
    assert len(entry.vhost) == len(entry.subject) == 255
    assert entry.subject.startswith("\N{SYMBOL FOR NULL}<script>?\u202e🐇")


@pytest.mark.parametrize(
    ("given_intent", "stored"),
    [
        (
            {"password": "x", "New_Password1": "y", "api_token": "z"},
            {"password": HIDDEN, "New_Password1": HIDDEN, "api_token": HIDDEN},
        ),
        ({"password": ""}, {"password": ""}),
        ({"url": "https://u:p@ss@rabbit:15672/x"}, {"url": "https://rabbit:15672/x"}),
        ({"deep": [{"client_secret": {"a": 1}}]}, {"deep": [{"client_secret": HIDDEN}]}),
        ({"note": "used wrn_abcdefghijklmnop"}, {"note": f"used {HIDDEN}"}),
        # The twelve letters by which pages tell tokens apart.
        ({"note": "begins with wrn_abcdefgh"}, {"note": "begins with wrn_abcdefgh"}),
        ({"header": "Authorization: Basic dXNlcjpwYXNzd29yZA=="}, {"header": f"Authorization: {HIDDEN}"}),
        (
            {"routing_key": "orders.new", "count": 3, "on": True, "none": None},
            {"routing_key": "orders.new", "count": 3, "on": True, "none": None},
        ),
    ],
)
def test_it_hides_secrets(given_intent: dict[str, object], stored: dict[str, object]) -> None:
    assert redacted(given_intent) == stored


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    )
)
def test_it_redacts_once_and_for_all(value: object) -> None:
    assert redacted(redacted(value)) == redacted(value)
