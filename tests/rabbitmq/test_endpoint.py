"""Addresses as people type and paste them."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest

from brokers.rabbitmq.endpoint import Endpoint, split_url
from brokers.rabbitmq.errors import BadEndpointError


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("http://rabbit", "http://rabbit:15672"),
        ("http://rabbit:15672/", "http://rabbit:15672"),
        ("  http://rabbit:80/#/queues  ", "http://rabbit:80"),
        ("https://rabbit", "https://rabbit"),
        ("https://rabbit/prefix/api/", "https://rabbit/prefix"),
        ("http://rabbit/prefix", "http://rabbit/prefix"),
        ("http://[::1]:15672", "http://[::1]:15672"),
        ("HTTP://Rabbit:1", "http://rabbit:1"),
    ],
)
def test_it_takes_an_address_as_it_is_pasted(typed: str, url: str) -> None:
    assert Endpoint.parse(typed).management_url == url


def test_it_splits_credentials_off() -> None:
    endpoint = Endpoint.parse("http://us%40er:p%2Fw%3A@rabbit:1/x")
    assert (endpoint.username, endpoint.password) == ("us@er", "p/w:")
    assert endpoint.management_url == "http://rabbit:1/x"
    with pytest.raises(BadEndpointError, match="has credentials in it"):
        Endpoint("http://a:b@rabbit:1")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "is empty"),
        ("rabbit:15672", "does not begin with http"),
        ("amqp://rabbit", "is an AMQP address"),
        ("ftp://rabbit", "does not begin with http"),
        ("http://", "names no host"),
        ("http://rabbit:99999", "the port is not a number"),
        ("http://rabbit:0", "is 0"),
        ("http://rab bit", "can't be a host name"),
        ("http://rabbit/?x=1", "has a query"),
        ("http://[::1", "is not an IPv6 address"),
        ("http://rabbit/a<b", "a character that can't stand in a URL"),
    ],
)
def test_it_says_what_is_wrong_with_an_address(typed: str, words: str) -> None:
    with pytest.raises(BadEndpointError) as raised:
        Endpoint.parse(typed)
    assert words in raised.value.sentence
    assert raised.value.remedy


def told(text: str) -> str:
    """Return the URL, or all that the error says."""
    try:
        return split_url(text)[0]
    except BadEndpointError as error:
        return f"{error!r}{error.remedy}{error.__dict__}"


@hypothesis.given(st.text(max_size=40))
def test_it_survives_anything_that_is_typed(typed: str) -> None:
    for text in (typed, f"http://{typed}", f"http://user:s3cret-pw@{typed}"):
        assert "s3cret-pw" not in told(text)


@hypothesis.given(
    st.from_regex(r"https?://[a-z0-9.-]{1,20}(:[1-9][0-9]{0,3})?(/[a-z0-9%._-]{0,8}){0,3}", fullmatch=True)
)
def test_it_takes_its_own_addresses_again(typed: str) -> None:
    url = told(typed)
    assert told(url) == url or not url.startswith("http")
