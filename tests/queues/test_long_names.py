"""A very long name of a vhost costs no column of the tables that it stands in."""

from __future__ import annotations

import pytest
from django.test import Client

from brokers.series.metrics import Kind
from dashboard.accounts.models import Role
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.django_db
LONG = "tenant-" + "<i>" + 200 * "x"
ESCAPED = LONG.replace("<", "&lt;").replace(">", "&gt;")
CUT = f'<bdi class="cut" data-tip="{ESCAPED}" tabindex="0">{ESCAPED}</bdi>'


@pytest.mark.parametrize("address", ["/queues", "/brokers/{}"])
def test_it_is_cut_off_and_whole_in_its_tip(address: str) -> None:
    broker = make_broker("shop")
    append_snapshot(
        broker,
        {
            Kind.QUEUE: [seen_queue(LONG, "orders", ready=7), seen_queue("short", "orders", ready=7)],
            Kind.VHOST: [Seen("", LONG, {"ready": 7}), Seen("", "short", {"ready": 7})],
            Kind.EXCHANGE: [Seen(LONG, "work", {"published": 1})],
        },
        whole={"ready": 14},
    )
    client = Client()
    client.force_login(make_user(None, Role.VIEWER))

    page = client.get(address.format(broker.id)).content.decode()

    assert CUT in page
    assert "<bdi>short</bdi>" in page
    assert page.count(CUT) == (1 if address == "/queues" else 2)
