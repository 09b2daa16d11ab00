"""Selection from a set that the caller has: no pool, nothing stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from . import _columns
from ._checks import check_uint
from ._columns import FloatsLike, Ids, IdsLike
from ._enums import (
    Estimand,
    HardnessFunction,
    Normalization,
    Strategy,
    enum_from_proto,
    enum_to_proto,
    parse_choice,
)
from ._proto import columns_pb2, mining_service_pb2, policy_pb2, pool_pb2

if TYPE_CHECKING:
    from ._transport import Transport


@dataclass(frozen=True, eq=False)
class Selection:
    """Samples selected from a set: columns of n rows. ``len(selection)`` is n.

    Attributes:
        rows: uint32 of shape (n,), indices into the scores of the call, in the order in which they were drawn; with TOP
            the hardest first. ``losses[selection.rows]`` are the selected losses.
        ids: Those of the rows, uint64 of shape (n,) or a list of str; None where the call had none.
        importance_weights: float32 (n,), after beta and normalization: ``(importance_weights * f[rows]).mean()``
            estimates ``f.mean()`` over the set; None with TOP.
        inclusion_probabilities: float32 (n,), of each row to be in such a selection; with replacement the number of
            times that it is expected to be drawn; None with TOP.
        estimand: ALL, or NONE with TOP.
        seed: The seed of the draw.
        non_finite_count: Rows that were left out because their score was not finite.
    """

    rows: npt.NDArray[np.uint32]
    ids: Ids | None
    importance_weights: npt.NDArray[np.float32] | None
    inclusion_probabilities: npt.NDArray[np.float32] | None
    estimand: Estimand
    seed: int
    non_finite_count: int

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def from_proto(cls, message: mining_service_pb2.SelectFromResponse) -> Selection:
        rows = np.array(message.rows, dtype=np.uint32)
        decode = _columns.decode_floats
        return cls(
            rows=rows,
            ids=_columns.decode_ids(message.ids) if message.HasField("ids") else None,
            importance_weights=decode(message.importance_weights, len(rows), name="importance_weights"),
            inclusion_probabilities=decode(message.inclusion_probabilities, len(rows), name="inclusion_probabilities"),
            estimand=enum_from_proto(Estimand, mining_service_pb2.Estimand, message.estimand) or Estimand.NONE,
            seed=message.seed,
            non_finite_count=message.non_finite_count,
        )


def select_from(
    transport: Transport,
    scores: FloatsLike,
    batch_size: int,
    *,
    ids: IdsLike | None,
    reference_scores: FloatsLike | None,
    strategy: Strategy | str,
    alpha: float,
    hardness: HardnessFunction | str,
    lower_is_harder: bool,
    offset: float | None,
    temperature: float | None,
    replacement: bool,
    beta: float,
    normalization: Normalization | str,
    seed: int | None,
    timeout: float | None,
) -> Selection:
    """The work of `Client.select_from`, which describes the arguments."""
    if batch_size < 1:
        raise ValueError("batch_size must be at least 1")
    check_uint(64, seed=seed)
    values = np.asarray(_columns.normalize_floats(scores, np.size(scores), name="scores"))
    request = mining_service_pb2.SelectFromRequest(
        scores=_columns.encode_floats(values),
        batch_size=batch_size,
        strategy=enum_to_proto(policy_pb2.Strategy, parse_choice(Strategy, strategy, "strategy")),
        alpha=alpha,
        hardness=pool_pb2.Hardness(
            function=enum_to_proto(pool_pb2.HardnessFunction, parse_choice(HardnessFunction, hardness, "hardness")),
            lower_is_harder=lower_is_harder,
            offset=offset or 0.0,
            temperature=temperature or 0.0,
        ),
        replacement=replacement,
        beta=beta,
        normalization=enum_to_proto(
            policy_pb2.Normalization, parse_choice(Normalization, normalization, "normalization")
        ),
        encoding=columns_pb2.COLUMN_ENCODING_LITTLE_ENDIAN,
        seed=seed,
    )
    if ids is not None:
        request.ids.CopyFrom(_columns.encode_ids(_columns.normalize_row_ids(ids, len(values), name="ids", row="score")))
    if reference_scores is not None:
        references = _columns.normalize_floats(reference_scores, len(values), name="reference_scores")
        request.reference_scores.CopyFrom(_columns.encode_floats(references))
    answer = transport.call("mining", "SelectFrom", request, timeout=timeout)
    return Selection.from_proto(answer)
