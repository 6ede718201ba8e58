"""From a session's key to the person, for what lives longer than a request: an open websocket."""

from __future__ import annotations

from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from dashboard.accounts.models import User


def user_of_session(session_key: str | None) -> User | None:
    """Return the person of a session as it is in the database now: two queries.

    None where the session has ended: signed out, expired, password changed elsewhere, person deactivated or removed.
    The rights epoch grows with each of these save expiry, so asking again when it grows is enough to notice.
    """
    if not session_key:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return user if isinstance(user, User) else None
