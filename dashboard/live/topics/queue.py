"""Topic `queue`: one queue's page. Parameters: `broker`, `vhost`, `name`, and `range` where its charts follow."""

from __future__ import annotations

import datetime as dt

from dashboard.accounts.rights import Rights
from dashboard.cells import View
from dashboard.live.refused import Refused
from dashboard.live.topics.params import Params, broker_id
from dashboard.queries.marks import marks
from dashboard.queries.queue import find_queue, queue_live, queue_page


def view(rights: Rights, params: Params, zone: dt.tzinfo, now_ms: int) -> View:
    """Return the queue's view. Raises Refused alike where the person may not see it and where it never was."""
    vhost, name, span = (_text(params, key) for key in ("vhost", "name", "range"))
    known = find_queue(rights, broker_id(params), vhost, name, now_ms)
    if known is None:
        raise Refused("There is no such queue, or none that you may see.")
    noted = marks(rights, [(known.facts.id, vhost)], zone, now_ms)
    return queue_page(known, zone, now_ms, noted).view(queue_live(known, {"range": span}, now_ms))


def _text(params: Params, key: str) -> str:
    found = params.get(key, "")
    return found if isinstance(found, str) else ""
