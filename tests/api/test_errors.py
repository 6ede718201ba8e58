"""Whatever is asked, the answer is JSON: problem details for every error, and never a 500."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.registry.models import Broker
from dashboard.api import brokers as api_brokers
from tests.api.conftest import Api, check_problem

pytestmark = pytest.mark.django_db
FEW = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXT = st.text(max_size=20)
VALUES = st.one_of(
    TEXT,
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["true", "false", "", "0", "-1", "1e308", "NaN", "queue", "broker", "desc", "ready", "(", "/"]),
)
KEYS = ("vhost", "name", "regex", "type", "state", "has_backlog", "no_consumers", "dlq", "sort", "order", "page")
SERIES_KEYS = ("kind", "vhost", "name", "metrics", "from", "to", "step")


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/brokers/",
        "/brokers/x",
        "/brokers/-1",
        "/brokers/1/nope",
        "/docs",
        *(f"/brokers/{2**63}{rest}" for rest in ("", "/queues", "/queues/a/b", "/series?kind=broker&metrics=ready")),
    ],
)
def test_it_answers_404_for_what_is_not_there(admin: Api, path: str) -> None:
    assert admin.call("GET", path).status_code == 404


def test_it_answers_405_and_says_which_methods_there_are(admin: Api, shop: Broker) -> None:
    answer = admin.call("PUT", "/brokers")
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) == {"GET", "POST"}
    assert admin.status(f"/brokers/{shop.pk}/pause") == 405
    assert admin.status(f"/brokers/{shop.pk}/queues", "DELETE") == 405


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"nonsense", b"{'a': 1}"])
def test_it_answers_400_for_a_body_that_is_not_json(admin: Api, body: bytes) -> None:
    answer = admin.call("POST", "/brokers", body)
    assert answer.status_code == 400
    assert check_problem(answer)["detail"] == "The body is not JSON."


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"text"', b"", b"[{}]", b'{"name": "\\ud800"}', b"{}"])
def test_it_answers_422_for_json_of_another_shape(admin: Api, body: bytes) -> None:
    assert admin.call("POST", "/brokers", body).status_code == 422


def test_it_takes_no_body_without_end(admin: Api) -> None:
    assert admin.call("POST", "/brokers", b'{"name": "' + b"x" * 3_000_000 + b'"}').status_code in {400, 413}
    assert admin.call("POST", "/brokers", b"[" * 200_000).status_code == 400


def test_it_tells_nothing_of_what_went_wrong_inside(
    admin: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("inner secret 4711")

    monkeypatch.setattr(api_brokers, "facts_of", fails)
    for debug in (False, True):
        with override_settings(DEBUG=debug):
            answer = admin.call("GET", "/brokers")
        assert answer.status_code == 500
        assert "4711" not in answer.content.decode()
        assert "log" in check_problem(answer)["detail"]
    assert "inner secret 4711" in caplog.text


def test_it_answers_in_json_where_the_host_is_not_allowed(admin: Api) -> None:
    answer = admin.call("GET", "/brokers", Host="elsewhere.example.org")
    assert answer.status_code == 400
    check_problem(answer)


@FEW
@given(query=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5))
def test_it_never_fails_at_a_question_for_queues(admin: Api, shop: Broker, query: dict[str, str]) -> None:
    answer = admin.call("GET", f"/brokers/{shop.pk}/queues?{_encoded(query)}")
    assert answer.status_code in {200, 422}
    json.loads(answer.content)


@FEW
@given(query=st.dictionaries(st.sampled_from(SERIES_KEYS), VALUES, max_size=7))
def test_it_never_fails_at_a_question_for_series(admin: Api, shop: Broker, query: dict[str, str]) -> None:
    answer = admin.call("GET", f"/brokers/{shop.pk}/series?{_encoded(query)}")
    assert answer.status_code in {200, 404, 422}


@FEW
@given(segments=st.lists(TEXT | st.sampled_from(["brokers", "queues", "1", "..", "", "%", "series"]), max_size=6))
def test_it_never_fails_at_an_address(admin: Api, shop: Broker, segments: list[str]) -> None:
    path = "/".join(quote(one.encode(errors="replace"), safe="") for one in segments)
    for address in (f"/{path}", f"/brokers/{shop.pk}/queues/{path}"):
        answer = admin.call("GET", address)
        assert answer.status_code in {200, 404, 422}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "name", "management_url", "prometheus_urls", "username", "password", "token", "verify_tls", "ca_pem",
    "client_cert_pem", "client_key_pem", "cadence_s",
)  # fmt: skip


@pytest.mark.django_db(transaction=True)
@FEW
@given(body=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6))
def test_it_never_fails_at_a_body(admin: Api, body: dict[str, Any]) -> None:
    answer = admin.call("POST", "/brokers", body)
    assert answer.status_code in {201, 409, 422}, answer.content


def _encoded(query: dict[str, str]) -> str:
    return urlencode({key: value.encode(errors="replace") for key, value in query.items()})


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("step=0", "step", "The least is 1."),
        ("step=1e9", "step", "The most is 2,678,400."),
        (
            "name=%00",
            "name",
            "A NUL character is possible in no name; Warren knows names with one by U+FFFD in its place.",
        ),
        (
            "vhost=a&vhost=%00",
            "vhost",
            "A NUL character is possible in no name; Warren knows names with one by U+FFFD in its place.",
        ),
    ],
)
def test_it_names_the_parameter_as_it_was_sent_and_writes_bounds_as_people_do(
    admin: Api, shop: Broker, query: str, field: str, says: str
) -> None:
    answer = admin.call("GET", f"/brokers/{shop.pk}/series?kind=queue&{query}")
    assert check_problem(answer)["errors"] == {field: says}
