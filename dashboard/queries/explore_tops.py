"""Top lists as a source of series: the objects with most of a measure over a window, of what a person may see."""

from __future__ import annotations

from collections.abc import Mapping

from brokers.lag.read import top
from brokers.registry.models import BrokerObject
from brokers.series.metrics import Kind
from dashboard import formats
from dashboard.accounts.rights import Rights
from dashboard.charts.address import BYS, Source, Top
from dashboard.charts.measures import measures_of
from dashboard.charts.window import RANGES, Window
from dashboard.queries.broker_facts import BrokerFacts
from dashboard.queries.queues_rows import visible


def sources_of(
    rights: Rights, facts: Mapping[int, BrokerFacts], wanted: Top, window: Window
) -> tuple[list[Source], str]:
    """Return the series of a top list, the highest first, or why there are none."""
    broker = facts.get(wanted.broker_id)
    if broker is None:
        return [], f"There is no broker {wanted.broker_id}, or none that you may see."
    slots = _slots(rights, broker, wanted)
    # A broker's own slots are ranked without being named: a hundred thousand of them would be a long list.
    everything = broker.whole and wanted.vhost is None
    if not everything and not slots:
        where = f" in vhost “{visible(wanted.vhost)}”" if wanted.vhost is not None else ""
        return [], f"{broker.name} has no {wanted.kind.value}s{where}, or none that you may see."
    ranked = top(
        broker.id,
        wanted.kind,
        wanted.measure,
        wanted.number,
        window.start_ms,
        window.end_ms,
        by=wanted.by,
        slots=None if everything else slots,
    )
    if not ranked:
        return [], f"{words(wanted, broker.name, window)}: nothing is known of any in this window."
    rows = BrokerObject.objects.filter(
        broker_id=broker.id, kind=wanted.kind.value, slot__in=[one.slot for one in ranked]
    )
    named = {slot: (vhost, name) for slot, vhost, name in rows.values_list("slot", "vhost", "name")}
    found = []
    for one in ranked:
        if one.slot in named:
            vhost, name = named[one.slot]
            if wanted.kind is Kind.VHOST:
                vhost, name = name, ""
            found.append(Source(wanted.measure, wanted.kind, broker.id, vhost, name))
    return found, ""


def words(wanted: Top, broker: str, window: Window) -> str:
    """Say what a top list has: `The 10 queues of vhost shop on eu with most Ready, on average over 1 h`."""
    kind = wanted.kind.value if wanted.number == 1 else f"{wanted.kind.value}s"
    of = f"vhost {visible(wanted.vhost)} on {broker}" if wanted.vhost is not None else broker
    word = measures_of(wanted.kind)[wanted.measure].word
    span = RANGES[window.range][0] if window.range else formats.duration((window.end_ms - window.start_ms) / 1000)
    return f"The {wanted.number} {kind} of {of} with most {word}, {BYS[wanted.by]} of {span}"


def _slots(rights: Rights, broker: BrokerFacts, wanted: Top) -> list[int]:
    """Return the slots that a person may see, none where they see all of the broker and it is of the whole."""
    if wanted.kind is Kind.NODE or (broker.whole and wanted.vhost is None):
        return []
    rows = BrokerObject.objects.filter(broker_id=broker.id, kind=wanted.kind.value)
    sees = rights.vhost_test(broker.id)
    if wanted.kind is Kind.VHOST:
        return [slot for slot, name in rows.values_list("slot", "name") if sees(name)]
    if wanted.vhost is not None:
        rows = rows.filter(vhost=wanted.vhost) if sees(wanted.vhost) else rows.none()
        return list(rows.values_list("slot", flat=True))
    return [slot for slot, vhost in rows.values_list("slot", "vhost") if sees(vhost)]
