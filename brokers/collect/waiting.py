"""Whether any broker waits for anything: asked twice a second, and answered no nine times in ten.

What is due is decided by brokers.collect.claims, whose queries take longer to compose than to answer. This one in plain
SQL comes before them: it may say yes for nothing, and never no where something is due.
"""

from __future__ import annotations

from django.db import connection

from brokers.collect.claims import LONGEST_CLAIM_MS, NEVER_MS
from brokers.collect.models import PollState
from brokers.registry.models import Broker

_STATES, _BROKERS = (table._meta.db_table for table in (PollState, Broker))  # noqa: SLF001 # public, by name
_DUE = " OR ".join(
    f"s.{due} <= %s OR (s.{due} > %s AND s.{due} < {NEVER_MS})" for due in ("next_due_ms", "definitions_due_ms")
)
_ANY = (
    f"SELECT 1 FROM {_BROKERS} b LEFT JOIN {_STATES} s ON s.broker_id = b.id "  # noqa: S608 # names of ours
    f"WHERE s.broker_id IS NULL OR (NOT b.paused AND ({_DUE})) LIMIT 1"
)


def anything_due(now_ms: int) -> bool:
    """Tell whether a broker may be due in either lane, or has no state yet. Raises DatabaseError."""
    # A due time beyond this may be of a clock that was ahead.
    far_ms = now_ms + LONGEST_CLAIM_MS
    with connection.cursor() as cursor:
        cursor.execute(_ANY, [now_ms, far_ms, now_ms, far_ms])
        return cursor.fetchone() is not None
