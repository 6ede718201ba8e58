"""Reading a body by the one before it gives what reading all of it gives, whatever changed in between."""

from __future__ import annotations

import random

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from brokers.rabbitmq import exposition
from brokers.rabbitmq.exposition import Samples, TruncatedExpositionError
from brokers.rabbitmq.exposition_again import Again, Bodies

NAMES = frozenset({"ready", "unacked", "up", "absent"})


def text_of(told: dict[str, list[int | float | str]], scrape: int = 0) -> bytes:
    """Return a body as RabbitMQ writes it: a few metrics of the same queues, and something that always differs."""
    parts = [f"# TYPE scrape_seconds untyped\nscrape_seconds 0.{scrape}\n"]
    for name, values in told.items():
        parts.append(f"# TYPE {name} gauge\n# HELP {name} What it is\n")
        parts += [f'{name}{{vhost="/",queue="q {at}"}} {value}\n' for at, value in enumerate(values)]
    return "".join([*parts, "up 1\n"]).encode()


def same(one: dict[str, Samples], other: dict[str, Samples]) -> bool:
    return one.keys() == other.keys() and all(
        one[name][0] == other[name][0] and np.array_equal(one[name][1], other[name][1], equal_nan=True) for name in one
    )


def some(seed: int, many: int = 50) -> dict[str, list[int | float | str]]:
    drawn = random.Random(seed)
    names = ("ready", "no", "unacked")
    return {name: [drawn.choice([0, 0, 0, 7, 12, 1500, 2.5]) for _ in range(many)] for name in names}


def test_it_reads_what_changed_and_hands_the_rest_out_again() -> None:
    again, told = Again(), some(1)
    first = again.samples(text_of(told), NAMES)
    assert first["ready"][0] is first["unacked"][0]
    told["ready"][3], told["ready"][40] = 123456, "NaN"
    second = again.samples(text_of(told, 77), NAMES)
    assert same(second, exposition.samples(text_of(told, 77), NAMES))
    assert second["ready"][1][3] == 123456
    assert second["ready"][0] is first["ready"][0]
    assert second["unacked"][1] is first["unacked"][1]
    assert first["ready"][1][3] != 123456


def test_it_sees_objects_that_come_and_go() -> None:
    again = Again()
    for many in (3, 4, 4, 2, 0, 5):
        told = some(many, many)
        assert same(again.samples(text_of(told), NAMES), exposition.samples(text_of(told), NAMES))


@pytest.mark.parametrize(
    "line",
    [
        "unacked 7\n# x\n",  # within what was a value
        'unacked{queue="new"} 8\n',
        "up 2 1700000000000\n",
        "up 1_000\n",
        "up\t5\n",
        "up 1}\n",
        "up x\n",
        " up 3\n",
        "",
        "# up 1\n",
    ],
)
@pytest.mark.parametrize("before", ["up 1\n", "other 123456789012\n", "other 1234567890\nup 1\n", "# remark\n"])
def test_it_is_not_misled_by_lines_that_take_the_place_of_others(before: str, line: str) -> None:
    again = Again()
    begin, end = text_of(some(2, 3)), b'last{a="b"} 3\n'
    for between in (before, line, before):
        body = begin + between.encode() + end
        assert same(again.samples(body, NAMES), exposition.samples(body, NAMES))


@hypothesis.settings(max_examples=400, deadline=None)
@hypothesis.given(st.data())
def test_it_gives_what_a_whole_reading_gives_whatever_bytes_changed(data: st.DataObject) -> None:
    again, body = Again(), bytearray(text_of(some(data.draw(st.integers(0, 9)), 3)))
    piece = st.one_of(
        st.sampled_from([b"", b"\n", b" ", b"9", b"12", b"}", b"#", b"up 3\n", b"\nup 3", b"NaN", b".", b"_", b"\t"]),
        st.binary(max_size=2),
    )
    for _ in range(data.draw(st.integers(1, 6))):
        for _ in range(data.draw(st.integers(1, 3))):
            begin = data.draw(st.integers(0, len(body) - 1))
            end = min(len(body) - 1, begin + data.draw(st.integers(0, 3)))
            body[begin:end] = data.draw(piece)
        assert same(again.samples(bytes(body), NAMES), exposition.samples(bytes(body), NAMES))


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(st.lists(st.dictionaries(st.integers(0, 29), st.integers(0, 10**7), max_size=30), max_size=6))
def test_it_gives_what_a_whole_reading_gives_of_values_that_move(moves: list[dict[int, int]]) -> None:
    again, told = Again(), some(3, 10)
    rows = [(name, at) for name in told for at in range(10)]
    for moved in moves:
        for place, value in moved.items():
            name, at = rows[place]
            told[name][at] = value
        body = text_of(told, len(moved))
        assert same(again.samples(body, NAMES), exposition.samples(body, NAMES))


@pytest.mark.parametrize("last", ["up 12\n", "up 3\n", "", "up 3\n\n", "up 123456\n# EOF\n"])
def test_it_reads_the_last_line_too(last: str) -> None:
    again, begin = Again(), text_of(some(4))[: -len("up 1\n")]
    for end in ("up 1\n", last, "up 1\n"):
        body = begin + end.encode()
        assert same(again.samples(body, NAMES), exposition.samples(body, NAMES))


def test_a_body_that_is_cut_off_changes_nothing() -> None:
    again, body = Again(), text_of(some(1))
    found = again.samples(body, NAMES)
    with pytest.raises(TruncatedExpositionError):
        again.samples(body[:-3], NAMES)
    assert again.samples(body, NAMES)["ready"][1] is found["ready"][1]


def test_another_question_is_answered_anew() -> None:
    again, body = Again(), text_of(some(1))
    assert again.samples(body, {"up"}).keys() == {"up"}
    assert same(again.samples(body, NAMES), exposition.samples(body, NAMES))


def test_bodies_are_kept_by_address_as_long_as_they_are_asked_for() -> None:
    now = 0.0
    bodies = Bodies(lambda: now)
    often, seldom = bodies.of("http://a/metrics"), bodies.of("http://b/metrics")
    assert often is not seldom
    for now in (60.0, 120.0):  # noqa: B007 - the clock above
        assert bodies.of("http://a/metrics") is often
    assert bodies.of("http://b/metrics") is not seldom
