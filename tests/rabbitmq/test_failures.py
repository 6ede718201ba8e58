"""Every way in which a call can fail ends in a typed error with a sentence and a remedy, on real sockets."""

from __future__ import annotations

import base64
import pickle
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from brokers.rabbitmq import connection
from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.errors import (
    AnswerError,
    BrokerError,
    ErrorKind,
    ForbiddenError,
    NotFoundError,
    ServerSideError,
    UnauthorisedError,
    UnreachableError,
)
from brokers.rabbitmq.http import Client, Limits
from brokers.rabbitmq.management import Management
from tests.support import misbehaving as server
from tests.support.misbehaving import Behaviour, by_path, misbehaving

PASSWORD = "kept-to-itself-77"
PATIENT = Limits(connect=10, read=10, total=20, max_bytes=1 << 20)
IMPATIENT = Limits(connect=0.5, read=0.5, total=0.8, max_bytes=1 << 20)
MANY = 200 * 1024 * 1024


def failure(behaviour: Behaviour, limits: Limits = PATIENT) -> tuple[BrokerError, server.Misbehaving]:
    """Ask a server that misbehaves who we are, and return what became of it."""
    with misbehaving(behaviour) as served:
        endpoint = Endpoint(served.url, username="watch", password=PASSWORD)
        with Management(endpoint, limits) as management, pytest.raises(BrokerError) as raised:
            management.whoami()
    error = raised.value
    assert PASSWORD not in f"{error!r}{error}{error.sentence}{error.remedy}{error.__dict__}"
    assert f"127.0.0.1:{served.port}" in error.sentence
    assert error.remedy.strip()
    return error, served


HTML = server.answers("<html><head><title>Sign in to the router</title></head></html>", content_type="text/html")


