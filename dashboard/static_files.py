"""Which files of the Python packages that ship the browser's libraries are served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.staticfiles.finders import FileSystemFinder
from django.core.files.storage import Storage


class NarrowFileSystemFinder(FileSystemFinder):
    """Lists of plotly's package data plotly.min.js alone: its data sets and templates are not for the browser."""

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterable[Any]:
        """Yield (path, storage) pairs as FileSystemFinder does, less what is not for the browser."""
        path: str
        storage: Storage
        for path, storage in super().list(ignore_patterns):
            if getattr(storage, "prefix", None) == "plotly" and path != "plotly.min.js":
                continue
            yield path, storage
