"""Topic `queues`: one page of a list of queues. Parameters: those of its address, and `broker` where it is of one."""

from __future__ import annotations

import datetime as dt

from dashboard.accounts.rights import Rights
from dashboard.cells import View
from dashboard.live.refused import Refused
from dashboard.live.topics.params import Params, broker_id
from dashboard.queries.queues import queue_list, read_params


def view(rights: Rights, params: Params, zone: dt.tzinfo, now_ms: int) -> View:
    """Return the list's view. Raises Refused where the person does not see its broker or that is gone."""
    asked = broker_id(params) if params.get("broker") is not None else None
    shown = queue_list(rights, read_params(params), zone, now_ms, asked)
    if shown is None:
        raise Refused("There is no such broker any more, or none that you may see.")
    return shown.view()
