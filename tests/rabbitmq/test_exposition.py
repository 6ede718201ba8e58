"""The fast reader of the Prometheus text format gives what prometheus_client's own parser gives."""

from __future__ import annotations

import math
import string
from collections.abc import Iterator

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from brokers.rabbitmq import exposition
from brokers.rabbitmq.exposition import ExpositionError, TruncatedExpositionError
from tests.support.brokers import TestBroker

NAMES = ["up", "rabbitmq_queue_messages", "rabbitmq_queue_messages_ready", "a:b_total", "le_bucket"]
Sample = tuple[str, tuple[tuple[str, str], ...], float]

names = st.sampled_from(NAMES)
label_names = st.sampled_from(["vhost", "queue", "exchange", "le", "_x", "node9"])
blanks = st.text(alphabet=" \t", max_size=2)
texts = st.one_of(
    st.text(
        alphabet=st.characters(codec="utf-8", exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"),
        max_size=12,
    ),
    st.text(alphabet='\\"{}=,# \nnvhostque<>', max_size=12),
)
numbers = st.one_of(
    st.floats().map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["NaN", "+Inf", "-Inf", "1e3", "1E-7", "0", "-0", "1.", ".5", "+7", "1e400", "0x10"]),
)


def escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


@st.composite
def sample_lines(draw: st.DrawFn) -> str:
    """One sample as somebody might write it: any order of labels, odd spacing, a comma at the end, a timestamp."""
    name, value = draw(names), draw(numbers)
    labels = draw(st.dictionaries(label_names, texts, max_size=4))
    written = [f'{draw(blanks)}{key}{draw(blanks)}={draw(blanks)}"{escaped(text)}"' for key, text in labels.items()]
    comma = "," if written and draw(st.booleans()) else ""
    inside = ",".join(written) + comma + draw(blanks)
    braces = f"{draw(blanks)}{{{inside}}}" if written or draw(st.booleans()) else ""
    gap = " " + draw(blanks)
    stamp = f" {draw(st.integers(0, 2**41))}" if draw(st.booleans()) else ""
    return f"{draw(blanks)}{name}{braces}{gap}{value}{stamp}{draw(blanks)}"


other_lines = st.sampled_from(
    [
        "",
        "   ",
        "# HELP up Is it \\n there?",
        "# TYPE up gauge",
        "# TYPE a:b_total counter",
        "# some words",
        "#",
        "other 7",
    ]
)
bodies = st.lists(st.one_of(sample_lines(), sample_lines(), other_lines), max_size=12).map(
    lambda lines: "".join(f"{line}\n" for line in lines).encode()
)


