"""A failure that repeats is written once a minute with its traceback; everything else is written as it comes."""

from __future__ import annotations

import logging

import pytest

from dashboard import sparing_log
from dashboard.sparing_log import OnceAMinute


def record(sentence: str, *arguments: object, error: Exception | None = None, name: str = "a") -> logging.LogRecord:
    """Return a record, with a traceback where there is an error."""
    info = (type(error), error, None) if error is not None else None
    return logging.LogRecord(name, logging.ERROR, __file__, 1, sentence, arguments, info)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, to be set."""
    now = [1000.0]
    monkeypatch.setattr(sparing_log.time, "monotonic", lambda: now[0])
    return now


def test_it_lets_every_line_without_a_traceback_through(clock: list[float]) -> None:
    sparing = OnceAMinute()
    assert all(sparing.filter(record("The poll of %s failed", "a")) for _ in range(5))


def test_it_writes_a_failure_again_after_a_minute_with_the_count(clock: list[float]) -> None:
    sparing = OnceAMinute()
    assert sparing.filter(record("No room in %s", "x-1", error=OSError("full")))
    assert not sparing.filter(record("No room in %s", "x-2", error=OSError("full")))
    assert not sparing.filter(record("No room in %s", "x-3", error=OSError("full")))
    clock[0] += 61
    again = record("No room in %s", "x-4", error=OSError("full"))
    assert sparing.filter(again)
    assert again.getMessage() == "No room in x-4 (2 more like it since)"


def test_it_tells_failures_apart(clock: list[float]) -> None:
    sparing = OnceAMinute()
    assert sparing.filter(record("No room", error=OSError("full")))
    assert sparing.filter(record("No room", error=ValueError("full")))
    assert sparing.filter(record("No way", error=OSError("full")))
    assert sparing.filter(record("No room", error=OSError("full"), name="b"))
