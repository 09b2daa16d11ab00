"""Requests for mined batches, made of a caller's arguments."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from . import _columns
from ._checks import check_uint
from ._columns import Ids, IdsLike
from ._durations import Span, lease_to_proto
from ._mining_policy import MiningPolicy, PolicyOptions, Wait
from ._negative_ratio import NegativeRatio
from ._options import dataclass_from
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
#: ``"raise"``, or ``"uniform"``: train on uniform batches, drawn here, while the service does not answer.
OnUnavailable: TypeAlias = Literal["raise", "uniform"]


class MineOptions(PolicyOptions, total=False):
    """Keyword arguments of `Pool.mine`, which describes them, and of `Pool.batches`. None is as if not given.

    Example:
        >>> hard: hardneg.MineOptions = {"strategy": "rank", "random_fraction": 0.1, "lease": 60}
        >>> batch = pool.mine(256, **hard)
    """

    lease: Span | None
    round: Round | None
    step: int | None
    negative_ratio: NegativeRatio | None
    exclude_ids: IdsLike | None
    seed: int | None
    wait: Wait | int | None
    fields: Collection[Field] | Literal["all"] | None
    dry_run: bool | None
    timeout: float | None
    on_unavailable: OnUnavailable | None
    uniform_ids: int | IdsLike | None


def mine_request(
    resource: str, pool_uid: int, batch_size: int | None, options: MineOptions
) -> mining_service_pb2.MineBatchRequest:
    """A request for one batch, answered in little-endian columns.

    `timeout`, `on_unavailable` and `uniform_ids` are the caller's to obey.

    Raises:
        ValueError: An argument is out of range; the text names it.
    """
    ratio, round, lease = options.get("negative_ratio"), options.get("round"), options.get("lease")
    if (batch_size is None) == (ratio is None):
        raise ValueError("give batch_size or negative_ratio, and not both")
    if batch_size is not None and batch_size < 1:
        raise ValueError("batch_size must be at least 1")
    check_uint(64, step=options.get("step"), seed=options.get("seed"))
    request = mining_service_pb2.MineBatchRequest(
        pool=resource,
        pool_uid=pool_uid,
        batch_size=batch_size or 0,
        policy=dataclass_from(MiningPolicy, options).to_proto(),
        encoding=columns_pb2.COLUMN_ENCODING_LITTLE_ENDIAN,
        round=None if round is None else round.to_proto(),
        step=options.get("step"),
        negative_ratio=None if ratio is None else ratio.to_proto(),
        exclude_ids=exclude_ids_to_proto(options.get("exclude_ids")),
        seed=options.get("seed"),
        dry_run=bool(options.get("dry_run")),
    )
    if lease is not None:
        lease_to_proto(lease, request.lease)
    if (wait := options.get("wait")) is not None:
        wait = wait if isinstance(wait, Wait) else Wait(wait)
        request.wait.min_size = wait.min_size
        request.wait.timeout.FromNanoseconds(int(wait.timeout * 1e9))
    select_fields(request, options.get("fields"), get_args(Field))
    return request


def exclude_ids_to_proto(ids: IdsLike | None) -> columns_pb2.IdColumn | None:
    """The column of ids never to be served; None without any."""
    if ids is None:
        return None
    excluded = _columns.normalize_ids(ids, name="exclude_ids")
    return _columns.encode_ids(excluded) if len(excluded) else None


def select_fields(request: Any, fields: Collection[str] | None, known: Collection[str]) -> None:
    """Asks for columns beside the ids: those named, all with ``"all"``, the service's choice with None.

    Raises:
        ValueError: There is no such column.
    """
    if fields is None:
        return
    request.fields.SetInParent()  # also when no column is named
    for name in known if fields == "all" else fields:
        if name not in known:
            raise ValueError(f"fields must be of {', '.join(known)}, not {name!r}")
        setattr(request.fields, name, True)


def size_of(request: mining_service_pb2.MineBatchRequest) -> int:
    """The batch size that a request asks for, as a number or by a ratio."""
    if not request.HasField("negative_ratio"):
        return request.batch_size
    ratio = request.negative_ratio
    return NegativeRatio(ratio.positives, ratio.negatives_per_positive, ratio.min_size).size


def wait_seconds(request: mining_service_pb2.MineBatchRequest) -> float:
    """Seconds that the server may wait before it mines."""
    return float(request.wait.timeout.ToNanoseconds() / 1e9) if request.HasField("wait") else 0.0


def uniform_ids_of(options: MineOptions) -> int | Ids | None:
    """The ids that degraded batches are drawn from (N for 0..N-1); None where the caller wants errors.

    Raises:
        ValueError: ``on_unavailable="uniform"`` without ids, or another word.
    """
    rule, ids = options.get("on_unavailable") or "raise", options.get("uniform_ids")
    if rule == "raise":
        return None
    if rule != "uniform":
        raise ValueError(f"on_unavailable must be 'raise' or 'uniform', not {rule!r}")
    if ids is None:
        raise ValueError('on_unavailable="uniform" needs uniform_ids: N for the ids 0..N-1, or the ids')
    if isinstance(ids, (int, np.integer)):
        return int(ids)
    return _columns.normalize_ids(ids, name="uniform_ids")
