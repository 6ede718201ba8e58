"""What Prometheus reads of Warren: how it itself is, and the measures that it computes of brokers (own_measures)."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count, Min, Sum
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from brokers.collect.measures import decode, health_of
from brokers.collect.state import Condition, state_of
from brokers.registry.models import Broker
from brokers.series.levels import Level
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot, Span
from dashboard.live.tail import watching
from dashboard.pages.own_measures import Bounds, Measures


def registry(now_ms: int) -> CollectorRegistry:
    """Return a registry of its own for one scrape: Warren's figures and this web process's."""
    made = CollectorRegistry(auto_describe=False)
    made.register(Health(now_ms))
    made.register(Measures(now_ms, Bounds(settings.WARREN_METRICS_QUEUES, settings.WARREN_METRICS_VHOSTS)))
    ProcessCollector(registry=made)
    return made


class Health(Collector):
    """The figures of one moment. Three queries."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def collect(self) -> Iterator[Metric]:
        """Yield every family. What is unknown has no sample."""
        brokers = list(Broker.objects.select_related("poll_state").order_by("id"))
        conditions = {broker.pk: state_of(broker, self.now_ms).condition for broker in brokers}
        yield self._counted(conditions)
        yield self._states(brokers, conditions)
        yield from self._polls(brokers)
        yield from self._history(brokers)
        sockets = GaugeMetricFamily("warren_websockets_open", "Open websockets that this web process feeds.")
        sockets.add_metric([], watching())
        yield sockets

    @staticmethod
    def _counted(conditions: dict[int, Condition]) -> Metric:
        family = GaugeMetricFamily("warren_brokers", "Brokers by how collecting from them stands.", labels=["state"])
        for condition in Condition:
            family.add_metric([condition.value], sum(one is condition for one in conditions.values()))
        return family

    @staticmethod
    def _states(brokers: list[Broker], conditions: dict[int, Condition]) -> Metric:
        family = GaugeMetricFamily(
            "warren_broker_state", "1 for the state that a broker is in, 0 for the others.", labels=["broker", "state"]
        )
        for broker in brokers:
            for condition in Condition:
                family.add_metric([broker.name, condition.value], int(conditions[broker.pk] is condition))
        return family

    def _polls(self, brokers: list[Broker]) -> Iterator[Metric]:
        def family(name: str, says: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"warren_broker_{name}", says, labels=["broker", *labels])

        age = family("poll_age_seconds", "Time since the last poll that ended in a snapshot.")
        failures = family("poll_failures", "Polls that failed in a row.")
        cadence = family("poll_cadence_seconds", "Time between two polls, stretched where the broker is slow.")
        asked = family("tick_broker_seconds", "Time that the broker's nodes spent answering the last poll.")
        cpu = family("tick_cpu_seconds", "CPU time of the worker in the last poll.")
        row = family("answer_to_row_seconds", "Time from the broker's last answer to the stored row, in the last poll.")
        share = family(
            "answering_ratio",
            "Part of the time that the broker spends answering Warren: polls and definitions together.",
        )
        wire = family("tick_wire_bytes", "Bytes that crossed the wire in the last poll.")
        objects = family("objects", "Objects in the last snapshot.", "kind")
        for broker in brokers:
            poll = getattr(broker, "poll_state", None)
            if poll is None:
                continue
            name = [broker.name]
            cadence.add_metric(name, max(poll.cadence_ms, broker.cadence_s * 1000) / 1000)
            failures.add_metric(name, poll.failures)
            if poll.last_ok_ms:
                age.add_metric(name, max(0, self.now_ms - poll.last_ok_ms) / 1000)
            measures = decode(poll.measures)
            if not measures.began_ms:
                continue
            asked.add_metric(name, measures.broker_s)
            share.add_metric(name, health_of(poll, broker.cadence_s).share)
            cpu.add_metric(name, measures.cpu_s)
            wire.add_metric(name, measures.wire_bytes)
            if measures.answer_to_row_ms is not None:
                row.add_metric(name, measures.answer_to_row_ms / 1000)
            for kind in Kind:
                if kind.value in measures.rows:
                    objects.add_metric([broker.name, kind.value], measures.rows[kind.value])
        yield from (age, failures, cadence, asked, share, cpu, row, wire, objects)

    def _history(self, brokers: list[Broker]) -> Iterator[Metric]:
        """What is kept, and how far making blocks and roll-ups of it lies behind. Two queries for all brokers."""
        waiting = GaugeMetricFamily(
            "warren_history_snapshots", "Snapshots that are not yet in blocks.", labels=["broker"]
        )
        size = GaugeMetricFamily(
            "warren_history_bytes", "Disk that stored history takes, by resolution.", labels=["broker", "resolution"]
        )
        behind = GaugeMetricFamily(
            "warren_history_oldest_snapshot_age_seconds",
            "Age of the oldest snapshot that is not yet in a block: how far compaction lies behind.",
            labels=["broker"],
        )
        names = {broker.pk: broker.name for broker in brokers}
        rows = Snapshot.objects.values("broker_id").annotate(count=Count("id"), oldest=Min("at_ms"))
        for row in rows.order_by("broker_id"):
            if row["broker_id"] in names:
                waiting.add_metric([names[row["broker_id"]]], row["count"])
                behind.add_metric([names[row["broker_id"]]], max(0, self.now_ms - row["oldest"]) / 1000)
        stored = Span.objects.values("broker_id", "level").annotate(size=Sum("stored_bytes"))
        for part in stored.order_by("broker_id", "level"):
            if part["broker_id"] in names:
                resolution = Level(part["level"]).name.lower()
                size.add_metric([names[part["broker_id"]], resolution], part["size"])
        yield from (waiting, behind, size)
