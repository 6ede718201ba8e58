"""A metric's lines are found by leaps, and what leaps can't see is not taken for one metric's."""

from __future__ import annotations

import random

import pytest

from brokers.rabbitmq import exposition
from brokers.rabbitmq.exposition_runs import block, runs

NAMES = ("queue_messages", "queue_messages_ready", "queue", "up")


def lines(name: str, many: int, start: int = 0) -> list[str]:
    return [f'{name}{{queue="q{number}"}} {number}\n' for number in range(start, start + many)]


@pytest.mark.parametrize("many", [1, 2, 20, 700, 5000])
def test_it_finds_every_line_of_a_long_run_and_nothing_of_its_neighbours(many: int) -> None:
    told = {name: lines(name, many + at) for at, name in enumerate(NAMES)}
    text = "\n" + "".join(f"# TYPE {name} gauge\n\n" + "".join(found) for name, found in told.items())
    found = runs(text.encode())
    assert found is not None
    assert {name.decode(): block(text.encode(), spans).decode() for name, spans in found.items()} == {
        name: "\n" + "".join(one) for name, one in told.items()
    }


def test_a_metric_in_two_places_is_read_from_both() -> None:
    body = "".join([*lines("up", 300), *lines("down", 10), *lines("up", 4, 300)]).encode()
    found = exposition.samples(body, {"up", "down"})
    assert found["up"][1].tolist() == list(range(304))
    assert found["down"][1].tolist() == list(range(10))


def test_lines_of_another_metric_in_the_midst_are_not_leapt_over() -> None:
    rows = lines("up", 4000)
    for seed in range(20):
        mixed = list(rows)
        mixed.insert(random.Random(seed).randrange(1, 3999), 'hidden{queue="q"} 7\n')
        body = "".join(mixed).encode()
        found = exposition.samples(body, {"up", "hidden"})
        assert found["hidden"][1].tolist() == [7]
        assert found["up"][1].tolist() == list(range(4000))


@pytest.mark.parametrize("odd", [" up 3\n", "\tup 3\n", '{"up"} 3\n'])
def test_a_line_that_does_not_begin_with_its_name_is_read_all_the_same(odd: str) -> None:
    body = ("".join(lines("other", 2000)) + odd + "".join(lines("last", 3))).encode()
    found = exposition.samples(body, {"up", "last"})
    assert found["up"][1].tolist() == [3]
    assert found["last"][1].tolist() == [0, 1, 2]
