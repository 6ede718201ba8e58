"""From a session's key to the person, for what lives longer than a request: an open websocket."""

from __future__ import annotations

from importlib import import_module

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.utils.crypto import constant_time_compare

from dashboard.accounts.models import User


def user_of_session(session_key: str | None) -> User | None:
    """Return the person of a session as it is in the database now: two queries.

    None where the session has ended: signed out, expired, password changed elsewhere, person deactivated or removed;
    and while the password is a temporary one, since such a person is shown nothing. The rights epoch grows with each
    of these save expiry, so asking again when it grows is enough to notice.

    Unlike django.contrib.auth.get_user this never writes: after a key rotation that one gives the session a new
    key, which only an answer to a page can hand to the browser.
    """
    if not session_key:
        return None
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    if session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return None
    user = User.objects.filter(pk=session[SESSION_KEY], is_active=True, must_change_password=False).first()
    if user is None:
        return None
    kept = session.get(HASH_SESSION_KEY, "")
    valid = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return user if any(constant_time_compare(kept, one) for one in valid) else None
