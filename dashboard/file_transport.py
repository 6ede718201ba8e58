"""Celery's filesystem transport with messages that are there whole or not at all.

Kombu's own opens a message's file under its final name and writes it after that: a worker that looks in between, or
after the disk was full, gets an empty message and ends. Here a message is written aside and renamed, and one that can't
be read is passed over.
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps, loads


class Channel(filesystem.Channel):
    """One file a message, named by the moment that it was sent at."""

    def _put(self, queue: str, payload: dict[str, Any], **_kwargs: Any) -> None:  # type: ignore[override]
        name = f"{time.monotonic_ns():020d}_{uuid.uuid4()}.{queue}.msg"
        aside = Path(self.data_folder_out) / f".{name}.new"
        try:
            aside.write_text(dumps(payload))
            aside.rename(Path(self.data_folder_out) / name)
        except OSError as error:
            with suppress(OSError):
                aside.unlink()
            raise ChannelError(f"No message can be left in {self.data_folder_out}: {error.strerror}") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002 - as kombu declares it
        folder, end = self.data_folder_in, f".{queue}.msg"
        # A worker looks ten times a second, and mostly there is nothing: `Path.glob` takes ten times as long to see it.
        try:
            there = os.listdir(folder)  # noqa: PTH208
        except OSError as error:
            raise Empty from error
        for name in sorted(name for name in there if name.endswith(end) and name[0] != "."):
            taken = Path(folder, f".{name}.taken")
            try:
                Path(folder, name).rename(taken)
                content = taken.read_text()
                taken.unlink()
            except OSError:
                # Another worker was quicker.
                continue
            with suppress(ValueError):
                return loads(content)
        raise Empty


class Transport(filesystem.Transport):
    """Kombu's, over the channel above."""

    Channel = Channel
