"""API tokens: made once, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from dashboard.accounts.models import ApiToken, User

SCHEME = "wrn_"
# How often last_used_at is written: a token that asks ten times a second costs one write a minute.
USE_NOTED_EVERY = timedelta(minutes=1)
_PREFIX_LENGTH = 12


def create(user: User, name: str, expires: datetime | None = None) -> tuple[str, ApiToken]:
    """Make a token; return its text, which is stored nowhere, and its row.

    The text is `wrn_` and 32 random bytes in URL-safe base64. `expires` is the moment from which it is refused;
    None: never.
    """
    text = SCHEME + secrets.token_urlsafe(32)
    row = ApiToken.objects.create(
        user=user, name=name[:80], prefix=text[:_PREFIX_LENGTH], digest=digest(text), expires_at=expires
    )
    return text, row


def user_of(text: str) -> User | None:
    """Return whose token this is; None where it is unknown, revoked or expired, or the person deactivated.

    One query; one more at most once a minute, which notes the use. The lookup is by SHA-256 of the text, so its
    timing tells nothing about stored tokens; a slow hash is not needed for 256 random bits.
    """
    if not text.startswith(SCHEME):
        return None
    now = timezone.now()
    row = ApiToken.objects.select_related("user").filter(digest=digest(text), user__is_active=True).first()
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return None
    due = now - USE_NOTED_EVERY
    if row.last_used_at is None or row.last_used_at < due:
        unnoted = Q(last_used_at__isnull=True) | Q(last_used_at__lt=due)
        ApiToken.objects.filter(unnoted, pk=row.pk).update(last_used_at=now)
    return row.user


def digest(text: str) -> str:
    """Return what is stored of a token: SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
