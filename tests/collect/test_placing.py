"""What is remembered of where slots stand changes no figure, whatever comes, goes or moves between ticks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.collect.answers import Samples, Scrape
from brokers.collect.basis import Base
from brokers.collect.labels import LabelCache
from brokers.collect.placing import Placing, summed
from brokers.rabbitmq.exposition_again import Again
from brokers.series.codec import encode
from tests.collect.test_frame import CONSUMERS, DELIVERED, INTO, READY, RUNNING, UNACKED, following, made, world

QUEUES = [(vhost, f"q{number}") for number in range(6) for vhost in ("/", "b")]
FAMILIES = (READY, UNACKED, CONSUMERS, DELIVERED, INTO)

slots = st.lists(st.integers(-1, 9), max_size=12).map(lambda told: np.array(told, dtype=np.int64))
wanted = st.sets(st.integers(0, 9), max_size=10).map(lambda told: np.array(sorted(told), dtype=np.int64))


@given(st.lists(slots, max_size=3), wanted, st.integers(1, 3))
def test_it_adds_up_what_several_say_of_the_same(given_slots: list[np.ndarray], there: np.ndarray, again: int) -> None:
    placing = Placing()
    for turn in range(again):
        parts = [(one, np.arange(len(one), dtype=np.float64) + turn) for one in given_slots]
        expected = [
            [value for one, values in parts for slot, value in zip(one, values, strict=True) if slot == at]
            for at in there
        ]
        found = summed(there, parts, placing)
        assert np.array_equal(found, [sum(said) if said else np.nan for said in expected], equal_nan=True)
        assert summed(there, parts, placing, unsaid=0.0).tolist() == [sum(said) for said in expected]
        placing.let_go()


def test_it_keeps_what_is_asked_for_and_nothing_else() -> None:
    placing, held, there = Placing(), np.array([2, 0]), np.array([0, 1, 2])
    first = placing.place(held, there)
    for _ in range(9):
        placing.place(held.copy(), there)
        assert placing.place(held, there) is first
        placing.let_go()
        assert len(placing._kept) <= 3
    for _ in range(6):
        placing.let_go()
    assert not placing._kept


@st.composite
def ticks(draw: st.DrawFn) -> dict[str, dict[tuple[str, str], int]]:
    """What a node tells: mostly of the same queues, in the same order; dearer families not in every tick."""
    order = draw(st.sampled_from([QUEUES, QUEUES[::-1], QUEUES[2:], QUEUES[:5], QUEUES[:3] + QUEUES[6:]]))
    told = {}
    for family in FAMILIES:
        there = draw(st.sampled_from([order, order, order[:3], order[1:]])) if family in (DELIVERED, INTO) else order
        if family != CONSUMERS or draw(st.booleans()):
            told[family] = dict(zip(there, draw(st.lists(st.integers(0, 3), min_size=12, max_size=12)), strict=False))
    return told


def written(told: dict[str, dict[tuple[str, str], int]]) -> bytes:
    lines = [
        f'{family}{{vhost="{vhost}",queue="{name}"}} {value}\n'
        for family, values in told.items()
        for (vhost, name), value in values.items()
    ]
    return "".join([*lines, "other 1\n"]).encode()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(ticks(), ticks(), st.booleans()), min_size=2, max_size=6))
def test_a_snapshot_is_what_it_is_without_anything_remembered(told: list[tuple[dict, dict, bool]]) -> None:  # type: ignore[type-arg]
    held, again = world(QUEUES), {"a": Again(), "b": Again()}
    base: tuple[Base, Base] = (Base(), Base())
    for number, (one, other, silent) in enumerate(told):
        bodies = {"a": written(one), "b": written({family: {} for family in other} if silent else other)}
        gone = ("b",) if silent else ()
        read = {node: again[node].samples(body, FAMILIES) for node, body in bodies.items() if node not in gone}
        fresh: dict[str, dict[str, Samples]] = {
            node: {family: (list(labels), values.copy()) for family, (labels, values) in found.items()}
            for node, found in read.items()
        }
        new: LabelCache = LabelCache(held.directory)
        kept = made(Scrape(1000 * number, RUNNING, read, silent=gone), held, base[0])
        anew = made(Scrape(1000 * number, RUNNING, fresh, silent=gone), new, base[1])
        assert encode(kept.frame) == encode(anew.frame)
        assert kept.contested == anew.contested
        base = following(kept), following(anew)
