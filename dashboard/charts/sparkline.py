"""Provisional until the charts' own file replaces this one."""

from __future__ import annotations

from dashboard.queries.cells import Spark


def sparkline(values: list[float | None], **_: object) -> Spark:
    return Spark()
