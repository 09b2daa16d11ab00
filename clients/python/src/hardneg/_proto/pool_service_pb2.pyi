import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from . import activity_pb2 as _activity_pb2
from . import columns_pb2 as _columns_pb2
from . import pool_pb2 as _pool_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreatePoolRequest(_message.Message):
    __slots__ = ("pool_id", "pool")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    pool: _pool_pb2.Pool
    def __init__(self, pool_id: _Optional[str] = ..., pool: _Optional[_Union[_pool_pb2.Pool, _Mapping[str, object]]] = ...) -> None: ...

class CreatePoolResponse(_message.Message):
    __slots__ = ("pool", "created")
    POOL_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    pool: _pool_pb2.Pool
    created: bool
    def __init__(self, pool: _Optional[_Union[_pool_pb2.Pool, _Mapping[str, object]]] = ..., created: bool = ...) -> None: ...

class GetPoolRequest(_message.Message):
    __slots__ = ("name", "pool_uid")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    name: str
    pool_uid: int
    def __init__(self, name: _Optional[str] = ..., pool_uid: _Optional[int] = ...) -> None: ...

class GetPoolResponse(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: _pool_pb2.Pool
    def __init__(self, pool: _Optional[_Union[_pool_pb2.Pool, _Mapping[str, object]]] = ...) -> None: ...

class ListPoolsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPoolsResponse(_message.Message):
    __slots__ = ("pools", "next_page_token")
    POOLS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Pool]
    next_page_token: str
    def __init__(self, pools: _Optional[_Iterable[_Union[_pool_pb2.Pool, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdatePoolRequest(_message.Message):
    __slots__ = ("pool", "update_mask")
    POOL_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    pool: _pool_pb2.Pool
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, pool: _Optional[_Union[_pool_pb2.Pool, _Mapping[str, object]]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping[str, object]]] = ...) -> None: ...

class UpdatePoolResponse(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: _pool_pb2.Pool
    def __init__(self, pool: _Optional[_Union[_pool_pb2.Pool, _Mapping[str, object]]] = ...) -> None: ...

class DeletePoolRequest(_message.Message):
    __slots__ = ("name", "etag", "allow_missing", "pool_uid")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    ALLOW_MISSING_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    allow_missing: bool
    pool_uid: int
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ..., allow_missing: bool = ..., pool_uid: _Optional[int] = ...) -> None: ...

class DeletePoolResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPoolStatsRequest(_message.Message):
    __slots__ = ("name", "pool_uid")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    name: str
    pool_uid: int
    def __init__(self, name: _Optional[str] = ..., pool_uid: _Optional[int] = ...) -> None: ...

class GetPoolStatsResponse(_message.Message):
    __slots__ = ("stats",)
    STATS_FIELD_NUMBER: _ClassVar[int]
    stats: _pool_pb2.PoolStats
    def __init__(self, stats: _Optional[_Union[_pool_pb2.PoolStats, _Mapping[str, object]]] = ...) -> None: ...

class WatchPoolStatsRequest(_message.Message):
    __slots__ = ("name", "interval", "pool_uid")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    name: str
    interval: _duration_pb2.Duration
    pool_uid: int
    def __init__(self, name: _Optional[str] = ..., interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, object]]] = ..., pool_uid: _Optional[int] = ...) -> None: ...

class WatchPoolStatsResponse(_message.Message):
    __slots__ = ("stats", "activity")
    STATS_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    stats: _pool_pb2.PoolStats
    activity: _activity_pb2.PoolActivity
    def __init__(self, stats: _Optional[_Union[_pool_pb2.PoolStats, _Mapping[str, object]]] = ..., activity: _Optional[_Union[_activity_pb2.PoolActivity, _Mapping[str, object]]] = ...) -> None: ...

class ListQuarantinedRequest(_message.Message):
    __slots__ = ("name", "page_size", "page_token", "pool_uid")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    name: str
    page_size: int
    page_token: str
    pool_uid: int
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., pool_uid: _Optional[int] = ...) -> None: ...