def strict(body: bytes) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield (name, labels, value) of every sample, by prometheus_client. Raises ExpositionError on what it refuses.

    Comments are taken out first, since prometheus_client renames counters by them; ours has no NUL in a name.
    """
    exposition.check_whole(body)
    text = body.decode("utf-8", "replace")
    lines = (line for line in text.split("\n") if line.strip() and not line.strip().startswith("#"))
    try:
        for family in text_string_to_metric_families("\n".join(lines)):
            for sample in family.samples:
                labels = {name: value.replace("\0", "\ufffd") for name, value in sample.labels.items()}
                yield sample.name, labels, float(sample.value)
    except (ValueError, IndexError, OverflowError) as error:
        raise ExpositionError(f"The exposition can't be read: {error}") from None


def slow(body: bytes) -> list[Sample]:
    return sorted(
        ((name, tuple(sorted(labels.items())), value + 0.0) for name, labels, value in strict(body) if name in NAMES),
        key=repr,
    )


def fast(body: bytes) -> list[Sample]:
    # Adding zero makes 0 of -0, as the other parser's integers do.
    found = exposition.samples(body, NAMES)
    return sorted(
        (
            (name, tuple(sorted(exposition.labels(raw).items())), float(value) + 0.0)
            for name, (raws, values) in found.items()
            for raw, value in zip(raws, values, strict=True)
        ),
        key=repr,
    )


def same(one: list[Sample], other: list[Sample]) -> bool:
    return [repr(sample) for sample in one] == [repr(sample) for sample in other]


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(bodies)
def test_it_reads_what_the_reference_parser_reads(body: bytes) -> None:
    try:
        expected = slow(body)
    except ExpositionError:
        hypothesis.reject()
    assert same(fast(body), expected)


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(bodies, st.data())
def test_it_takes_nothing_of_a_body_that_is_cut_off(body: bytes, data: st.DataObject) -> None:
    cut = body[: data.draw(st.integers(0, len(body)))]
    if cut.endswith(b"\n"):
        assert len(fast(cut)) <= len(fast(body))
    else:
        with pytest.raises(TruncatedExpositionError):
            exposition.samples(cut, NAMES)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(st.one_of(st.binary(max_size=80), st.text(alphabet=string.printable, max_size=80).map(str.encode)))
def test_it_survives_anything(body: bytes) -> None:
    for raws, values in exposition.samples(body + b"\n", NAMES).values():
        assert len(raws) == len(values)
        assert all(isinstance(exposition.labels(raw), dict) for raw in raws)


def test_it_knows_the_corners() -> None:
    body = (
        b"# TYPE up gauge\n"
        b'up{queue="a\\"b\\\\c\\nd",vhost="/"} NaN\n'
        b'up +Inf\nup -Inf\nup 1e3\nup 1_000\nup{} 4\nup{x="}"} 5 1700000000000\n'
        b"upper 99\nup_total 98\n"
    )
    raws, values = exposition.samples(body, ["up", "down"])["up"]
    assert exposition.labels(raws[0]) == {"queue": 'a"b\\c\nd', "vhost": "/"}
    assert [value for value in values if not math.isnan(value)] == [math.inf, -math.inf, 1000, 4, 5]
    assert math.isnan(values[0])
    assert exposition.labels(raws[-1]) == {"x": "}"}
    assert exposition.samples(b"\n", ["up"]) == {}


@pytest.mark.parametrize("body", [b"", b"up 1", b'up{a="b', b"up 1\nup{a"])
def test_it_refuses_a_body_without_its_end(body: bytes) -> None:
    with pytest.raises(TruncatedExpositionError):
        exposition.samples(body, NAMES)


def test_it_wants_the_end_mark_of_open_metrics() -> None:
    assert "up" in exposition.samples(b"up 1\n# EOF\n", ["up"], open_metrics=True)
    with pytest.raises(TruncatedExpositionError):
        exposition.samples(b"up 1\n", ["up"], open_metrics=True)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ('q"uote', b'vhost="/",queue="q"uote"'),
        ("back\\slash", b'vhost="/",queue="back\\slash"'),
        ('"', b'vhost="/",queue="""'),
    ],
)
def test_it_reads_names_that_3_10_does_not_escape(name: str, raw: bytes) -> None:
    assert exposition.labels(raw, escaped=False) == {"vhost": "/", "queue": name}
    body = b"rabbitmq_queue_messages{" + raw + b'} 3\nrabbitmq_queue_messages{vhost="/",queue="plain"} 4\n'
    raws, values = exposition.samples(body, NAMES)["rabbitmq_queue_messages"]
    assert values.tolist() == [3, 4]
    assert [exposition.labels(one, escaped=False)["queue"] for one in raws] == [name, "plain"]


def test_it_replaces_what_is_not_utf_8() -> None:
    assert exposition.labels(b'queue="\xff\xfe"') == {"queue": "\ufffd\ufffd"}


FAMILIES = (
    "queue_coarse_metrics queue_consumer_count queue_metrics exchange_metrics queue_delivery_metrics channel_metrics"
)
ODD = ["plain", "with space", "ünï😀", "a,b={c}", "x" * 200, "tab\there", "<script>"]


@pytest.mark.parametrize(
    "path", ["", "/per-object", "/detailed?" + "&".join(f"family={one}" for one in FAMILIES.split())]
)
def test_it_reads_real_bodies_as_the_reference_parser_does(
    broker: TestBroker, vhost: str, path: str, amqp: object
) -> None:
    channel = amqp.channel()  # type: ignore[attr-defined]
    for number, name in enumerate(ODD):
        channel.queue_declare(name, durable=False, exclusive=False)
        for _ in range(number):
            channel.basic_publish("", name, b"x")
    whole = requests.get(broker.prometheus + path, timeout=20).content
    # Of other tests' vhosts there may be names that 3.10 writes in a way that no parser takes.
    lines = [line for line in whole.splitlines(keepends=True) if b'vhost="' not in line or vhost.encode() in line]
    body = b"".join(lines)
    expected: dict[str, list[tuple[str, float]]] = {}
    for name, labels, value in strict(body):
        expected.setdefault(name, []).append((repr(sorted(labels.items())), value))
    assert len(expected) > 5
    found = exposition.samples(body, expected)
    assert found.keys() == expected.keys()
    for name, (raws, values) in found.items():
        told = [(repr(sorted(exposition.labels(raw).items())), value) for raw, value in zip(raws, values, strict=True)]
        assert sorted(one for one, _ in told) == sorted(one for one, _ in expected[name])
        assert np.array_equal(
            [value for _, value in sorted(told)], [value for _, value in sorted(expected[name])], equal_nan=True
        )
