"""Who gets to a page at all: people who are signed in, and whose password is not a temporary one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.urls import reverse

from dashboard.accounts.models import User

View = Callable[..., HttpResponseBase]


class SignedInMiddleware(LoginRequiredMiddleware):
    """Django's LoginRequiredMiddleware, with three habits of ours.

    A part of a page asked for by htmx moves the whole page to the sign-in; a form that was sent after the session
    ended leads back to the page it stood on, not to an address that only takes POST; and a person with a
    temporary password is led to changing it. Views marked `login_not_required` are left alone, and so are those
    marked `temporary_password_allowed`.
    """

    def process_view(
        self, request: HttpRequest, view_func: View, view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        """Let the request through (None), or answer in the view's place."""
        answer: HttpResponseBase | None = super().process_view(request, view_func, view_args, view_kwargs)
        if answer is not None or not getattr(view_func, "login_required", True):
            return answer
        user = request.user
        if isinstance(user, User) and user.must_change_password and not getattr(view_func, "temporary_ok", False):
            return _go(request, reverse("accounts:password"))
        return None

    def handle_no_permission(  # type: ignore[override] # the answer to htmx is no redirect
        self, request: HttpRequest, view_func: View
    ) -> HttpResponseBase:
        """Lead to the sign-in page, and from there back to a page."""
        back = request.get_full_path()
        if request.method != "GET" or _by_htmx(request):
            page = urlsplit(request.headers.get("HX-Current-URL") or request.headers.get("Referer") or "")
            back = (
                (f"{page.path}?{page.query}" if page.query else page.path) if page.netloc == request.get_host() else ""
            )
        to_sign_in = resolve_url(self.get_login_url(view_func))
        return _go(request, redirect_to_login(back, to_sign_in).url if back else to_sign_in)


def temporary_password_allowed(view: View) -> View:
    """Mark a view as open to people whose password is still a temporary one."""
    view.temporary_ok = True  # type: ignore[attr-defined]
    return view


def _by_htmx(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def _go(request: HttpRequest, to: str) -> HttpResponseBase:
    if _by_htmx(request):
        return HttpResponse(status=401, headers={"HX-Redirect": to})
    return redirect(to)