class ListQuarantinedResponse(_message.Message):
    __slots__ = ("samples", "next_page_token", "total")
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    samples: _containers.RepeatedCompositeFieldContainer[QuarantinedSample]
    next_page_token: str
    total: int
    def __init__(self, samples: _Optional[_Iterable[_Union[QuarantinedSample, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ..., total: _Optional[int] = ...) -> None: ...

class QuarantinedSample(_message.Message):
    __slots__ = ("id", "name", "score", "threshold", "reports", "quarantine_time", "model_version", "stratum")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_TIME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    STRATUM_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    score: float
    threshold: float
    reports: int
    quarantine_time: _timestamp_pb2.Timestamp
    model_version: int
    stratum: int
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., score: _Optional[float] = ..., threshold: _Optional[float] = ..., reports: _Optional[int] = ..., quarantine_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., model_version: _Optional[int] = ..., stratum: _Optional[int] = ...) -> None: ...

class ReleaseQuarantinedRequest(_message.Message):
    __slots__ = ("name", "ids", "trust", "pool_uid")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    name: str
    ids: _columns_pb2.IdColumn
    trust: bool
    pool_uid: int
    def __init__(self, name: _Optional[str] = ..., ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., trust: bool = ..., pool_uid: _Optional[int] = ...) -> None: ...

class ReleaseQuarantinedResponse(_message.Message):
    __slots__ = ("released_count", "refused_count")
    RELEASED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    released_count: int
    refused_count: int
    def __init__(self, released_count: _Optional[int] = ..., refused_count: _Optional[int] = ...) -> None: ...

class QuarantineSamplesRequest(_message.Message):
    __slots__ = ("name", "ids", "pool_uid")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    name: str
    ids: _columns_pb2.IdColumn
    pool_uid: int
    def __init__(self, name: _Optional[str] = ..., ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., pool_uid: _Optional[int] = ...) -> None: ...

class QuarantineSamplesResponse(_message.Message):
    __slots__ = ("quarantined_count", "absent_count", "refused_count")
    QUARANTINED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ABSENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    quarantined_count: int
    absent_count: int
    refused_count: int
    def __init__(self, quarantined_count: _Optional[int] = ..., absent_count: _Optional[int] = ..., refused_count: _Optional[int] = ...) -> None: ...

class BlockSamplesRequest(_message.Message):
    __slots__ = ("name", "ids", "pool_uid")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    name: str
    ids: _columns_pb2.IdColumn
    pool_uid: int
    def __init__(self, name: _Optional[str] = ..., ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., pool_uid: _Optional[int] = ...) -> None: ...

class BlockSamplesResponse(_message.Message):
    __slots__ = ("blocked_count", "removed_count", "refused_count")
    BLOCKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    blocked_count: int
    removed_count: int
    refused_count: int
    def __init__(self, blocked_count: _Optional[int] = ..., removed_count: _Optional[int] = ..., refused_count: _Optional[int] = ...) -> None: ...

class UnblockSamplesRequest(_message.Message):
    __slots__ = ("name", "ids", "pool_uid")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    name: str
    ids: _columns_pb2.IdColumn
    pool_uid: int
    def __init__(self, name: _Optional[str] = ..., ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., pool_uid: _Optional[int] = ...) -> None: ...

class UnblockSamplesResponse(_message.Message):
    __slots__ = ("unblocked_count",)
    UNBLOCKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    unblocked_count: int
    def __init__(self, unblocked_count: _Optional[int] = ...) -> None: ...

class ListBlockedRequest(_message.Message):
    __slots__ = ("name", "page_size", "page_token", "pool_uid")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    name: str
    page_size: int
    page_token: str
    pool_uid: int
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., pool_uid: _Optional[int] = ...) -> None: ...

class ListBlockedResponse(_message.Message):
    __slots__ = ("samples", "next_page_token", "total")
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    samples: _containers.RepeatedCompositeFieldContainer[BlockedSample]
    next_page_token: str
    total: int
    def __init__(self, samples: _Optional[_Iterable[_Union[BlockedSample, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ..., total: _Optional[int] = ...) -> None: ...

class BlockedSample(_message.Message):
    __slots__ = ("id", "name")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ...) -> None: ...

class ClearPoolRequest(_message.Message):
    __slots__ = ("name", "pool_uid")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    name: str
    pool_uid: int
    def __init__(self, name: _Optional[str] = ..., pool_uid: _Optional[int] = ...) -> None: ...

class ClearPoolResponse(_message.Message):
    __slots__ = ("removed_count",)
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    removed_count: int
    def __init__(self, removed_count: _Optional[int] = ...) -> None: ...
