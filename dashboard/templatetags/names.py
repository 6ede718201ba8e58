"""Tag `cut`: how a table draws a name that somebody chose, however long."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

# What every screen has room for; a longer name is cut off where there is less room than it takes.
SHORT = 20


@register.simple_tag
def cut(name: str) -> SafeString:
    """Draw a name on one line; a long one is cut off at its end, and stands whole in its tip."""
    if len(name) <= SHORT:
        return format_html("<bdi>{}</bdi>", name)
    return format_html('<bdi class="cut" data-tip="{}" tabindex="0">{}</bdi>', name, name)
