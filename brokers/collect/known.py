"""What is remembered of what a broker can be asked, and when that is to be found out anew. Pure.

A broker's overview is what tells it, and takes a large broker longer than a reading of depth; what it says changes with
a node's restart, a plugin that is switched on or off, an upgrade. So it is looked at again where the list of nodes,
which comes with every tick, shows such a thing, where a poll brought nothing, and else only now and then. Where a
node's Prometheus is, and what was refused, is cheap to ask and is asked again sooner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from brokers.collect.answers import NodeSeen
from brokers.collect.plan import Abilities
from brokers.rabbitmq.errors import BrokerError, ErrorKind

# The overview is looked at again so long after the last time at the latest; seldomer only where it is dear.
LOOK_MS = 1_800_000
SLOWEST_LOOK_MS = 21_600_000
# The part of the share in force that looking may take.
LOOK_PART = 0.05
# The same where nothing shows that a node restarted, and where the whole cluster is not upgraded yet.
LOOK_BLIND_MS = 300_000
# And where something shows that it is another one now: at most this often, since that may be so for good.
LOOK_DOUBTED_MS = 60_000
# Nodes whose Prometheus is out of reach are looked for this often, calls that were refused are tried again this often.
LOCATE_MS = 60_000
REFUSED_MS = 300_000
# What /api/nodes says of a node's uptime is some seconds old.
_UPTIME_AGE_MS = 10_000
# Answers that will be the same in the next tick: the user may not ask it, or the server does not offer it.
_FOR_GOOD = frozenset(
    {ErrorKind.FORBIDDEN, ErrorKind.NOT_FOUND, ErrorKind.PLUGIN_OFF, ErrorKind.REFUSED_REQUEST, ErrorKind.NOT_RABBITMQ}
)


class Known(msgspec.Struct, frozen=True):
    """What is remembered of a broker's abilities. `whole` is False where a node could not be reached."""

    version: str
    prometheus: dict[str, str]
    prometheus_missing: str = ""
    counters_exposed: bool = False
    escapes_labels: bool = False
    counts: bool = True
    whole: bool = True
    # Why what has no count is not known to have none.
    counts_missing: str = ""
    remarks: tuple[str, ...] = ()
    # Calls that were refused since, with the sentence, by path, and when the first of them was.
    refused: dict[str, str] = {}
    refused_ms: int = 0
    # So many times in a row no node's Prometheus told who it is, and was there.
    misses: int = 0
    # The addresses at which each node's Prometheus may be, and when it was last asked there.
    addresses: dict[str, tuple[str, ...]] = {}
    located_ms: int = 0
    # The nodes as they were when it was looked: what each runs, empty where it did not.
    nodes: dict[str, str] = {}
    # Something shows that it is another one now.
    doubted: bool = False
    # It is of 4.0 or later, and not the whole cluster is.
    upgrading: bool = False


def decode(stored: bytes | memoryview) -> Known | None:
    """Return what was remembered; None where that is nothing, or of another version of ours."""
    try:
        known = msgspec.json.decode(bytes(stored), type=Known) if stored else None
    except msgspec.MsgspecError:
        return None
    # Before addresses were remembered nodes could not have been looked for at them.
    return known if known is not None and known.located_ms else None


def encode(known: Known) -> bytes:
    """Return it as it is stored."""
    return msgspec.json.encode(known)


def look_every_ms(cost_s: float, share: float) -> int:
    """Return how often the overview is looked at where nothing happens, by what that takes and the share in force."""
    return min(SLOWEST_LOOK_MS, max(LOOK_MS, int(cost_s * 1000 / (LOOK_PART * share))))


def look_due(known: Known, looked_ms: int, now_ms: int, every_ms: int = LOOK_MS) -> bool:
    """Tell whether the overview is to be looked at again."""
    if known.doubted:
        every_ms = LOOK_DOUBTED_MS
    elif known.upgrading or not known.nodes:
        every_ms = LOOK_BLIND_MS
    # Where our clock was set back, nobody knows how old it is.
    return not 0 <= now_ms - looked_ms < every_ms


def locate_due(known: Known, failures: int, now_ms: int) -> bool:
    """Tell whether the nodes' Prometheus are to be looked for again; `failures` polls in a row brought nothing."""
    return bool(failures) or (not known.whole and not 0 <= now_ms - known.located_ms < LOCATE_MS)


def tried_again(known: Known, now_ms: int) -> Known:
    """Return it without what was refused, where that is to be tried again."""
    if not known.refused or 0 <= now_ms - known.refused_ms < REFUSED_MS:
        return known
    return msgspec.structs.replace(known, refused={}, refused_ms=0)


def after_answers(
    known: Known,
    looked_ms: int,
    at_ms: int,
    nodes: Iterable[NodeSeen] | None,
    silent: Iterable[str],
    untold: Mapping[str, BrokerError],
) -> Known:
    """Return it after a tick's answers: with what was refused, and with a doubt where they contradict it.

    `looked_ms` is when the overview was asked for last, `at_ms` when the tick began.
    """
    refused = {path: error.sentence for path, error in untold.items() if error.kind in _FOR_GOOD}
    if not refused.keys() <= known.refused.keys():
        known = msgspec.structs.replace(known, refused=refused | known.refused, refused_ms=known.refused_ms or at_ms)
    if any(silent) and known.whole:
        known = msgspec.structs.replace(known, whole=False)
    if nodes is None:
        return known
    seen = {node.name: node for node in nodes}
    if not known.nodes:
        runs = {name: node.runs if node.running is not False else "" for name, node in seen.items()}
        return msgspec.structs.replace(known, nodes=runs)
    changed = seen.keys() != known.nodes.keys() or any(
        node.runs != known.nodes[name] or at_ms - node.uptime_s * 1000 > looked_ms + _UPTIME_AGE_MS
        for name, node in seen.items()
        if node.running is not False
    )
    return msgspec.structs.replace(known, doubted=True) if changed and not known.doubted else known


def doubted(known: Known) -> Known:
    """Return it with a doubt: a poll brought nothing, and what the broker can be asked may have changed with that."""
    return msgspec.structs.replace(known, doubted=True)


def abilities_of(known: Known) -> Abilities:
    """Return it as the plan needs it."""
    return Abilities(
        version=known.version,
        prometheus=known.prometheus,
        prometheus_missing=known.prometheus_missing,
        counters_exposed=known.counters_exposed,
        counts=known.counts,
        counts_missing=known.counts_missing,
        remarks=known.remarks,
        refused=known.refused,
    )
