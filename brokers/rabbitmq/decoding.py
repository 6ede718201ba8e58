"""JSON of the management API into structs: fast where it is as expected, field by field where it is not.

The broker's JSON has oddities (`"auto_delete": "undefined"`, "infinity" where a number belongs, text that is not
UTF-8). One odd field must not cost a whole list: an item that does not fit loses its unfitting fields only.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, TypeVar

import msgspec

from brokers.rabbitmq.structs import Answered

S = TypeVar("S", bound=Answered)

# RecursionError: JSON that is nested thousands of times.
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_UNFIT = object()


class MalformedError(Exception):
    """The text is not JSON, or not of the expected outline; `truncated` where it ends too early."""

    def __init__(self, reason: str, *, truncated: bool = False) -> None:
        super().__init__(reason)
        self.truncated = truncated


# A NUL in JSON, behind backslashes that are none of its own.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def decode_list(body: bytes | msgspec.Raw, item: type[S]) -> list[S]:
    """Decode a JSON list of objects. Raises MalformedError; items that are no objects are left out."""
    body = _storable(body)
    try:
        found: list[S] = _list_decoder(item).decode(body)
    except _FAULTS:
        raws = _parse(_repaired(bytes(body)), list[msgspec.Raw])
        return [one for one in (_lenient(raw, item) for raw in raws) if one is not None]
    return found


def decode_one(body: bytes | msgspec.Raw, item: type[S]) -> S:
    """Decode one JSON object. Raises MalformedError."""
    body = _storable(body)
    try:
        found: S = _decoder(item).decode(body)
    except _FAULTS:
        raw = _parse(_repaired(bytes(body)), msgspec.Raw)
        lenient = _lenient(raw, item)
        if lenient is None:
            raise MalformedError("it is no object") from None
        return lenient
    return found


def _lenient(raw: msgspec.Raw, item: type[S]) -> S | None:
    """Return what fits of an object, field by field; None where it is none."""
    try:
        return msgspec.json.decode(raw, type=item)
    except _FAULTS:
        pass  # below, field by field
    try:
        fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except _FAULTS:
        return None
    fitting: dict[str, Any] = {}
    for field in msgspec.structs.fields(item):
        if field.encode_name in fields:
            value = _field(fields[field.encode_name], field.type)
            if value is not _UNFIT:
                fitting[field.name] = value
    return item(**fitting)


def _field(raw: msgspec.Raw, kind: Any) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except _FAULTS:
        nested = _nested(kind)
    if nested is None:
        return _UNFIT
    try:
        return decode_list(raw, nested)
    except MalformedError:
        return _UNFIT


def _nested(kind: Any) -> type[Answered] | None:
    """Return the struct of a field that holds a list of structs."""
    for one in getattr(kind, "__args__", ()):
        inside = getattr(one, "__args__", ())
        if getattr(one, "__origin__", None) is list and inside and isinstance(inside[0], type):
            return inside[0] if issubclass(inside[0], Answered) else None
    return None


def _storable(body: bytes | msgspec.Raw) -> bytes | msgspec.Raw:
    """Return the text with U+FFFD for each NUL: RabbitMQ takes names that have one, and PostgreSQL stores none.

    What is a part of an answer (Raw) was so treated with it.
    """
    return _NUL.sub(rb"\1\\ufffd", body) if isinstance(body, bytes) and b"\\u0000" in body else body


def _repaired(body: bytes) -> bytes:
    """Return the text with what is not UTF-8 replaced."""
    return body.decode("utf-8", "replace").encode()


def _parse(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except _FAULTS as error:
        raise MalformedError(str(error), truncated="truncated" in str(error)) from None


@cache
def _decoder(item: type[Answered]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(item)


@cache
def _list_decoder(item: type[Answered]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(list[item])  # type: ignore[valid-type]
