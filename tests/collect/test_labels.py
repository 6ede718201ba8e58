"""Labels of an exposition lead to names and slots, hostile names included."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from brokers.collect.labels import LabelCache, object_name
from brokers.registry.slots import Directory, KnownObject, ObjectName
from brokers.series.metrics import Kind

# Of a NUL, which no database stores, U+FFFD is made: tests/rabbitmq/test_decoding.py.
NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=0, max_size=60)


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@given(NAMES, NAMES, NAMES)
def test_it_reads_any_escaped_name(vhost: str, exchange: str, queue: str) -> None:
    raw = f'vhost="{escaped(vhost)}",exchange="{escaped(exchange)}",queue="{escaped(queue)}"'.encode()
    assert object_name(raw, Kind.QUEUE) == ObjectName(vhost, queue)


@given(NAMES.filter(lambda name: '",' not in name), NAMES.filter(lambda name: '",' not in name))
def test_it_reads_names_that_an_old_broker_did_not_escape(vhost: str, queue: str) -> None:
    raw = f'vhost="{vhost}",queue="{queue}"'.encode()
    assert object_name(raw, Kind.QUEUE, escaped=False) == ObjectName(vhost, queue)


def test_it_falls_back_where_what_should_be_escaped_is_not() -> None:
    raw = 'vhost="/",queue="a"b\\c/<script>%\u202e"'.encode()
    assert object_name(raw, Kind.QUEUE) == ObjectName("/", 'a"b\\c/<script>%\u202e')


def test_it_reads_the_default_exchange() -> None:
    assert object_name(b'vhost="/",exchange=""', Kind.EXCHANGE) == ObjectName("/", "")


def test_it_finds_no_name_where_there_is_none() -> None:
    assert object_name(b"", Kind.QUEUE) is None
    assert object_name(b'protocol="amqp091"', Kind.QUEUE) is None
    assert object_name(b'vhost="/"', Kind.QUEUE) is None


def directory(*names: str) -> Directory:
    found = Directory(1)
    found.by_slot["queue"] = {slot: KnownObject(slot, "/", name, b"{}", 0, None) for slot, name in enumerate(names)}
    found.by_name["queue"] = {ObjectName("/", name): slot for slot, name in enumerate(names)}
    return found


def test_it_looks_slots_up_and_tells_what_has_none() -> None:
    cache = LabelCache(directory("a", "b"))
    labels = [b'vhost="/",queue="b"', b'vhost="/",queue="new"', b"nonsense"]
    assert cache.unknown(Kind.QUEUE, labels) == {ObjectName("/", "new")}
    assert cache.slots(Kind.QUEUE, labels).tolist() == [1, -1, -1]


def test_it_forgets_labels_of_long_ago_and_still_answers() -> None:
    cache = LabelCache(directory("a", "b"), limit=2)
    old = [b'vhost="/",exchange="x%d",queue="a"' % number for number in range(5)]
    cache.unknown(Kind.QUEUE, old)
    cache.unknown(Kind.QUEUE, [b'vhost="/",queue="b"'])
    assert cache.slots(Kind.QUEUE, [*old, b'vhost="/",queue="b"']).tolist() == [0, 0, 0, 0, 0, 1]
