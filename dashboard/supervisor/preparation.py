"""What is done once before the processes start: tables, files for the browser, the first administrator, brokers."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor

from brokers.registry.services import Outcome, Registering, register_from_environment
from dashboard.accounts import first_admin
from dashboard.accounts.audit import act, by_start
from dashboard.accounts.rights import Role
from dashboard.supervisor.plan import Child

# Packages whose files the browser gets; their versions stand for the content of their files.
_PACKAGES = ("django-htmx", "plotly", "django-ninja", "whitenoise")
_WORKER_THREADS = 16
# Long answers are read in threads that come and go: with an arena of glibc's for each, what one let go serves no other.
# And what is longer than this goes back to the system at once: to give it anew costs 2 ms for 5 MB [measured].
_MEMORY = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(8 * 2**20)}


def migrate() -> bool:
    """Bring the tables up to date; True where there was anything to do."""
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return False
    call_command("migrate", interactive=False, verbosity=0)
    return True


def collect_static() -> bool:
    """Collect the browser's files where any changed since the last time; True where that was done."""
    stamp = Path(settings.STATIC_ROOT).with_name("static-stamp")
    print_now = _fingerprint()
    if settings.DEBUG or (stamp.exists() and stamp.read_text() == print_now and Path(settings.STATIC_ROOT).is_dir()):
        return False
    stamp.unlink(missing_ok=True)
    shutil.rmtree(settings.STATIC_ROOT, ignore_errors=True)
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(print_now)
    return True


def make_first_admin() -> list[str]:
    """Make the first administrator where there is nobody; return how to sign in, for the terminal alone."""
    made = first_admin.ensure()
    if made is None:
        return []
    if made.password is None:
        return [f"Sign in as {made.username} with the password in WARREN_ADMIN_PASSWORD."]
    return [
        f"Sign in as {made.username} with the password {made.password}",
        "It is shown this one time; it can be changed on the account page.",
    ]


def register_brokers(addresses: Iterable[str]) -> list[str]:
    """Register management addresses; return a sentence for each that was added, changed or refused."""
    lines = []
    for one in register_from_environment(addresses, _audited):
        if one.outcome is Outcome.REFUSED:
            lines.append(one.sentence)
        elif one.outcome is not Outcome.UNCHANGED:
            lines.append(f"Broker {one.name} of WARREN_BROKERS was {one.outcome.value}.")
    return lines


@contextmanager
def _audited(change: Registering) -> Iterator[None]:
    """Write what the environment changes of a broker into the audit trail, as if a person had done it."""
    with act(
        by_start(),
        "broker.edit" if change.known else "broker.add",
        needs=Role.ADMINISTRATOR,
        broker=change.known,
        subject=change.name,
        intent={"from": "WARREN_BROKERS", "address": change.management_url, "user": change.username},
    ) as done:
        yield
        done.sentence = "WARREN_BROKERS has another address or sign-in." if change.known else "WARREN_BROKERS names it."


def drop_old_messages() -> None:
    """Delete what an earlier run left between beat and worker: those ticks are long past."""
    if settings.WARREN_REDIS_URL:
        return
    for folder in ("queue", "control"):
        shutil.rmtree(settings.CELERY_DIR / folder, ignore_errors=True)
        (settings.CELERY_DIR / folder).mkdir(parents=True, exist_ok=True)


def processes() -> list[Child]:
    """Return Warren's own three: web, worker, beat."""
    python = sys.executable
    celery = [python, "-m", "celery", "--quiet", "--app", "dashboard"]
    web = [
        *(python, "-m", "uvicorn", "dashboard.asgi:application"),
        *("--host", settings.WARREN_HOST, "--port", str(settings.WARREN_PORT)),
        *("--ws", "websockets-sansio", "--lifespan", "auto", "--timeout-graceful-shutdown", "3"),
        # Whose X-Forwarded-For is believed is decided by WARREN_PROXIES, not by uvicorn.
        *("--log-level", "warning", "--no-access-log", "--no-server-header", "--no-proxy-headers"),
    ]
    worker = [
        *(*celery, "worker", "--pool", "threads", "--concurrency", str(_WORKER_THREADS)),
        *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
    ]
    beat = [
        *(*celery, "beat", "--loglevel", "WARNING", "--pidfile", ""),
        # In memory: what it sends says only that a moment has come, so there is nothing to remember.
        *("--scheduler", "dashboard.beat:Scheduler"),
    ]
    shared = {"DJANGO_SETTINGS_MODULE": "dashboard.settings", "C_FORCE_ROOT": "1"}
    return [
        Child("web", web, shared),
        Child("worker", worker, {**shared, **_MEMORY}, patience_s=3.0),
        Child("beat", beat, shared, patience_s=2.0),
    ]


def address() -> str:
    """Return the dashboard's address as a person on this machine types it."""
    host = settings.WARREN_HOST
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.WARREN_PORT}"


def _fingerprint() -> str:
    """Hash what decides the collected files: package versions, and our own files' names, sizes and times."""
    facts: list[object] = [settings.STORAGES["staticfiles"]["BACKEND"]]
    for package in _PACKAGES:
        try:
            facts.append((package, version(package)))
        except PackageNotFoundError:
            facts.append((package, ""))
    own = Path(settings.BASE_DIR)
    for finder in get_finders():
        for path, storage in finder.list([]):
            found = Path(storage.path(path))
            prefix = getattr(storage, "prefix", None) or ""
            if found.is_relative_to(own / "static"):
                status = found.stat()
                facts.append((prefix, path, status.st_size, status.st_mtime_ns))
            else:
                facts.append((prefix, path))
    return hashlib.blake2b(json.dumps(facts, default=str).encode(), digest_size=16).hexdigest()
