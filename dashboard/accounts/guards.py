"""Checks that views begin with: what a person does not see does not exist (404), what they may not do says why (403).

403 and 404 pages show the exception's sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from brokers.registry.models import Broker
from dashboard.accounts.rights import Rights, Role, rights_for

P = ParamSpec("P")


class RefusedError(PermissionDenied):
    """The person's role does not reach. The message is a sentence for them; Django answers 403 with it."""


def refusal(rights: Rights, role: Role, broker: Broker | None = None, vhost: str = "") -> str:
    """Return the sentence for a role that is missing: what is needed where, and what the person has."""
    where = "all brokers" if broker is None else f"vhost {vhost} of {broker.name}" if vhost else broker.name
    has = rights.role_on(broker.pk if broker else None, vhost or None)
    have = f"you are {has.value} there" if has else "you have no role there"
    return f"This needs the role {role.value} on {where}; {have}. An administrator can grant it."


def broker_or_404(rights: Rights, broker_id: int) -> Broker:
    """Return a broker that the person sees. Raises Http404 alike for one that is hidden and one that is not there."""
    broker = Broker.objects.filter(pk=broker_id).first() if rights.sees_broker(broker_id) else None
    if broker is None:
        raise Http404("There is no such broker, or none that you may see.")
    return broker


def check_vhost(rights: Rights, broker: Broker, vhost: str) -> None:
    """Raise Http404 where the person does not see the vhost, the same as for one that is not there."""
    if not rights.sees_vhost(broker.pk, vhost):
        raise Http404(f"{broker.name} has no such vhost, or none that you may see.")


def require(rights: Rights, role: Role, broker: Broker | None = None, vhost: str = "") -> None:
    """Raise RefusedError (403, with its sentence) unless `rights.may(role, …)`.

    `broker` None: on all brokers; `vhost` empty: on the broker as a whole. Raises Http404 instead where the person
    does not see the broker or vhost at all.
    """
    if rights.may(role, broker.pk if broker else None, vhost or None):
        return
    if broker is not None and not rights.sees_broker(broker.pk):
        raise Http404("There is no such broker, or none that you may see.")
    if broker is not None and vhost:
        check_vhost(rights, broker, vhost)
    raise RefusedError(refusal(rights, role, broker, vhost))


def administrators_only(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Let a view through only for administrators of all brokers; others get 403 with the sentence."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        require(rights_for(request), Role.ADMINISTRATOR)
        return view(request, *args, **kwargs)

    return guarded
