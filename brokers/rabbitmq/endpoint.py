"""Where a broker is and how to sign in there, from what a person typed."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, unquote, urlsplit

from brokers.rabbitmq.errors import BadEndpointError, ErrorKind, clipped

# What management listens on when nothing is said (RabbitMQ's documentation, "Management Plugin").
DEFAULT_PORTS = {"http": 15672, "https": 15671}
_UNSAFE = re.compile(r"[\x00-\x20\x7f<>\"\\^`{|}]")
_EXAMPLE = "Enter it like http://rabbit.example.org:15672 or https://example.org/rabbit."


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """A broker's management API. Raises BadEndpointError when an address can't be used.

    `management_url` is scheme, host, port and perhaps a path prefix (a proxy's), without credentials. Either
    `username` and `password` or a bearer `token`. `ca_pem` replaces the system's authorities when it is set;
    `prometheus_urls` replaces what the broker says of its nodes' Prometheus listeners; what stands before them may want
    a sign-in of its own and have an authority of its own (empty: as for the management API). `repr` holds no secret.
    """

    management_url: str
    username: str = ""
    password: str = ""
    token: str = ""
    verify: bool = True
    ca_pem: str = ""
    client_cert_pem: str = ""
    client_key_pem: str = ""
    prometheus_urls: tuple[str, ...] = ()
    prometheus_username: str = ""
    prometheus_password: str = ""
    prometheus_ca_pem: str = ""

    def __post_init__(self) -> None:
        url, username, _ = split_url(self.management_url)
        if username:
            raise BadEndpointError(
                ErrorKind.BAD_URL,
                "The management address has credentials in it.",
                "Enter user name and password in their own fields.",
            )
        object.__setattr__(self, "management_url", url)
        checked = tuple(split_url(one, what="Prometheus address", default_ports={})[0] for one in self.prometheus_urls)
        object.__setattr__(self, "prometheus_urls", checked)

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Return the endpoint that a URL names; credentials in it are split off and percent-decoded."""
        url, username, password = split_url(text)
        return cls(url, username=username, password=password)

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return urlsplit(self.management_url).scheme

    @property
    def host(self) -> str:
        """Host name or address, without brackets."""
        return urlsplit(self.management_url).hostname or ""

    @property
    def port(self) -> int:
        """Port of the management API."""
        return port_of(urlsplit(self.management_url))

    @property
    def address(self) -> str:
        """`host:port`, as sentences name the broker."""
        return address_of(self.management_url)

    def hiding(self, text: str) -> str:
        """Return text that came from the other side with this endpoint's secrets taken out.

        What stands before a broker may give back the headers it was sent, in an error page for one.
        """
        pair = b64encode(f"{self.username}:{self.password}".encode()).decode()
        own = b64encode(f"{self.prometheus_username}:{self.prometheus_password}".encode()).decode()
        secrets = (pair, own, self.token, self.password, self.prometheus_password, self.client_key_pem.strip())
        for secret in secrets:
            # A password that is the user's name, as guest's is, is none.
            if secret and secret not in {self.username, self.prometheus_username}:
                text = text.replace(secret, "…")
        return text

    def at_prometheus(self) -> Endpoint:
        """Return the endpoint as its nodes' Prometheus is asked: with that sign-in and authority, and no other.

        The client certificate goes along; it shows who we are and gives nothing away.
        """
        return replace(
            self,
            username=self.prometheus_username,
            password=self.prometheus_password,
            token="",
            ca_pem=self.prometheus_ca_pem or self.ca_pem,
        )

    def __repr__(self) -> str:
        how = "token" if self.token else "password" if self.password else "no password"
        return f"Endpoint({self.management_url!r}, username={self.username!r}, {how}, verify={self.verify})"


def split_url(
    text: str,
    what: str = "management address",
    default_ports: dict[str, int] | None = None,
) -> tuple[str, str, str]:
    """Return (URL without credentials, user name, password) of an http or https URL.

    A fragment (`/#/queues`, as copied from the official UI) and a trailing `/api` are dropped. A port that is not
    given is management's own for plain host names, and the scheme's own behind a path prefix or for https.
    """
    text = text.strip()
    if not text:
        raise _bad(f"The {what} is empty.")
    parts = _split(text, what)
    if parts.username is not None or parts.password is not None:
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
    else:
        username = password = ""
    if parts.query:
        raise _bad(f"The {what} has a query (?…) in it.")
    path = parts.path.rstrip("/")
    if path.endswith("/api"):
        path = path.removesuffix("/api")
    if _UNSAFE.search(path):
        raise _bad(f"The path of the {what} has a character that can't stand in a URL.")
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    ports = DEFAULT_PORTS if default_ports is None else default_ports
    port = parts.port
    if port is None and not path and parts.scheme == "http":
        port = ports.get("http")
    return f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}{path}", username, password


def address_of(url: str) -> str:
    """Return `host:port` of a URL, for sentences."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{f'[{host}]' if ':' in host else host}:{port_of(parts)}"


def port_of(parts: SplitResult) -> int:
    """Return the port of a split URL, its scheme's own where none is given."""
    return parts.port or (443 if parts.scheme == "https" else 80)


def _split(text: str, what: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _bad(f"The {what} is not a URL: {_reason(error)}.") from None
    if parts.scheme in {"amqp", "amqps"}:
        raise BadEndpointError(
            ErrorKind.BAD_URL,
            f"The {what} is an AMQP address ({parts.scheme}://…).",
            "Enter the address of the management API: the same host with http and port 15672, unless it was changed.",
        )
    if parts.scheme not in {"http", "https"}:
        raise _bad(f"The {what} does not begin with http:// or https://.")
    host = parts.hostname or ""
    if not host:
        raise _bad(f"The {what} names no host.")
    if _UNSAFE.search(host) or "%" in host or len(host) > 253:
        raise _bad(f"The host in the {what} ({clipped(host, 60)}) can't be a host name.")
    if port == 0:
        raise _bad(f"The port in the {what} is 0.")
    return parts


def _reason(error: ValueError) -> str:
    # urllib's texts quote what was typed, which may hold a password where the @ is missing or the port is not one.
    text = str(error)
    if "Port" in text or "port" in text:
        return "the port is not a number from 1 to 65535"
    if "IPv6" in text or "bracket" in text.lower() or "IPv4" in text:
        return "the address in brackets is not an IPv6 address"
    return "it can't be taken apart"


def _bad(sentence: str) -> BadEndpointError:
    return BadEndpointError(ErrorKind.BAD_URL, sentence, _EXAMPLE)
