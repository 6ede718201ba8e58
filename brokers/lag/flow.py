"""How many messages ever entered and left each queue, from counters and depths that are not of one moment. Pure.

What a queue took in is counted where it came from a publisher (`published`) and not where it was dead-lettered into
it [measured on 3.10, 4.0 and 4.3]; what left is counted where a consumer acknowledged it (`acknowledged`) and not
where it expired, was purged, dropped, rejected, or taken without acknowledgement. All of it shows in the depth, but
depths are told by the queues every 5 s, each at its own beat, while Prometheus tells counters as of now: depth and
counters differ by what flowed since that beat.

So the depth is not believed as it is. With N = published − acknowledged, the depth of a moment is N of that moment plus
the *surplus*: what entered uncounted less what left uncounted. The surplus is kept as it is as long as the depth
told agrees with it at some moment of the last beat, and is moved to where it would where it does not. Where
nothing flows the surplus is exact; where all is counted it never moves, and depth and head are known as of now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brokers.lag.beat import BEAT_MS, LATEST_BEAT_MS, SAMPLED_MS, Floats, Reading
from brokers.lag.counted import Counted, count, guessed_ms, in_last_beat, restate
from brokers.lag.purge import PURGED, note_held

# How much of what moved the surplus last is still held against a move the other way.
_FADES = 0.7


@dataclass(slots=True)
class Flow:
    """What is known of all queues: arrays in the order of `slots`. `step` advances it by one reading, in place."""

    slots: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, dtype=np.uint32))
    at_ms: int = 0
    live: bool = True
    # By name, see _FRESH.
    columns: dict[str, Floats] = field(default_factory=lambda: {name: np.empty(0) for name in _FRESH})
    # Which slots were ever there: what is back after it was away is not new.
    seen: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    # N and in + out of the last readings, the newest last: enough of them to cover a beat.
    recent: list[Counted] = field(default_factory=list)

    @property
    def entered(self) -> Floats:
        """Messages ever in, counted from an arbitrary start; whole numbers."""
        return np.rint(self.columns["in"] + self.columns["extra"])

    @property
    def depth(self) -> Floats:
        """Messages in the queue as of the counters: what was acknowledged since the queue told of itself is gone."""
        columns = self.columns
        return np.maximum(np.rint(columns["in"] - columns["out"] + columns["surplus"]), 0.0)

    @property
    def behind(self) -> Floats:
        """Messages that came in after the head and are counted in `entered`, the head included; less than one: none.

        Counters of the management API are as of half a beat ago, on average: what left since at the pace of late is
        taken off. Where the depth told is newer than they are, it is the depth, less what came in since.
        """
        columns = self.columns
        # Where all that leaves leaves uncounted, nobody knows what did since the queue told its depth.
        uncounted = (columns["out_pace"] == 0) & (columns["moved_down"] > 1.0) & ~np.isnan(columns["told"])
        if self.live:
            return np.where(uncounted, columns["told"], self.depth)
        newer = (columns["newer"] > 0) | uncounted
        gone = np.where(newer, columns["in_pace"], columns["out_pace"]) * (BEAT_MS / 2)
        depth = np.where(newer, columns["told"], self.depth)
        return np.where(depth > 0, np.maximum(depth - gone, 1.0), 0.0)

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Between which numbers `behind` lies, as far as depths and counters tell."""
        columns, behind = self.columns, self.behind
        net = columns["in"] - columns["out"]
        # As long as depth and counters contradict each other either may be right.
        least = net + np.fmin(columns["low"], columns["doubt_low"])
        most = net + np.fmax(columns["high"], columns["doubt_high"])
        # What was told twice within a beat says nothing of the pace: that of the reading before does.
        into = np.maximum(columns["in_pace"], columns["in_pace_before"])
        out = np.maximum(columns["out_pace"], columns["out_pace_before"])
        unread = self.at_ms - columns["in_ms"]
        late = np.where(columns["newer"] > 0, np.maximum(into, out), out) * (0.0 if self.live else SAMPLED_MS)
        # Since the counters were read a pace may have changed as far again as it did before.
        changed = np.maximum(
            np.abs(columns["in_pace"] - columns["in_pace_before"]),
            np.abs(columns["out_pace"] - columns["out_pace_before"]),
        )
        late = late + changed * np.clip(unread - BEAT_MS, 0.0, guessed_ms(columns["in_span"]))
        least, most = np.minimum(least, behind - late), np.maximum(most, behind + late)
        return np.maximum(np.minimum(least, behind), 0.0), np.maximum(most, behind)

    def know(self, slots: NDArray[np.uint32]) -> None:
        """Take queues that are not there now for such as were there before."""
        self.reach(slots)
        self.seen[slots] = True

    def reach(self, slots: NDArray[np.uint32]) -> None:
        """Make room in `seen` for these slots."""
        more = int(slots.max(initial=0)) + 1 - len(self.seen)
        if more > 0:
            self.seen = np.concatenate((self.seen, np.zeros(more, dtype=np.bool_)))

    def set_back(self, by_ms: int) -> None:
        """Take all moments for earlier ones: the clock was set back by so much."""
        self.at_ms -= by_ms
        self.recent = [(moment - by_ms, net, gross) for moment, net, gross in self.recent]
        for name in ("in_ms", "out_ms", "since_ms", "empty_ms", "head_ms", "held_ms", "again_ms"):
            self.columns[name] = self.columns[name] - by_ms


