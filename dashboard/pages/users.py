"""The page at /settings/users: people, what they may do where, their tokens. For administrators of all brokers."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from dashboard.accounts import people
from dashboard.accounts.audit import ActRefusedError, act, by_request
from dashboard.accounts.forms import GrantForm, PersonForm
from dashboard.accounts.guards import administrators_only
from dashboard.accounts.models import ApiToken, Grant, Role, User
from dashboard.accounts.words import grant_words, scope_words

PER_PAGE = 100
SORTS = {"name": "username", "-name": "-username", "seen": "last_login", "-seen": "-last_login"}
# Names of vhosts shown beside a pattern; the rest is a number.
MATCHES_SHOWN = 20

_any_method = require_http_methods(["GET", "POST"])


@never_cache
@administrators_only
@require_safe
def user_list(request: HttpRequest) -> HttpResponse:
    """List people with their grants in words; `q` filters by name, `sort` and `page` as they say."""
    wanted, sort = request.GET.get("q", ""), request.GET.get("sort", "name")
    sort = sort if sort in SORTS else "name"
    rows = User.objects.annotate(token_count=Count("api_tokens")).order_by(SORTS[sort], "id")
    if wanted:
        rows = rows.filter(username__icontains=wanted.replace("\x00", ""))
    ordered = Grant.objects.select_related("broker").order_by("broker__name", "vhost_pattern")
    page = Paginator(rows.prefetch_related(Prefetch("grants", ordered)), PER_PAGE).get_page(request.GET.get("page"))
    listed = [
        {"person": person, "grants": [grant_words(grant) for grant in person.grants.all()]}
        for person in page.object_list
    ]
    return render(request, "pages/users.html", {"listed": listed, "page": page, "wanted": wanted, "sort": sort})


@never_cache
@administrators_only
@_any_method
def user_add(request: HttpRequest) -> HttpResponse:
    """Add a person with a first grant; the answer to the POST shows their temporary password, once."""
    form = PersonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and "preview" not in request.POST and form.is_valid():
        role, broker, pattern = form.scope
        username = form.cleaned_data["username"]
        intent = {"grant": f"{role.value} on {scope_words(broker.name if broker else None, pattern)}"}
        with act(by_request(request), "user.add", needs=Role.ADMINISTRATOR, subject=username, intent=intent):
            person, password = people.add(username, role, broker, pattern)
        return _password_once(request, person, password, new=True)
    context = {"form": form, "matches": _matches(form)}
    return render(request, "pages/users_add.html", context, status=422 if form.errors else 200)


@never_cache
@administrators_only
@require_safe
def user_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one person: grants with the vhosts that they match now, tokens, and what can be done."""
    return _page(request, _person(pk))


