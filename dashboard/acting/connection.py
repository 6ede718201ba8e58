"""Testing a connection for a person who waits: the client's own check, step by step, within a bounded time."""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass

from brokers.rabbitmq import connect_check
from brokers.rabbitmq.connect_check import Step
from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.errors import BrokerError
from brokers.registry.credentials import Secrets
from dashboard import formats
from dashboard.acting.broker_form import Entered

logger = logging.getLogger(__name__)

# The check ends by itself before that.
DEADLINE_S = connect_check.TOTAL_S + 2


@dataclass(frozen=True, slots=True)
class StepShown:
    """One step: `state` is ok, warning, critical or idle (not tried)."""

    name: str
    state: str
    sentence: str
    remedy: str = ""
    commands: str = ""
    took: str = ""


def endpoint(entered: Entered, secrets: Secrets) -> Endpoint:
    """Return the place that was entered, with the secrets that would be in force. Raises BadEndpointError."""
    return Endpoint(
        entered.management_url,
        username="" if secrets.token else entered.username,
        password=secrets.password,
        token=secrets.token,
        verify=entered.verify_tls,
        ca_pem=entered.ca_pem,
        client_cert_pem=entered.client_cert_pem,
        client_key_pem=secrets.client_key_pem,
        prometheus_urls=tuple(entered.addresses),
        prometheus_username=entered.prometheus_username,
        prometheus_password=secrets.prometheus_password,
        prometheus_ca_pem=entered.prometheus_ca_pem,
    )


def steps_of(entered: Entered, secrets: Secrets, *, deadline_s: float = DEADLINE_S) -> list[StepShown]:
    """Run the check and return its steps; what has not ended after `deadline_s` is said to have been given up."""
    try:
        place = endpoint(entered, secrets)
    except BrokerError as error:
        return [StepShown("Address", "critical", error.sentence, error.remedy)]
    told: queue.Queue[StepShown | None] = queue.Queue()
    threading.Thread(target=_run, args=(place, told), name="connect-check", daemon=True).start()
    end = time.monotonic() + deadline_s
    steps: list[StepShown] = []
    while True:
        try:
            step = told.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            given_up = f"It took longer than {formats.duration(deadline_s)} in all, so the rest was not waited for."
            return [*steps, StepShown("Given up", "critical", given_up)]
        if step is None:
            return steps
        steps.append(step)


def _run(place: Endpoint, told: queue.Queue[StepShown | None]) -> None:
    try:
        for step in connect_check.check(place):
            told.put(_shown(step))
    except Exception:
        logger.exception("The check of %s ended by a fault in Warren", place.address)
        said = "A fault in Warren ended the check; the server's log has the details."
        told.put(StepShown("Given up", "critical", said))
    told.put(None)


def _shown(step: Step) -> StepShown:
    milliseconds = f"{step.seconds * 1000:,.0f} ms" if step.seconds >= 0.001 else "under 1 ms"
    took = "" if step.verdict is connect_check.Verdict.IDLE else milliseconds
    return StepShown(step.name, step.verdict.value, step.sentence, step.remedy, "\n".join(step.commands), took)
