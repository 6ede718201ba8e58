"""`/brokers`: the brokers that Warren watches, and what can be done to them."""

from __future__ import annotations

import time
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Status

from brokers.registry.credentials import Secrets
from brokers.registry.models import Broker
from dashboard.accounts.guards import broker_or_404, require
from dashboard.accounts.rights import Role
from dashboard.acting import broker_form as form
from dashboard.acting import brokers as acting
from dashboard.api.auth import actor, rights
from dashboard.api.broker_shapes import BrokerChange, BrokerFull, BrokerItem, BrokerNew, Tested, full, item, steps
from dashboard.api.problems import ProblemError
from dashboard.api.shapes import Page, PageQuery, cut, next_page, refuse_unknown
from dashboard.queries.broker_facts import facts_of

router = Router(tags=["brokers"])


@router.get("/brokers", response=Page[BrokerItem], operation_id="list_brokers", summary="List brokers")
def list_brokers(request: HttpRequest, query: Query[PageQuery]) -> dict[str, Any]:
    """The brokers that you may see, by name, with their state and figures.

    A person limited to vhosts gets sums over those vhosts where others get the broker's totals (`whole` is false).
    """
    refuse_unknown(request, PageQuery)
    found = facts_of(rights(request), _now_ms())
    return {
        "items": [item(facts) for facts in cut(found, query)],
        "total": len(found),
        "page": query.page,
        "page_size": query.page_size,
        "next": next_page(request, query, len(found)),
    }


@router.post("/brokers", response={201: BrokerFull}, operation_id="add_broker", summary="Add a broker")
def add_broker(request: HttpRequest, response: HttpResponse, given: BrokerNew) -> Status[BrokerFull]:
    """Add a broker; polling it begins within a second. Takes an administrator of all brokers.

    Secrets (`password`, `token`, `client_key_pem`) are encrypted and never come back.
    """
    refuse_unknown(request)
    require(rights(request), Role.ADMINISTRATOR)
    entered = _entered(form.Entered(), given.model_dump(exclude_unset=True))
    _check(form.problems(entered), entered)
    try:
        broker = acting.add(actor(request), entered)
    except IntegrityError as error:
        raise _name_taken(entered.name) from error
    response.headers["Location"] = f"/api/v1/brokers/{broker.pk}"
    return Status(HTTPStatus.CREATED, _full(request, broker))


@router.get("/brokers/{int:broker_id}", response=BrokerFull, operation_id="get_broker", summary="Get a broker")
def get_broker(request: HttpRequest, broker_id: int) -> BrokerFull:
    """One broker with its nodes, its vhosts and, for its administrators, its settings (without secrets)."""
    refuse_unknown(request)
    return _full(request, broker_or_404(rights(request), broker_id))


@router.patch("/brokers/{int:broker_id}", response=BrokerFull, operation_id="edit_broker", summary="Edit a broker")
def edit_broker(request: HttpRequest, broker_id: int, given: BrokerChange) -> BrokerFull:
    """Change what is sent and leave the rest. Takes an administrator of the broker.

    A stored secret is never sent anywhere new: whoever changes the address, adds a Prometheus address on another host
    or turns off the check of certificates has to send the secret along.
    """
    refuse_unknown(request)
    broker = _administered(request, broker_id)
    entered, stored = _changed(broker, given)
    try:
        acting.edit(actor(request), broker, entered, stored)
    except IntegrityError as error:
        raise _name_taken(entered.name) from error
    except Broker.DoesNotExist as error:
        raise ProblemError(404, "The broker was removed meanwhile.") from error
    return _full(request, broker)


@router.delete(
    "/brokers/{int:broker_id}", response={204: None}, operation_id="remove_broker", summary="Remove a broker"
)
def remove_broker(request: HttpRequest, broker_id: int, name: str = "") -> Status[None]:
    """Remove a broker with its history, its credentials and the grants on it; on the broker itself nothing changes.

    Takes an administrator of all brokers, and the broker's name as `name`, so that no wrong number removes one.
    """
    refuse_unknown(request, "name")
    person = rights(request)
    broker = broker_or_404(person, broker_id)
    require(person, Role.ADMINISTRATOR)
    if name.strip() != broker.name.strip():
        said = "This is not its name." if name else f"Send the broker's name: ?name={broker.name}"
        raise ProblemError(422, f"{said} Nothing was removed.", {"name": said})
    acting.remove(actor(request), broker)
    return Status(HTTPStatus.NO_CONTENT, None)


