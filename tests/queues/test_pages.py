"""The pages of queues: what a person may see and no more, every state of the list, and fragments for htmx."""

from __future__ import annotations

import re
import time
from html import unescape
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from brokers.collect.models import PollState
from brokers.registry.details import QueueDetail, VhostDetail
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts.models import Role, User
from dashboard.accounts.rights import rights_of
from dashboard.live.refused import Refused
from dashboard.live.topics import TOPICS, queues
from dashboard.queries.attention import needs
from dashboard.queries.attention_shown import queues_url, url_of
from dashboard.queries.broker_facts import facts_of
from dashboard.zone import zone_named
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.django_db
HOSTILE = [
    "<script>alert('x')</script>",
    "\"quotes\" & 'more'",
    "a/b//c/..",
    "100%25 %zz",
    "😀" * 60,
    "\u202eRTL\u200f",
    "..",
    "?name=#x",
    "plus+and space ",
    "\u200f\u200f",
]


def now() -> int:
    return time.time_ns() // 1_000_000


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def polled(name: str = "shop", *, queues: list[Seen] | None = None, vhosts: list[Seen] | None = None) -> Broker:
    """A broker with queues of two vhosts, polled twice so that it has rates."""
    broker = make_broker(name, management_url="http://10.4.0.12:15672")
    for moment, counted in ((now() - 10_000, 0.0), (now(), 100.0)):
        append_snapshot(
            broker,
            {
                Kind.VHOST: vhosts if vhosts is not None else [Seen("", one, {}, VhostDetail()) for one in ("a", "b")],
                Kind.QUEUE: queues
                if queues is not None
                else [
                    seen_queue("a", "orders", ready=32_949, unacked=3, consumers=0, published=counted),
                    seen_queue("a", "mail", ready=0, unacked=0, consumers=2, published=0),
                    seen_queue("b", "secret", ready=70, unacked=0, consumers=0, published=counted),
                    seen_queue("b", "letters", detail=QueueDetail(dead_letters_of=("secret",)), ready=9, consumers=0),
                ],
            },
            whole={"queues": 4},
            at_ms=moment,
        )
    return broker


def shown(page: str) -> list[str]:
    """Return the names in the table, in order."""
    return [unescape(name) for name in re.findall(r'<span class="cellname"><a [^>]*><bdi>(.*?)</bdi>', page, re.DOTALL)]


