"""From an answer of the management API that is not the wanted one to a typed error with a sentence."""

from __future__ import annotations

import re
from http import HTTPStatus

from brokers.rabbitmq.decoding import MalformedError, decode_one
from brokers.rabbitmq.endpoint import Endpoint, address_of
from brokers.rabbitmq.errors import (
    AnswerError,
    ErrorKind,
    ForbiddenError,
    NoPermissionRowError,
    NotFoundError,
    ServerSideError,
    UnauthorisedError,
    clipped,
    quoted,
    unwrapped,
)
from brokers.rabbitmq.http import Answer
from brokers.rabbitmq.structs import Refusal

__all__ = ["NoPermissionRowError", "described", "malformed", "missing", "reason_of", "refusal", "unnameable"]

_TITLE = re.compile(rb"<title[^>]*>([^<]{1,3000})", re.IGNORECASE)


# "Not monitor user": how 3.10 to 4.3 refuse, with 401, somebody who did sign in and lacks a tag [measured].
_NOT_TAGGED = re.compile(r"^not (\w+) user$")
_TAGS = {"monitor": "monitoring", "administrator": "administrator", "policymaker": "policymaker"}


def refusal(answer: Answer, endpoint: Endpoint, *, missing_tag: str = "management", root: bool = False) -> AnswerError:
    """Return what a status other than 200 means. `root` where the path is one that every broker with the plugin has."""
    where = endpoint.address
    reason = reason_of(answer, endpoint)
    user = endpoint.username or "USER"
    who = endpoint.username or ("the token" if endpoint.token else "nobody")
    status = answer.status
    if status == HTTPStatus.UNAUTHORIZED:
        return _unauthorised(where, who, reason, endpoint)
    if status == HTTPStatus.FORBIDDEN:
        return ForbiddenError(
            f"{who} may not ask {where} for that{_because(reason)}.",
            f"Give the user the tag {missing_tag}: rabbitmqctl set_user_tags {user} {missing_tag}",
            missing_tag=missing_tag,
            status=status,
        )
    if status == HTTPStatus.NOT_FOUND and root:
        return AnswerError(
            ErrorKind.PLUGIN_OFF,
            f"{where} answers, but there is no management API at {endpoint.management_url}/api/ (404).",
            "Switch the plugin on: rabbitmq-plugins enable rabbitmq_management. Behind a proxy, add its path prefix.",
            status=status,
        )
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(
            ErrorKind.NOT_FOUND,
            f"{where} does not have that{_because(reason)} (404).",
            "It may have been deleted meanwhile, or this version does not offer it.",
            status=status,
        )
    if status >= 500:
        return ServerSideError(
            ErrorKind.SERVER_ERROR,
            f"{where} failed to answer: HTTP {status}{_because(reason)}.",
            "Look at the broker's log at this minute. A proxy in front answers 502 to 504 when the broker does not.",
            status=status,
        )
    if "page_out_of_range" in reason or "page out of range" in reason.lower():
        return AnswerError(
            ErrorKind.PAGE_OUT_OF_RANGE,
            f"{where} has fewer pages than were asked for.",
            "Ask for the first page again.",
            status=status,
        )
    return AnswerError(
        ErrorKind.REFUSED_REQUEST,
        f"{where} refused the call: HTTP {status}{_because(reason)}.",
        "Check that the address is the management API's.",
        status=status,
    )


def missing(what: str, vhost: str | None, endpoint: Endpoint) -> NotFoundError:
    """Return the error for an object that is not there; `what` is its kind and repr of its name."""
    inside = f" in the vhost {quoted(vhost)}" if vhost is not None else ""
    kind, _, name = what.partition(" ")
    return NotFoundError(
        ErrorKind.NOT_FOUND,
        f"There is no {kind} {quoted(name.strip(chr(39)))}{inside} on {endpoint.address}.",
        "It may have been deleted meanwhile.",
        status=404,
    )