@pytest.mark.parametrize(
    ("behaviour", "kind", "words"),
    [
        (HTML, ErrorKind.NOT_RABBITMQ, "an HTML page titled “Sign in to the router”"),
        (server.answers("pong", content_type="text/plain"), ErrorKind.NOT_RABBITMQ, "something else (text/plain)"),
        (server.answers(""), ErrorKind.NOT_RABBITMQ, "with nothing"),
        (server.answers([1, 2]), ErrorKind.NOT_RABBITMQ, "not RabbitMQ's management API"),
        (server.answers('{"name": "wat'), ErrorKind.TRUNCATED, "ended its answer in the middle"),
        (server.answers('{"name": }'), ErrorKind.NOT_RABBITMQ, "not RabbitMQ's management API"),
        (server.cut_off(b'{"name":', 900), ErrorKind.TRUNCATED, "ended its answer in the middle"),
        (
            server.raw(server.head(Transfer_Encoding="chunked") + b'5\r\n{"nam'),
            ErrorKind.TRUNCATED,
            "ended its answer in the middle",
        ),
        (server.answers(b"junk" * 9, Content_Encoding="gzip"), ErrorKind.TRUNCATED, "damaged"),
        (
            server.answers(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", Content_Encoding="gzip"),
            ErrorKind.TRUNCATED,
            "ends in the middle",
        ),
        (server.raw(b"AMQP\x00\x00\x09\x01"), ErrorKind.NOT_RABBITMQ, "not HTTP"),
        (server.raw(b""), ErrorKind.RESET, "closed the connection without an answer"),
        (server.resets, ErrorKind.RESET, "closed the connection without an answer"),
        (server.never, ErrorKind.TOO_SLOW, "did not finish answering within "),
        (server.drips, ErrorKind.TOO_SLOW, "did not finish answering within "),
        (server.drips_its_head, ErrorKind.TOO_SLOW, "did not finish answering within "),
        (server.announces(MANY), ErrorKind.TOO_LARGE, "announces 209,715,200 bytes"),
        (server.floods(MANY), ErrorKind.TOO_LARGE, "sends more where at most 1,048,576 are accepted"),
        (server.bomb(64 << 20), ErrorKind.TOO_LARGE, "sends more where at most 1,048,576 are accepted"),
        (server.answers(b'{"reason": "\xff gone"}', 500), ErrorKind.SERVER_ERROR, "HTTP 500: \ufffd gone"),
        (server.answers("[" * 90_000, 500), ErrorKind.SERVER_ERROR, "HTTP 500."),
        (server.answers("busy", 500), ErrorKind.SERVER_ERROR, "HTTP 500"),
        (server.answers("<html>Bad Gateway</html>", 502), ErrorKind.SERVER_ERROR, "HTTP 502"),
        (server.answers("no", 404), ErrorKind.PLUGIN_OFF, "there is no management API at"),
        (server.answers("no", 418), ErrorKind.REFUSED_REQUEST, "HTTP 418"),
    ],
)
def test_it_says_what_came_in_place_of_an_answer(behaviour: Behaviour, kind: ErrorKind, words: str) -> None:
    error, _ = failure(behaviour, IMPATIENT if kind is ErrorKind.TOO_SLOW else PATIENT)
    assert (error.kind, words in error.sentence) == (kind, True), error


AWAY = {"status": 302, "Location": "http://elsewhere.example/"}


@pytest.mark.parametrize(
    "behaviour",
    [
        server.announces(MANY),
        server.floods(MANY),
        server.bomb(192 << 20),
        # What a redirect has beside its address counts as well.
        server.floods(MANY, **AWAY),
        server.bomb(192 << 20, **AWAY),
    ],
)
def test_it_takes_no_more_of_a_huge_body_than_it_may_hold(behaviour: Behaviour) -> None:
    tracemalloc.start()
    error, served = failure(behaviour)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.kind is ErrorKind.TOO_LARGE
    # What was sent is what the sockets' buffers hold beside the limit.
    assert served.sent < 24 << 20
    assert peak < 48 << 20


@pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:99999/", "http://a b/", "//"])
def test_it_is_told_in_a_sentence_where_a_redirect_leads_nowhere(location: str) -> None:
    error, _ = failure(server.answers("", 302, Location=location))
    assert error.kind is ErrorKind.REDIRECTED


@pytest.mark.parametrize("length", ["\u00b2", "9" * 5000])
def test_a_length_that_is_none_is_no_fault_of_ours(length: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n".encode("latin-1")
    if length.isascii():
        assert failure(server.raw(head + b"{}"))[0].kind is ErrorKind.TOO_LARGE
        return
    with misbehaving(server.raw(head + b"{}")) as served, Management(Endpoint(served.url), PATIENT) as management:
        assert management.whoami().name == ""


def test_it_keeps_no_cookies() -> None:
    sets = server.answers({"name": "watch"}, Set_Cookie="session=1; Path=/")
    with misbehaving(sets) as served, Management(Endpoint(served.url), PATIENT) as management:
        for _ in range(2):
            management.whoami()
    assert "cookie" not in served.requests[1].head.lower()


def test_it_gives_up_on_an_answer_that_drips_after_few_bytes() -> None:
    _, served = failure(server.drips, IMPATIENT)
    assert len(served.requests) == 1
    assert served.sent < 300


def test_it_takes_a_body_that_is_just_within_the_limit() -> None:
    exactly = b'{"name": "watch"}'.ljust(1 << 20)
    for behaviour in (server.answers(exactly), server.zipped(exactly)):
        with misbehaving(behaviour) as served, Management(Endpoint(served.url), PATIENT) as management:
            assert management.whoami().name == "watch"


def refusal(reason: str, status: int, error: str = "not_authorised") -> BrokerError:
    return failure(server.answers({"error": error, "reason": reason}, status))[0]


def test_it_tells_wrong_credentials_from_missing_tags() -> None:
    for reason in ("Login failed", "Not_Authorized"):
        wrong = refusal(reason, 401, "not_authorized")
        assert isinstance(wrong, UnauthorisedError)
        assert "does not accept the credentials of watch." in wrong.sentence
    for reason, tag in [
        ("Not management user", "monitoring"),
        ("Not monitor user", "monitoring"),
        ("Not administrator user", "administrator"),
        ("Not policymaker user", "policymaker"),
    ]:
        lacks = refusal(reason, 401)
        assert isinstance(lacks, ForbiddenError)
        assert lacks.missing_tag == tag
        assert f"rabbitmqctl set_user_tags watch {tag}" in lacks.remedy
    forbidden = refusal("no", 403)
    assert isinstance(forbidden, ForbiddenError)
    assert "rabbitmqctl set_user_tags watch management" in forbidden.remedy
    local = refusal("User can only log in via localhost", 401, "not_authorized")
    assert "from its own machine only" in local.sentence


def test_it_unwraps_reasons_as_4_0_escapes_them() -> None:
    error = refusal('<<"vhost &lt;&lt;\\"a&amp;b\\"&gt;&gt;\n is gone">>', 500)
    assert isinstance(error, ServerSideError)
    assert "&lt;" not in error.sentence
    assert "\n" not in error.sentence
    assert "is gone" in error.sentence


def test_it_says_that_nothing_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = Endpoint(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with Management(endpoint) as management, pytest.raises(UnreachableError) as raised:
            management.overview()
    assert raised.value.kind is ErrorKind.REFUSED
    assert "nothing listens there" in raised.value.sentence


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "can't be resolved to an address"),
        (socket.gaierror(socket.EAI_AGAIN, "later"), "No DNS server tells the address of rabbit.example"),
    ],
)
def test_it_says_that_a_name_is_not_known(monkeypatch: pytest.MonkeyPatch, failed: socket.gaierror, words: str) -> None:
    def resolver(*_: object, **__: object) -> None:
        raise failed

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with Management(Endpoint("http://rabbit.example:15672")) as management, pytest.raises(BrokerError) as raised:
        management.overview()
    assert raised.value.kind is ErrorKind.DNS
    assert words in raised.value.sentence
    assert "getent hosts rabbit.example" in raised.value.remedy


