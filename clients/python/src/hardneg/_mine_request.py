"""Requests for mined batches, made of a caller's arguments."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias, Union

import numpy as np

from . import _columns
from ._columns import IdsLike
from ._durations import (
    Span,
    lease_to_proto,
)
from ._mining_policy import MiningPolicy, Wait
from ._negative_ratio import NegativeRatio
from ._proto import columns_pb2, mining_service_pb2
from ._rounds import Round

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
