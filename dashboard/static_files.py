"""The files of the pages: which are served, and under names that change with their content, so that they keep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from django.contrib.staticfiles.finders import AppDirectoriesFinder, FileSystemFinder
from django.core.files.storage import Storage
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage

HTMX = "django_htmx/htmx-2.min.js"


class NarrowFileSystemFinder(FileSystemFinder):
    """Lists of plotly's package data plotly.min.js alone: its data sets and templates are not for the browser."""

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterable[Any]:
        """Yield (path, storage) pairs as FileSystemFinder does, less what is not for the browser."""
        path: str
        storage: Storage
        for path, storage in super().list(ignore_patterns):
            if getattr(storage, "prefix", None) != "plotly" or path == "plotly.min.js":
                yield path, storage


class NarrowAppDirectoriesFinder(AppDirectoriesFinder):
    """Lists of django_htmx's many builds the one that pages load."""

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterable[Any]:
        """Yield (path, storage) pairs as AppDirectoriesFinder does, less what no page loads."""
        path: str
        for path, storage in super().list(ignore_patterns):
            if not path.startswith("django_htmx/") or path == HTMX:
                yield path, storage


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise, sending files as ASGI wants them: Django warns of every one that is iterated synchronously."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> FileResponse:
        """Return the file, or the part or the 304 that was asked for."""
        response: FileResponse = WhiteNoiseMiddleware.serve(static_file, request)
        pieces = response.streaming_content
        if isinstance(request, ASGIRequest) and isinstance(pieces, Iterable):
            response.streaming_content = _pieces(pieces)
        return response


async def _pieces(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


class HashedStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc] # whitenoise has no types
    """Names files by their content's hash, in the imports of our own modules too, and compresses them.

    Only our modules are read for imports: the libraries import nothing, and searching plotly.js for it takes seconds.
    """

    support_js_module_import_aggregation = True
    _js_module_import_aggregation_patterns = (
        "js/*.js",
        CompressedManifestStaticFilesStorage._js_module_import_aggregation_patterns[1],  # noqa: SLF001
    )
