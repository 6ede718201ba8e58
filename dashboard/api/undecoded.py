"""The path as it was sent. Names of vhosts and queues may hold slashes, dots and per cent signs, so the API routes on
the undecoded path and decodes each segment by itself, where Django's `path_info` has lost the difference.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from django.http import Http404, HttpRequest

from brokers.registry.models import BrokerObject
from brokers.series.metrics import Kind

ROOT = "/api/v1"
# Everything that may stand in a path as it is; what else a client sends raw is encoded for it.
_AS_SENT = "%!$&'()*+,;=:@/-._~"
_QUEUE = re.compile(rf"{ROOT}/brokers/([0-9]{{1,18}})/queues/(.+)", re.DOTALL)


def is_api(path: str) -> bool:
    """Tell whether a path belongs to the API."""
    return path == ROOT or path.startswith(f"{ROOT}/")


def sent_path(request: HttpRequest) -> str | None:
    """Return the request's path, percent-encoded as sent and without the script's prefix; None where it is lost.

    ASGI servers give it as `raw_path`, WSGI servers as RAW_URI or REQUEST_URI. Some give neither, and so does
    Django's test client.
    """
    scope = getattr(request, "scope", None) or {}
    raw: bytes | str | None = scope.get("raw_path") or request.META.get("RAW_URI") or request.META.get("REQUEST_URI")
    if not raw:
        return None
    text = raw.encode("latin-1", errors="replace") if isinstance(raw, str) else raw
    path = quote(text.partition(b"?")[0], safe=_AS_SENT)
    prefix = quote(str(request.META.get("SCRIPT_NAME") or ""), safe="/")
    path = path.removeprefix(prefix) if prefix else path
    # An absolute address in the request line, or a proxy that rewrote the path: the decoded one is all there is.
    return path if is_api(path) else None


def encoded_path(path: str) -> str:
    """Return a decoded path so encoded that each name is one segment; asks the registry where a queue's name begins.

    For servers that tell the decoded path alone. Of several queues that the text could mean, the one with the shortest
    vhost is taken.
    """
    found = _QUEUE.fullmatch(path)
    if found is None:
        return quote(path, safe="/")
    broker_id, rest = int(found[1]), found[2]
    splits = [(rest[:at], rest[at + 1 :]) for at, letter in enumerate(rest) if letter == "/"]
    splits = [(vhost, name) for vhost, name in splits if vhost and name]
    if len(splits) > 1:
        rows = BrokerObject.objects.filter(
            broker_id=broker_id, kind=Kind.QUEUE.value, vhost__in=[vhost for vhost, _ in splits]
        ).filter(name__in=[name for _, name in splits])
        there = set(rows.values_list("vhost", "name"))
        splits = [split for split in splits if split in there] or splits
    if not splits:
        return quote(path, safe="/")
    vhost, name = splits[0]
    return f"{ROOT}/brokers/{broker_id}/queues/{quote(vhost, safe='')}/{quote(name, safe='')}"


def decoded(segment: str) -> str:
    """Return the name that a segment of the path stands for. Raises Http404 where it can be no name: not UTF-8."""
    try:
        name = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as error:
        raise Http404("A name in this address is not UTF-8.") from error
    if "\x00" in name:
        raise Http404("A name in this address has a NUL character; Warren knows such a name with U+FFFD in its place.")
    return name