def unnameable(name: str, endpoint: Endpoint) -> AnswerError:
    """Return the error for what the API has no address for."""
    return AnswerError(
        ErrorKind.REFUSED_REQUEST,
        f"The management API of {endpoint.address} can't be asked for {quoted(name)}: it takes that for a path.",
        "Lists and figures have it; use rabbitmqctl for the rest.",
    )


def malformed(answer: Answer, error: Exception, endpoint: Endpoint) -> AnswerError:
    """Return the error for a body that is not the JSON that was expected."""
    where = address_of(answer.url)
    if isinstance(error, MalformedError) and error.truncated and answer.body.strip():
        return AnswerError(
            ErrorKind.TRUNCATED,
            f"{where} ended its answer in the middle ({answer.bytes:,} bytes).",
            "Look for a proxy that cuts answers, or a node that restarts.",
            status=answer.status,
        )
    return AnswerError(
        ErrorKind.NOT_RABBITMQ,
        f"{where} answers {described(answer, endpoint)}, not RabbitMQ's management API.",
        "Enter the address of the management API; it is the one of the official UI, up to the #.",
        status=answer.status,
    )


def reason_of(answer: Answer, endpoint: Endpoint) -> str:
    """Return the broker's own words for a refusal, unwrapped and clipped; empty where there are none."""
    try:
        found = decode_one(answer.body, Refusal)
    except MalformedError:
        return ""
    reason = unwrapped(endpoint.hiding(str(found.reason or "")))
    error = unwrapped(endpoint.hiding(found.error or ""), 60)
    if error == "page_out_of_range":
        return f"{error}: {reason}"
    return reason or error


def _unauthorised(where: str, who: str, reason: str, endpoint: Endpoint) -> AnswerError:
    lowered = reason.lower()
    if "not management user" in lowered or "not_management" in lowered:
        return ForbiddenError(
            f"{who} signed in to {where}, and has no tag that lets it use the management API.",
            f"Give the user the tag monitoring: rabbitmqctl set_user_tags {endpoint.username or 'USER'} monitoring",
            missing_tag="monitoring",
            status=401,
        )
    tag = _TAGS.get(_NOT_TAGGED.sub(r"\1", lowered))
    if tag is not None:
        return ForbiddenError(
            f"{who} signed in to {where}, and may not ask for that without the tag {tag}.",
            f"Give the user the tag {tag}: rabbitmqctl set_user_tags {endpoint.username or 'USER'} {tag}",
            missing_tag=tag,
            status=401,
        )
    if "loopback" in lowered or "can only log in via localhost" in lowered:
        return UnauthorisedError(
            ErrorKind.UNAUTHORISED,
            f"{where} lets {who} sign in from its own machine only.",
            "Make a user for Warren: rabbitmqctl add_user warren, then set_user_tags warren monitoring.",
            status=401,
        )
    return UnauthorisedError(
        ErrorKind.UNAUTHORISED,
        f"{where} does not accept the credentials of {who}{_because(reason, 'Login failed', 'Not_Authorized')}.",
        "Check user name and password (or the token), and that the user exists: rabbitmqctl list_users",
        status=401,
    )


def _because(reason: str, *boring: str) -> str:
    return f": {reason}" if reason and reason not in boring else ""


def described(answer: Answer, endpoint: Endpoint) -> str:
    """Return what an answer is that is not the wanted one: "with an HTML page titled …"."""
    title = _TITLE.search(answer.body[:4096])
    if title is not None or answer.body.lstrip()[:1] == b"<" or "html" in answer.content_type:
        named = (
            f" titled {quoted(endpoint.hiding(title[1].decode('utf-8', 'replace')), 60)}" if title is not None else ""
        )
        return f"with an HTML page{named}"
    if not answer.body.strip():
        return "with nothing"
    return f"with something else ({clipped(endpoint.hiding(answer.content_type) or 'no content type', 60)})"
