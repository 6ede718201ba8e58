"""Celery's messages as files: whole or not there, first in first out, and a broken one stops nobody."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection
from kombu.exceptions import ChannelError
from kombu.simple import SimpleQueue

from dashboard.file_transport import Transport


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where messages wait."""
    made = tmp_path / "queue"
    made.mkdir()
    return made


@pytest.fixture
def queue(folder: Path) -> Iterator[SimpleQueue]:
    """A queue on a connection of its own."""
    options = {
        "data_folder_in": str(folder),
        "data_folder_out": str(folder),
        "control_folder": str(folder.with_name("control")),
    }
    with Connection("filesystem://", transport=Transport, transport_options=options) as connection:
        # A new name: kombu remembers for the whole process which queues were bound.
        opened = connection.SimpleQueue(f"q{secrets.token_hex(4)}", no_ack=True)
        yield opened
        opened.close()


def test_it_gives_messages_in_the_order_that_they_were_left_in(queue: SimpleQueue, folder: Path) -> None:
    for number in range(20):
        queue.put({"number": number})
    assert [queue.get(timeout=5).payload["number"] for _ in range(20)] == list(range(20))
    assert list(folder.iterdir()) == []
    with pytest.raises(queue.Empty):
        queue.get(block=False)


@pytest.mark.parametrize("content", ["", "{", '"half'])
def test_it_passes_over_a_message_that_is_broken(content: str, queue: SimpleQueue, folder: Path) -> None:
    (folder / f"000_broken.{queue.queue.name}.msg").write_text(content)
    queue.put({"number": 1})
    assert queue.get(timeout=5).payload == {"number": 1}


def test_it_does_not_see_a_message_before_it_is_whole(queue: SimpleQueue, folder: Path) -> None:
    half = folder / f".000_half.{queue.queue.name}.msg.new"
    half.write_text("{")
    with pytest.raises(queue.Empty):
        queue.get(block=False)
    assert half.exists()


def test_it_says_why_a_message_can_not_be_left(queue: SimpleQueue, folder: Path) -> None:
    shutil.rmtree(folder)
    with pytest.raises(ChannelError, match=r"No message can be left in .*: No such file or directory"):
        queue.put({"number": 1})
