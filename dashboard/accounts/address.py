"""Where a request comes from, for throttling and the audit trail."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """Return the client's IP address, or None where there is none (a Unix socket).

    X-Forwarded-For can be written by anybody, so it is not looked at unless WARREN_PROXIES says how many reverse
    proxies stand in front; then the address counted so many from its right end is the one that the outermost of
    them saw.
    """
    proxies: int = settings.WARREN_PROXIES
    if proxies > 0:
        hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
        if len(hops) >= proxies:
            return _address(hops[-proxies])
    return _address(request.META.get("REMOTE_ADDR", ""))


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
