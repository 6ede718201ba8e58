"""Rows for tests that need no real broker: people with grants, brokers, synthetic snapshots."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from brokers.collect.claims import NEVER_MS
from brokers.collect.models import PollState
from brokers.registry import details, slots
from brokers.registry.credentials import Secrets, seal
from brokers.registry.models import Broker
from brokers.registry.slots import ObjectName
from brokers.series.codec import Frame, Table
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot
from brokers.series.store import append
from dashboard.accounts.models import Grant, Role, User

PASSWORD = "a-good-long-password"


def make_user(
    username: str | None = None,
    *grants: tuple[Role, Broker | None, str] | tuple[Role, Broker | None] | Role,
    password: str = PASSWORD,
) -> User:
    """Make a person with grants: `Role.VIEWER` (all brokers), `(Role.VIEWER, broker)`, `(…, broker, "shop-*")`."""
    user = User.objects.create_user(username or f"person-{secrets.token_hex(4)}", password=password)
    for grant in grants:
        role, broker, pattern = (grant, None, "") if isinstance(grant, Role) else (*grant, "")[:3]
        Grant.objects.create(user=user, role=role, broker=broker, vhost_pattern=pattern)
    return user


def make_broker(name: str | None = None, *, management_url: str = "http://127.0.0.1:9", **fields: Any) -> Broker:
    """Make a broker row with its poll state; `password` is sealed."""
    password = fields.pop("password", "secret")
    broker = Broker.objects.create(
        name=name or f"broker-{secrets.token_hex(4)}",
        management_url=management_url,
        username=fields.pop("username", "watch"),
        sealed=seal(Secrets(password=password)),
        **fields,
    )
    # The first poll is far off: nothing polls a synthetic broker by chance.
    PollState.objects.update_or_create(broker=broker, defaults={"next_due_ms": NEVER_MS})
    return broker


@dataclass(frozen=True)
class Seen:
    """One object of a synthetic snapshot: where, its figures (absent: unknown), its detail struct."""

    vhost: str
    name: str
    figures: Mapping[str, float] = field(default_factory=dict)
    detail: msgspec.Struct | None = None


def seen_queue(vhost: str, name: str, *, detail: details.QueueDetail | None = None, **figures: float) -> Seen:
    """Return a queue for `append_snapshot`: `seen_queue("/", "orders", ready=5, unacked=1)`."""
    return Seen(vhost, name, figures, detail or details.QueueDetail(type="classic", durable=True, state="running"))


def append_snapshot(
    broker: Broker,
    objects: Mapping[Kind, Sequence[Seen]],
    *,
    whole: Mapping[str, float] | None = None,
    at_ms: int | None = None,
    cadence_ms: int = 5000,
    complete: bool = True,
) -> Snapshot:
    """Give slots to the objects and write one snapshot of them; `whole` is the figures of the broker itself.

    Marks the broker as polled well at that moment.
    """
    moment = at_ms if at_ms is not None else time.time_ns() // 1_000_000
    tables: dict[Kind, Table] = {}
    for kind, rows in objects.items():
        names = [ObjectName(one.vhost, one.name) for one in rows]
        slots.assign(broker, kind.value, names, moment)
        directory = slots.Directory(broker.id)
        directory.refresh()
        numbers = [directory.by_name[kind.value][name] for name in names]
        slots.describe(
            broker,
            kind.value,
            {number: msgspec.json.encode(one.detail) for number, one in zip(numbers, rows, strict=True) if one.detail},
            dict.fromkeys(numbers),
        )
        order = np.argsort(numbers)
        wanted = sorted({metric for one in rows for metric in one.figures})
        tables[kind] = Table(
            np.array(numbers, dtype=np.uint32)[order],
            {metric: np.array([one.figures.get(metric, np.nan) for one in rows])[order] for metric in wanted},
        )
    if whole is not None:
        tables[Kind.BROKER] = Table(
            np.zeros(1, dtype=np.uint32), {name: np.array([float(value)]) for name, value in whole.items()}
        )
    snapshot = append(broker.id, Frame(moment, tables, complete), cadence_ms)
    PollState.objects.update_or_create(
        broker=broker,
        defaults={"last_tick_ms": moment, "last_ok_ms": moment, "failures": 0, "cadence_ms": cadence_ms},
    )
    return snapshot
