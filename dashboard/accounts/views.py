"""Sign-in and sign-out, and a person's own account: password and API tokens."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from dashboard.accounts import people, tokens
from dashboard.accounts.audit import act, by_request
from dashboard.accounts.forms import PasswordForm, SignInForm, TokenForm
from dashboard.accounts.middleware import temporary_password_allowed
from dashboard.accounts.models import ApiToken, User
from dashboard.accounts.throttle import cool_off, wait_in_words
from dashboard.accounts.words import grant_words


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    """The sign-in page. `next` leads on only within this host (Django checks it)."""

    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: Any) -> HttpResponse:
        """Sign in, and say where a password should be changed."""
        answer = super().form_valid(form)
        user = form.get_user()
        if user.should_change_password and not user.must_change_password:
            messages.warning(
                self.request,
                "Your password stands in the terminal or the environment of the first start. "
                "Change it under your name, Password.",
            )
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add what the hint under the form says."""
        return super().get_context_data(
            **kwargs,
            limit=settings.AXES_FAILURE_LIMIT,
            wait=wait_in_words(int(cool_off().total_seconds())),
            first_start=not User.objects.filter(last_login__isnull=False).exists(),
        )


sign_in = SignIn.as_view()


@login_not_required
@require_http_methods(["GET", "POST"])
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session, by POST alone; a GET (a link on another site) changes nothing."""
    if request.method == "POST":
        logout(request)
        return redirect(settings.LOGOUT_REDIRECT_URL)
    return redirect(settings.LOGIN_REDIRECT_URL)


@temporary_password_allowed
@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Change the own password; every other session of the person ends."""
    user = _person(request)
    form = PasswordForm(user, request, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        forced = user.must_change_password
        with act(by_request(request), "user.password", needs=None, subject=user.username) as done:
            people.choose_password(user, form.cleaned_data["new_password1"])
            done.sentence = "The person chose a new password."
        update_session_auth_hash(request, user)
        messages.success(request, "Password changed. You are signed out everywhere else.")
        return redirect(settings.LOGIN_REDIRECT_URL if forced else "accounts:password")
    return render(
        request,
        "accounts/password.html",
        {"form": form, "forced": user.must_change_password, "tokens": ApiToken.objects.filter(user=user).count()},
        status=422 if form.errors else 200,
    )


@never_cache
@require_http_methods(["GET", "POST"])
def own_tokens(request: HttpRequest) -> HttpResponse:
    """List the own tokens, and make one: its text is in the answer to that POST and nowhere else."""
    user = _person(request)
    form = TokenForm(user, request.POST if request.method == "POST" else None)
    made = ""
    if request.method == "POST" and form.is_valid():
        name, expires = form.cleaned_data["name"], form.expires()
        intent = {"name": name, "expires": expires.isoformat() if expires else None}
        with act(
            by_request(request), "user.api_token.create", needs=None, subject=user.username, intent=intent
        ) as done:
            made, row = tokens.create(user, name, expires)
            done.sentence = f"The token begins with {row.prefix}."
        form = TokenForm(user)
    grants = user.grants.select_related("broker").order_by("broker__name", "vhost_pattern")
    return render(
        request,
        "accounts/tokens.html",
        {
            "form": form,
            "made": made,
            "rows": ApiToken.objects.filter(user=user).order_by("-id"),
            "grants": [grant_words(grant) for grant in grants],
            "now": timezone.now(),
        },
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "POST"])
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    """Revoke one of the own tokens."""
    if request.method == "POST":
        user = _person(request)
        row = get_object_or_404(ApiToken, pk=pk, user=user)
        intent = {"name": row.name, "begins": row.prefix}
        with act(by_request(request), "user.api_token.revoke", needs=None, subject=user.username, intent=intent):
            row.delete()
        messages.success(request, f"Token {row.name} revoked. What used it is refused from now on.")
    return redirect("accounts:tokens")


def _person(request: HttpRequest) -> User:
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - the middleware lets nobody else through
    return user