# What is kept of a queue, and what a queue starts with that was not there before.
_FRESH: Mapping[str, float] = {
    "published": np.nan,  # the counters as last read, and when
    "acknowledged": np.nan,
    "in_ms": -np.inf,
    "out_ms": -np.inf,
    "in": 0.0,  # what they counted since the queue was first seen, over restarts of the broker; guessed since last read
    "out": 0.0,
    "in_read": 0.0,  # the same as of the last reading
    "out_read": 0.0,
    "in_pace": 0.0,  # a millisecond
    "out_pace": 0.0,
    "in_pace_before": 0.0,  # of the reading before
    "out_pace_before": 0.0,
    "in_span": 0.0,  # how far apart the last two readings were
    "out_span": 0.0,
    "surplus": np.nan,  # entered uncounted less left uncounted
    "extra": 0.0,  # entered uncounted
    "surplus_read": np.nan,  # these as of the last reading of `published`
    "extra_read": 0.0,
    "low_read": -np.inf,
    "high_read": np.inf,
    "since_ms": np.inf,  # nothing is known of the queue before
    "empty_ms": -np.inf,  # when it was told to be empty last
    "head_ms": np.nan,  # when the head of the last reading had come in
    "held_ms": np.nan,  # a purge left messages with consumers: when the oldest of them had come in
    "held_until": -np.inf,  # some of them are still there while `out` is less
    "held_perhaps": -np.inf,  # they may be while it is less than this
    "moved_up": 0.0,  # how far the surplus was moved of late, fading
    "moved_down": 0.0,
    "low": -np.inf,  # the surplus lies between these
    "high": np.inf,
    "fell": 0.0,  # 1: a counter fell in the last reading: the broker was restarted, or the queue declared anew
    "doubt": 0.0,  # the last depth told asked for more (1) or less (-1) of a surplus
    "doubt_low": np.nan,  # between which it asked for one
    "doubt_high": np.nan,
    "readings": 0.0,
    "told": np.nan,  # the depth as the queue told it last
    "newer": 0.0,  # 1: it is newer than the counters
    "redelivered": 0.0,
    "again_ms": -np.inf,  # when messages were last seen to be delivered once more
}


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did, by queue.

    `born`: it came to be since the last reading. `restated`: its counter was read again after it had been guessed from
    `restated_ms` on, when `entered_then` had entered. `lowered`: less had entered of late than was thought.
    """

    born: NDArray[np.bool_]
    restated: NDArray[np.bool_]
    restated_ms: Floats
    entered_then: Floats
    lowered: NDArray[np.bool_]


def step(flow: Flow, reading: Reading) -> Step:
    """Advance by one reading, whose moment must be later than the last."""
    if reading.at_ms <= flow.at_ms:
        raise ValueError("readings must ascend")
    first, before_ms = not flow.at_ms, flow.at_ms
    new = _align(flow, reading.slots) & (not first)
    columns = flow.columns
    told = ~np.isnan(reading.total)

    read_ms = columns["in_ms"].copy()
    counted_before, told_before = (columns["in"].copy(), columns["out"].copy()), columns["told"].copy()
    entered_then = np.rint(columns["in_read"] + columns["extra_read"])
    net_then, gross_then = columns["in_read"] - columns["out_read"], columns["in_read"] + columns["out_read"]
    guessed = np.isfinite(read_ms) & (read_ms < before_ms)
    fell = (reading.published < columns["published"]) | (reading.acknowledged < columns["acknowledged"])
    columns["fell"] = fell.astype(np.float64)
    born_ms = np.where(new, float(before_ms), np.nan)
    came = count(columns, "in", "published", reading.published, reading.at_ms, born_ms)
    count(columns, "out", "acknowledged", reading.acknowledged, reading.at_ms, born_ms)
    restated = came & guessed
    for name in ("surplus", "extra", "low", "high"):
        # What was concluded from guesses is forgotten with them.
        columns[name] = np.where(restated, columns[f"{name}_read"], columns[name])
    net, gross = columns["in"] - columns["out"], columns["in"] + columns["out"]
    restate(flow.recent, restated, read_ms, net_then, net, reading.at_ms)

    fresh = np.isnan(columns["surplus"]) & told
    # Where it was guessed, nobody knows when what flowed did: how far N may have been from both its ends meanwhile.
    swing = np.maximum(gross - gross_then - np.abs(net - net_then), 0.0) / 2.0
    between = (
        np.where(restated, np.minimum(net, net_then) - swing, np.inf),
        np.where(restated, np.maximum(net, net_then) + swing, -np.inf),
    )
    lowered = _move(flow, reading, net, gross, between, told & ~fresh & came)
    _follow(columns, reading, flow.at_ms, net, told & ~fresh & ~came, counted_before, told_before)
    # What was there when the queue was first seen had entered before; of one that came to be since, all was counted
    # that the counters tell of, save what its depth has beyond.
    born = fresh & new
    begins = np.where(born & (reading.total <= net), 0.0, reading.total - net)
    columns["surplus"] = np.where(fresh, begins, columns["surplus"])
    columns["extra"] = np.where(fresh, begins, columns["extra"])
    columns["readings"] = np.where(fresh, np.where(born, 2.0, 1.0), columns["readings"])
    for name, far in (("low", -np.inf), ("high", np.inf)):
        columns[name] = np.where(fresh, np.where(born, begins, far), columns[name])
    columns["since_ms"] = np.where(fresh, float(reading.at_ms), columns["since_ms"])
    columns["since_ms"] = np.where(born, float(before_ms), columns["since_ms"])
    for name in ("surplus", "extra", "low", "high"):
        columns[f"{name}_read"] = np.where(came, columns[name], columns[f"{name}_read"])
    columns["empty_ms"] = np.where(reading.total == 0, float(reading.at_ms), columns["empty_ms"])
    if reading.redelivered is not None:
        columns["again_ms"] = np.where(
            reading.redelivered > columns["redelivered"], float(reading.at_ms), columns["again_ms"]
        )
        known = ~np.isnan(reading.redelivered)
        columns["redelivered"] = np.where(known, reading.redelivered, columns["redelivered"])
    flow.at_ms, flow.live = reading.at_ms, reading.live
    flow.recent.append((reading.at_ms, net, gross))
    while len(flow.recent) > 2 and flow.recent[1][0] <= reading.at_ms - LATEST_BEAT_MS:
        flow.recent.pop(0)
    return Step(born, restated, read_ms, entered_then, lowered)


def _align(flow: Flow, slots: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Take these slots from now on, and return which of them were never there before."""
    if np.array_equal(slots, flow.slots):
        return np.zeros(len(slots), dtype=np.bool_)
    place = np.minimum(np.searchsorted(flow.slots, slots), max(0, len(flow.slots) - 1))
    there = flow.slots[place] == slots if len(flow.slots) else np.zeros(len(slots), dtype=np.bool_)

    def taken(values: Floats, fresh: float) -> Floats:
        found = np.full(len(slots), fresh)
        found[there] = values[place[there]]
        return found

    flow.columns = {name: taken(flow.columns[name], fresh) for name, fresh in _FRESH.items()}
    flow.recent = [(moment, taken(net, 0.0), taken(gross, 0.0)) for moment, net, gross in flow.recent]
    flow.slots = slots
    flow.reach(slots)
    new = ~flow.seen[slots]
    flow.seen[slots] = True
    return new


