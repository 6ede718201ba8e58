"""Frames: whatever was acknowledged, hidden or missed when, a browser ends with the newest view and only that."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.cells import Cell, ChartPoints, View
from dashboard.live import frames
from dashboard.live.messages import MOST_SUBSCRIPTIONS
from dashboard.live.subscriptions import Subscriptions
from tests.live.client import Shown

keys = st.sampled_from(["b.1.ready", "b.1.state", "q.1.7.ready", "q.1.8.ready", "page.summary"])
cells = st.builds(
    Cell,
    text=st.sampled_from(["0", "1", "—", "<b>"]),
    zero=st.booleans(),
    share=st.none() | st.sampled_from([0.0, 0.5]),
    since_ms=st.none() | st.integers(0, 3),
)
value = st.none() | st.sampled_from([0.0, 1.0, 2.5])


@st.composite
def charts(draw: st.DrawFn) -> ChartPoints:
    times = sorted(draw(st.sets(st.integers(0, 12), max_size=8)))
    names = draw(st.sampled_from([("ready",), ("ready", "unacked")]))
    column = st.lists(value, min_size=len(times), max_size=len(times))
    return ChartPoints(times, {name: draw(column) for name in names})


views = st.builds(
    View,
    cells=st.dictionaries(keys, cells, max_size=5),
    order=st.none() | st.lists(st.sampled_from("abcd"), unique=True),
    charts=st.dictionaries(st.sampled_from(["depth", "rates"]), charts(), max_size=2),
    at_ms=st.integers(0, 5),
    shape=st.sampled_from(["", "s1", "s2"]),
)


def over_the_wire(frame: frames.Frame) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(msgspec.json.encode(frame))
    return sent


def whole(view: View) -> Shown:
    return Shown().after(over_the_wire(frames.state("page", 1, view, 0)))


def comparable(shown: Shown) -> Shown:
    """A chart that is gone is one without points."""
    shown.charts = {key: points for key, points in shown.charts.items() if points["times"]}
    return shown


@given(views, views)
def test_it_turns_any_view_into_any_other(before: View, after: View) -> None:
    frame = frames.change("page", 2, before, after, 0)
    if frame is None:
        assert before == after
        return
    assert comparable(whole(before).after(over_the_wire(frame))) == comparable(whole(after))


@given(views, views)
def test_it_sends_no_cell_that_is_the_same(before: View, after: View) -> None:
    frame = frames.change("page", 2, before, after, 0) or {}
    assert all(before.cells.get(key) != cell for key, cell in frame.get("cells", {}).items())


@given(st.lists(value, min_size=2, max_size=40), st.integers(0, 5), st.integers(1, 5))
def test_it_sends_of_a_chart_only_what_is_new(values: list[float | None], dropped: int, added: int) -> None:
    times = list(range(len(values)))
    dropped = min(dropped, len(values) - 1)
    before = View({}, charts={"depth": ChartPoints(times, {"ready": values})})
    later = ChartPoints(
        times[dropped:] + list(range(len(values), len(values) + added)), {"ready": values[dropped:] + [7.0] * added}
    )
    frame = frames.change("page", 2, before, View({}, charts={"depth": later}), 0)
    assert frame is not None
    sent = frame["charts"]["depth"]
    assert (sent.full, len(sent.times), sent.start) == (False, added, dropped)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("news"), views),
        st.tuples(st.sampled_from(["deliver", "ack", "hide", "show", "subscribe"]), st.none()),
    ),
    max_size=30,
)


class Browser:
    """A browser and the server's side of its one subscription, with a pipe that keeps frames until they are taken."""

    def __init__(self, first: View) -> None:
        self.newest = first
        self.server = Subscriptions()
        self.shown = Shown()
        self.pipe: list[dict[str, Any]] = []
        self.unacked: list[int] = []
        self.frames = 0
        self.subscribe()

    def subscribe(self) -> None:
        assert self.server.subscribe("page", "any", {}, None)

    def send(self) -> None:
        while (one := self.server.next()) is not None:
            one.due = False
            frame = self.server.frame(one, self.newest, 0)
            if frame is not None:
                self.frames += 1
                self.pipe.append(over_the_wire(frame))

    def deliver(self) -> None:
        for frame in self.pipe:
            self.shown = self.shown.after(frame)
            self.unacked.append(frame["seq"])
        self.pipe.clear()

    def ack(self) -> None:
        for seq in self.unacked:
            self.server.ack(seq)
        self.unacked.clear()

    def do(self, step: str, view: View | None) -> None:
        if view is not None:
            self.newest = view
            self.server.news(None)
        else:
            steps = {"subscribe": self.subscribe, "hide": self.server.hide, "show": self.server.show}
            (steps | {"deliver": self.deliver, "ack": self.ack})[step]()


@settings(max_examples=200, deadline=None)
@given(views, steps)
def test_it_ends_with_the_newest_view_whatever_happened_before(first: View, taken: list[tuple[str, Any]]) -> None:
    browser = Browser(first)
    for step, view in taken:
        browser.do(step, view)
        was_hidden, before = browser.server.hidden, browser.frames
        browser.send()
        assert not (was_hidden and browser.frames > before), "a frame was sent while hidden"
    browser.server.show()
    browser.send()
    browser.deliver()
    browser.ack()
    browser.send()
    browser.deliver()
    assert comparable(browser.shown) == comparable(whole(browser.newest))


@given(st.lists(views, min_size=1, max_size=8))
def test_it_keeps_no_backlog_for_a_browser_that_does_not_answer(coming: list[View]) -> None:
    browser = Browser(View({}))
    browser.send()
    for view in coming:
        browser.do("news", view)
        browser.send()
    assert browser.frames == 1
    browser.deliver()
    browser.ack()
    browser.send()
    assert browser.frames <= 2
    browser.deliver()
    assert comparable(browser.shown) == comparable(whole(coming[-1]))


def test_it_does_not_let_one_that_is_always_due_keep_others_waiting() -> None:
    server = Subscriptions()
    for name in ("a", "b"):
        server.subscribe(name, "any", {}, None)
    served = []
    for count in range(4):
        one = server.next()
        assert one is not None
        served.append(one.sub)
        one.due = False
        frame = server.frame(one, View({"x": Cell(text=str(count))}), 0)
        assert frame is not None
        server.ack(frame["seq"])
        server.news(None)
    assert served == ["a", "b", "a", "b"]


def test_it_wakes_only_what_waits_for_these_brokers() -> None:
    server = Subscriptions()
    server.subscribe("one", "broker", {}, frozenset({1}))
    server.subscribe("two", "broker", {}, frozenset({2}))
    server.subscribe("all", "fleet", {}, None)
    while (one := server.next()) is not None:
        one.due = False
    server.news(frozenset({2}))
    due = set()
    while (one := server.next()) is not None:
        one.due = False
        due.add(one.sub)
    assert due == {"two", "all"}


def test_it_bounds_the_number_of_subscriptions_and_replaces_one_of_the_same_name() -> None:
    server = Subscriptions()
    for number in range(MOST_SUBSCRIPTIONS):
        assert server.subscribe(str(number), "any", {}, None)
    assert not server.subscribe("one more", "any", {}, None)
    assert server.subscribe("0", "another", {}, None)
    assert len(server) == MOST_SUBSCRIPTIONS