def test_it_waits_for_a_resolver_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    asked = socket.getaddrinfo

    def resolver(host: str, *arguments: object, **options: object) -> object:
        if options.get("flags"):
            return asked(host, *arguments, **options)
        released.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with pytest.raises(socket.gaierror):
        connection.resolve("rabbit.example", 1, 0.1)
    assert not released.is_set()
    released.set()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that connecting gets no answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(3):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            waiting.append(one)
        yield listener.getsockname()[1]
        for one in waiting:
            one.close()


def test_it_says_that_connecting_takes_too_long(silent_port: int) -> None:
    management = Management(Endpoint(f"http://127.0.0.1:{silent_port}"), IMPATIENT)
    with management, pytest.raises(UnreachableError) as raised:
        management.overview()
    assert raised.value.kind is ErrorKind.CONNECT_TIMEOUT


def test_it_never_follows_a_redirect_to_elsewhere() -> None:
    with misbehaving(server.answers({"name": "stolen"})) as elsewhere:
        for location in (elsewhere.url + "/api/whoami", elsewhere.url.replace("127.0.0.1", "localhost"), "//evil/"):
            error, _ = failure(server.answers("", 302, Location=location))
            assert error.kind is ErrorKind.REDIRECTED
            assert "credentials are not sent on" in error.sentence
        assert elsewhere.requests == []


def test_it_follows_a_redirect_on_the_same_place() -> None:
    moved = by_path(
        {
            "/api/whoami": server.answers("", 301, Location="/rabbit/api/whoami"),
            "/rabbit/api/whoami": server.answers({"name": "watch"}),
        }
    )
    with misbehaving(moved) as served, Management(Endpoint(served.url), PATIENT) as management:
        assert management.whoami().name == "watch"
    error, served = failure(server.answers("", 302, Location="/api/whoami"))
    assert error.kind is ErrorKind.REDIRECTED
    assert "without an end" in error.sentence
    assert len(served.requests) == 4


def test_it_asks_below_the_path_prefix_of_a_proxy() -> None:
    behind = by_path({"/rabbit/one/api/whoami": server.answers({"name": "watch"})})
    with misbehaving(behind) as served:
        for prefix in ("/rabbit/one", "/rabbit/one/", "/rabbit/one/api", "/rabbit/one/#/queues"):
            with Management(Endpoint(served.url + prefix), PATIENT) as management:
                assert management.whoami().name == "watch"
    error, _ = failure(behind)
    assert error.kind is ErrorKind.PLUGIN_OFF
    assert "path prefix" in error.remedy


def test_it_tries_a_call_again_only_where_a_pooled_connection_was_closed() -> None:
    body = b'{"name": "watch"}'
    alive = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    # The first answer promises to keep the connection, which is then closed: the next call finds it dead.
    with misbehaving(server.raw(alive)) as served, Management(Endpoint(served.url), PATIENT) as management:
        management.whoami()
        management.whoami()
    assert len(served.requests) == 2
    _, served = failure(server.resets)
    assert len(served.requests) == 1


