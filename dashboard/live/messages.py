"""What a browser may say on the socket, and how much of it. Pure."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

# A subscription with a long regular expression and a list of columns has some 2 kB.
LONGEST_MESSAGE = 16_384
MOST_SUBSCRIPTIONS = 24
# So many messages that can't be understood, and the socket is closed.
MOST_FAULTS = 20


class Subscribe(msgspec.Struct, frozen=True, tag_field="op", tag="subscribe"):
    """Watch a topic under a name of the browser's; a name that is in use is subscribed anew."""

    sub: Annotated[str, Meta(min_length=1, max_length=64)]
    topic: Annotated[str, Meta(min_length=1, max_length=64)]
    params: dict[str, Any] = {}


class Unsubscribe(msgspec.Struct, frozen=True, tag_field="op", tag="unsubscribe"):
    """Stop watching."""

    sub: Annotated[str, Meta(min_length=1, max_length=64)]


class Ack(msgspec.Struct, frozen=True, tag_field="op", tag="ack"):
    """The frame of this number was taken in."""

    seq: int


class Hide(msgspec.Struct, frozen=True, tag_field="op", tag="hide"):
    """The window is hidden: send nothing."""


class Show(msgspec.Struct, frozen=True, tag_field="op", tag="show"):
    """The window is seen again: send a whole state of everything."""


Message = Subscribe | Unsubscribe | Ack | Hide | Show


class NotUnderstood(Exception):  # noqa: N818 # it is an answer, not a failure
    """A message that is none; `sentence` says what is wrong with it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def understand(text: str | None) -> Message:
    """Decode one message. Raises NotUnderstood."""
    if text is None:
        raise NotUnderstood("Messages are JSON texts; this one was binary.")
    if len(text) > LONGEST_MESSAGE:
        raise NotUnderstood(f"The message has {len(text):,} characters; {LONGEST_MESSAGE:,} are the most.")
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError as error:
        raise NotUnderstood(f"The message is not one of the protocol's: {error}.") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise NotUnderstood("The message is not JSON.") from error


_DECODER: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
