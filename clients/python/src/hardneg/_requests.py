"""From arguments to requests, and what is checked before anything is sent."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from typing import Any, Literal, TypeAlias, Union

import numpy as np

from . import _columns
from ._anchors import Anchored
from ._choices import Durability, HardnessFunction, IdKind, ScoreUpdate, choose, number_of
from ._columns import IdsLike
from ._flow import Flow, Span, span_to_proto
from ._policy import MiningPolicy, Wait
from ._pools import OFF, HalfLife, Off, Steps, half_life_to_proto, sample_ttl_to_proto
from ._proto import columns_pb2, mining_service_pb2, pool_pb2
from ._quarantine import Quarantine
from ._rounds import NegativeRatio, Round

#: Columns that a batch may carry beside its ids.
Field: TypeAlias = Literal[
    "scores",
    "importance_weights",
    "inclusion_probabilities",
    "sources",
    "ages",
    "model_versions",
    "serves",
    "payloads",
    "strata",
    "groups",
]
ALL_FIELDS: tuple[Field, ...] = (
    "scores",
    "importance_weights",
    "inclusion_probabilities",
    "sources",
    "ages",
    "model_versions",
    "serves",
    "payloads",
    "strata",
    "groups",
)
#: ``"raise"``, or ``"uniform"``: go on training on uniform batches, drawn here, while the service is away.
OnUnavailable: TypeAlias = Literal["raise", "uniform"]
#: What degraded batches are drawn from: N for the ids 0..N-1, or the ids.
LocalIds: TypeAlias = Union[int, "_columns.Ids"]


def pool_spec(
    *,
    capacity: int | None,
    background_size: int | None,
    dense_ids: int | None,
    shards: int | None,
    id_kind: IdKind | str,
    hardness: HardnessFunction | str,
    lower_is_harder: bool,
    offset: float | None,
    temperature: float | None,
    max_payload_bytes: int | None,
    durability: Durability | str | None,
    anchored: Anchored | None,
) -> pool_pb2.PoolSpec:
    """The part of a spec that is fixed at creation; `apply_live` writes the rest."""
    if background_size is not None and dense_ids is not None:
        raise ValueError("background_size and dense_ids exclude each other")
    _check_positive(
        capacity=capacity,
        background_size=background_size,
        dense_ids=dense_ids,
        shards=shards,
        offset=offset,
        temperature=temperature,
    )
    kind = choose(IdKind, id_kind, "id_kind")
    function = choose(HardnessFunction, hardness, "hardness")
    spec = pool_pb2.PoolSpec(
        capacity=capacity or 0,
        shards=shards or 0,
        id_kind=number_of(pool_pb2.IdKind, kind),
        hardness=pool_pb2.Hardness(
            function=number_of(pool_pb2.HardnessFunction, function),
            lower_is_harder=lower_is_harder,
            offset=offset or 0.0,
            temperature=temperature or 0.0,
        ),
        max_payload_bytes=max_payload_bytes or 0,
    )
    if background_size is not None:
        spec.background_size = background_size
    if dense_ids is not None:
        spec.dense_ids = dense_ids
    if durability is not None:
        survives = choose(Durability, durability, "durability")
        spec.durability = number_of(pool_pb2.Durability, survives)
    if anchored is not None:
        spec.kind = pool_pb2.POOL_KIND_ANCHORED
        spec.anchored.CopyFrom(anchored.to_proto())
    return spec


def apply_live(
    spec: pool_pb2.PoolSpec,
    *,
    half_life: HalfLife | None,
    max_step_jump: int | None,
    score_update: ScoreUpdate | str | None,
    ema_weight: float | None,
    default_policy: MiningPolicy | None,
    serve_penalty: float | None,
    max_serves: int | None,
    lease: Span | None,
    rotate_background: bool | None,
    quarantine: Quarantine | Off | None,
    flow: Flow | Off | None,
    control_fraction: float | None,
    sample_ttl: Span | Steps | Off | None,
) -> None:
    """Writes the part of a spec that may change in a live pool; what is None stays as it is."""
    _check_positive(max_step_jump=max_step_jump, ema_weight=ema_weight, serve_penalty=serve_penalty)
    if half_life is not None:
        half_life_to_proto(half_life, spec.decay)
    if max_step_jump is not None:
        spec.decay.max_step_jump = max_step_jump
    if score_update is not None:
        rule = choose(ScoreUpdate, score_update, "score_update")
        if rule is not ScoreUpdate.LAST or spec.HasField("score_update"):
            spec.score_update.rule = number_of(pool_pb2.ScoreUpdateRule, rule)
    if ema_weight is not None:
        spec.score_update.ema_weight = ema_weight
    if default_policy is not None:
        spec.default_policy.CopyFrom(default_policy.to_proto())
    if serve_penalty is not None:
        spec.serve_limits.serve_penalty = serve_penalty
    if max_serves is not None:
        spec.serve_limits.max_serves = max_serves
    if lease is not None:
        lease_to_proto(lease, spec.serve_limits.lease)
    if rotate_background is not None and rotate_background == spec.background_rotation.disabled:
        spec.background_rotation.disabled = not rotate_background
    if quarantine is OFF:
        spec.ClearField("quarantine")
    elif isinstance(quarantine, Quarantine):
        spec.quarantine.SetInParent()  # also when every field takes its default
        spec.quarantine.CopyFrom(quarantine.to_proto())
    if flow is OFF:
        spec.ClearField("flow")
    elif isinstance(flow, Flow):
        spec.flow.CopyFrom(flow.to_proto())
    if control_fraction is not None:
        spec.control_fraction = control_fraction
    if sample_ttl is OFF:
        if spec.WhichOneof("sample_ttl") is not None:
            spec.ClearField("sample_ttl")
    elif sample_ttl is not None:
        sample_ttl_to_proto(sample_ttl, spec)


def lease_to_proto(lease: Span, message: Any) -> None:
    """Writes a lease; 0 is none, whatever else would be the default."""
    if lease == 0 or lease == datetime.timedelta(0):
        message.FromNanoseconds(0)
        message.SetInParent()
    else:
        span_to_proto(lease, message, "lease")


#: Parts of a spec that `apply_live` writes: the paths of an update.
LIVE_PARTS = (
    "decay",
    "score_update",
    "default_policy",
    "serve_limits",
    "background_rotation",
    "quarantine",
    "flow",
    "control_fraction",
    "sample_ttl",
)


def mine_request(
    resource: str,
    pool_uid: int,
    batch_size: int | None,
    policy: MiningPolicy,
    *,
    lease: Span | None,
    round: Round | None,
    step: int | None,
    negative_ratio: NegativeRatio | None,
    exclude_ids: IdsLike | None,
    seed: int | None,
    wait: Wait | int | None,
    fields: Collection[Field] | Literal["all"] | None,
    dry_run: bool,
) -> mining_service_pb2.MineBatchRequest:
    """A request for one batch, answered in little-endian columns."""
    if (batch_size is None) == (negative_ratio is None):
        raise ValueError("give batch_size or negative_ratio, and not both")
    if batch_size is not None and batch_size < 1:
        raise ValueError("batch_size must be at least 1")
    request = mining_service_pb2.MineBatchRequest(
        pool=resource,
        pool_uid=pool_uid,
        batch_size=batch_size or 0,
        policy=policy.to_proto(),
        encoding=columns_pb2.COLUMN_ENCODING_LITTLE_ENDIAN,
        dry_run=dry_run,
    )
    if lease is not None:
        lease_to_proto(lease, request.lease)
    if round is not None:
        request.round.CopyFrom(round.to_proto())
    if step is not None:
        if not 0 <= step < 2**64:
            raise ValueError("step must be from 0 to 2^64-1")
        request.step = step
    if negative_ratio is not None:
        request.negative_ratio.CopyFrom(negative_ratio.to_proto())
    if exclude_ids is not None:
        known = _columns.normalize_ids(exclude_ids, name="exclude_ids")
        if len(known):
            request.exclude_ids.CopyFrom(_columns.encode_ids(known))
    if seed is not None:
        if not 0 <= seed < 2**64:
            raise ValueError("seed must be from 0 to 2^64-1")
        request.seed = seed
    if wait is not None:
        wait = wait if isinstance(wait, Wait) else Wait(wait)
        request.wait.min_size = wait.min_size
        request.wait.timeout.FromNanoseconds(int(wait.timeout * 1e9))
    if fields is not None:
        wanted = ALL_FIELDS if fields == "all" else tuple(fields)
        request.fields.SetInParent()
        for name in wanted:
            if name not in ALL_FIELDS:
                raise ValueError(f"fields must be of {', '.join(ALL_FIELDS)}, not {name!r}")
            setattr(request.fields, name, True)
    return request


def local_size(request: mining_service_pb2.MineBatchRequest) -> int:
    """The batch size that a request asks for, one way or the other."""
    if not request.HasField("negative_ratio"):
        return request.batch_size
    ratio = request.negative_ratio
    return NegativeRatio(ratio.positives, ratio.negatives_per_positive, ratio.min_size).size


def wait_s(request: mining_service_pb2.MineBatchRequest) -> float:
    """Seconds that the server may wait before it mines."""
    if not request.HasField("wait"):
        return 0.0
    return float(request.wait.timeout.ToNanoseconds() / 1e9)


def local_ids(on_unavailable: OnUnavailable, uniform_ids: int | IdsLike | None) -> LocalIds | None:
    """What degraded batches are drawn from; None: the caller wants errors."""
    if on_unavailable == "raise":
        return None
    if on_unavailable != "uniform":
        raise ValueError(f"on_unavailable must be 'raise' or 'uniform', not {on_unavailable!r}")
    if uniform_ids is None:
        raise ValueError('on_unavailable="uniform" needs uniform_ids: N for the ids 0..N-1, or the ids')
    if isinstance(uniform_ids, (int, np.integer)):
        return int(uniform_ids)
    return _columns.normalize_ids(uniform_ids, name="uniform_ids")


def _check_positive(**arguments: float | None) -> None:
    """0 on the wire means the default: whoever writes 0 would get something else."""
    for name, value in arguments.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, not {value!r}")