def test_it_keeps_names_of_objects_whole_in_the_path() -> None:
    with misbehaving(server.answers({"name": "q"})) as served, Management(Endpoint(served.url)) as management:
        for name in ("a/b", "%2F", "..a", "<script>?#", "é😀", " "):
            management.queue(name, name)
    assert [path.count("/") for path in served.paths] == [4] * 6
    assert served.paths[0] == "/api/queues/a%2Fb/a%2Fb"
    assert served.paths[1] == "/api/queues/%252F/%252F"


@pytest.mark.parametrize("name", [".", ".."])
def test_it_does_not_ask_for_a_name_that_would_lead_elsewhere(name: str) -> None:
    with misbehaving(server.answers({"name": "q"})) as served, Management(Endpoint(served.url)) as management:
        for call in (lambda: management.queue("/", name), lambda: management.bindings(name)):
            with pytest.raises(AnswerError, match="can't be asked for"):
                call()
        assert served.requests == []


def test_it_does_not_send_credentials_where_none_are_needed() -> None:
    endpoint = Endpoint("http://127.0.0.1:1", username="watch", password=PASSWORD)
    with misbehaving(server.answers("x 1\n")) as served:
        with Client(endpoint, signed_in=False) as client:
            client.get(served.url + "/metrics")
        with Client(endpoint) as client:
            client.get(served.url + "/metrics")
    assert "authorization" not in served.requests[0].head.lower()
    assert "authorization: basic" in served.requests[1].head.lower()


def test_it_sends_a_token_in_place_of_a_password() -> None:
    answering = misbehaving(server.answers({"name": "watch"}))
    with answering as served, Management(Endpoint(served.url, token="a-token")) as management:
        management.whoami()
    assert "Authorization: Bearer a-token" in served.requests[0].head


@pytest.mark.parametrize(
    "error",
    [
        ForbiddenError("no", "yes", missing_tag="monitoring", status=403),
        NotFoundError(ErrorKind.NOT_FOUND, "gone", "look", status=404),
        AnswerError(ErrorKind.TRUNCATED, "cut", "look"),
    ],
)
def test_its_errors_cross_processes(error: BrokerError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.__dict__, str(again)) == (type(error), error.__dict__, str(error))


@pytest.mark.parametrize(
    "echo",
    [
        lambda head: server.answers({"error": "bad", "reason": f"unexpected header: {head}"}, 500),
        lambda head: server.answers({"error": head, "reason": None}, 400),
        lambda head: server.answers(f"<title>{head}</title>", content_type="text/html"),
        lambda head: server.answers("x", content_type=f"text/{head}"),
        lambda head: server.answers(f"<title>{head}</title>", 404, content_type="text/html"),
    ],
)
@pytest.mark.parametrize("fields", [{"username": "watch", "password": PASSWORD}, {"token": "eyJ-a-long-token"}])
def test_it_repeats_no_credentials_that_the_other_side_gives_back(
    echo: Callable[[str], Behaviour], fields: dict[str, str]
) -> None:
    def behave(talk: server.Talk, request: server.Request) -> None:
        sent = next(line for line in request.head.splitlines() if line.startswith("Authorization"))
        echo(f"{sent} {PASSWORD}".replace("\r\n", " "))(talk, request)

    with misbehaving(behave) as served:
        endpoint = Endpoint(served.url, **fields)
        with Management(endpoint, PATIENT) as management, pytest.raises(BrokerError) as raised:
            management.whoami()
    told = f"{raised.value!r}{raised.value.__dict__}{raised.value.remedy}"
    pair = base64.b64encode(f"watch:{PASSWORD}".encode()).decode()
    assert pair not in told
    assert "eyJ-a-long-token" not in told
    assert "password" not in fields or PASSWORD not in told


def test_it_shows_no_secret_of_an_endpoint_or_a_client() -> None:
    endpoint = Endpoint("http://h:1", username="u", password="s3cret-p", token="s3cret-t", client_key_pem="s3cret-k")
    for made in (endpoint, Client(Endpoint("http://h:1", password="s3cret-p")), Management(endpoint)):
        assert "s3cret" not in f"{made!r}{made}"
