"""Keys of rows: one to one, the same in every process, and no hint of how many objects there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dashboard.queries.keys import disguised, queue_key, vhost_key

slots = st.integers(0, 2**32 - 1)


@given(st.sets(slots, max_size=40))
def test_it_gives_each_slot_a_number_of_its_own(some: set[int]) -> None:
    numbers = {disguised("q", 3, slot) for slot in some}
    assert len(numbers) == len(some)
    assert all(0 <= number < 2**32 for number in numbers)


def test_it_tells_nothing_of_the_slot() -> None:
    numbers = [disguised("q", 3, slot) for slot in range(1000)]
    assert numbers != sorted(numbers)
    assert max(numbers) > 2**31
    assert len(set(numbers)) == 1000
    assert disguised("q", 4, 7) != disguised("q", 3, 7) != disguised("v", 3, 7)


def test_it_names_kind_and_broker() -> None:
    assert queue_key(3, 7) == f"q.3.{disguised('q', 3, 7)}"
    assert vhost_key(3, 7) == f"v.3.{disguised('v', 3, 7)}"
