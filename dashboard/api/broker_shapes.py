"""Brokers as the API takes and shows them. Secrets go in and never come out."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

import numpy as np
from ninja import Schema
from pydantic import ConfigDict, Field

from brokers.collect.state import Condition
from brokers.lag.measures import measure
from brokers.lag.present import value
from brokers.registry.models import Broker
from brokers.series.metrics import METRICS, Kind, Shape
from dashboard.acting.brokers import stored_secrets
from dashboard.acting.connection import StepShown
from dashboard.api.shapes import Figures, Moment, Shown, Text, Unknown, figures, moment, reasons
from dashboard.queries import measured
from dashboard.queries.broker_analysis import NodeFacts, VhostFacts
from dashboard.queries.broker_cells import why_unknown
from dashboard.queries.broker_facts import BrokerFacts

_LIMITED = "This belongs to the broker as a whole; you see some of its vhosts."


class Collecting(Schema):
    """How collecting from a broker stands."""

    condition: Condition
    since: Moment | None = Field(description="Since when it is not live; null while it is, or was never asked.")
    reason: str = Field(description="Why it is not well, empty where it is.")
    remedy: str = Field(description="What to do about it.")


class BrokerItem(Schema):
    """A broker in a list."""

    id: int
    name: str
    state: Collecting
    whole: bool = Field(description="You see all of the broker; otherwise figures are sums over the vhosts you see.")
    version: str = Field(description="RabbitMQ's version, empty where it is not known yet.")
    polled_at: Moment | None = Field(description="The moment of the figures.")
    cadence_s: float = Field(description="Seconds between two polls now, stretched where the broker is slow.")
    figures: Figures
    unknown: Unknown


class Node(Schema):
    """A node of the cluster. Sizes in bytes, `uptime` in seconds, alarms and `running` are 0 or 1."""

    name: str
    version: str
    erlang_version: str
    partitions: list[str]
    figures: Figures
    unknown: Unknown


class Vhost(Schema):
    """A vhost; rates a second."""

    name: str
    readable: bool | None = Field(description="Whether Warren's user may look into it; null is unknown.")
    figures: Figures
    unknown: Unknown


class Settings(Schema):
    """How Warren reaches a broker. Of secrets it says only whether there is one."""

    management_url: str
    prometheus_urls: list[str]
    username: str
    has_password: bool
    has_token: bool
    verify_tls: bool
    ca_pem: str
    client_cert_pem: str
    has_client_key: bool
    cadence_s: int = Field(description="Seconds between two polls, as asked for.")
    budget_percent: float = Field(description="Percent of the broker's time that answering Warren may take.")
    budget_kb_s: int = Field(description="Kilobytes a second that its answers may take on the wire.")
    prometheus_username: str = Field(description="User at the nodes' Prometheus endpoints; empty: none is needed.")
    has_prometheus_password: bool
    prometheus_ca_pem: str
    paused: bool
    created_at: Moment
    problem: str = Field(description="Why the stored secrets can't be opened; empty where they can.")


class BrokerFull(BrokerItem):
    """A broker with its nodes, vhosts and settings."""

    erlang_version: str
    nodes: list[Node] = Field(description="Empty for a person who does not see the whole broker.")
    vhosts: list[Vhost]
    settings: Settings | None = Field(description="Null for a person who does not administer the broker.")


class BrokerChange(Schema):
    """What is to change of a broker's settings; what is not sent stays."""

    model_config = ConfigDict(extra="forbid")

    name: Text = Field("", max_length=200, description="One line, at most 80 characters.")
    management_url: Text = Field("", max_length=2000, examples=["https://rabbit.example.org:15671"])
    prometheus_urls: list[Text] = Field(
        [], max_length=100, description="The nodes' Prometheus addresses; empty: found by the broker's own listeners."
    )
    username: Text = Field("", max_length=255)
    password: Text = Field("", max_length=10_000, description="Write-only.", json_schema_extra={"writeOnly": True})
    token: Text = Field(
        "",
        max_length=20_000,
        description="A bearer token (OAuth 2), in place of user and password. Write-only.",
        json_schema_extra={"writeOnly": True},
    )
    verify_tls: bool = Field(True, description="Check the broker's certificate.")
    ca_pem: Text = Field("", max_length=200_000, description="Authorities to trust, in PEM form.")
    client_cert_pem: Text = Field("", max_length=200_000, description="Client certificate, in PEM form.")
    client_key_pem: Text = Field(
        "", max_length=200_000, description="Its key. Write-only.", json_schema_extra={"writeOnly": True}
    )
    cadence_s: int = Field(5, description="Seconds between two polls, 1 to 300.", strict=True, ge=1, le=300)
    budget_percent: float = Field(
        2.0, description="Percent of the broker's time that answering Warren may take.", strict=True, ge=0.05, le=50
    )
    budget_kb_s: int = Field(
        1000, description="Kilobytes a second that its answers may take on the wire.", strict=True, ge=10, le=100_000
    )
    prometheus_username: Text = Field(
        "",
        max_length=255,
        description="User at the nodes' Prometheus endpoints, where one is wanted.",
    )
    prometheus_password: Text = Field(
        "", max_length=10_000, description="Its password. Write-only.", json_schema_extra={"writeOnly": True}
    )
    prometheus_ca_pem: Text = Field(
        "", max_length=200_000, description="Authorities of these endpoints, in PEM form; empty: those of `ca_pem`."
    )


