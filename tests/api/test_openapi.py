"""The API's description: valid, whole, and with nothing in it that there is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern
from openapi_spec_validator import OpenAPIV31SpecValidator

from dashboard.api import urls
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def document(admin: Api) -> dict[str, Any]:
    found: dict[str, Any] = admin.get("/openapi.json")
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_it_covers_every_route_and_no_other(admin: Api, document: dict[str, Any]) -> None:
    routes = set()
    for pattern in urls.urlpatterns:
        assert isinstance(pattern, URLPattern)
        if pattern.name == "nothing_here":
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        # A method that nothing takes is answered with those that are taken.
        allowed = admin.call("TRACE", "/" + re.sub("{.*?}", "1", path)).headers["Allow"]
        routes |= {(f"/api/v1/{path}", method.strip().lower()) for method in allowed.split(",")}
    assert routes == {(path, method) for path, method, _ in operations(document)}


def test_it_describes_errors_parameters_and_sign_in_of_every_operation(document: dict[str, Any]) -> None:
    ids = []
    for path, method, operation in operations(document):
        ids.append(operation["operationId"])
        assert operation["summary"], path
        assert operation["description"].endswith("."), path
        assert operation["security"] == [{"Person": []}], path
        assert {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"} == set(
            re.findall(r"{(\w+)}", path)
        )
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (path, method)
        assert {"401", "500"} <= set(operation["responses"])
        assert ("404" in operation["responses"]) == ("{" in path) or method != "get"
        assert ("409" in operation["responses"]) == (method != "get")
    assert len(ids) == len(set(ids))
    assert document["components"]["securitySchemes"]["Person"]["scheme"] == "bearer"


def test_it_says_which_fields_are_only_written(document: dict[str, Any]) -> None:
    for name in ("BrokerNew", "BrokerChange"):
        fields = document["components"]["schemas"][name]["properties"]
        written = {field for field, said in fields.items() if said.get("writeOnly")}
        assert written == {"password", "token", "client_key_pem", "prometheus_password"}
    answered = json.dumps(document["components"]["schemas"]["BrokerFull"])
    assert not re.search(r'"(password|token|client_key_pem|prometheus_password|sealed)"', answered)
