"""The Celery application: Redis where WARREN_REDIS_URL is set, else files under the data folder."""

from __future__ import annotations

import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")

# Celery warns of root because of pickled messages, which are not accepted here: seven lines at every start.
warnings.filterwarnings("ignore", category=SecurityWarning)

TRANSPORT_ALIASES["filesystem"] = "dashboard.file_transport:Transport"

app = Celery("warren")


def _transport() -> dict[str, Any]:
    if settings.WARREN_REDIS_URL:
        return {"visibility_timeout": 3600}
    folder = settings.CELERY_DIR
    for name in ("queue", "control"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "queue"),
        "control_folder": str(folder / "control"),
        "polling_interval": 0.1,
    }


app.conf.update(
    broker_url=settings.CELERY_BROKER_URL,
    broker_transport_options=_transport(),
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_default_queue="warren",
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    enable_utc=True,
    timezone="UTC",
    # Beat only says that a moment has come; what is due is decided from our tables.
    beat_schedule={
        "dispatch": {
            "task": "brokers.collect.tasks.dispatch",
            "schedule": 0.5,
            "options": {"expires": 2, "ignore_result": True},
        },
        "keep history": {
            "task": "brokers.series.tasks.keep_all",
            "schedule": 60.0,
            "options": {"expires": 50, "ignore_result": True},
        },
    },
    beat_max_loop_interval=0.5,
)
app.autodiscover_tasks(["brokers.collect", "brokers.series"])
