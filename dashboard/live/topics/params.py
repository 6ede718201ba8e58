"""Reading a subscription's parameters, which a browser sent and nobody has checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.live.refused import Refused

Params = Mapping[str, Any]

# The highest id that a database column holds.
_LARGEST = 2**63 - 1


def broker_id(params: Params) -> int:
    """Return the broker that `params["broker"]` names. Raises Refused."""
    found = _id(params.get("broker"))
    if found is None:
        raise Refused("This page does not say which broker it shows. Reload it.")
    return found


def named_brokers(params: Params) -> frozenset[int] | None:
    """Return the broker of `params["broker"]`, by itself; None, every broker, where it names none."""
    found = _id(params.get("broker"))
    return None if found is None else frozenset({found})


def _id(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST else None
