"""What goes wrong is said in a calm sentence, in the shell where there is one, and names nothing that is hidden."""

from __future__ import annotations

import re

import pytest
from django.http import Http404, HttpRequest
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.urls import reverse

from dashboard.accounts.models import Role
from dashboard.pages import errors
from tests.support.builders import make_broker, make_user


def text_of(page: bytes) -> str:
    """Return what a person reads in a page's main part."""
    _, main = page.decode().split("<main", 1)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", main))


@pytest.mark.django_db
def test_it_says_that_an_address_leads_nowhere(client: Client) -> None:
    client.force_login(make_user("mara", Role.VIEWER))
    answer = client.get("/no/such/page")
    assert answer.status_code == 404
    assert "This address leads to no page, or to one that you may not see." in text_of(answer.content)
    assert 'href="/settings/audit"' in answer.content.decode()


@pytest.mark.django_db
def test_it_shows_no_shell_to_strangers(client: Client) -> None:
    make_broker("shop")
    answer = client.get("/no/such/page")
    assert answer.status_code == 404
    page = answer.content.decode()
    assert "Sign in" in page
    assert "shop" not in page
    assert "/settings/" not in page


@pytest.mark.django_db
def test_it_answers_alike_for_what_is_hidden_and_what_is_not_there(client: Client) -> None:
    shop, hidden = make_broker("shop"), make_broker("hidden")
    client.force_login(make_user("mara", (Role.VIEWER, shop)))
    of_hidden, of_none = client.get(f"/brokers/{hidden.pk}"), client.get(f"/brokers/{hidden.pk + 1}")
    assert of_hidden.status_code == of_none.status_code == 404
    assert text_of(of_hidden.content) == text_of(of_none.content)
    assert "There is no such broker, or none that you may see." in text_of(of_hidden.content)


@pytest.mark.django_db
def test_it_says_which_role_is_missing(client: Client) -> None:
    client.force_login(make_user("mara", Role.VIEWER))
    answer = client.get(reverse("pages:users"))
    assert answer.status_code == 403
    assert "This needs the role administrator on all brokers; you are viewer there." in text_of(answer.content)


@pytest.mark.django_db
def test_it_says_that_a_form_is_too_old() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user("mara", Role.VIEWER))
    answer = client.post("/account/sign-out")
    assert answer.status_code == 403
    assert "This form is of an earlier session. Nothing was done." in text_of(answer.content)


@pytest.mark.django_db
def test_it_does_not_show_how_django_words_a_missing_row() -> None:
    request: HttpRequest = RequestFactory().get("/account/tokens/7/revoke")
    answer = errors.not_found(request, Http404("No ApiToken matches the given query."))
    assert "ApiToken" not in answer.content.decode()


@pytest.mark.parametrize("name", ["400.html", "500.html"])
def test_it_draws_failures_without_the_database(name: str) -> None:
    # Django gives these two no context at all: what failed may be what would make it.
    page = render_to_string(name)
    assert "Warren" in page
    assert "Traceback" not in page


@pytest.mark.django_db
def test_it_keeps_a_failing_view_calm(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the inside")

    client.force_login(make_user("mara", Role.VIEWER))
    client.raise_request_exception = False
    monkeypatch.setattr("dashboard.pages.fleet.fleet", fail)
    answer = client.get("/")
    assert answer.status_code == 500
    assert "Warren failed to draw this page. Collecting goes on." in text_of(answer.content)
    assert "a secret of the inside" not in answer.content.decode()
