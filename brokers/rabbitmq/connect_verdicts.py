"""Verdicts of *Test connection*: from what was found to a step with its sentence and remedy. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address

from brokers.rabbitmq.capabilities import Capabilities, located
from brokers.rabbitmq.errors import BrokerError, clipped, grant_command, quoted, set_tags_command
from brokers.rabbitmq.handshake import Handshake
from brokers.rabbitmq.prometheus import Identity
from brokers.rabbitmq.structs import Node, Whoami

_SOON_DAYS = 21
_PROMETHEUS_ON = "rabbitmq-plugins enable rabbitmq_prometheus"


class Verdict(StrEnum):
    """How a step went; idle: it was not tried."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was found, what to do about it, and commands for a shell on the broker. `seconds` it took."""

    name: str
    verdict: Verdict
    sentence: str
    remedy: str = ""
    commands: tuple[str, ...] = ()
    seconds: float = 0.0


def name_step(host: str, addresses: Sequence[str]) -> Step:
    """Say what the name is resolved to."""
    known = list(dict.fromkeys(addresses))
    if known == [host]:
        return Step("Name", Verdict.OK, f"{host} is an address; there is no name to look up.")
    more = f" and {len(known) - 4} more" if len(known) > 4 else ""
    return Step("Name", Verdict.OK, f"{host} is {', '.join(known[:4])}{more}.")


def plain_step(addresses: Sequence[str]) -> Step:
    """Say what it means that TLS is not used."""
    if all(is_loopback(address) for address in addresses):
        return Step("TLS", Verdict.OK, "Not used; nothing leaves this machine.")
    return Step(
        "TLS",
        Verdict.WARNING,
        "Not used: user and password cross the network in the clear.",
        "Enter the TLS listener's address with https:// (port 15671 unless it was changed), "
        "or keep it so where the network between is your own.",
    )


def tls_step(made: Handshake, now: datetime) -> Step:
    """Say what was agreed on with a server whose certificate was checked."""
    seen = made.certificate
    if seen is None:
        return Step("TLS", Verdict.OK, f"{made.protocol}; the certificate passed the check.")
    days = seen.days_left(now)
    signer = "itself" if seen.self_signed else quoted(seen.issuer, 80)
    until = f"valid until {seen.ends:%Y-%m-%d}"
    said = f"{made.protocol}; the certificate is for {seen.shown_names()}, signed by {signer}, {until}."
    if days < _SOON_DAYS:
        left = f"It expires in {days} days." if days > 1 else "It expires within two days."
        return Step(
            "TLS", Verdict.WARNING, f"{said} {left}", "Renew it on the broker before then: calls fail after it."
        )
    return Step("TLS", Verdict.OK, said)


def unchecked_tls_step(made: Handshake, refusal: BrokerError | None) -> Step:
    """Say what it means that the certificate was not checked; `refusal` is what a check says, None: it passes."""
    if refusal is None:
        return Step(
            "TLS",
            Verdict.WARNING,
            f"{made.protocol}, without a check of the certificate, though it would pass one.",
            "Switch the check of the server's certificate on.",
        )
    return Step(
        "TLS",
        Verdict.WARNING,
        f"{made.protocol}, without a check of the certificate: who stands in between can read the password. "
        f"A check says: {refusal.sentence}",
        refusal.remedy,
    )


def tags_step(user: Whoami) -> Step | None:
    """Judge the user's tags; None where they are as they should be, and the vhosts are to be looked at."""
    if "administrator" in user.tag_set:
        said = f"{who(user)} is an administrator and sees everything. Watching needs the tag monitoring only."
        return Step("Rights", Verdict.OK, said)
    if "monitoring" in user.tag_set:
        return None
    return Step(
        "Rights",
        Verdict.CRITICAL,
        f"{who(user)} lacks the tag monitoring: nodes, listeners and most vhosts stay unseen.",
        "Give it the tag. It allows looking at statistics, and touches no message.",
        (set_tags_command(user.name, {*user.tag_set, "monitoring"}),),
    )


