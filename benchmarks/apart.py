"""A folder, an environment and brokers of a benchmark's own, so that it neither reads nor leaves anything elsewhere."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django

from tests.support.brokers import RUN_DIR, end_all


@contextmanager
def working_folder(prefix: str) -> Iterator[Path]:
    """Give a temporary folder; brokers that are started meanwhile are kept there, and end with it."""
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        folder = Path(name)
        folder.joinpath("pid").write_text(str(os.getpid()))
        os.environ[RUN_DIR] = name
        try:
            yield folder
        finally:
            end_all(folder)


def set_up(folder: Path, log_level: str) -> None:
    """Set Django up with its data under `folder`, whatever Warren's own environment says."""
    for name in [name for name in os.environ if name.startswith("WARREN_") and not name.startswith("WARREN_TEST_")]:
        del os.environ[name]
    data = folder / "data"
    data.mkdir()
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "dashboard.settings",
        "WARREN_DATA_DIR": str(data),
        "WARREN_LOG_LEVEL": log_level,
    }
    django.setup()
