"""What the client takes and returns: plain, typed, immutable values."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from . import _columns
from ._columns import Ids
from ._errors import HardnegError
from ._proto import columns_pb2, mining_service_pb2, policy_pb2, pool_pb2


class _Choice(str, Enum):
    """An enum whose members are their lower-case names, so that a plain string will do."""

    def __str__(self) -> str:
        return str(self.value)


_E = TypeVar("_E", bound=_Choice)


def _choice(kind: type[_E], value: _E | str, name: str) -> _E:
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(repr(str(member)) for member in kind)
        raise ValueError(f"{name} must be one of {allowed}, not {value!r}") from None


class Strategy(_Choice):
    """How hard samples are chosen."""

    #: The hardest. Deterministic, so it has no importance weights at random_fraction 0.
    TOP = "top"
    #: Probability proportional to weight^alpha.
    PROPORTIONAL = "proportional"
    #: Probability proportional to rank^-alpha: robust to outliers.
    RANK = "rank"
    #: Every sample of the hard store alike.
    UNIFORM = "uniform"
    #: The longest unreported: what a trainer should score again.
    STALEST = "stalest"


class Normalization(_Choice):
    """How importance weights are scaled."""

    #: mean(w * f) estimates the mean of f; a uniform draw has w = 1.
    NONE = "none"
    #: Divided by the batch's largest.
    MAX = "max"
    #: Divided by the batch's mean.
    MEAN = "mean"


class Shortfall(_Choice):
    """What happens when there are fewer hard samples than asked for."""

    #: A smaller batch with the mixture that was asked for.
    SHORT = "short"
    #: The background fills the batch.
    FILL = "fill"
    #: `FailedPrecondition`.
    ERROR = "error"


class Estimand(_Choice):
    """What ``mean(importance_weights * f)`` over a batch estimates."""

    #: The mean of f over all ids reported.
    ALL = "all"
    #: The mean of f over the hard store (random_fraction 0), narrowed by the windows.
    HARD_STORE = "hard_store"
    #: The sum of f over the eligible ids divided by the number of all ids.
    ELIGIBLE = "eligible"
    #: Nothing: the batch carries no weights.
    NONE = "none"
    #: As ALL, approximately.
    APPROXIMATE = "approximate"


class Source(int, Enum):
    """Where a sample was drawn from."""

    HARD = 1
    BACKGROUND = 2


class AckStatus(_Choice):
    """What became of a reported batch."""

    APPLIED = "applied"
    #: It had been applied before: a resend, which did nothing.
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


class HardnessFunction(_Choice):
    """How a score becomes a weight."""

    #: b = max(score, 0) + offset: for a loss or a probability.
    POWER = "power"
    #: b = exp(score / temperature): for a similarity or a logit.
    EXPONENTIAL = "exponential"


class ScoreUpdate(_Choice):
    """What a new report of a known id does to its score."""

    LAST = "last"
    MAX = "max"
    EMA = "ema"


class IdKind(_Choice):
    """The kind of a pool's ids."""

    U64 = "u64"
    STRING = "string"


class Durability(_Choice):
    """What an acknowledged report survives. Servers of this version offer NONE."""

    NONE = "none"
    ASYNC = "async"
    SYNC = "sync"


@dataclass(frozen=True)
class Steps:
    """A half-life in training steps: the pool ages by the `step` of its reports, not by the clock on the wall."""

    count: float


class _Never(Enum):
    NEVER = "never"

    def __repr__(self) -> str:
        return "hardneg.NEVER"


#: As a half-life: scores do not age.
NEVER = _Never.NEVER

#: A half-life: a timedelta, seconds, `Steps`, or `NEVER`.
HalfLife: TypeAlias = datetime.timedelta | float | int | Steps | _Never


def half_life_to_proto(half_life: HalfLife, decay: pool_pb2.Decay) -> None:
    """Writes a half-life into a Decay."""
    if half_life is NEVER or half_life == math.inf:
        decay.disabled = True
    elif isinstance(half_life, Steps):
        decay.half_life_steps = half_life.count
    elif isinstance(half_life, datetime.timedelta):
        decay.half_life_time.FromTimedelta(half_life)
    elif isinstance(half_life, (int, float)) and not isinstance(half_life, bool):
        decay.half_life_time.FromNanoseconds(round(half_life * 1e9))
    else:
        raise TypeError(f"half_life must be a timedelta, seconds, Steps or NEVER, not {half_life!r}")


