"""Filters narrow, orders rearrange, pages cover: by example and for whatever queues there may be."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.queries.keys import queue_key
from dashboard.queries.queues_columns import COLUMNS, SORTABLE
from dashboard.queries.queues_params import PAGE_SIZES, Params
from dashboard.queries.queues_select import page_of, select
from dashboard.queries.queues_table import Rows
from dashboard.queries.queues_words import matching, waiting
from tests.queues.made import NAN, names, part, queue

SHOP = part(
    [
        queue(
            "orders.created", "shop", type="quorum", state="running", ready=5, unacked=1, consumers=2, publish_rate=1
        ),
        queue("Orders.paid", "shop", type="classic", state="running", ready=0, unacked=0, consumers=1, publish_rate=0),
        queue("orders.dlq", "shop", type="quorum", dead_letters_of=("orders.created",), ready=7, consumers=0),
        queue("mail.failed", "mail", named_like_dlq=True, ready=0, consumers=0),
        queue("lonely", "mail", type="classic", ready=9, unacked=0, consumers=0),
        queue("silent", "mail", type="stream"),
        queue("log", "mail", type="stream", ready=100, unacked=0, consumers=0),
    ]
)
ROWS = Rows([SHOP])


@pytest.mark.parametrize(
    ("params", "found"),
    [
        (Params(name="ORDERS"), {"orders.created", "Orders.paid", "orders.dlq"}),
        (Params(name="s.c"), {"orders.created"}),
        (Params(name="s.*d$", regex=True), {"orders.created", "Orders.paid"}),
        (Params(name="^l", regex=True), {"lonely", "log"}),
        (Params(name=".", regex=False), {"orders.created", "Orders.paid", "orders.dlq", "mail.failed"}),
        (Params(vhost="shop", type="quorum"), {"orders.created", "orders.dlq"}),
        (Params(vhost="sho"), set()),
        (Params(state="stopped"), {"lonely"}),
        (Params(state="no such state"), set()),
        (Params(state="holding"), {"orders.dlq"}),
        (Params(backlog=True), {"orders.created", "orders.dlq", "lonely", "log"}),
        (Params(no_consumers=True), {"orders.dlq", "mail.failed", "lonely", "log"}),
        (Params(dlq=True), {"orders.dlq", "mail.failed"}),
        (Params(dlq=True, backlog=True), {"orders.dlq"}),
    ],
)
def test_it_finds_what_is_asked_for(params: Params, found: set[str]) -> None:
    assert set(names(ROWS, params)) == found


def test_it_counts_the_quick_filters_beside_the_others() -> None:
    counts = select(ROWS, Params(vhost="mail", backlog=True)).counts
    assert counts == {"all": 4, "backlog": 2, "no_consumers": 3, "dlq": 1, "named": 1}


def test_it_puts_the_worst_first_then_the_fullest() -> None:
    assert names(ROWS, Params())[:2] == ["lonely", "orders.dlq"]
    assert names(ROWS, Params())[3:5] == ["log", "orders.created"]


def test_it_does_not_call_a_queue_lonely_in_which_messages_wait_for_their_time() -> None:
    rows = Rows(
        [
            part(
                [
                    queue("orders.retry.30s", ready=12, unacked=0, consumers=0, waits=True),
                    queue("orders.retry.2m", ready=0, unacked=0, consumers=0, ack_rate=0, waits=True),
                    queue("orders", ready=3, unacked=0, consumers=0),
                ]
            )
        ]
    )
    assert names(rows, Params(state="waiting")) == ["orders.retry.30s"]
    assert names(rows, Params(state="stopped")) == ["orders"]
    assert names(rows, Params()) == ["orders", "orders.retry.30s", "orders.retry.2m"]
    # Counted all the same: that nobody is subscribed is a fact.
    assert set(names(rows, Params(no_consumers=True))) == {"orders.retry.30s", "orders.retry.2m", "orders"}


def test_it_puts_the_unknown_last_both_ways() -> None:
    assert names(ROWS, Params(sort="ready"))[-1] == "silent"
    assert names(ROWS, Params(sort="-ready"))[-1] == "silent"
    assert names(ROWS, Params(sort="-ready"))[:2] == ["log", "lonely"]
    assert names(ROWS, Params(sort="type"))[-1] == "mail.failed"
    assert names(ROWS, Params(sort="-type"))[-1] == "mail.failed"


def test_it_puts_what_never_empties_before_what_is_unknown() -> None:
    rows = Rows(
        [part([queue("a", drain_time=NAN), queue("b", drain_time=math.inf), queue("c", drain_time=60.0), queue("d")])]
    )
    assert names(rows, Params(sort="drain_time")) == ["c", "b", "a", "d"]
    assert names(rows, Params(sort="-drain_time")) == ["b", "c", "a", "d"]


def test_it_orders_names_without_case() -> None:
    assert names(ROWS, Params(vhost="shop", sort="name")) == ["orders.created", "orders.dlq", "Orders.paid"]


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("(a", "a bracket is not closed"),
        ("a)", "a bracket is closed that was not opened"),
        ("[a", "the set [a is not closed"),
        ("*", "* has nothing to repeat"),
        ("a**", "** repeats a repetition"),
        ("(?=a)", "no looking ahead"),
        (r"(a)\1", "no references back"),
        ("a{9999}", "repeats too often"),
        ("a" * 251, "An expression may have 250 characters"),
        (r"\q", r"\q is not known here."),
        ("(((.{1,99}){1,99}){1,99})", "repeats too often"),
    ],
)
def test_it_says_what_is_wrong_with_an_expression_and_keeps_the_list(expression: str, word: str) -> None:
    found = select(ROWS, Params(name=expression, regex=True))
    assert word in found.name_error
    assert found.name_error.endswith("The list is not filtered by name.")
    assert len(found.ordered) == len(ROWS)


def test_it_gives_up_an_expression_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows([part([queue(f"q{number}") for number in range(100)])])
    monkeypatch.setattr("dashboard.queries.queues_select._EXPRESSION_SECONDS", -1.0)
    found = select(rows, Params(name="q", regex=True))
    assert found.name_error.startswith("This expression takes too long over 100 names.")
    assert len(found.ordered) == 100


def test_it_compares_names_across_brokers() -> None:
    one = part([queue("b", ready=1), queue("d", ready=1)], broker_id=1, broker="one")
    two = part([queue("a", ready=1), queue("c", ready=1), queue("d", ready=1)], broker_id=2, broker="two")
    rows = Rows([one, two])
    assert names(rows, Params(sort="-ready")) == ["a", "b", "c", "d", "d"]
    assert [rows.key(row) for row in select(rows, Params(sort="name")).ordered.tolist()][-2:] == [
        queue_key(1, 1),
        queue_key(2, 2),
    ]
    assert names(rows, Params(sort="-broker"))[0] == "a"


def test_it_knows_nothing_of_rows_that_are_not_seen() -> None:
    rows = Rows([part([queue("mine", "a", ready=1), queue("theirs", "b", ready=1)], seen=[0])])
    assert names(rows, Params()) == ["mine"]
    assert names(rows, Params(name="theirs")) == []
    assert select(rows, Params(name=".", regex=True)).counts["all"] == 1


def test_it_takes_rates_of_a_silent_broker_for_unknown_and_stocks_for_their_last() -> None:
    rows = Rows([part([queue("q", ready=3, publish_rate=2)], fresh=False)])
    assert rows.figure("ready").tolist() == [3]
    assert math.isnan(rows.figure("publish_rate")[0])
    assert names(rows, Params(state="stale")) == ["q"]


FIGURE = st.sampled_from([NAN, 0.0, 1.0, 2.0, 1e9])
QUEUE = st.builds(
    queue,
    st.text(alphabet="abAB.ä%/", min_size=1, max_size=6),
    st.sampled_from(["/", "a", "b"]),
    type=st.sampled_from([None, "classic", "quorum", "stream"]),
    state=st.sampled_from([None, "running", "idle", "down", "minority", "flow"]),
    policy=st.sampled_from([None, "p"]),
    dead_letters_of=st.sampled_from([(), ("x",)]),
    named_like_dlq=st.booleans(),
    ready=FIGURE,
    unacked=FIGURE,
    consumers=FIGURE,
    publish_rate=FIGURE,
)
QUEUES = st.lists(QUEUE, max_size=12, unique_by=lambda one: one[:2])
QUESTION = st.builds(
    Params,
    name=st.sampled_from(["", "a", "B", ".", "[ab]", "("]),
    regex=st.booleans(),
    vhost=st.sampled_from(["", "a"]),
    type=st.sampled_from(["", "quorum"]),
    state=st.sampled_from(["", "ok", "stopped"]),
    backlog=st.booleans(),
    no_consumers=st.booleans(),
    dlq=st.booleans(),
    sort=st.builds(str.__add__, st.sampled_from(["", "-"]), st.sampled_from(SORTABLE)),
    page_size=st.sampled_from(PAGE_SIZES),
)


@settings(max_examples=60, deadline=None)
@given(QUEUES, QUEUES, QUESTION)
def test_it_only_narrows_and_rearranges(one: list, two: list, params: Params) -> None:
    rows = Rows([part(one, broker_id=1, broker="one"), part(two, broker_id=2, broker="two")])
    found = select(rows, params).ordered.tolist()
    assert len(set(found)) == len(found)
    assert set(found) <= set(range(len(rows)))
    # Without anything that narrows, an order is a permutation of all.
    every = select(rows, Params(sort=params.sort)).ordered.tolist()
    assert sorted(every) == list(range(len(rows)))
    # What is found stands in the order in which it stands among all.
    assert [row for row in every if row in set(found)] == found


@settings(max_examples=60, deadline=None)
@given(QUEUES, st.sampled_from(SORTABLE))
def test_it_orders_by_the_column_with_the_unknown_last(queues: list, key: str) -> None:
    rows = Rows([part(queues)])
    order = COLUMNS[key].order
    assert order is not None
    values = order(rows)
    for sort, sign in ((key, 1), (f"-{key}", -1)):
        shown = [values[row] for row in select(rows, Params(sort=sort)).ordered.tolist()]
        known = [sign * value for value in shown if not math.isnan(value)]
        assert known == sorted(known)
        assert not any(math.isnan(value) for value in shown[: len(known)])


@given(st.integers(0, 1000), st.sampled_from(PAGE_SIZES), st.integers(1, 50))
def test_it_covers_everything_exactly_once_by_its_pages(total: int, size: int, asked: int) -> None:
    page, pages = page_of(total, Params(page=asked, page_size=size))
    assert page == min(asked, pages)
    rows = list(range(total))
    assert [row for number in range(pages) for row in rows[number * size : (number + 1) * size]] == rows
    assert total == 0 or rows[(pages - 1) * size :]


def test_it_counts_backlogs_and_consumers_over_the_same_queues() -> None:
    silent = part([queue("away", "x", ready=4, unacked=0, consumers=0)], broker_id=2, broker="edge", fresh=False)
    both = Rows([SHOP, silent])
    assert matching(both, select(both, Params()), Params(), "") == (
        "8 queues, 121 ready in those that tell, 1 unknown, without 1 that is stale."
    )
    assert waiting(both, select(both, Params())) == "4 have a backlog, 1 of them no consumer."
    alone = Rows([silent])
    assert waiting(alone, select(alone, Params())) == "1 has a backlog."
