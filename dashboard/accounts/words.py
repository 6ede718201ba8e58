"""Grants in words."""

from __future__ import annotations

from dashboard.accounts.models import Grant, Role


def scope_words(broker_name: str | None, vhost_pattern: str) -> str:
    """Return a scope in words: `all brokers`, `shop-prod-eu`, `shop-prod-eu, vhosts tenant-*`."""
    if broker_name is None:
        return "all brokers"
    return f"{broker_name}, vhosts {vhost_pattern}" if vhost_pattern else broker_name


def grant_words(grant: Grant) -> str:
    """Return a grant in words: `operator on shop-prod-eu, vhosts tenant-*`. Reads `grant.broker`."""
    return (
        f"{Role(grant.role).value} on {scope_words(grant.broker.name if grant.broker else None, grant.vhost_pattern)}"
    )
