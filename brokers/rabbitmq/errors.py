"""What can go wrong between Warren and a broker: a stable kind, a sentence for a person, and what to do about it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from enum import StrEnum


class ErrorKind(StrEnum):
    """Short, stable names of failures; stored and counted, so they never change their meaning."""

    BAD_URL = "bad_url"
    BAD_CERTIFICATE_TEXT = "bad_certificate_text"
    DNS = "dns"
    REFUSED = "refused"
    NO_ROUTE = "no_route"
    CONNECT_TIMEOUT = "connect_timeout"
    RESET = "reset"
    TLS = "tls"
    TLS_EXPIRED = "tls_expired"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_WRONG_HOST = "tls_wrong_host"
    TLS_CLIENT_CERTIFICATE = "tls_client_certificate"
    TLS_NOT_SPOKEN = "tls_not_spoken"
    TLS_EXPECTED = "tls_expected"
    TOO_SLOW = "too_slow"
    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    REDIRECTED = "redirected"
    UNAUTHORISED = "unauthorised"
    FORBIDDEN = "forbidden"
    NO_PERMISSION_ROW = "no_permission_row"
    PLUGIN_OFF = "plugin_off"
    NOT_FOUND = "not_found"
    NOT_RABBITMQ = "not_rabbitmq"
    REFUSED_REQUEST = "refused_request"
    PAGE_OUT_OF_RANGE = "page_out_of_range"
    SERVER_ERROR = "server_error"
    WRONG_NODE = "wrong_node"
    WRONG_CLUSTER = "wrong_cluster"


class BrokerError(Exception):
    """A call failed. `sentence` says what happened and where, `remedy` what to do; neither holds a credential."""

    def __init__(self, kind: ErrorKind, sentence: str, remedy: str, *, status: int | None = None) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.sentence = sentence
        self.remedy = remedy
        self.status = status

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind.value}: {self.sentence})"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.__dict__.copy()))


class BadEndpointError(BrokerError):
    """The address or the certificates that a person entered can't be used."""


class UnreachableError(BrokerError):
    """No answer came: name, route, TCP, time."""


class TLSError(UnreachableError):
    """TCP stood, TLS did not."""


class AnswerError(BrokerError):
    """An answer came, and it is not what was asked for."""


class UnauthorisedError(AnswerError):
    """The broker knows no such user, or the password or token is wrong."""


class ForbiddenError(AnswerError):
    """The user may not ask that. `missing_tag` is the tag that would allow it."""

    def __init__(self, sentence: str, remedy: str, *, missing_tag: str, status: int | None = None) -> None:
        super().__init__(ErrorKind.FORBIDDEN, sentence, remedy, status=status)
        self.missing_tag = missing_tag


class NotFoundError(AnswerError):
    """The API is there, the object is not."""


class NoPermissionRowError(AnswerError):
    """The user has no permission row in the vhost, so it can't look into it.

    RabbitMQ 3.10 and 4.0 answer 401, 4.3 answers 404 [measured].
    """

    def __init__(self, vhost: str, username: str, where: str, *, status: int | None = None) -> None:
        super().__init__(
            ErrorKind.NO_PERMISSION_ROW,
            f"{username or 'The user'} has no permission row in the vhost {quoted(vhost)} of {where}.",
            f"Run {grant_command(vhost, username)}",
            status=status,
        )
        self.vhost = vhost


class ServerSideError(AnswerError):
    """The broker answered 5xx."""


_WRAPPED = re.compile(r'<<"(.*?)">>', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def unwrapped(reason: object, limit: int = 200) -> str:
    """Return a broker's reason as a person can read it, on one line and at most `limit` characters long.

    Undoes Erlang's `<<"…">>` and the HTML escaping that 4.0 puts inside it [measured].
    """
    if reason is None:
        return ""
    text = reason if isinstance(reason, str) else str(reason)
    text = html.unescape(text[: limit * 8])
    text = _WRAPPED.sub(lambda found: found[1].replace('\\"', '"').replace("\\\\", "\\"), text)
    if "&lt;" in text or "&gt;" in text or "&amp;" in text or "&quot;" in text:
        text = html.unescape(text)
    return clipped(text, limit)


def clipped(text: str, limit: int = 200) -> str:
    """Return untrusted text on one line, without control characters, at most `limit` characters long."""
    text = _CONTROL.sub(" ", text).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def quoted(name: str, limit: int = 120) -> str:
    """Return an untrusted name in quotation marks, for a sentence."""
    return f"“{clipped(name, limit)}”"


def grant_command(vhost: str, username: str) -> str:
    """Return the command that lets a watching user look into a vhost without giving it any right there."""
    return f"rabbitmqctl set_permissions -p {_shell(vhost)} {_shell(username or 'USER')} '' '' ''"


def set_tags_command(username: str, tags: Iterable[str]) -> str:
    """Return the command that gives a user exactly these tags."""
    return f"rabbitmqctl set_user_tags {_shell(username or 'USER')} {' '.join(_shell(tag) for tag in sorted(tags))}"


def _shell(text: str) -> str:
    # Line ends and the like would break the command out of its line on a page; $'…' keeps it one line and exact.
    if _CONTROL.search(text):
        escaped = "".join(
            char if char.isprintable() and char not in "\\'" else "".join(f"\\x{byte:02x}" for byte in char.encode())
            for char in text
        )
        return f"$'{escaped}'"
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]+", text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _rebuild(cls: type[BrokerError], state: dict[str, object]) -> BrokerError:
    error = cls.__new__(cls)
    Exception.__init__(error, state.get("sentence", ""))
    error.__dict__.update(state)
    return error