def half_life_from_proto(decay: pool_pb2.Decay) -> HalfLife:
    """The half-life of a Decay."""
    kind = decay.WhichOneof("half_life")
    if kind == "disabled":
        return NEVER
    if kind == "half_life_steps":
        return Steps(decay.half_life_steps)
    return datetime.timedelta(microseconds=decay.half_life_time.ToMicroseconds())


@dataclass(frozen=True)
class ScoreWindow:
    """min <= raw score <= max."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class RankWindow:
    """min <= rank in the hard store < max; rank 0 is the hardest. ``RankWindow(min=100)`` skips the 100 hardest."""

    min: int = 0
    max: int | None = None


@dataclass(frozen=True)
class QuantileWindow:
    """min <= quantile of the hard store <= max; 0 the easiest, 1 the hardest."""

    min: float = 0.0
    max: float | None = None


@dataclass(frozen=True)
class AgeWindow:
    """min <= age of the report <= max, in seconds, or in steps where the pool ages by steps."""

    min: float = 0.0
    max: float | None = None


@dataclass(frozen=True)
class VersionWindow:
    """min <= model version of the report <= max."""

    min: int = 0
    max: int | None = None


#: A condition on hard samples. Background samples are not narrowed.
Window: TypeAlias = ScoreWindow | RankWindow | QuantileWindow | AgeWindow | VersionWindow

_WINDOWS: dict[type[Any], tuple[str, type[Any]]] = {
    ScoreWindow: ("score", policy_pb2.ScoreWindow),
    RankWindow: ("rank", policy_pb2.RankWindow),
    QuantileWindow: ("quantile", policy_pb2.QuantileWindow),
    AgeWindow: ("age", policy_pb2.AgeWindow),
    VersionWindow: ("model_version", policy_pb2.VersionWindow),
}
_WINDOW_OF: dict[str, type[Any]] = {name: kind for kind, (name, _) in _WINDOWS.items()}


def _window_to_proto(window: Window) -> policy_pb2.Window:
    try:
        name, kind = _WINDOWS[type(window)]
    except KeyError:
        raise TypeError(f"not a window: {window!r}") from None
    message = kind(**{key: value for key, value in vars(window).items() if value is not None})
    return policy_pb2.Window(**{name: message})


def _window_from_proto(message: policy_pb2.Window) -> Window:
    name = message.WhichOneof("kind")
    if name is None:
        raise HardnegError("malformed answer: a window without a kind")
    inner: Any = getattr(message, name)
    has_min = name != "score" or inner.HasField("min")
    window: Window = _WINDOW_OF[name](
        **({"min": inner.min} if has_min else {}), **({"max": inner.max} if inner.HasField("max") else {})
    )
    return window


@dataclass(frozen=True)
class MiningPolicy:
    """How a batch is chosen. None: the pool's default, then the service's.

    Attributes:
        strategy: Default PROPORTIONAL.
        alpha: Exponent of PROPORTIONAL and RANK, 0 (uniform) to 16; default 1.
        random_fraction: Share of the batch drawn from the background, 0 to 1; default 0.25.
        beta: Importance weights are raised to this, 0 to 1; default 1 (unbiased).
        normalization: Default NONE.
        windows: Narrow the hard samples; all must hold.
        shortfall: Default FILL.
    """

    strategy: Strategy | str | None = None
    alpha: float | None = None
    random_fraction: float | None = None
    beta: float | None = None
    normalization: Normalization | str | None = None
    windows: Sequence[Window] = ()
    shortfall: Shortfall | str | None = None

    def to_proto(self) -> policy_pb2.MiningPolicy:
        """The message."""
        message = policy_pb2.MiningPolicy(windows=[_window_to_proto(window) for window in self.windows])
        if self.strategy is not None:
            choice = _choice(Strategy, self.strategy, "strategy")
            message.strategy = _number(policy_pb2.Strategy, choice)
        if self.normalization is not None:
            scale = _choice(Normalization, self.normalization, "normalization")
            message.normalization = _number(policy_pb2.Normalization, scale)
        if self.shortfall is not None:
            rule = _choice(Shortfall, self.shortfall, "shortfall")
            message.shortfall = _number(policy_pb2.Shortfall, rule)
        for name in ("alpha", "random_fraction", "beta"):
            value = getattr(self, name)
            if value is not None:
                setattr(message, name, float(value))
        return message

    @classmethod
    def from_proto(cls, message: policy_pb2.MiningPolicy) -> MiningPolicy:
        """From the message."""
        return cls(
            strategy=_from_enum(Strategy, policy_pb2.Strategy, message.strategy),
            alpha=message.alpha if message.HasField("alpha") else None,
            random_fraction=message.random_fraction if message.HasField("random_fraction") else None,
            beta=message.beta if message.HasField("beta") else None,
            normalization=_from_enum(Normalization, policy_pb2.Normalization, message.normalization),
            windows=tuple(_window_from_proto(window) for window in message.windows),
            shortfall=_from_enum(Shortfall, policy_pb2.Shortfall, message.shortfall),
        )


def _number(wrapper: Any, choice: _Choice) -> Any:
    """`Strategy.TOP` becomes the number of `STRATEGY_TOP`."""
    return wrapper.Value(wrapper.Name(0).removesuffix("UNSPECIFIED") + choice.name)


def _from_enum(kind: type[_E], wrapper: Any, number: int) -> _E | None:
    """`STRATEGY_TOP` becomes `Strategy.TOP`; unspecified, or a value newer than this client, None."""
    if number == 0 or number not in wrapper.values():
        return None
    prefix = wrapper.Name(0).removesuffix("UNSPECIFIED")
    return kind[wrapper.Name(number).removeprefix(prefix)]


@dataclass(frozen=True)
class ReportCounts:
    """What became of reported rows. The fields of one batch sum to its rows.

    Attributes:
        inserted: New in the hard store.
        updated: Known in the hard store and updated.
        background_only: Too easy for the hard store, kept in the background.
        dropped: Too easy for the hard store, and not in the background's sample.
        non_finite: NaN or infinite, never stored.
        coalesced: Repeated in the batch; the last one counts.
        stale: Older, by step, than what is stored.
        out_of_range: Outside the pool's dense id space.
    """

    inserted: int = 0
    updated: int = 0
    background_only: int = 0
    dropped: int = 0
    non_finite: int = 0
    coalesced: int = 0
    stale: int = 0
    out_of_range: int = 0

    def __add__(self, other: ReportCounts) -> ReportCounts:
        return ReportCounts(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def total(self) -> int:
        """Rows in all."""
        return sum(vars(self).values())

    @classmethod
    def from_proto(cls, message: pool_pb2.ReportCounts) -> ReportCounts:
        """From the message."""
        return cls(**{name: getattr(message, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Ack:
    """The service's answer to one reported batch.

    Attributes:
        status: APPLIED or DUPLICATE (a harmless resend); a refusal is an exception.
        counts: What became of the rows; zeros for a duplicate.
        floor_log2: The pool's lowest priority as log2 of its weight now; None while there is room. New samples
            below it need not be reported.
        position: Opaque place in the pool's order; 0 when the pool is not journalled.
        durable_position: Batches up to this one survive a crash of the server; 0: none.
        pool_uid: The pool.
    """

    status: AckStatus
    counts: ReportCounts
    floor_log2: float | None
    position: int
    durable_position: int
    pool_uid: int

    @classmethod
    def from_proto(cls, message: mining_service_pb2.ScoreAck) -> Ack:
        """From the message."""
        return cls(
            status=_from_enum(AckStatus, mining_service_pb2.AckStatus, message.status) or AckStatus.REJECTED,
            counts=ReportCounts.from_proto(message.counts),
            floor_log2=message.floor_log2 if message.HasField("floor_log2") else None,
            position=message.position,
            durable_position=message.durable_position,
            pool_uid=message.pool_uid,
        )


@dataclass(frozen=True)
class Rejection:
    """A batch of a score stream that the service refused as a whole.

    Attributes:
        sequence: The batch's number in its stream.
        ids: Its ids, so that they can be reported again.
        step: Its step.
        model_version: Its model version.
        error: Why.
    """

    sequence: int
    ids: Ids
    step: int
    model_version: int
    error: HardnegError

    @property
    def rows(self) -> int:
        """Rows of the batch."""
        return len(self.ids)


@dataclass(frozen=True)
class PoolSizes:
    """Sizes of a pool at one moment.

    Attributes:
        hard: Samples in the hard store.
        background: Samples in the serving background.
        distinct: Distinct ids reported, an estimate once they outnumber the background.
        background_probability: Inclusion probability of the background; 1 while it holds every id.
        floor_log2: Lowest priority in the hard store, log2; None while there is room.
    """

    hard: int
    background: int
    distinct: float
    background_probability: float
    floor_log2: float | None

    @classmethod
    def from_proto(cls, message: pool_pb2.PoolSizes) -> PoolSizes:
        """From the message."""
        return cls(
            hard=message.hard,
            background=message.background,
            distinct=message.distinct,
            background_probability=message.background_probability,
            floor_log2=message.floor_log2 if message.HasField("floor_log2") else None,
        )


@dataclass(frozen=True)
class PoolStats:
    """A pool's figures; counters count since it was created. See `PoolStats` in `pool.proto`."""

    name: str
    uid: int
    sizes: PoolSizes
    counts: ReportCounts
    reported_rows: int
    reported_batches: int
    rejected_batches: int
    duplicate_batches: int
    evicted: int
    removed: int
    mined_batches: int
    served_hard: int
    served_background: int
    shortfalls: int
    proposals: int
    memory_bytes: int
    step: int | None
    background_generations: int
    background_generations_timed_out: int
    clamped: int

    @classmethod
    def from_proto(cls, message: pool_pb2.PoolStats) -> PoolStats:
        """From the message."""
        special: dict[str, Any] = {
            "sizes": PoolSizes.from_proto(message.sizes),
            "counts": ReportCounts.from_proto(message.counts),
            "step": message.step if message.HasField("step") else None,
            "name": message.name.removeprefix("pools/"),
        }
        plain = {name: getattr(message, name) for name in cls.__dataclass_fields__ if name not in special}
        return cls(**special, **plain)


