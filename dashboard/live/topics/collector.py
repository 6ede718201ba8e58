"""Topic `collector`: the health of collecting. No parameters."""

from __future__ import annotations

import datetime as dt

from dashboard.accounts.rights import Rights
from dashboard.cells import View
from dashboard.live.topics.params import Params
from dashboard.queries.collector import collector


def view(rights: Rights, params: Params, zone: dt.tzinfo, now_ms: int) -> View:  # noqa: ARG001 # as every topic
    """Return the collector's view."""
    return collector(rights, now_ms).view()
