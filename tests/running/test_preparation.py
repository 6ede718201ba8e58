"""What the start does to the list of brokers stands in the audit trail, as what people do."""

from __future__ import annotations

import pytest

from brokers.registry.models import Broker
from dashboard.accounts.models import AuditEntry
from dashboard.supervisor.preparation import register_brokers

pytestmark = pytest.mark.django_db(transaction=True)


def entries() -> list[tuple[str, str, str, str]]:
    found = AuditEntry.objects.order_by("id").values_list("via", "action", "subject", "outcome")
    return [(str(via), str(action), str(subject), str(outcome)) for via, action, subject, outcome in found]


def test_it_writes_what_the_environment_registers_into_the_trail() -> None:
    register_brokers(["http://watch:first-secret@10.0.0.7:15672#shop"])
    assert entries() == [("start", "broker.add", "shop", "done")]
    # The same address at the next start changes nothing, and is no act.
    assert register_brokers(["http://watch:first-secret@10.0.0.7:15672#shop"]) == []
    assert len(entries()) == 1
    register_brokers(["http://watch:second-secret@10.0.0.7:15672#shop"])
    assert entries()[1:] == [("start", "broker.edit", "shop", "done")]
    entry = AuditEntry.objects.latest("id")
    assert entry.broker == Broker.objects.get()
    assert entry.intent == {"from": "WARREN_BROKERS", "address": "http://10.0.0.7:15672", "user": "watch"}
    assert "secret" not in str(list(AuditEntry.objects.values()))


def test_it_writes_down_what_could_not_be_registered() -> None:
    name = "n" * 200
    lines = register_brokers([f"http://watch:first-secret@10.0.0.7:15672#{name}", "ftp://somewhere#odd"])
    assert len(lines) == 2
    assert [(action, outcome) for _, action, _, outcome in entries()] == [("broker.add", "failed")]
    assert "80 are possible" in AuditEntry.objects.get().sentence
    assert not Broker.objects.exists()
