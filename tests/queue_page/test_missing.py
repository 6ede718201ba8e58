"""The names that are nearest to one that is not there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dashboard.queries.queue_missing import SHOWN, closest

NAMES = [("shop", "payments.capture"), ("shop", "payments.refund"), ("mail", "payments.capture"), ("shop", "orders")]


def test_it_finds_what_was_mistyped() -> None:
    assert closest(NAMES, "mail", "payment.captur")[:2] == [("mail", "payments.capture"), ("shop", "payments.capture")]
    assert closest(NAMES, "shop", "PAYMENTS.CAPTURE")[0] == ("shop", "payments.capture")
    assert closest(NAMES, "shop", "zzz") == []


@given(
    st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40)), max_size=30),
    st.text(max_size=300),
    st.text(max_size=300),
)
def test_it_offers_few_of_those_there_are(names: list[tuple[str, str]], vhost: str, name: str) -> None:
    found = closest(names, vhost, name)
    assert len(found) <= SHOWN
    assert set(found) <= set(names)
    if any(other.casefold() == name.casefold() for _, other in names):
        assert found[0][1].casefold()[:300] == name.casefold()[:300]