@router.post(
    "/brokers/{int:broker_id}/pause", response=BrokerFull, operation_id="pause_broker", summary="Pause polling"
)
def pause_broker(request: HttpRequest, broker_id: int) -> BrokerFull:
    """Ask nothing of the broker until it is resumed. Takes an administrator of the broker."""
    refuse_unknown(request)
    broker = _administered(request, broker_id)
    acting.pause(actor(request), broker)
    return _full(request, broker)


@router.post(
    "/brokers/{int:broker_id}/resume", response=BrokerFull, operation_id="resume_broker", summary="Resume polling"
)
def resume_broker(request: HttpRequest, broker_id: int) -> BrokerFull:
    """Poll a paused broker again. Takes an administrator of the broker."""
    refuse_unknown(request)
    broker = _administered(request, broker_id)
    acting.resume(actor(request), broker)
    return _full(request, broker)


@router.post(
    "/brokers/{int:broker_id}/test", response=Tested, operation_id="test_broker", summary="Test the connection"
)
def check_broker(request: HttpRequest, broker_id: int, given: BrokerChange | None = None) -> Tested:
    """Test the connection step by step, as stored or with what is sent instead, and change nothing.

    Takes an administrator of the broker. The answer is 200 also where a step fails: `ok` tells.
    """
    refuse_unknown(request)
    broker = _administered(request, broker_id)
    entered, stored = _changed(broker, given or BrokerChange.model_validate({}))
    return steps(acting.test(actor(request), broker, entered, stored))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _administered(request: HttpRequest, broker_id: int) -> Broker:
    person = rights(request)
    broker = broker_or_404(person, broker_id)
    require(person, Role.ADMINISTRATOR, broker)
    return broker


def _full(request: HttpRequest, broker: Broker) -> BrokerFull:
    person = rights(request)
    found = facts_of(person, _now_ms(), [broker.pk])
    if not found:
        raise ProblemError(404, "The broker was removed meanwhile.")
    settings = Broker.objects.filter(pk=broker.pk).first() if person.may(Role.ADMINISTRATOR, broker.pk) else None
    return full(found[0], settings)


def _changed(broker: Broker, given: BrokerChange) -> tuple[form.Entered, Secrets]:
    """Return the broker's settings with what was sent, checked. Raises ProblemError."""
    stored, _ = acting.stored_secrets(broker)
    entered = _entered(form.from_stored(broker, stored), given.model_dump(exclude_unset=True))
    _check(form.problems(entered, broker, stored), entered)
    return entered, stored


def _entered(before: form.Entered, given: dict[str, Any]) -> form.Entered:
    """Lay what was sent over what there is, in the form that pages fill in."""
    if "prometheus_urls" in given:
        given["prometheus_urls"] = "\n".join(" ".join(given["prometheus_urls"]).split())
    if "management_url" in given:
        given["management_url"] = given["management_url"].strip().rstrip("/")
    for name in ("cadence_s", "budget_kb_s"):
        if name in given:
            given[name] = str(given[name])
    if "budget_percent" in given:
        given["budget_percent"] = f"{given['budget_percent']:g}"
    texts = ("name", "username", "token", "ca_pem", "client_cert_pem", "client_key_pem")
    for name in (*texts, "prometheus_username", "prometheus_ca_pem"):
        if name in given:
            given[name] = given[name].replace("\r\n", "\n").strip()
    if given.get("token"):
        given["signs_in"] = "token"
    elif given.get("username") or given.get("password"):
        given["signs_in"] = "password"
    return replace(before, **given)


def _check(errors: dict[str, str], entered: form.Entered) -> None:
    if errors:
        if set(errors) == {"name"} and entered.name and "already" in errors["name"]:
            raise _name_taken(entered.name)
        raise ProblemError(422, errors=errors)


def _name_taken(name: str) -> ProblemError:
    sentence = f"There is a broker named {name} already."
    return ProblemError(409, sentence, {"name": sentence})