class BrokerNew(BrokerChange):
    """A broker to add."""

    name: Text = Field(max_length=200, description="One line, at most 80 characters.")
    management_url: Text = Field(max_length=2000, examples=["https://rabbit.example.org:15671"])


class Step(Schema):
    """One step of a connection check."""

    name: str
    verdict: str = Field(description="ok, warning, critical or idle (not tried).")
    sentence: str
    remedy: str


class Tested(Schema):
    """A connection check. `ok`: no step failed."""

    ok: bool
    steps: list[Step]


def item(facts: BrokerFacts) -> BrokerItem:
    """Return a broker for a list."""
    found, unknown = _figures(facts)
    return BrokerItem(
        id=facts.id,
        name=facts.name,
        state=Collecting(
            condition=facts.condition,
            since=None if facts.condition is Condition.LIVE else moment(facts.failing_since_ms),
            reason=facts.reason_sentence,
            remedy=facts.remedy,
        ),
        whole=facts.whole,
        version=facts.version,
        polled_at=moment(facts.at_ms),
        cadence_s=facts.cadence_s,
        figures=found,
        unknown=unknown,
    )


def full(facts: BrokerFacts, settings: Broker | None) -> BrokerFull:
    """Return a broker with all that the person sees of it; `settings` is given for its administrators alone."""
    return BrokerFull(
        **item(facts).model_dump(),
        erlang_version=facts.erlang,
        nodes=[_node(facts, node) for node in facts.nodes],
        vhosts=[_vhost(facts, vhost) for vhost in sorted(facts.vhosts, key=lambda vhost: vhost.name)],
        settings=_settings(settings) if settings else None,
    )


def steps(found: Sequence[StepShown]) -> Tested:
    """Return a connection check's steps."""
    return Tested(
        ok=all(step.state != "critical" for step in found),
        steps=[Step(name=one.name, verdict=one.state, sentence=one.sentence, remedy=one.remedy) for one in found],
    )


def _figures(facts: BrokerFacts) -> tuple[Shown, dict[str, str]]:
    names = measured.shown(Kind.BROKER)
    found = figures(_broker_values(facts, names), names)
    kind = Kind.BROKER if facts.whole else Kind.VHOST
    unknown = reasons(found, kind, facts.unknown, why_unknown(facts))
    if not facts.whole:
        of_vhosts = {*measured.names(Kind.VHOST), "vhosts"}
        unknown = {name: said if name in of_vhosts else _LIMITED for name, said in unknown.items()}
    return found, unknown


def _broker_values(facts: BrokerFacts, names: Sequence[str]) -> dict[str, float]:
    """Return the measures of a broker: of who sees some vhosts, those that their sums suffice for."""
    if not facts.fresh:
        return {}
    found = dict(facts.totals)
    for name in names:
        one = measure(Kind.BROKER, name)
        if one is None or one.compute is None or name in found:
            continue
        if facts.whole and facts.shown is not None:
            found[name] = value(facts.shown, Kind.BROKER, 0, name)
        elif not one.span_s:
            parts = {need: np.array([facts.totals.get(need, math.nan)]) for need in one.needs}
            found[name] = float(one.compute(parts)[0])
    return found


def _node(facts: BrokerFacts, node: NodeFacts) -> Node:
    names = [metric.name for metric in METRICS[Kind.NODE] if metric.shape is Shape.GAUGE]
    found = figures({name: getattr(node, name) for name in names} if facts.fresh else {}, names)
    return Node(
        name=node.name,
        version=node.rabbitmq_version,
        erlang_version=node.erlang_version,
        partitions=list(node.partitions),
        figures=found,
        unknown=reasons(found, Kind.NODE, facts.unknown, why_unknown(facts)),
    )


def _vhost(facts: BrokerFacts, vhost: VhostFacts) -> Vhost:
    names = measured.shown(Kind.VHOST)
    shown = facts.shown if facts.fresh else None
    found = figures({name: value(shown, Kind.VHOST, vhost.slot, name) for name in names} if shown else {}, names)
    return Vhost(
        name=vhost.name,
        readable=vhost.readable,
        figures=found,
        unknown=reasons(found, Kind.VHOST, facts.unknown, why_unknown(facts)),
    )


def _settings(broker: Broker) -> Settings:
    held, problem = stored_secrets(broker)
    return Settings(
        management_url=broker.management_url,
        prometheus_urls=broker.prometheus_urls.split(),
        username=broker.username,
        has_password=bool(held.password),
        has_token=bool(held.token),
        verify_tls=broker.verify_tls,
        ca_pem=broker.ca_pem,
        client_cert_pem=broker.client_cert_pem,
        has_client_key=bool(held.client_key_pem),
        cadence_s=broker.cadence_s,
        budget_percent=broker.budget_percent,
        budget_kb_s=broker.budget_kb_s,
        prometheus_username=broker.prometheus_username,
        has_prometheus_password=bool(held.prometheus_password),
        prometheus_ca_pem=broker.prometheus_ca_pem,
        paused=broker.paused,
        created_at=moment(broker.created_at.astimezone(dt.UTC).timestamp() * 1000) or "",
        problem=problem,
    )
