"""Filter `count`: a whole number as every figure is written, `2,006`."""

from __future__ import annotations

from django import template

from dashboard import formats

register = template.Library()
register.filter("count", formats.count)
