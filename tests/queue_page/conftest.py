"""Ticks and readings of definitions, as in the tests of collecting."""

from __future__ import annotations

from tests.collect.conftest import _fresh_process, read, tick

__all__ = ["_fresh_process", "read", "tick"]