@dataclass(frozen=True)
class PoolInfo:
    """What a pool is, every default filled in.

    Attributes:
        name: Its name.
        uid: Differs between two pools that had the same name one after the other.
        etag: Changes with every update.
        create_time: In UTC.
        capacity: Samples kept in the hard store.
        background_size: Size of the kept uniform sample; None with `dense_ids`.
        dense_ids: The ids are exactly 0 to this, exclusive; None with `background_size`.
        shards: Locks of the store.
        id_kind: Integers or strings.
        hardness: How a score becomes a weight.
        lower_is_harder: Set for distances.
        half_life: How priorities age.
        score_update: What a new report of a known id does.
        default_policy: Of mining requests that do not give their own.
        serve_penalty: Factor on a sample's weight for each serve; 1 is off.
        max_serves: Serves between two reports; 0 is no limit.
        max_payload_bytes: Longest payload; 0: none are kept.
    """

    name: str
    uid: int
    etag: str
    create_time: datetime.datetime
    capacity: int
    background_size: int | None
    dense_ids: int | None
    shards: int
    id_kind: IdKind
    hardness: HardnessFunction
    lower_is_harder: bool
    half_life: HalfLife
    score_update: ScoreUpdate
    default_policy: MiningPolicy
    serve_penalty: float
    max_serves: int
    max_payload_bytes: int

    @classmethod
    def from_proto(cls, message: pool_pb2.Pool) -> PoolInfo:
        """From the message."""
        spec = message.spec
        function = _from_enum(HardnessFunction, pool_pb2.HardnessFunction, spec.hardness.function)
        rule = _from_enum(ScoreUpdate, pool_pb2.ScoreUpdateRule, spec.score_update.rule)
        dense = spec.WhichOneof("background") == "dense_ids"
        return cls(
            name=message.name.removeprefix("pools/"),
            uid=message.uid,
            etag=message.etag,
            create_time=message.create_time.ToDatetime(datetime.timezone.utc),
            capacity=spec.capacity,
            background_size=None if dense else spec.background_size,
            dense_ids=spec.dense_ids if dense else None,
            shards=spec.shards,
            id_kind=_from_enum(IdKind, pool_pb2.IdKind, spec.id_kind) or IdKind.U64,
            hardness=function or HardnessFunction.POWER,
            lower_is_harder=spec.hardness.lower_is_harder,
            half_life=half_life_from_proto(spec.decay),
            score_update=rule or ScoreUpdate.LAST,
            default_policy=MiningPolicy.from_proto(spec.default_policy),
            serve_penalty=spec.serve_limits.serve_penalty,
            max_serves=spec.serve_limits.max_serves,
            max_payload_bytes=spec.max_payload_bytes,
        )


