"""Who asks: the person of a bearer token, or of a browser's session."""

from __future__ import annotations

from django.http import HttpRequest
from ninja.utils import check_csrf

from dashboard.accounts import tokens
from dashboard.accounts.audit import Actor, Via, by_request
from dashboard.accounts.models import User
from dashboard.accounts.rights import Rights, rights_for
from dashboard.api.problems import ProblemError

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Person:
    """Authenticates a request of the API; afterwards `request.user` is the person, as on a page.

    A request that carries an Authorization header is judged by it alone: a bad token is refused even where the browser
    has a session, so that nobody believes to act as somebody else.
    """

    openapi_security_schema = {  # ninja reads it from the class
        "type": "http",
        "scheme": "bearer",
        "description": "An API token: `wrn_…`. A signed-in browser's session serves as well; what changes something "
        "then needs the CSRF token in the header X-CSRFToken.",
    }

    def __call__(self, request: HttpRequest) -> User | None:
        """Return the person, None where nobody is known. Raises ProblemError."""
        given = request.headers.get("Authorization")
        if given is not None:
            user = _of_token(given)
            request.user = user
            # What was read before of the session's person does not hold.
            request.__dict__.pop("_warren_rights", None)
            return user
        person = request.user
        if not isinstance(person, User) or not person.is_authenticated:
            return None
        if person.must_change_password:
            raise ProblemError(403, "Your password is a temporary one: sign in and choose another first.")
        if request.method not in _SAFE and check_csrf(request) is not None:
            raise ProblemError(
                403, "A browser's session may change something only with its CSRF token in the header X-CSRFToken."
            )
        return person


def rights(request: HttpRequest) -> Rights:
    """Return the rights of whoever asks."""
    return rights_for(request)


def actor(request: HttpRequest) -> Actor:
    """Return whoever asks as the actor of an audited act."""
    return by_request(request, Via.API, rights_for(request))


def _of_token(header: str) -> User:
    scheme, _, text = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise ProblemError(401, "Warren takes bearer tokens: `Authorization: Bearer wrn_…`.")
    user = tokens.user_of(text.strip())
    if user is None:
        raise ProblemError(401, "This token is not known: it is wrong, revoked or expired, or its person deactivated.")
    return user
