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
        score: Raw score of its last report, also in quarantine; of one set aside by hand, as stored until its next
            report. NaN for an id of a dense pool that was set aside by hand and has no report.
        threshold: The quantile that its scores exceeded when it was set aside; None where that was by hand.
        reports: Consecutive reports that exceeded the quantile when it was set aside.
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
    """Outcomes of setting samples aside by hand; samples that were in quarantine before do not count.

    Attributes:
        quarantined: Samples set aside.
        absent: Samples that are stored nowhere.
        refused: Samples left where they were because the quarantine is full.
    """

    quarantined: int = 0
    absent: int = 0
    refused: int = 0


@dataclass(frozen=True)
class ReleaseCounts:
    """Outcomes of releasing samples; samples that were not in quarantine do not count.

    Attributes:
        released: Samples put back.
        refused: Samples left in quarantine because the list of trusted samples is full.
    """

    released: int = 0
    refused: int = 0


@dataclass(frozen=True)
class BlockCounts:
    """Outcomes of blocking samples; samples that were blocked before do not count.

    Attributes:
        blocked: Samples blocked.
        removed: Those of them that were stored or in quarantine.
        refused: Samples not blocked because the block list of their partition is full.
    """

    blocked: int = 0
    removed: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Sample:
    """A sample as stored, with what decides whether it is served.

    Attributes:
        place: Where it is.
        score: Raw score as stored, in quarantine as last reported; None where it is nowhere.
        weight_log2: log2 of its weight now, without the serve penalty; None outside the hard store.
        age: Seconds, or steps, since its last report.
        model_version: Version of the model that scored it.
        serves: Serves since its last report.
        stratum: Its stratum.
        group: Its group, or the 64-bit hash of the group's name; 0 where it has none.
        lease_left: Time until its lease ends; None where it is under none.
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
