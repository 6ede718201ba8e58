"""What tests of stored history share."""

from __future__ import annotations

import pytest

from tests.series.histories import BEGIN, MINUTE, SLOTS, Written, walk
from tests.support.builders import make_broker


@pytest.fixture
def written(db: None) -> Written:
    """Two and a half hours of a broker that polls every ten seconds."""
    found = Written(make_broker())
    walk(found, 1, BEGIN, BEGIN + 150 * MINUTE, cadence_ms=10_000, slots=SLOTS)
    return found
