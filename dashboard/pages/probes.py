"""/healthz, /readyz and /metrics: whether the process lives, whether it can serve, and how Warren itself is."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.urls.resolvers import URLPattern
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.exposition import choose_encoder

from brokers.collect.room import room
from brokers.collect.state import state_of
from brokers.registry.models import Broker
from dashboard.accounts.guards import RefusedError, require
from dashboard.accounts.rights import Role, rights_for
from dashboard.api.auth import Person
from dashboard.api.problems import ProblemError, problem
from dashboard.pages.own_metrics import registry
from dashboard.queries.collector import whether_it_runs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `required`: without it the process is not ready."""

    name: str
    ok: bool
    required: bool
    sentence: str


# Migrations are only ever added by a new start, so that what was found applied once stays so.
_migrated = False


@login_not_required
@never_cache
@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """Answer 200: this process answers. Asks nothing of anything else."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@never_cache
@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 where the process can serve, else 503; what was looked at stands in the answer.

    Anybody may ask, so the sentences name no broker, no host and no number. Whether collecting runs is told and not
    required: pages show what is stored, and say themselves how old it is.
    """
    checks = checked(time.time_ns() // 1_000_000)
    ready = all(check.ok for check in checks if check.required)
    return JsonResponse(
        {"ready": ready, "checks": [asdict(check) for check in checks]},
        status=200 if ready else 503,
        headers={} if ready else {"Retry-After": "5"},
    )


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer Warren's own figures in Prometheus' format, to a token (or session) of a viewer of all brokers.

    Not to the loopback address alone: behind a reverse proxy on the same machine everybody comes from there.
    """
    try:
        if Person()(request) is None:
            return problem(401)
        require(rights_for(request), Role.VIEWER)
    except ProblemError as error:
        return problem(error.status, error.detail)
    except RefusedError as error:
        return problem(403, str(error))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry(time.time_ns() // 1_000_000)), content_type=content_type)


def checked(now_ms: int) -> list[Check]:
    """Look at what serving takes, and stop at the first thing that is missing."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        found = [Check("database", True, True, "The database answers.")]
        missing = not _is_migrated()
        found.append(
            Check("migrations", False, True, "Migrations are missing: run `manage.py migrate`, as `manage.py up` does.")
            if missing
            else Check("migrations", True, True, "All migrations are applied.")
        )
        return found if missing else [*found, _storing(), _collecting(now_ms)]
    except DatabaseError as error:
        logger.warning("Not ready: the database does not answer (%s).", error)
        return [Check("database", False, True, "The database does not answer; Warren's log says why.")]


def _is_migrated() -> bool:
    global _migrated  # noqa: PLW0603
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _migrated


def _storing() -> Check:
    if room().short:
        return Check(
            "storage", False, False, "The database's disk is nearly full: polling is stopped until it has room."
        )
    return Check("storage", True, False, "There is room to store what polls bring.")


def _collecting(now_ms: int) -> Check:
    states = [state_of(broker, now_ms) for broker in Broker.objects.select_related("poll_state")]
    word, _ = whether_it_runs(states, max((state.since_ms or 0 for state in states), default=0))
    well = word.state not in {"critical", "warning"}
    return Check("collector", well, False, f"Collecting: {word.text.lower()}.")


urlpatterns: list[URLPattern] = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]