@dataclass(frozen=True)
class Wait:
    """Wait before mining until the hard store holds `min_size` samples, for `timeout` seconds at most (5 min)."""

    min_size: int
    timeout: float = 10.0


@dataclass(frozen=True, eq=False)
class MinedBatch:
    """A mined batch: columns of n rows, no id twice. ``len(batch)`` is n.

    Arrays are read-only views of the answer: copy one before you change it.

    Attributes:
        ids: uint64 of shape (n,), or a list of n strings for pools of strings.
        scores: float32 (n,), raw as last reported; NaN where never reported; None if not asked for.
        importance_weights: float32 (n,), after beta and normalization; None when `estimand` is NONE.
        inclusion_probabilities: float32 (n,), probability of each sample to be in such a batch; None if not asked for.
        sources: uint8 (n,), values of `Source`; None if not asked for.
        ages: float32 (n,), seconds (or steps) since reported; NaN where never reported; None if not asked for.
        model_versions: uint32 (n,); None if not asked for.
        serves: uint32 (n,), serves since last reported, this one included; None if not asked for.
        payloads: n bytes objects, empty where there is none; None if the pool keeps none.
        estimand: What ``mean(importance_weights * f)`` estimates.
        policy: As applied, every default filled in.
        seed: As applied.
        hard_count: Rows from the hard store.
        background_count: Rows from the background.
        realized_random_fraction: The background's share as it came out.
        shortfall_count: Rows fewer than asked for.
        timed_out: The wait ended before the pool was large enough.
        sizes: The pool's sizes when it was mined; None in a degraded batch.
        pool_uid: The pool.
        position: Opaque position in the pool's order; 0 when it is not journalled.
        degraded: Drawn here, uniformly, because the service was away (`on_unavailable="uniform"`).
    """

    ids: Ids
    scores: npt.NDArray[np.float32] | None
    importance_weights: npt.NDArray[np.float32] | None
    inclusion_probabilities: npt.NDArray[np.float32] | None
    sources: npt.NDArray[np.uint8] | None
    ages: npt.NDArray[np.float32] | None
    model_versions: npt.NDArray[np.uint32] | None
    serves: npt.NDArray[np.uint32] | None
    payloads: list[bytes] | None
    estimand: Estimand
    policy: MiningPolicy
    seed: int
    hard_count: int
    background_count: int
    realized_random_fraction: float
    shortfall_count: int
    timed_out: bool
    sizes: PoolSizes | None
    pool_uid: int
    position: int
    degraded: bool = field(default=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_background(self) -> npt.NDArray[np.bool_]:
        """Shape (n,): True where the background, not the hard store, gave the sample.

        Raises:
            ValueError: The sources were not asked for.
        """
        if self.sources is None:
            raise ValueError("the batch was mined without `sources` in its fields")
        background: npt.NDArray[np.bool_] = self.sources == Source.BACKGROUND.value
        return background

    def __repr__(self) -> str:
        degraded = ", degraded" if self.degraded else ""
        return (
            f"MinedBatch(n={len(self)}, hard={self.hard_count}, background={self.background_count}, "
            f"estimand={self.estimand}, shortfall={self.shortfall_count}{degraded})"
        )

    @classmethod
    def from_proto(cls, message: mining_service_pb2.MinedBatch) -> MinedBatch:
        """From the message; arrays of bytes columns are not copied.

        Raises:
            HardnegError: Columns of unequal length.
        """
        ids = _columns.decode_ids(message.ids)
        n = len(ids)

        def floats(name: str) -> npt.NDArray[np.float32] | None:
            column: columns_pb2.FloatColumn = getattr(message, name)
            return _columns.decode_floats(column, n, name=name) if message.HasField(_literal(name)) else None

        def integers(name: str) -> npt.NDArray[np.uint32] | None:
            values = getattr(message, name)
            return np.array(_checked(values, n, name), dtype=np.uint32) if len(values) else None

        return cls(
            ids=ids,
            scores=floats("scores"),
            importance_weights=floats("importance_weights"),
            inclusion_probabilities=floats("inclusion_probabilities"),
            sources=np.frombuffer(_checked(message.sources, n, "sources"), dtype=np.uint8)
            if message.sources
            else (np.empty(0, np.uint8) if n == 0 else None),
            ages=floats("ages"),
            model_versions=integers("model_versions"),
            serves=integers("serves"),
            payloads=list(_checked(message.payloads, n, "payloads")) if message.payloads else None,
            estimand=_from_enum(Estimand, mining_service_pb2.Estimand, message.estimand) or Estimand.NONE,
            policy=MiningPolicy.from_proto(message.policy),
            seed=message.seed,
            hard_count=message.hard_count,
            background_count=message.background_count,
            realized_random_fraction=message.realized_random_fraction,
            shortfall_count=message.shortfall_count,
            timed_out=message.timed_out,
            sizes=PoolSizes.from_proto(message.sizes),
            pool_uid=message.pool_uid,
            position=message.position,
        )

    @classmethod
    def uniform(
        cls, rng: np.random.Generator, ids: int | Ids, batch_size: int, exclude: Ids | None = None
    ) -> MinedBatch:
        """A degraded batch: drawn here without replacement, every id alike, all weights 1.

        Args:
            rng: The source of randomness.
            ids: A number N for the ids 0..N-1, or the ids to draw from.
            batch_size: Rows wanted; fewer come when there are fewer ids.
            exclude: Never these.
        """
        total = ids if isinstance(ids, int) else len(ids)
        spare = 0 if exclude is None else len(exclude)
        chosen = rng.choice(total, size=min(total, batch_size + spare), replace=False)
        drawn: Ids
        if isinstance(ids, int):
            drawn = chosen.astype(np.uint64)
        elif isinstance(ids, list):
            drawn = [ids[i] for i in chosen]
        else:
            drawn = ids[chosen]
        if exclude is not None and len(exclude):
            if isinstance(drawn, list):
                unwanted = set(exclude)
                drawn = [name for name in drawn if name not in unwanted]
            else:
                drawn = drawn[~np.isin(drawn, np.asarray(exclude, dtype=np.uint64))]
        drawn = drawn[:batch_size]
        n = len(drawn)
        return cls(
            ids=drawn,
            scores=np.full(n, np.nan, dtype=np.float32),
            importance_weights=np.ones(n, dtype=np.float32),
            inclusion_probabilities=np.full(n, n / total if total else 0.0, dtype=np.float32),
            sources=np.full(n, Source.BACKGROUND.value, dtype=np.uint8),
            ages=None,
            model_versions=None,
            serves=None,
            payloads=None,
            estimand=Estimand.ALL if spare == 0 else Estimand.ELIGIBLE,
            policy=MiningPolicy(strategy=Strategy.UNIFORM, random_fraction=1.0),
            seed=0,
            hard_count=0,
            background_count=n,
            realized_random_fraction=1.0,
            shortfall_count=batch_size - n,
            timed_out=False,
            sizes=None,
            pool_uid=0,
            position=0,
            degraded=True,
        )


def _literal(name: str) -> Any:
    """The generated stubs type field names as literals."""
    return name


_S = TypeVar("_S", bound=Any)


def _checked(values: _S, rows: int, name: str) -> _S:
    if len(values) != rows:
        raise HardnegError(f"malformed answer: column {name} has {len(values)} rows, ids have {rows}")
    return values


@dataclass(frozen=True)
class StreamStats:
    """What a score stream has done so far. Rows reported = acked + rejected + dropped + lost + pending.

    Attributes:
        reported_rows: Rows given to `report`.
        pending_rows: Rows not yet acknowledged: being gathered, queued, or on the way.
        pending_batches: The same in sealed batches.
        acked_rows: Rows of acknowledged batches.
        acked_batches: Acknowledged batches.
        duplicate_batches: Of these, resends that the service had applied already.
        resent_batches: Batches sent again after a reconnect.
        rejected_rows: Rows of batches that the service refused.
        rejected_batches: Batches that the service refused.
        dropped_rows: Rows not accepted because the queue was full (`on_full="drop"` or `"raise"`, or a timeout).
        lost_rows: Rows that were pending when the stream closed or failed.
        reconnects: Connections after the first.
        connected: An answer has come on the present connection.
        counts: What became of acknowledged rows, summed.
        last_error: The error that broke the last connection.
    """

    reported_rows: int
    pending_rows: int
    pending_batches: int
    acked_rows: int
    acked_batches: int
    duplicate_batches: int
    resent_batches: int
    rejected_rows: int
    rejected_batches: int
    dropped_rows: int
    lost_rows: int
    reconnects: int
    connected: bool
    counts: ReportCounts
    last_error: HardnegError | None
