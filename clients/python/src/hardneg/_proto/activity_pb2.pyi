import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PoolActivity(_message.Message):
    __slots__ = ("ticks", "stored_samples", "served_samples", "scores", "ages", "serves", "versions", "workers", "worker_count", "hardest", "suspects")
    TICKS_FIELD_NUMBER: _ClassVar[int]
    STORED_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SERVED_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    AGES_FIELD_NUMBER: _ClassVar[int]
    SERVES_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    WORKER_COUNT_FIELD_NUMBER: _ClassVar[int]
    HARDEST_FIELD_NUMBER: _ClassVar[int]
    SUSPECTS_FIELD_NUMBER: _ClassVar[int]
    ticks: _containers.RepeatedCompositeFieldContainer[ActivityTick]
    stored_samples: int
    served_samples: int
    scores: SampleHistogram
    ages: SampleHistogram
    serves: SampleHistogram
    versions: _containers.RepeatedCompositeFieldContainer[VersionCount]
    workers: _containers.RepeatedCompositeFieldContainer[WorkerActivity]
    worker_count: int
    hardest: _containers.RepeatedCompositeFieldContainer[HardSample]
    suspects: _containers.RepeatedCompositeFieldContainer[NoiseSuspect]
    def __init__(self, ticks: _Optional[_Iterable[_Union[ActivityTick, _Mapping[str, object]]]] = ..., stored_samples: _Optional[int] = ..., served_samples: _Optional[int] = ..., scores: _Optional[_Union[SampleHistogram, _Mapping[str, object]]] = ..., ages: _Optional[_Union[SampleHistogram, _Mapping[str, object]]] = ..., serves: _Optional[_Union[SampleHistogram, _Mapping[str, object]]] = ..., versions: _Optional[_Iterable[_Union[VersionCount, _Mapping[str, object]]]] = ..., workers: _Optional[_Iterable[_Union[WorkerActivity, _Mapping[str, object]]]] = ..., worker_count: _Optional[int] = ..., hardest: _Optional[_Iterable[_Union[HardSample, _Mapping[str, object]]]] = ..., suspects: _Optional[_Iterable[_Union[NoiseSuspect, _Mapping[str, object]]]] = ...) -> None: ...

class ActivityTick(_message.Message):
    __slots__ = ("time", "seconds", "reported_rows", "reported_batches", "mined_batches", "served_hard", "served_background", "evicted", "hard", "floor_log2", "report", "mine")
    TIME_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    REPORTED_ROWS_FIELD_NUMBER: _ClassVar[int]
    REPORTED_BATCHES_FIELD_NUMBER: _ClassVar[int]
    MINED_BATCHES_FIELD_NUMBER: _ClassVar[int]
    SERVED_HARD_FIELD_NUMBER: _ClassVar[int]
    SERVED_BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    EVICTED_FIELD_NUMBER: _ClassVar[int]
    HARD_FIELD_NUMBER: _ClassVar[int]
    FLOOR_LOG2_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    MINE_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    seconds: float
    reported_rows: int
    reported_batches: int
    mined_batches: int
    served_hard: int
    served_background: int
    evicted: int
    hard: int
    floor_log2: float
    report: LatencyPercentiles
    mine: LatencyPercentiles
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., seconds: _Optional[float] = ..., reported_rows: _Optional[int] = ..., reported_batches: _Optional[int] = ..., mined_batches: _Optional[int] = ..., served_hard: _Optional[int] = ..., served_background: _Optional[int] = ..., evicted: _Optional[int] = ..., hard: _Optional[int] = ..., floor_log2: _Optional[float] = ..., report: _Optional[_Union[LatencyPercentiles, _Mapping[str, object]]] = ..., mine: _Optional[_Union[LatencyPercentiles, _Mapping[str, object]]] = ...) -> None: ...

class LatencyPercentiles(_message.Message):
    __slots__ = ("p50", "p99")
    P50_FIELD_NUMBER: _ClassVar[int]
    P99_FIELD_NUMBER: _ClassVar[int]
    p50: float
    p99: float
    def __init__(self, p50: _Optional[float] = ..., p99: _Optional[float] = ...) -> None: ...

class SampleHistogram(_message.Message):
    __slots__ = ("bounds", "stored", "served")
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    bounds: _containers.RepeatedScalarFieldContainer[float]
    stored: _containers.RepeatedScalarFieldContainer[int]
    served: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, bounds: _Optional[_Iterable[float]] = ..., stored: _Optional[_Iterable[int]] = ..., served: _Optional[_Iterable[int]] = ...) -> None: ...

class VersionCount(_message.Message):
    __slots__ = ("version", "stored", "served")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    version: int
    stored: int
    served: int
    def __init__(self, version: _Optional[int] = ..., stored: _Optional[int] = ..., served: _Optional[int] = ...) -> None: ...

class WorkerActivity(_message.Message):
    __slots__ = ("worker_id", "silent_seconds", "rows_per_second", "rows", "batches", "step", "model_version")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    SILENT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ROWS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    silent_seconds: float
    rows_per_second: float
    rows: int
    batches: int
    step: int
    model_version: int
    def __init__(self, worker_id: _Optional[str] = ..., silent_seconds: _Optional[float] = ..., rows_per_second: _Optional[float] = ..., rows: _Optional[int] = ..., batches: _Optional[int] = ..., step: _Optional[int] = ..., model_version: _Optional[int] = ...) -> None: ...

class HardSample(_message.Message):
    __slots__ = ("id", "name", "score", "weight_log2", "age", "serves", "model_version")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_LOG2_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    SERVES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    score: float
    weight_log2: float
    age: float
    serves: int
    model_version: int
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., score: _Optional[float] = ..., weight_log2: _Optional[float] = ..., age: _Optional[float] = ..., serves: _Optional[int] = ..., model_version: _Optional[int] = ...) -> None: ...

class NoiseSuspect(_message.Message):
    __slots__ = ("id", "name", "score", "reports", "looks")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    LOOKS_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    score: float
    reports: int
    looks: int
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., score: _Optional[float] = ..., reports: _Optional[int] = ..., looks: _Optional[int] = ...) -> None: ...
