"""What a topic raises where a person may not have what they ask for, or it is not there."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 # it is an answer, not a failure
    """The subscription ends; the person is told why by `sentence`.

    A sentence must not tell apart what is not there from what the person may not see.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
