"""The one function for acts: it checks the right, writes the intent, runs the act, and writes the outcome.

Pages, API and command line share it:

    with act(by_request(request), "broker.pause", needs=Role.OPERATOR, broker=broker) as done:
        pause(broker)
        done.sentence = "Polling is paused."
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from brokers.registry.models import Broker
from dashboard.accounts.address import client_address
from dashboard.accounts.guards import RefusedError, refusal
from dashboard.accounts.models import AuditEntry
from dashboard.accounts.rights import Rights, Role, Scope, rights_for

_SENTENCE_MOST = 2000
_INTENT_TEXT_MOST = 1000
HIDDEN = "hidden"
_SECRET_KEY = re.compile(r"passw|secret|token|credential|authorization|sealed|private|key_pem", re.IGNORECASE)
_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/]*@", re.IGNORECASE)
_BEARER = re.compile(r"\b(wrn_[\w-]{16,}|(?:Bearer|Basic)\s+[\w.+/=~-]{16,})", re.IGNORECASE)


class Via(StrEnum):
    """Through which door an act came."""

    PAGE = "page"
    API = "api"
    COMMAND = "command"
    START = "start"


class Outcome(StrEnum):
    """What became of an act. An entry with none was cut off: in doubt."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class ActRefusedError(Exception):
    """The act cannot be done as things stand; nothing was changed. The message is a sentence for the person."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, through which door, from where. `rights.user_id` is None on the command line and at start."""

    rights: Rights
    via: Via
    who: str
    address: str | None = None


@dataclass(slots=True)
class Act:
    """An act under way. Set `sentence` to say what was done; it stands in the trail beside the outcome."""

    entry_id: int
    sentence: str = field(default="")


def by_request(request: HttpRequest, via: Via = Via.PAGE, rights: Rights | None = None) -> Actor:
    """Return the person of a request as actor. The API passes the token's rights, since its session is nobody's."""
    rights = rights_for(request) if rights is None else rights
    return Actor(rights, via, rights.username or "nobody", client_address(request))


def by_command() -> Actor:
    """Return whoever runs a management command: they hold the database and the keys, so they may do everything."""
    return Actor(_EVERYTHING, Via.COMMAND, f"{_system_user()} on the command line")


def by_start() -> Actor:
    """Return Warren itself, while it starts."""
    return Actor(_EVERYTHING, Via.START, "Warren at start")


@contextmanager
def act(
    actor: Actor,
    action: str,
    *,
    needs: Role | None,
    broker: Broker | None = None,
    vhost: str = "",
    subject: str = "",
    intent: Mapping[str, Any] | None = None,
) -> Iterator[Act]:
    """Run the body as one audited act.

    `action` is `area.verb` (`broker.add`, `user.grant`). `needs` is the role that it takes on the vhost, the broker, or
    (without a broker) on all brokers; None: anybody may (their own password). `subject` names what it is done to,
    `intent` is what is to be done, JSON; secrets in it are hidden, but don't put any there.

    The entry with its intent is committed before the body starts, so an act that is killed half-way leaves an
    entry without outcome. Then the body ends: normally (done); by `ActRefusedError` (refused, with its sentence); by
    any other exception (failed; its text is kept where the exception has an attribute `sentence`, else only its
    type, since a text of unknown origin may hold a secret). Exceptions go on to the caller.

    Raises RefusedError (403), after writing an entry of it, where the right is missing; check first with
    `guards.broker_or_404` that the person sees the broker at all. Raises RuntimeError inside a transaction:
    nothing would be committed before the act.
    """
    may = needs is None or actor.rights.may(needs, broker.pk if broker else None, vhost or None)
    sentence = "" if may or needs is None else refusal(actor.rights, needs, broker, vhost)
    with transaction.atomic(durable=True):
        entry = AuditEntry.objects.create(
            user_id=actor.rights.user_id,
            who=_text(actor.who, 150),
            via=actor.via.value,
            action=action[:60],
            broker=broker,
            broker_name=_text(broker.name, 80) if broker else "",
            vhost=_text(vhost, 255),
            subject=_text(subject, 255),
            intent=redacted(intent or {}),
            address=actor.address,
            **({} if may else _ended(Outcome.REFUSED, sentence)),
        )
    if not may:
        raise RefusedError(sentence)
    running = Act(entry.pk)
    try:
        yield running
    except ActRefusedError as error:
        _close(entry.pk, Outcome.REFUSED, str(error))
        raise
    except BaseException as error:
        _close(entry.pk, Outcome.FAILED, _failure(error))
        raise
    _close(entry.pk, Outcome.DONE, running.sentence)


def redacted(value: Any) -> Any:
    """Return JSON in which what looks like a secret, by its key or by its form, is the word `hidden`.

    Hidden are values under keys such as `password` or `token`, user names and passwords within URLs, bearer tokens.
    """
    if isinstance(value, Mapping):
        return {
            _text(str(key), 100): HIDDEN if _SECRET_KEY.search(str(key)) and item else redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redacted(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _text(str(value), _INTENT_TEXT_MOST)


def _close(entry_id: int, outcome: Outcome, sentence: str) -> None:
    AuditEntry.objects.filter(pk=entry_id).update(**_ended(outcome, sentence))


def _ended(outcome: Outcome, sentence: str) -> dict[str, Any]:
    return {
        "outcome": outcome.value,
        "sentence": _text(sentence, _SENTENCE_MOST),
        "finished_at": timezone.now(),
    }


def _failure(error: BaseException) -> str:
    sentence = getattr(error, "sentence", None)
    if isinstance(sentence, str) and sentence:
        return sentence
    return f"It broke off: {type(error).__name__}. What was changed until then stays."


def _text(text: str, most: int) -> str:
    """Hide secrets by form, and what a database can't store (NUL, lone surrogates); cut to `most` characters."""
    text = _BEARER.sub(HIDDEN, _USERINFO.sub(r"\1", text))
    text = text.replace("\x00", "\N{SYMBOL FOR NULL}").encode(errors="replace").decode()
    return text if len(text) <= most else text[: most - 1] + "…"


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "somebody"


_EVERYTHING = Rights(scopes=frozenset({Scope(Role.ADMINISTRATOR)}))
