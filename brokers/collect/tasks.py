"""Celery's side of collecting: beat says that a moment has come, the tables say what is due."""

from __future__ import annotations

import logging

from celery import shared_task

from brokers.collect import room
from brokers.collect.claims import TICK_DEADLINE_S, Claim, Lane, claim, due, free_readings, release
from brokers.collect.definitions import read_definitions
from brokers.collect.poll import guarded, now_ms
from brokers.collect.waiting import anything_due

logger = logging.getLogger(__name__)


@shared_task(name="brokers.collect.tasks.dispatch", ignore_result=True)
def dispatch() -> int:
    """Claim the brokers that are due and send a poll for each; return how many. None while the disk is full."""
    short = room.room().sentence
    if short:
        logger.error("%s %s", short, room.REMEDY)
        return 0
    moment = now_ms()
    if not anything_due(moment):
        return 0
    sent = 0
    for broker_id in due(moment, Lane.TICK):
        sent += _claim_and_send(poll, broker_id, moment, Lane.TICK)
    readings = free_readings(moment)
    if readings:
        for broker_id in due(moment, Lane.DEFINITIONS)[:readings]:
            sent += _claim_and_send(definitions, broker_id, moment, Lane.DEFINITIONS)
    return sent


@shared_task(name="brokers.collect.tasks.poll", ignore_result=True)
def poll(broker_id: int, token: str) -> str:
    """Poll one broker under its claim."""
    return guarded(broker_id, token)


@shared_task(name="brokers.collect.tasks.definitions", ignore_result=True)
def definitions(broker_id: int, token: str) -> str:
    """Read one broker's definitions under its claim."""
    return read_definitions(broker_id, token)


def _claim_and_send(task: object, broker_id: int, moment: int, lane: Lane) -> bool:
    claimed = claim(broker_id, moment, lane)
    if claimed is None:
        return False
    _send(task, claimed)
    return True


def _send(task: object, claimed: Claim) -> None:
    # A poll that nobody began in time is not worth beginning: its claim is about to end.
    expires = TICK_DEADLINE_S if claimed.lane is Lane.TICK else 15.0
    try:
        task.apply_async(args=(claimed.broker_id, claimed.token), expires=expires, ignore_result=True)  # type: ignore[attr-defined]
    except Exception:
        release(claimed.broker_id, claimed.token, claimed.lane)
        raise
