"""Filters `clock`, `time_of_day` and `full_time`: moments as cells and sentences have them (dashboard.formats)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from django import template

from dashboard import formats

register = template.Library()


def _of_moment(shape: Callable[[int | None], str]) -> Callable[[dt.datetime | None], str]:
    return lambda at: shape(round(at.timestamp() * 1000) if at else None)


register.filter("clock", _of_moment(formats.clock))
register.filter("time_of_day", _of_moment(formats.time_of_day))
register.filter("full_time", _of_moment(formats.full_time))
