"""Figures and times as pages show them. Provisional until the design system's own file replaces this one."""

from __future__ import annotations

import datetime as dt
import math

from django.utils import timezone


def count(value: float) -> str:
    """`32,949`; from 10 million up `412 M`."""
    return f"{value / 1e6:,.0f} M" if value >= 1e7 else f"{int(value):,}"


def rate(value: float) -> str:
    """Three digits: `0.4`, `42.1`, `118`."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def percent(share: float) -> str:
    """`61 %`, `0.9 %` below ten."""
    return f"{share * 100:.0f} %" if share >= 0.1 else f"{share * 100:.1f} %"


def size(value: float) -> str:
    """`2.2 KiB`, `72 MiB`."""
    if math.isnan(value):
        return "—"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def duration(seconds: float) -> str:
    """`7 min 11 s`, `19 h`, `41 d`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h" if whole < 172_800 else f"{whole // 86_400} d"


def seconds(value: float) -> str:
    """`71 ms`, `1.2 s`."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def clock(at_ms: int | None) -> str:
    """`03:08:44` in the viewer's zone."""
    if not at_ms:
        return "—"
    return f"{dt.datetime.fromtimestamp(at_ms / 1000, timezone.get_current_timezone()):%H:%M:%S}"