def vhosts_step(user: Whoami, vhosts: int, looked: Mapping[str, bool]) -> Step:
    """Judge which of `vhosts` the user looks into; `looked` has those that were tried."""
    tagged = f"{who(user)} has the tag monitoring"
    closed = [vhost for vhost, opened in looked.items() if not opened]
    if not vhosts:
        return Step("Rights", Verdict.OK, f"{tagged}. The broker has no vhost.")
    if not closed:
        many = f"all {vhosts} vhosts" if len(looked) == vhosts else f"{len(looked)} of {vhosts} vhosts that were tried"
        return Step("Rights", Verdict.OK, f"{tagged} and looks into {'its one vhost' if vhosts == 1 else many}.")
    names = ", ".join(quoted(vhost, 60) for vhost in closed[:5]) + (" and more" if len(closed) > 5 else "")
    where = f"{len(closed)} of {len(looked)} vhosts" if len(looked) > 1 else "its one vhost"
    return Step(
        "Rights",
        Verdict.WARNING,
        f"{tagged}, and no permission row in {where}: {names}. What is defined there stays unknown.",
        "Give it an empty row in each: it opens the vhost to looking and allows nothing in it.",
        tuple(grant_command(vhost, user.name) for vhost in closed),
    )


def plugins_step(found: Capabilities, management: str, nodes: Sequence[Node]) -> Step:
    """Judge version, plugins and nodes; `management` is the management plugin's version."""
    down = [node.name for node in nodes if node.running is False]
    without = [
        node.name
        for node in nodes
        if node.enabled_plugins is not None and node.running and "rabbitmq_prometheus" not in node.enabled_plugins
    ]
    version = f"{found.product} {clipped(found.version, 40)}".strip()
    plugin = f" with management {clipped(management, 40)}" if management and management != found.version else ""
    many = f" on {len(nodes)} nodes" if len(nodes) > 1 else ""
    trouble = list(found.remarks)
    if down:
        trouble.append(f"{_named(down)} {'is' if len(down) == 1 else 'are'} down.")
    if without:
        trouble.append(f"The plugin rabbitmq_prometheus is off on {_named(without)}.")
    return Step(
        "Plugins",
        Verdict.WARNING if trouble else Verdict.OK,
        " ".join([f"{version}{plugin}{many}.", *trouble]),
        "Switch it on there; no restart is needed." if without else "",
        (_PROMETHEUS_ON,) if without else (),
    )


def no_listener_step(user: Whoami) -> Step:
    """Say what it means that no Prometheus listener is known."""
    if not user.tag_set & {"monitoring", "administrator"}:
        said = "The broker tells its listeners to users with the tag monitoring only."
        return Step("Prometheus", Verdict.IDLE, said, "Give the user the tag, or enter the Prometheus addresses.")
    return Step(
        "Prometheus",
        Verdict.WARNING,
        "No node has a Prometheus listener. The management API is asked instead, which costs the broker far more.",
        "Switch the plugin on, on every node; no restart is needed.",
        (_PROMETHEUS_ON,),
    )


def prometheus_steps(
    found: Capabilities, nodes: Sequence[Node], answers: Mapping[str, Identity | BrokerError]
) -> Iterator[Step]:
    """Judge each node's Prometheus endpoint by what answered at which address."""
    reached, failed = located(found.addresses, answers)
    down = {node.name for node in nodes if node.running is False}
    for node, address in sorted(reached.items()):
        if node not in failed:
            yield Step(_prometheus_of(node), Verdict.OK, f"It answers at {address}.")
    for node, error in sorted(failed.items()):
        name = _prometheus_of(node) if node else "Prometheus"
        if node in down:
            yield Step(name, Verdict.WARNING, "The node is down.", "Start it; it is asked again by itself.")
        else:
            follows = " The queues it leads stay unknown." if reached else " The management API is asked instead."
            yield Step(name, Verdict.CRITICAL, f"{error.sentence}{follows}", error.remedy)
    for address in found.addresses.get("", ()):
        told = answers.get(address)
        if isinstance(told, BrokerError) and "" not in failed:
            yield Step(f"Prometheus at {address}", Verdict.CRITICAL, told.sentence, told.remedy)
    for node in sorted(one.name for one in nodes if one.running and "" in found.addresses and reached):
        if node not in reached:
            said = "None of the entered addresses answers for it, so the queues it leads stay unknown."
            yield Step(_prometheus_of(node), Verdict.CRITICAL, said, "Add its Prometheus address.")


def who(user: Whoami) -> str:
    """Return the user's name for a sentence."""
    return clipped(user.name, 80) or "The user"


def is_loopback(address: str) -> bool:
    """True where an address is this machine's own."""
    try:
        return ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _prometheus_of(node: str) -> str:
    return f"Prometheus of {clipped(node, 80)}"


def _named(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - 3} more" if len(nodes) > 3 else ""
    return ", ".join(clipped(node, 80) for node in nodes[:3]) + more
