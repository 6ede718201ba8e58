"""RabbitMQ's management API, as far as Warren reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar
from urllib.parse import quote, urlencode

from brokers.rabbitmq import refusals
from brokers.rabbitmq.channels import Channel
from brokers.rabbitmq.decoding import MalformedError, decode_list, decode_one
from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.errors import AnswerError, ErrorKind, NotFoundError
from brokers.rabbitmq.http import Answer, Client, Limits, Measure
from brokers.rabbitmq.streams import StreamConsumer
from brokers.rabbitmq.structs import (
    Answered,
    Binding,
    Consumer,
    Exchange,
    FeatureFlag,
    Node,
    Overview,
    Page,
    Policy,
    Queue,
    Vhost,
    Whoami,
)

S = TypeVar("S", bound=Answered)

# The most that the broker gives on a page (RabbitMQ's source, rabbit_mgmt_util).
PAGE_SIZE = 500
# Names that a path can't have as a segment.
UNNAMEABLE = frozenset({".", ".."})
# Of a queue list with statistics, what a tick wants; fewer columns spare bytes, not the broker's work.
QUEUE_COLUMNS = (
    "name,vhost,type,state,node,leader,members,online,durable,auto_delete,exclusive,arguments,policy,operator_policy,"
    "effective_policy_definition,messages,messages_ready,messages_unacknowledged,consumers,delivery_limit,"
    "message_stats.publish,message_stats.deliver_get,message_stats.ack,message_stats.redeliver,"
    "message_stats.deliver,message_stats.deliver_no_ack,message_stats.get,message_stats.get_no_ack"
)
_CONSUMER_COLUMNS = "queue,consumer_tag,prefetch_count,ack_required,active,activity_status"
_CHANNEL_COLUMNS = (
    "name,number,vhost,user,confirm,transactional,messages_unconfirmed,prefetch_count,consumer_count,"
    "connection_details.name,message_stats.publish,message_stats.publish_details.rate,message_stats.confirm,"
    "message_stats.return_unroutable"
)


class Management:
    """The management API of one broker. Every method raises BrokerError; lists hold what the user may see.

    `measured` is called after each answer, so that a caller can sum up what it asked of the broker. Safe to use from
    several threads.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        limits: Limits | None = None,
        *,
        client: Client | None = None,
        measured: Callable[[Measure], None] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.client = client or Client(endpoint, limits)
        self._measured = measured

    def __repr__(self) -> str:
        return f"Management({self.endpoint!r})"

    def __enter__(self) -> Management:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections."""
        self.client.close()

    # --- the broker as a whole

    def whoami(self) -> Whoami:
        """Return the signed-in user. Needs the tag management."""
        return self._one(["whoami"], Whoami, root=True)

    def overview(self) -> Overview:
        """Return version, listeners and totals. Listeners need the tag monitoring."""
        return self._one(["overview"], Overview, root=True)

    def nodes(self) -> list[Node]:
        """Return the cluster's nodes, stopped ones too. Needs the tag monitoring."""
        return self._list(["nodes"], Node, tag="monitoring")

    def feature_flags(self) -> list[FeatureFlag]:
        """Return the feature flags. Needs the tag monitoring [3.10: administrator]."""
        return self._list(["feature-flags"], FeatureFlag, tag="monitoring")

    def vhosts(self) -> list[Vhost]:
        """Return the vhosts: all with the tag monitoring, those with a permission row without it."""
        return self._list(["vhosts"], Vhost)

    # --- definitions

    def exchanges(self, vhost: str | None = None) -> list[Exchange]:
        """Return exchanges with their statistics, of one vhost or of all that the user has a row in."""
        return self._list(["exchanges", *_one_or_all(vhost)], Exchange, vhost=vhost)

    def bindings(self, vhost: str | None = None) -> list[Binding]:
        """Return bindings, default ones (source "") included."""
        return self._list(["bindings", *_one_or_all(vhost)], Binding, vhost=vhost)

    def policies(self, vhost: str | None = None) -> list[Policy]:
        """Return policies."""
        return self._list(["policies", *_one_or_all(vhost)], Policy, vhost=vhost)

    def operator_policies(self, vhost: str | None = None) -> list[Policy]:
        """Return operator policies."""
        return self._list(["operator-policies", *_one_or_all(vhost)], Policy, vhost=vhost)

    # --- queues

    def queues(
        self,
        vhost: str | None = None,
        *,
        columns: str | None = QUEUE_COLUMNS,
        page_size: int = PAGE_SIZE,
    ) -> list[Queue]:
        """Return queues with statistics, the dear way. `columns` None asks for every field.

        All in one answer, as definitions are: with the counters of 10,000 queues alone that takes the broker 1.2 s of
        its CPU, and 3.9 s in twenty pages [measured on 3.10].
        """
        query = {"columns": columns} if columns else {}
        return self._whole_or_paged(["queues", *_one_or_all(vhost)], Queue, query, page_size, vhost)

    def queue_definitions(self, vhost: str | None = None, *, page_size: int = PAGE_SIZE) -> list[Queue]:
        """Return queues with definition, state and place, without statistics and totals: the cheap way.

        With totals of messages (`enable_queue_totals`) it would cost twice as much on 3.10, and tell less: of streams
        neither node nor members up to 4.3, and no `exclusive` but of classic queues [measured on 3.10, 4.0 and 4.3].

        All in one answer, since the broker goes through all of them for each page anew: 10,000 queues are 0.5 s of its
        CPU in one answer of 2.9 MB, and 8.5 s in twenty pages [measured on 4.3]. An answer that would be larger than
        the client accepts is asked for page by page.
        """
        query = {"disable_stats": "true"}
        return self._whole_or_paged(["queues", *_one_or_all(vhost)], Queue, query, page_size, vhost)

    def queue(self, vhost: str, name: str) -> Queue:
        """Return one queue with everything, its consumers included. Raises NotFoundError."""
        return self._one(["queues", vhost, name], Queue, vhost=vhost, what=f"queue {name!r}")

    def queue_bindings(self, vhost: str, name: str) -> list[Binding]:
        """Return the bindings that lead to a queue."""
        return self._list(["queues", vhost, name, "bindings"], Binding, vhost=vhost)

    def consumers(self, vhost: str | None = None) -> list[Consumer]:
        """Return consumers of one vhost or of all."""
        return self._list(["consumers", *_one_or_all(vhost)], Consumer, vhost=vhost)

    def prefetches(self) -> list[Consumer]:
        """Return the consumers of all vhosts, with what each may hold and nothing of its channel."""
        return self._list(["consumers"], Consumer, {"columns": _CONSUMER_COLUMNS})

    def channels(self) -> list[Channel]:
        """Return all channels with what they published. Needs the tag monitoring for those of other users."""
        return self._list(["channels"], Channel, {"columns": _CHANNEL_COLUMNS})

    def channel(self, name: str) -> Channel:
        """Return one channel by its name (`ADDRESS -> ADDRESS (NUMBER)`). Raises NotFoundError."""
        return self._one(["channels", name], Channel, what=f"channel {name!r}")

    def stream_consumers(self) -> list[StreamConsumer]:
        """Return the consumers of all streams that read by the stream protocol.

        Raises AnswerError where the plugin rabbitmq_stream_management is not enabled.
        """
        return self._list(["stream", "consumers"], StreamConsumer)

    def exchange(self, vhost: str, name: str) -> Exchange:
        """Return one exchange with its statistics; the default exchange is "". Raises NotFoundError."""
        # The API knows the default exchange by the name under which permissions know it.
        return self._one(["exchanges", vhost, name or "amq.default"], Exchange, vhost=vhost, what=f"exchange {name!r}")

    # --- rights

    def looks_into(self, vhost: str) -> bool:
        """True where the user has a permission row in the vhost (or is an administrator). One small call."""
        try:
            self.policies(vhost)
        except refusals.NoPermissionRowError:
            return False
        return True

    # --- calls

    def get(self, segments: Iterable[str], query: dict[str, str] | None = None, limits: Limits | None = None) -> Answer:
        """GET `/api/` and the segments, each percent-encoded wholly; any status is an answer.

        Raises AnswerError for a name of one dot or two: RabbitMQ's web server takes it for a step in the path, encoded
        or not, and would answer for another place [measured on 3.10, 4.0 and 4.3].
        """
        segments = list(segments)
        dots = next((one for one in segments if one in UNNAMEABLE), None)
        if dots is not None:
            raise refusals.unnameable(dots, self.endpoint)
        url = self.endpoint.management_url + "/api/" + "/".join(segment(one) for one in segments)
        if query:
            url += "?" + urlencode(query)
        answer = self.client.get(url, limits=limits)
        if self._measured is not None:
            path = url.removeprefix(self.endpoint.management_url)
            self._measured(Measure(path, answer.seconds, answer.bytes, answer.wire_bytes, answer.own_s))
        return answer

    def _checked(
        self,
        segments: list[str],
        query: dict[str, str] | None = None,
        *,
        vhost: str | None = None,
        tag: str = "management",
        root: bool = False,
        what: str = "",
    ) -> Answer:
        answer = self.get(segments, query)
        if answer.status == 200:
            return answer
        if answer.status in {401, 404} and vhost is not None and not root:
            raise self._row_or(answer, vhost, what)
        raise refusals.refusal(answer, self.endpoint, missing_tag=tag, root=root)

    def _row_or(self, answer: Answer, vhost: str, what: str) -> AnswerError:
        """Tell a missing permission row from a missing object and from wrong credentials: one more call decides."""
        named = self.get(["whoami"])
        if named.status != 200:
            return refusals.refusal(named, self.endpoint, missing_tag="management", root=True)
        if what:
            inside = self.get(["policies", vhost])
            if inside.status == 200:
                return refusals.missing(what, vhost, self.endpoint)
        known = {one.name for one in self.vhosts()}
        if vhost not in known:
            return refusals.missing(f"vhost {vhost!r}", None, self.endpoint)
        try:
            user = decode_one(named.body, Whoami).name
        except MalformedError as error:
            return refusals.malformed(named, error, self.endpoint)
        return refusals.NoPermissionRowError(vhost, user, self.endpoint.address, status=answer.status)

    def _one(
        self, segments: list[str], item: type[S], *, vhost: str | None = None, root: bool = False, what: str = ""
    ) -> S:
        answer = self._checked(segments, vhost=vhost, root=root, what=what)
        try:
            return decode_one(answer.body, item)
        except MalformedError as error:
            raise refusals.malformed(answer, error, self.endpoint) from error

    def _list(
        self,
        segments: list[str],
        item: type[S],
        query: dict[str, str] | None = None,
        *,
        vhost: str | None = None,
        tag: str = "management",
    ) -> list[S]:
        answer = self._checked(segments, query, vhost=vhost, tag=tag)
        try:
            return decode_list(answer.body, item)
        except MalformedError as error:
            raise refusals.malformed(answer, error, self.endpoint) from error

    def _whole_or_paged(
        self, segments: list[str], item: type[S], query: dict[str, str], page_size: int, vhost: str | None
    ) -> list[S]:
        """Return a list from one answer, or from pages where that answer is larger than the client accepts."""
        try:
            return self._list(segments, item, query, vhost=vhost)
        except AnswerError as error:
            if error.kind is not ErrorKind.TOO_LARGE:
                raise
        return self._paged(segments, item, query, page_size, vhost)

    def _paged(
        self, segments: list[str], item: type[S], query: dict[str, str], page_size: int, vhost: str | None
    ) -> list[S]:
        """Return all pages. Pages move while they are read: what came twice is taken once, the newest of it."""
        found: dict[tuple[str, str], S] = {}
        page = 1
        while True:
            paging = {"page": str(page), "page_size": str(page_size)}
            try:
                answer = self._checked(segments, {**paging, **query}, vhost=vhost)
            except AnswerError as error:
                if error.kind is ErrorKind.PAGE_OUT_OF_RANGE:
                    return list(found.values())  # the list grew shorter meanwhile, or is empty
                raise
            items, pages = _page(answer, item, self.endpoint)
            for one in items:
                found[(getattr(one, "vhost", ""), getattr(one, "name", ""))] = one
            if page >= pages:
                return list(found.values())
            page += 1


def segment(name: str) -> str:
    """Return a name as one segment of a path, every reserved character encoded."""
    return quote(name, safe="")


def _one_or_all(vhost: str | None) -> list[str]:
    return [] if vhost is None else [vhost]


def _page(answer: Answer, item: type[S], endpoint: Endpoint) -> tuple[list[S], int]:
    """Return (items, number of pages). A server that ignores paging sends the plain list: one page."""
    try:
        if answer.body.lstrip()[:1] == b"[":
            return decode_list(answer.body, item), 1
        head = decode_one(answer.body, Page)
        return decode_list(head.items, item), head.page_count
    except MalformedError as error:
        raise refusals.malformed(answer, error, endpoint) from error


__all__ = ["PAGE_SIZE", "QUEUE_COLUMNS", "Management", "Measure", "NotFoundError", "segment"]
