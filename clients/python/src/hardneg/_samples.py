"""Single samples: what is stored of one, and what became of those that a call named."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from ._enums import SamplePlace, enum_from_proto
from ._messages import dataclass_of, datetime_of
from ._proto import mining_service_pb2, pool_service_pb2


@dataclass(frozen=True)
class QuarantinedSample:
    """A sample in quarantine.

    Attributes:
        id: Its id, or its string key in a pool of strings.
        score: Raw score as last reported, in quarantine too; of one set aside by hand as stored, until its next report.
            NaN: an id of a dense pool that was set aside by hand and has no report.
        threshold: The quantile that its scores were over when it was set aside; None: it was set aside by hand.
        reports: Reports in a row that were over the quantile when it was set aside.
        quarantine_time: When it was set aside, in UTC.
        model_version: Version of the model that scored it last.
        stratum: Its stratum.
    """

    id: int | str
    score: float
    threshold: float | None
    reports: int
    quarantine_time: datetime.datetime
    model_version: int
    stratum: int

    @classmethod
    def from_proto(cls, message: pool_service_pb2.QuarantinedSample) -> QuarantinedSample:
        return dataclass_of(
            cls, message, id=message.name or message.id, quarantine_time=datetime_of(message.quarantine_time)
        )


@dataclass(frozen=True)
class SetAsideCounts:
    """What became of samples that were to be set aside by hand; those that were in quarantine before do not count.

    Attributes:
        quarantined: Set aside now.
        absent: Stored nowhere.
        refused: Left where they were: the quarantine is full.
    """

    quarantined: int = 0
    absent: int = 0
    refused: int = 0


@dataclass(frozen=True)
class ReleaseCounts:
    """What became of samples that were to be released; those that were not in quarantine do not count.

    Attributes:
        released: Put back.
        refused: Left in quarantine, because no more can be trusted.
    """

    released: int = 0
    refused: int = 0


@dataclass(frozen=True)
class BlockCounts:
    """What became of samples that were to be blocked; those that were blocked before do not count.

    Attributes:
        blocked: Blocked now.
        removed: Those of them that were stored or in quarantine.
        refused: Not blocked, because the block list is full where their hashes put them.
    """

    blocked: int = 0
    removed: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Sample:
    """A sample as stored: why it was served, or was not.

    Attributes:
        place: Where it is.
        score: As stored, in quarantine as last reported; None where it is nowhere.
        weight_log2: log2 of its weight now, serve penalty left out; in the hard store only.
        age: Seconds, or steps, since its report.
        model_version: Version of the model that scored it.
        serves: Serves since its report.
        stratum: Its stratum.
        group: Its group, or the 64-bit hash of the group's name; 0: none.
        lease_left: Its lease goes on for this long; None: it does not rest.
        in_background: Whether it is in the background's sample.
    """

    place: SamplePlace
    score: float | None
    weight_log2: float | None
    age: float | None
    model_version: int
    serves: int
    stratum: int
    group: int
    lease_left: datetime.timedelta | None
    in_background: bool

    @classmethod
    def from_proto(cls, message: mining_service_pb2.Sample) -> Sample:
        place = enum_from_proto(SamplePlace, mining_service_pb2.SamplePlace, message.place)
        return dataclass_of(cls, message, place=place or SamplePlace.NOWHERE)
