"""Filter `clock`: a moment as sentences of pages have it."""

from __future__ import annotations

import datetime as dt

from django import template

from dashboard import formats

register = template.Library()


@register.filter
def clock(at: dt.datetime | None) -> str:
    """Return a moment to the second, with its day where that is not today: `03:08:44`, `23 Nov 03:08:44`."""
    return formats.clock(round(at.timestamp() * 1000) if at else None)
