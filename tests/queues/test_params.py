"""A question for queues reads back from its address as it was, and from anything else as something harmless."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from dashboard.queries.queues import read_params, unread_params
from dashboard.queries.queues_columns import CHOOSABLE, SORTABLE
from dashboard.queries.queues_params import PAGE_SIZES, Params
from dashboard.queries.queues_states import State

TEXT = st.text(max_size=80).filter(lambda text: not any(0xD800 <= ord(letter) < 0xE000 for letter in text))
QUESTIONS = st.builds(
    Params,
    name=TEXT,
    regex=st.booleans(),
    vhost=TEXT,
    type=st.sampled_from(["", "classic", "quorum", "stream"]),
    state=st.sampled_from(["", *State]).map(str),
    backlog=st.booleans(),
    no_consumers=st.booleans(),
    dlq=st.booleans(),
    sort=st.builds(str.__add__, st.sampled_from(["", "-"]), st.sampled_from(SORTABLE)),
    cols=st.lists(st.sampled_from(CHOOSABLE), unique=True).map(tuple),
    page=st.integers(1, 999_999),
    page_size=st.sampled_from(PAGE_SIZES),
)


def from_address(query: str) -> Params:
    return read_params(dict(QueryDict(query.removeprefix("?")).lists()))


@given(QUESTIONS)
def test_it_reads_back_from_its_address(params: Params) -> None:
    assert from_address(params.query()) == params


@given(QUESTIONS)
def test_it_reads_back_from_a_subscription(params: Params) -> None:
    assert read_params(params.plain()) == params


@given(
    st.dictionaries(
        st.sampled_from(["name", "regex", "vhost", "sort", "cols", "page", "page_size", "state", "other"]),
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists),
    )
)
def test_it_makes_something_of_anything(data: dict[str, Any]) -> None:
    params = read_params(data)
    assert params.page >= 1
    assert params.page_size in PAGE_SIZES
    assert params.sort_key in SORTABLE
    params.name.encode()
    assert from_address(params.query()) == params


def test_it_is_short_where_all_is_usual() -> None:
    assert Params().query() == ""
    assert Params(name="a&b", page=3).query() == "?name=a%26b&page=3"


def test_it_begins_at_the_first_page_when_anything_changes() -> None:
    assert from_address(Params(page=7, name="x").query(backlog=True)) == Params(name="x", backlog=True)
    assert from_address(Params(page=7).query(page=8)).page == 8


def test_it_takes_the_last_of_two() -> None:
    # A form's button stands behind its hidden field.
    assert from_address("?sort=-state&sort=ready").sort == "ready"


def test_it_mends_half_characters() -> None:
    assert read_params({"name": "\ud800x"}).name == "?x"


@given(QUESTIONS)
def test_it_has_nothing_to_say_of_its_own_addresses(params: Params) -> None:
    assert not unread_params(dict(QueryDict(params.query().removeprefix("?")).lists()))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("state=stoped", "There is no state “stoped”: queues in any state are shown."),
        ("colour=red&name=a", "“colour” is no filter of this list: it is left out."),
        ("backlog=maybe", "“backlog=maybe” is neither yes nor no: it is left out."),
        ("backlog=0&dlq=&state=&type=", ""),
        ("sort=-sise", "There is no column “sise” to sort by: the worst come first."),
        ("cols=ready&cols=readdy", "There is no column “readdy”: it is left out."),
        ("page=last", "There is no page “last”: the first is shown."),
        ("page_size=70", "A page has 50, 100 or 200 rows, not “70”: 50 are shown."),
        ("state=" + 300 * "x", f"There is no state “{39 * 'x'}…”: queues in any state are shown."),
    ],
)
def test_it_says_what_of_an_address_it_did_not_understand(query: str, says: str) -> None:
    asked = dict(QueryDict(query).lists())
    assert " ".join(unread_params(asked)) == says
    assert read_params(asked).state == ""


def test_it_does_not_go_on_for_ever_about_it() -> None:
    said = unread_params({f"x{number}": ["1"] for number in range(300)})
    assert len(said) == 4
    assert said[-1] == "297 more of the address was not understood and is left out."