def text(client: Client, address: str, **headers: str) -> str:
    answer = client.get(address, headers=headers)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def plain(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", "", page)).split())


def test_it_lists_what_an_address_asks_for() -> None:
    broker = polled()
    client = signed_in(make_user("v", Role.VIEWER))
    page = text(client, queues_url(broker.pk, sort="-ready"))
    assert shown(page) == ["orders", "secret", "letters", "mail"]
    assert "4 queues on shop, 33,028 ready. 3 have a backlog, 2 of them no consumer." in plain(page)
    assert shown(text(client, queues_url(broker.pk, name="r", vhost="a"))) == ["orders"]
    assert "1 of 4 queues on shop, 32,949 ready." in plain(text(client, queues_url(broker.pk, name="r", vhost="a")))


def test_it_lists_over_all_brokers() -> None:
    polled("one")
    polled("two")
    page = text(signed_in(make_user("v", Role.VIEWER)), "/queues?sort=-broker&name=mail")
    assert shown(page) == ["mail", "mail"]
    assert [one in page for one in ("<bdi>one</bdi>", "<bdi>two</bdi>")] == [True, True]
    assert page.index("<bdi>two</bdi>") < page.index("<bdi>one</bdi>")


def test_it_shows_a_person_limited_to_a_vhost_nothing_of_another() -> None:
    broker = polled()
    veiled = polled("veiled")
    client = signed_in(make_user("v", (Role.VIEWER, broker, "a")))
    for address in ("/queues", queues_url(broker.pk), queues_url(broker.pk, dlq="1"), queues_url(broker.pk, name="s")):
        page = text(client, address)
        assert "secret" not in page
        assert "letters" not in page
        assert '<option value="b">' not in page
        assert "veiled" not in page
    page = text(client, queues_url(broker.pk))
    assert "2 queues on shop, 32,949 ready. 1 has a backlog and no consumer." in plain(page)
    assert client.get(queues_url(veiled.pk)).status_code == 404
    assert client.get(queues_url(999)).status_code == 404
    assert client.get(f"{queues_url(veiled.pk)}?part=rows").status_code == 404


def test_it_names_nodes_to_nobody_who_does_not_see_the_whole_broker() -> None:
    led = [
        seen_queue("a", name, detail=QueueDetail(node=f"rabbit@{name}.internal"), ready=1, consumers=1)
        for name in ("y", "x")
    ]
    broker = polled(queues=led)
    address = f"{queues_url(broker.pk)}?cols=node&sort=-node"
    whole = text(signed_in(make_user("w", Role.VIEWER)), address)
    assert "rabbit@x.internal" in whole
    assert shown(whole) == ["y", "x"]
    limited = text(signed_in(make_user("v", (Role.VIEWER, broker, "a"))), address)
    assert ".internal" not in limited
    # Nor does the order tell where they are.
    assert shown(limited) == ["x", "y"]


def test_it_gives_a_subscription_what_the_person_sees() -> None:
    broker = polled()
    veiled = polled("veiled")
    rights = rights_of(make_user("v", (Role.VIEWER, broker, "a")))
    zone = zone_named("Europe/Berlin")
    view = TOPICS["queues"].view(rights, {"sort": "-ready", "broker": broker.pk}, zone, now())
    assert len(view.order or []) == 2
    assert "secret" not in str(view)
    assert view.cells["page.matching"].text == "2 queues on shop, 32,949 ready."
    for unseen in (veiled.pk, 999):
        with pytest.raises(Refused):
            queues.view(rights, {"broker": unseen}, zone, now())


def test_it_says_what_is_wrong_with_an_expression_and_keeps_the_list() -> None:
    broker = polled()
    client = signed_in(make_user("v", Role.VIEWER))
    page = text(client, queues_url(broker.pk, name="(<b>", regex="1"))
    assert "a bracket is not closed" in page
    assert len(shown(page)) == 4
    assert "<b>" not in page.split('name="name"')[1].split(">")[0]


def test_it_answers_htmx_with_the_table_and_what_depends_on_it() -> None:
    broker = polled()
    client = signed_in(make_user("v", Role.VIEWER))
    answer = client.get(
        queues_url(broker.pk, name="mail", regex="", vhost="", sort="-state", page_size="50"),
        headers={"HX-Request": "true", "HX-Target": "queues-table"},
    )
    page = answer.content.decode()
    assert "<html" not in page
    assert page.lstrip().startswith('<div class="tw tw--fill" id="queues-table"')
    beside = set(re.findall(r'id="([a-z-]+)"[^>]* hx-swap-oob="true"', page))
    parts = {"queues-said", "queues-error", "queues-unread", "queues-chips", "queues-foot", "queues-columns-count"}
    assert beside == parts
    whole = text(client, queues_url(broker.pk))
    assert all(f'id="{one}"' in whole for one in beside)
    assert "hx-swap-oob" not in whole
    # What goes into the address bar is the shortest that says the same.
    assert answer["HX-Push-Url"] == queues_url(broker.pk, name="mail")
    assert "HX-Target" in answer["Vary"]


def test_it_gives_a_whole_page_when_history_is_restored() -> None:
    broker = polled()
    page = text(
        signed_in(make_user("v", Role.VIEWER)),
        queues_url(broker.pk),
        **{"HX-Request": "true", "HX-Target": "queues-table", "HX-History-Restore-Request": "true"},
    )
    assert "<html" in page


def test_it_gives_the_rows_alone() -> None:
    broker = polled()
    client = signed_in(make_user("v", Role.VIEWER))
    page = text(client, queues_url(broker.pk, name="orders", cols="ready"))
    url = unescape(re.search(r'data-rows-url="([^"]+)"', page)[1])  # type: ignore[index]
    rows = text(client, url)
    assert rows.lstrip().startswith("<tr data-row=")
    assert shown(rows) == ["orders"]


def test_it_shows_the_columns_that_are_chosen() -> None:
    broker = polled()
    client = signed_in(make_user("v", Role.VIEWER))
    page = text(client, f"{queues_url(broker.pk)}?cols=ready&cols=redeliver")
    heads = re.findall(r"<th .*?</th>", page, re.DOTALL)
    assert [plain(head) for head in heads] == ["Queue", "Ready", "Redeliver /s"]
    # What somebody chose leaves on a phone only; of the usual columns some leave before.
    assert 'class="num m0"' in heads[2]
    assert 'class="num p3"' in text(client, queues_url(broker.pk))


def test_it_takes_a_form_with_the_usual_columns_for_the_usual_list() -> None:
    broker = polled()
    client = signed_in(make_user("v", Role.VIEWER))
    usual = re.findall(r'name="cols" value="([a-z_]+)" checked', text(client, queues_url(broker.pk)))
    assert "ready" in usual
    query = urlencode({"cols": usual, "name": "mail"}, doseq=True)
    answer = client.get(f"{queues_url(broker.pk)}?{query}", headers={"HX-Target": "queues-table"})
    assert answer["HX-Push-Url"] == queues_url(broker.pk, name="mail")


def test_it_gives_rates_and_says_why_one_is_unknown() -> None:
    broker = polled()
    page = text(signed_in(make_user("v", Role.VIEWER)), queues_url(broker.pk, name="orders"))
    assert re.search(r'data-live="q.\d+.\d+.publish">10', page)
    assert 'class="unknown"' in page
    assert "shop does not tell it" in page


def test_it_turns_pages() -> None:
    broker = polled(queues=[seen_queue("a", f"q{number:03}", ready=number) for number in range(120)])
    client = signed_in(make_user("v", Role.VIEWER))
    found: list[str] = []
    address = queues_url(broker.pk, sort="name")
    for _ in range(3):
        page = text(client, address)
        found += shown(page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = unescape(following[1]) if following else ""
    assert found == [f"q{number:03}" for number in range(120)]
    assert address == ""
    beyond = text(client, queues_url(broker.pk, sort="name", page="99"))
    assert shown(beyond) == [f"q{number:03}" for number in range(100, 120)]
    assert "101–120 of 120" in plain(beyond)


def test_it_shows_the_last_figures_of_a_silent_broker_as_such() -> None:
    broker = polled()
    PollState.objects.filter(broker=broker).update(
        failures=3, failing_since_ms=now(), error_sentence="Connection refused on 10.4.0.12:15672.", error_remedy="Go."
    )
    whole = text(signed_in(make_user("v", Role.VIEWER)), queues_url(broker.pk))
    assert whole.count('class="is-stale"') == 4
    assert "staleband" in whole
    assert "Connection refused" in whole
    assert "32,949" in whole
    assert not re.search(r'data-live="q.\d+.\d+.publish">\d', whole)
    limited = text(signed_in(make_user("w", (Role.VIEWER, broker, "a"))), "/queues")
    assert limited.count('class="is-stale"') == 2
    assert re.search(
        r"shop does not answer\. Its queues show their last figures in grey, of [\dminsh ]+ ago\.", plain(limited)
    )
    assert "does not answer" in limited
    assert "10.4.0.12" not in limited


def test_it_says_why_there_is_nothing() -> None:
    admin = signed_in(make_user("a", Role.ADMINISTRATOR))
    assert "No broker yet" in text(admin, "/queues")
    assert "You may not see any broker yet" in text(signed_in(make_user("n")), "/queues")
    new = make_broker("new")
    assert "No figures yet" in text(admin, queues_url(new.pk))
    assert "No queues" in text(admin, queues_url(polled("empty", queues=[]).pk))
    assert "No vhost is known" in text(admin, queues_url(polled("bare", queues=[], vhosts=[]).pk))
    broker = polled("full")
    assert "No vhost is yours to see" in text(signed_in(make_user("l", (Role.VIEWER, broker, "z"))), "/queues")


def test_it_says_which_vhosts_are_closed_to_it_and_how_to_open_them() -> None:
    vhosts = [Seen("", "shut", {}, VhostDetail(readable=False)), Seen("", "a", {}, VhostDetail(readable=True))]
    broker = polled(queues=[], vhosts=vhosts)
    page = text(signed_in(make_user("v", Role.VIEWER)), queues_url(broker.pk))
    assert "A vhost of shop cannot be looked into" in plain(page)
    assert "rabbitmqctl set_permissions -p shut watch" in page
    limited = text(signed_in(make_user("w", (Role.VIEWER, broker, "shut"))), queues_url(broker.pk))
    assert "cannot be looked into" in plain(limited)
    assert "rabbitmqctl" not in limited
    other = text(signed_in(make_user("x", (Role.VIEWER, broker, "a"))), queues_url(broker.pk))
    assert "shut" not in other


def test_it_says_what_to_loosen_where_nothing_matches() -> None:
    broker = polled()
    client = signed_in(make_user("v", Role.VIEWER))
    page = text(client, queues_url(broker.pk, name="mail", state="stopped", backlog="1"))
    links = {plain(word): unescape(url) for url, word in re.findall(r'<a class="btn" href="([^"]+)">(.*?)</a>', page)}
    assert {"Any name", "Any state", "With or without a backlog", "Show all"} <= set(links)
    assert shown(text(client, links["Any name"])) == ["orders", "secret"]


def test_it_leads_from_what_needs_somebody_to_just_these_queues() -> None:
    queues = [
        seen_queue("a", "one", ready=5, consumers=0),
        seen_queue("a", "two", ready=5, consumers=0),
        seen_queue("a", "letters", detail=QueueDetail(named_like_dlq=True), ready=5, consumers=0),
        seen_queue("a", "log", detail=QueueDetail(type="stream"), ready=5, consumers=0),
        seen_queue("a", "served", ready=5, consumers=1),
    ]
    broker = polled(queues=queues)
    user = make_user("v", Role.VIEWER)
    [facts] = facts_of(rights_of(user), now())
    [need] = [need for need in needs(facts) if need.vhost == "a"]
    assert need.subject == "2 queues of a"
    assert shown(text(signed_in(user), url_of(need))) == ["one", "two"]
    assert broker.pk == need.broker_id


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_right_whatever_things_are_called(name: str) -> None:
    queues = [seen_queue(name, name, ready=1, consumers=0, detail=QueueDetail(policy=name, dead_letters_of=(name,)))]
    broker = polled(name[:60], queues=queues, vhosts=[Seen("", name, {}, VhostDetail())])
    client = signed_in(make_user("v", Role.VIEWER))
    for address in (queues_url(broker.pk), "/queues"):
        asked = {"name": name, "vhost": name, "cols": ["vhost", "broker", "policy", "state", "ready"]}
        page = text(client, f"{address}?{urlencode(asked, doseq=True)}")
        assert "<script>alert" not in page
        assert f"?{urlencode({'vhost': name, 'name': name})}" in unescape(page)
        assert page.count("<tr data-row=") == 1
        # A name of nothing that can be seen is spelled out, so that it can be clicked.
        assert shown(page) == [name if name.strip("\u200f") else "U+200F U+200F"]


def test_it_asks_the_database_a_pinned_number_of_times() -> None:
    for number in range(3):
        polled(f"broker-{number}")
    client = signed_in(make_user("v", Role.VIEWER))
    asked = {}
    one = queues_url(Broker.objects.earliest("id").pk)
    for address in ("/queues", "/queues?part=rows", one):
        text(client, address)
        with CaptureQueriesContext(connection) as found:
            text(client, address)
        asked[address] = [
            query["sql"] for query in found if "session" not in query["sql"] and "accounts_" not in query["sql"]
        ]
    # Brokers, their events, and one a broker; the shell asks once more for the brokers; of one, how it is polled.
    assert len(asked["/queues?part=rows"]) == 2 + 3
    assert len(asked["/queues"]) == 2 + 3 + 1
    assert len(asked[one]) == 2 + 1 + 1 + 1
