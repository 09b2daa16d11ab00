"""Conversion of protobuf messages into dataclasses whose fields have the same names."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, MutableSequence
from typing import Any, TypeVar, cast

from google.protobuf import duration_pb2, timestamp_pb2

_T = TypeVar("_T")


def field_value(message: Any, name: str) -> Any:
    """A field of a message: None where an optional one is absent, a tuple where it is repeated."""
    if message.DESCRIPTOR.fields_by_name[name].has_presence and not message.HasField(name):
        return None
    value = getattr(message, name)
    if isinstance(value, timestamp_pb2.Timestamp):
        return datetime_of(value)
    if isinstance(value, duration_pb2.Duration):
        return timedelta_of(value)
    return tuple(value) if isinstance(value, MutableSequence) else value


def dataclass_of(kind: type[_T], message: Any, **converted: Any) -> _T:
    """Makes a dataclass of the message's fields of the same names, but for those that the caller has converted."""
    names = [field.name for field in dataclasses.fields(cast(Any, kind)) if field.name not in converted]
    return kind(**converted, **{name: field_value(message, name) for name in names})


def optional_of(convert: Callable[[Any], _T], message: Any, name: str) -> _T | None:
    """Converts a field that is a message; None where it is absent."""
    return convert(getattr(message, name)) if message.HasField(name) else None


def datetime_of(timestamp: timestamp_pb2.Timestamp) -> datetime.datetime:
    """A point in time, in UTC."""
    return timestamp.ToDatetime(datetime.timezone.utc)


def timedelta_of(duration: duration_pb2.Duration) -> datetime.timedelta:
    """A duration, to the microsecond."""
    return datetime.timedelta(microseconds=duration.ToMicroseconds())