@administrators_only
@_any_method
def user_grant(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a role on a scope, in place of the one on the same scope; with `preview`, only show what would match."""
    person = _person(pk)
    if request.method != "POST":
        return redirect("pages:user", pk)
    form = GrantForm(request.POST)
    if "preview" in request.POST or not form.is_valid():
        return _page(request, person, form=form, status=200 if form.is_valid() else 422)
    role, broker, pattern = form.scope
    words = f"{role.value} on {scope_words(broker.name if broker else None, pattern)}"
    try:
        with act(
            by_request(request),
            "user.grant",
            needs=Role.ADMINISTRATOR,
            broker=broker,
            subject=person.username,
            intent={"grant": words},
        ):
            people.grant(person, role, broker, pattern)
    except ActRefusedError as error:
        return _page(request, person, problem=str(error), status=409)
    messages.success(request, f"{person.username} is {words}.")
    return redirect("pages:user", pk)


@administrators_only
@_any_method
def user_withdraw(request: HttpRequest, pk: int, grant_pk: int) -> HttpResponse:
    """Take a grant back."""
    person = _person(pk)
    if request.method != "POST":
        return redirect("pages:user", pk)
    row = get_object_or_404(Grant.objects.select_related("broker"), pk=grant_pk, user=person)
    words = grant_words(row)
    try:
        with act(
            by_request(request),
            "user.withdraw",
            needs=Role.ADMINISTRATOR,
            broker=row.broker,
            subject=person.username,
            intent={"grant": words},
        ):
            people.withdraw(row)
    except ActRefusedError as error:
        return _page(request, person, problem=str(error), status=409)
    messages.success(request, f"{person.username} is no longer {words}.")
    return redirect("pages:user", pk)


@never_cache
@administrators_only
@_any_method
def user_reset(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a new temporary password; the answer to the POST shows it, once."""
    person = _person(pk)
    if request.method != "POST":
        return redirect("pages:user", pk)
    if person.pk == request.user.pk:
        return redirect("accounts:password")
    with act(by_request(request), "user.reset_password", needs=Role.ADMINISTRATOR, subject=person.username):
        password = people.reset_password(person)
    return _password_once(request, person, password, new=False)


@administrators_only
@_any_method
def user_active(request: HttpRequest, pk: int) -> HttpResponse:
    """Deactivate a person, or let them in again (`active` 0 or 1)."""
    person = _person(pk)
    if request.method != "POST":
        return redirect("pages:user", pk)
    active = request.POST.get("active") == "1"
    action = "user.activate" if active else "user.deactivate"
    try:
        with act(by_request(request), action, needs=Role.ADMINISTRATOR, subject=person.username):
            if active:
                people.activate(person)
            else:
                people.deactivate(person)
    except ActRefusedError as error:
        return _page(request, _person(pk), problem=str(error), status=409)
    after = "may sign in again" if active else "is deactivated: signed out everywhere, and their tokens are refused"
    messages.success(request, f"{person.username} {after}.")
    return redirect("pages:user", pk)


@never_cache
@administrators_only
@_any_method
def user_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a person, once their name was typed."""
    person = _person(pk)
    problem = ""
    if request.method == "POST":
        if request.POST.get("name") != person.username:
            problem = f"Type {person.username} to remove them. Nothing was changed."
        else:
            try:
                with act(by_request(request), "user.remove", needs=Role.ADMINISTRATOR, subject=person.username):
                    people.remove(person)
            except ActRefusedError as error:
                return _page(request, _person(pk), problem=str(error), status=409)
            messages.success(request, f"{person.username} is removed. Their entries in the audit trail stay.")
            return redirect("pages:users")
    context = {
        "person": person,
        "problem": problem,
        "tokens": person.api_tokens.count(),
        "grants": person.grants.count(),
    }
    return render(request, "pages/users_remove.html", context, status=422 if problem else 200)


@administrators_only
@_any_method
def user_revoke(request: HttpRequest, pk: int, token_pk: int) -> HttpResponse:
    """Revoke one of a person's tokens."""
    person = _person(pk)
    if request.method == "POST":
        row = get_object_or_404(ApiToken, pk=token_pk, user=person)
        intent = {"name": row.name, "begins": row.prefix}
        actor = by_request(request)
        with act(actor, "user.api_token.revoke", needs=Role.ADMINISTRATOR, subject=person.username, intent=intent):
            row.delete()
        messages.success(request, f"Token {row.name} of {person.username} revoked.")
    return redirect("pages:user", pk)


@never_cache
@administrators_only
@require_safe
def user_matches(request: HttpRequest) -> HttpResponse:
    """Answer which vhosts a pattern matches now, as a part of a page: `broker` and `vhost_pattern`."""
    return render(
        request, "pages/users_matches.html", {"matches": _matches(GrantForm({"role": "viewer", **request.GET.dict()}))}
    )


def _page(
    request: HttpRequest, person: User, form: GrantForm | None = None, problem: str = "", status: int = 200
) -> HttpResponse:
    grants = Grant.objects.filter(user=person).select_related("broker").order_by("broker__name", "vhost_pattern", "id")
    context = {
        "person": person,
        "grants": [
            {
                "row": row,
                "words": grant_words(row),
                "matches": _shown(row.broker, row.vhost_pattern) if row.broker and row.vhost_pattern else None,
            }
            for row in grants
        ],
        "tokens": ApiToken.objects.filter(user=person).order_by("-id"),
        "form": form or GrantForm(),
        "matches": _matches(form) if form else None,
        "problem": problem,
        "now": timezone.now(),
    }
    return render(request, "pages/users_person.html", context, status=status)


def _matches(form: GrantForm) -> dict[str, Any] | None:
    if not form.is_bound:
        return None
    form.is_valid()
    broker, pattern = form.cleaned_data.get("broker"), form.cleaned_data.get("vhost_pattern")
    return _shown(broker, pattern) if broker and pattern else None


def _shown(broker: Any, pattern: str) -> dict[str, Any]:
    names, total = people.vhosts_matching(broker, pattern)
    return {
        "broker": broker.name,
        "pattern": pattern,
        "names": names[:MATCHES_SHOWN],
        "more": max(0, len(names) - MATCHES_SHOWN),
        "count": len(names),
        "total": total,
    }


def _password_once(request: HttpRequest, person: User, password: str, *, new: bool) -> HttpResponse:
    answer = render(request, "pages/users_password.html", {"person": person, "password": password, "new": new})
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _person(pk: int) -> User:
    return get_object_or_404(User, pk=pk)


urlpatterns: list[URLPattern] = [
    path("settings/users", user_list, name="users"),
    path("settings/users/add", user_add, name="user_add"),
    path("settings/users/matches", user_matches, name="user_matches"),
    path("settings/users/<int:pk>", user_page, name="user"),
    path("settings/users/<int:pk>/grants", user_grant, name="user_grant"),
    path("settings/users/<int:pk>/grants/<int:grant_pk>/withdraw", user_withdraw, name="user_withdraw"),
    path("settings/users/<int:pk>/reset", user_reset, name="user_reset"),
    path("settings/users/<int:pk>/active", user_active, name="user_active"),
    path("settings/users/<int:pk>/remove", user_remove, name="user_remove"),
    path("settings/users/<int:pk>/tokens/<int:token_pk>/revoke", user_revoke, name="user_revoke"),
]
