from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScheduleShape(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEDULE_SHAPE_UNSPECIFIED: _ClassVar[ScheduleShape]
    SCHEDULE_SHAPE_LINEAR: _ClassVar[ScheduleShape]
    SCHEDULE_SHAPE_SQRT: _ClassVar[ScheduleShape]

class Strategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STRATEGY_UNSPECIFIED: _ClassVar[Strategy]
    STRATEGY_TOP: _ClassVar[Strategy]
    STRATEGY_PROPORTIONAL: _ClassVar[Strategy]
    STRATEGY_RANK: _ClassVar[Strategy]
    STRATEGY_UNIFORM: _ClassVar[Strategy]
    STRATEGY_STALEST: _ClassVar[Strategy]

class Normalization(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NORMALIZATION_UNSPECIFIED: _ClassVar[Normalization]
    NORMALIZATION_NONE: _ClassVar[Normalization]
    NORMALIZATION_MAX: _ClassVar[Normalization]
    NORMALIZATION_MEAN: _ClassVar[Normalization]

class Shortfall(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SHORTFALL_UNSPECIFIED: _ClassVar[Shortfall]
    SHORTFALL_SHORT: _ClassVar[Shortfall]
    SHORTFALL_FILL: _ClassVar[Shortfall]
    SHORTFALL_ERROR: _ClassVar[Shortfall]
    SHORTFALL_FILL_UNSCORED: _ClassVar[Shortfall]
SCHEDULE_SHAPE_UNSPECIFIED: ScheduleShape
SCHEDULE_SHAPE_LINEAR: ScheduleShape
SCHEDULE_SHAPE_SQRT: ScheduleShape
STRATEGY_UNSPECIFIED: Strategy
STRATEGY_TOP: Strategy
STRATEGY_PROPORTIONAL: Strategy
STRATEGY_RANK: Strategy
STRATEGY_UNIFORM: Strategy
STRATEGY_STALEST: Strategy
NORMALIZATION_UNSPECIFIED: Normalization
NORMALIZATION_NONE: Normalization
NORMALIZATION_MAX: Normalization
NORMALIZATION_MEAN: Normalization
SHORTFALL_UNSPECIFIED: Shortfall
SHORTFALL_SHORT: Shortfall
SHORTFALL_FILL: Shortfall
SHORTFALL_ERROR: Shortfall
SHORTFALL_FILL_UNSCORED: Shortfall

class MiningPolicy(_message.Message):
    __slots__ = ("strategy", "alpha", "random_fraction", "beta", "normalization", "windows", "shortfall", "curriculum", "balance")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    RANDOM_FRACTION_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    NORMALIZATION_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    CURRICULUM_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    strategy: Strategy
    alpha: float
    random_fraction: float
    beta: float
    normalization: Normalization
    windows: _containers.RepeatedCompositeFieldContainer[Window]
    shortfall: Shortfall
    curriculum: Curriculum
    balance: Balance
    def __init__(self, strategy: _Optional[_Union[Strategy, str]] = ..., alpha: _Optional[float] = ..., random_fraction: _Optional[float] = ..., beta: _Optional[float] = ..., normalization: _Optional[_Union[Normalization, str]] = ..., windows: _Optional[_Iterable[_Union[Window, _Mapping[str, object]]]] = ..., shortfall: _Optional[_Union[Shortfall, str]] = ..., curriculum: _Optional[_Union[Curriculum, _Mapping[str, object]]] = ..., balance: _Optional[_Union[Balance, _Mapping[str, object]]] = ...) -> None: ...

class Curriculum(_message.Message):
    __slots__ = ("warmup_steps", "alpha", "random_fraction", "beta", "quantile_min", "quantile_max")
    WARMUP_STEPS_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    RANDOM_FRACTION_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    QUANTILE_MIN_FIELD_NUMBER: _ClassVar[int]
    QUANTILE_MAX_FIELD_NUMBER: _ClassVar[int]
    warmup_steps: int
    alpha: Schedule
    random_fraction: Schedule
    beta: Schedule
    quantile_min: Schedule
    quantile_max: Schedule
    def __init__(self, warmup_steps: _Optional[int] = ..., alpha: _Optional[_Union[Schedule, _Mapping[str, object]]] = ..., random_fraction: _Optional[_Union[Schedule, _Mapping[str, object]]] = ..., beta: _Optional[_Union[Schedule, _Mapping[str, object]]] = ..., quantile_min: _Optional[_Union[Schedule, _Mapping[str, object]]] = ..., quantile_max: _Optional[_Union[Schedule, _Mapping[str, object]]] = ...) -> None: ...

class Schedule(_message.Message):
    __slots__ = ("shape", "to", "begin_step", "end_step")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    BEGIN_STEP_FIELD_NUMBER: _ClassVar[int]
    END_STEP_FIELD_NUMBER: _ClassVar[int]
    shape: ScheduleShape
    to: float
    begin_step: int
    end_step: int
    def __init__(self, shape: _Optional[_Union[ScheduleShape, str]] = ..., to: _Optional[float] = ..., begin_step: _Optional[int] = ..., end_step: _Optional[int] = ..., **kwargs: object) -> None: ...

class Balance(_message.Message):
    __slots__ = ("max_stratum_fraction", "stratum_caps", "equal_shares", "min_per_stratum", "max_per_group")
    MAX_STRATUM_FRACTION_FIELD_NUMBER: _ClassVar[int]
    STRATUM_CAPS_FIELD_NUMBER: _ClassVar[int]
    EQUAL_SHARES_FIELD_NUMBER: _ClassVar[int]
    MIN_PER_STRATUM_FIELD_NUMBER: _ClassVar[int]
    MAX_PER_GROUP_FIELD_NUMBER: _ClassVar[int]
    max_stratum_fraction: float
    stratum_caps: _containers.RepeatedCompositeFieldContainer[StratumCap]
    equal_shares: bool
    min_per_stratum: int
    max_per_group: int
    def __init__(self, max_stratum_fraction: _Optional[float] = ..., stratum_caps: _Optional[_Iterable[_Union[StratumCap, _Mapping[str, object]]]] = ..., equal_shares: bool = ..., min_per_stratum: _Optional[int] = ..., max_per_group: _Optional[int] = ...) -> None: ...

class StratumCap(_message.Message):
    __slots__ = ("stratum", "max_fraction", "max_count")
    STRATUM_FIELD_NUMBER: _ClassVar[int]
    MAX_FRACTION_FIELD_NUMBER: _ClassVar[int]
    MAX_COUNT_FIELD_NUMBER: _ClassVar[int]
    stratum: int
    max_fraction: float
    max_count: int
    def __init__(self, stratum: _Optional[int] = ..., max_fraction: _Optional[float] = ..., max_count: _Optional[int] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("score", "rank", "quantile", "age", "model_version")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    QUANTILE_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    score: ScoreWindow
    rank: RankWindow
    quantile: QuantileWindow
    age: AgeWindow
    model_version: VersionWindow
    def __init__(self, score: _Optional[_Union[ScoreWindow, _Mapping[str, object]]] = ..., rank: _Optional[_Union[RankWindow, _Mapping[str, object]]] = ..., quantile: _Optional[_Union[QuantileWindow, _Mapping[str, object]]] = ..., age: _Optional[_Union[AgeWindow, _Mapping[str, object]]] = ..., model_version: _Optional[_Union[VersionWindow, _Mapping[str, object]]] = ...) -> None: ...

class ScoreWindow(_message.Message):
    __slots__ = ("min", "max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    min: float
    max: float
    def __init__(self, min: _Optional[float] = ..., max: _Optional[float] = ...) -> None: ...

class RankWindow(_message.Message):
    __slots__ = ("min", "max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    min: int
    max: int
    def __init__(self, min: _Optional[int] = ..., max: _Optional[int] = ...) -> None: ...

class QuantileWindow(_message.Message):
    __slots__ = ("min", "max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    min: float
    max: float
    def __init__(self, min: _Optional[float] = ..., max: _Optional[float] = ...) -> None: ...

class AgeWindow(_message.Message):
    __slots__ = ("min", "max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    min: float
    max: float
    def __init__(self, min: _Optional[float] = ..., max: _Optional[float] = ...) -> None: ...

class VersionWindow(_message.Message):
    __slots__ = ("min", "max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    min: int
    max: int
    def __init__(self, min: _Optional[int] = ..., max: _Optional[int] = ...) -> None: ...