def _move(
    flow: Flow,
    reading: Reading,
    net: Floats,
    gross: Floats,
    between: tuple[Floats, Floats],
    where: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Put the surplus to where the depth told agrees with it; return where less had entered than was thought.

    It lies between two bounds, which each reading may bring closer together. As long as there is a surplus between them
    that agrees with the depth told, nothing entered or left uncounted: it is only better known. Where there is none,
    what is missing did enter or leave, and the bounds are those of this reading.
    """
    columns = flow.columns
    lowest, highest, flowed = in_last_beat(flow.recent, reading, net, gross)
    least, most = reading.total - highest, reading.total - lowest
    # Between two readings N does not go straight. By chance it strays a little; where a pace changed, as far as what
    # came or what went, but then the next reading agrees again: what disagrees no further than that must do so twice.
    # Where nothing flowed the depth says it to the message.
    chance = np.sqrt(flowed) + np.where(flowed > 0, 0.5, 0.0)
    leaked = (columns["moved_down"] > 2.0 + chance) & (columns["moved_up"] < 1.0)
    strays = chance + np.maximum(flowed - (highest - lowest), 0.0) / 2.0
    # Below and above what is known of N.
    below, above = (
        np.where(leaked, strays, np.maximum(strays, chance + further))
        for further in (lowest - between[0], between[1] - highest)
    )
    surplus, low, high = columns["surplus"], columns["low"], columns["high"]
    depth_before = np.maximum(net + surplus, 0.0)
    from_, to = np.maximum(low, least - chance), np.minimum(high, most + chance)
    agrees = from_ <= to
    off = np.where(
        high < least - chance, high - (least - chance), np.where(low > most + chance, low - (most + chance), 0.0)
    )
    doubt = np.sign(off)
    # Counters of the management API may be older than the depth: what it has beyond them may only not be counted yet.
    waits = (off < 0) & (columns["in"] > 0) & (not reading.live)
    moves = ~agrees & (
        ((np.abs(off) > np.where(off > 0, below, above) - chance) & ~waits) | (doubt == columns["doubt"])
    )
    # The further it was off, the less that tells of where among those that agree the right one is: at last the middle.
    into = np.clip(np.where(off > 0, surplus - most, least - surplus), 0.0, (most - least) / 2.0)
    nearest = np.rint(np.where(off > 0, most - into, least + into))
    middle = np.rint((least + most) / 2.0)
    better = np.where(
        columns["readings"] == 1, middle, np.clip(surplus, np.ceil(from_), np.maximum(np.floor(to), np.ceil(from_)))
    )
    wanted = np.where(agrees, better, np.where(moves, nearest, surplus))
    # Where nothing that comes in is counted and what leaves is, what came in is what the depth says beyond that; queues
    # told of themselves half a beat ago, on average.
    fed = _fed(columns, reading, depth_before)
    wanted = np.where(fed, middle, wanted)
    # Nor does anybody wait until nothing else agrees.
    leaks = agrees & ~fed & leaked & (columns["out_pace"] > 0)
    near, half = (least + most) / 2.0, (most - least) / 4.0
    wanted = np.where(leaks, np.rint(np.clip(surplus, near - half, near + half)), wanted)
    # No fewer than none can be in the queue.
    wanted = np.maximum(wanted, -net)
    _note_depth(flow, reading, net, np.where(where, wanted, surplus), chance)
    columns["doubt"] = np.where(where, np.where(agrees | moves, 0.0, doubt), columns["doubt"])
    doubted = ~moves & ((wanted < least) | (wanted > most)) & (columns["moved_up"] + columns["moved_down"] > 1.0)
    doubted &= where
    for name, bound in (("doubt_low", least), ("doubt_high", most)):
        columns[name] = np.where(where, np.where(doubted, bound, np.nan), columns[name])
    columns["readings"] = np.where(where, columns["readings"] + 1.0, columns["readings"])
    # What nothing counts lies anywhere in the beat, whatever was known before; how late counters are comes on top.
    open_low, open_high = (least, most) if reading.live else (near - half, near + half)
    for name, at, found in (
        ("low", np.where(fed, open_low, least - chance), np.maximum(low, least - above)),
        ("high", np.where(fed, open_high, most + chance), np.minimum(high, most + below)),
    ):
        held = np.where(fed | moves, at, np.where(agrees, found, columns[name]))
        columns[name] = np.where(where, held, columns[name])

    moved = np.where(where, wanted - surplus, 0.0)
    columns["surplus"] = surplus + moved
    up, down = np.maximum(moved, 0.0), np.maximum(-moved, 0.0)
    # A move soon after one the other way was the beat, not messages: it takes that one back.
    back_down = np.floor(np.minimum(np.minimum(down, columns["moved_up"]), flowed))
    back_up = np.floor(np.minimum(np.minimum(up, columns["moved_down"]), flowed))
    columns["moved_up"] = (columns["moved_up"] - back_down) * _FADES + np.where(moves, up - back_up, 0.0)
    columns["moved_down"] = (columns["moved_down"] - back_up) * _FADES + np.where(moves | leaks, down - back_down, 0.0)
    note_held(columns, reading, flow.at_ms, depth_before, np.where(moves, down - back_down, 0.0))
    # What the surplus rises to be no less than nothing is left of may have been there all along, within the bounds.
    trickles = (columns["moved_up"] > 2.0 + chance) & (columns["moved_down"] < 1.0)
    came = moves | trickles | ((wanted == -net) & ~(agrees & (wanted <= high)))
    extra = np.where(came, up - back_up, 0.0) - back_down
    # Where nothing that comes in is counted, how much did is as well known as the surplus.
    extra = np.where(fed | ((columns["in"] == 0) & agrees & (columns["readings"] > 2)), moved, extra)
    columns["extra"] = columns["extra"] + extra
    return extra < 0


def _fed(columns: dict[str, Floats], reading: Reading, depth: Floats) -> NDArray[np.bool_]:
    """Tell where nothing that comes in is counted and what leaves is: a queue of dead letters that is being drained.

    Counters that were told twice within a beat don't say that nothing left.
    """
    leaves = np.maximum(columns["out_pace"], columns["out_pace_before"]) > 0
    drained: NDArray[np.bool_] = (columns["in"] == 0) & leaves & (reading.total > PURGED * depth)
    return drained


def _follow(
    columns: dict[str, Floats],
    reading: Reading,
    before_ms: int,
    net: Floats,
    where: NDArray[np.bool_],
    counted_before: tuple[Floats, Floats],
    told_before: Floats,
) -> None:
    """Take the depth told as it is where the counters were not read: nothing beside it is known.

    What it rose by came in at least; where it fell by more than was guessed, less came in. All of it is forgotten when
    the counters are read again.
    """
    rose = np.nan_to_num(reading.total - told_before)
    came_in, went = columns["in"] - counted_before[0], columns["out"] - counted_before[1]
    # Either less came in or more went: half of each.
    short = 0.5 * np.clip(came_in - went - rose, 0.0, np.maximum(came_in, 0.0))
    extra_before = columns["extra"]
    columns["extra"] = np.where(where, extra_before + np.maximum(rose - came_in, 0.0) - short, extra_before)
    fed = where & _fed(columns, reading, told_before)
    moved = np.where(fed, reading.total - net - columns["surplus"], 0.0)
    columns["extra"] = np.where(fed, extra_before + moved, columns["extra"])
    columns["surplus"] = np.where(where, reading.total - net, columns["surplus"])
    columns["newer"] = np.where(where & ~fed, 1.0, columns["newer"])
    note_held(columns, reading, before_ms, told_before, np.where(where, np.maximum(came_in - went - rose, 0.0), 0.0))


def _note_depth(flow: Flow, reading: Reading, net: Floats, surplus: Floats, chance: Floats) -> None:
    """Note the depth told, and whether it must be newer than the counters: in the last beat N was not yet there."""
    columns = flow.columns
    columns["told"] = reading.total
    columns["newer"] = np.zeros(len(net))
    if reading.live or not flow.recent:
        return
    fallen = net - flow.recent[-1][1]
    ahead = (reading.total - surplus - net) * np.sign(fallen)
    columns["newer"] = np.where((ahead > chance) & (fallen < 0) & ~np.isnan(reading.total), 1.0, 0.0)
