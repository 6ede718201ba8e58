"""Topic `broker`: one broker's page. Parameters: `broker`, its id, `range` where its charts follow, and
`exchanges`, the order of its exchanges."""

from __future__ import annotations

import datetime as dt

import msgspec

from dashboard.accounts.rights import Rights
from dashboard.cells import View
from dashboard.live.refused import Refused
from dashboard.live.topics.params import Params, broker_id
from dashboard.queries.broker import broker_page
from dashboard.queries.broker_charts import broker_live


def view(rights: Rights, params: Params, zone: dt.tzinfo, now_ms: int) -> View:
    """Return the broker's view. Raises Refused where the person does not see it or it is gone."""
    order = params.get("exchanges", "")
    shown = broker_page(rights, broker_id(params), zone, now_ms, order if isinstance(order, str) else "")
    if shown is None:
        raise Refused("There is no such broker any more, or none that you may see.")
    span = params.get("range", "")
    asked = {"range": span if isinstance(span, str) else ""}
    return msgspec.structs.replace(shown.view(), charts=broker_live(shown.facts, asked, now_ms))
