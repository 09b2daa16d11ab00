"""The part of a pool's spec that makes it keep negatives per anchor."""

from __future__ import annotations

from dataclasses import dataclass

from ._checks import check_positive
from ._enums import IdKind, enum_from_proto, enum_to_proto, parse_choice
from ._messages import dataclass_of
from ._proto import pool_pb2


@dataclass(frozen=True)
class Anchored:
    """Makes a pool keep negatives per anchor (a query, a class, a face). None takes the service's default.

    Attributes:
        negatives_per_anchor: Hardest negatives kept of each anchor, 1 to 1,024; default 16.
        max_anchors: Greatest number of anchors; default 1,048,576. Rows of further ones are dropped and counted.
        max_positives_per_anchor: Known positives kept of each anchor; default 64.
        max_vetoes_per_anchor: Vetoed negatives kept of each anchor; default 256.
        max_pairs: Known positives and vetoes of all anchors together; default 16 times max_anchors.
        absolute_margin: The margin of requests that give none; default none. When an anchor has too many negatives,
            those that fail it are evicted first.
        relative_margin: As absolute_margin, as a share of the positive's score. 0.05 is NV-Retriever's: a negative
            scores at most 95 % of the positive.
        anchor_id_kind: ``"u64"`` or ``"string"``.
        anchors_are_samples: Anchors and samples share one id space, as where each sample of a batch is an anchor too:
            an anchor is never served as its own negative. `anchor_id_kind` must be the pool's `id_kind`.

    Example:
        >>> pool = client.create_pool("queries", anchored=hardneg.Anchored(negatives_per_anchor=32))
    """

    negatives_per_anchor: int | None = None
    max_anchors: int | None = None
    max_positives_per_anchor: int | None = None
    max_vetoes_per_anchor: int | None = None
    max_pairs: int | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None
    anchor_id_kind: IdKind | str = IdKind.U64
    anchors_are_samples: bool = False

    def to_proto(self) -> pool_pb2.AnchoredSpec:
        given = {name: value for name, value in vars(self).items() if value is not None}
        check_positive(**{name: given[name] for name in _SIZES if name in given})
        kind = parse_choice(IdKind, given.pop("anchor_id_kind"), "anchor_id_kind")
        return pool_pb2.AnchoredSpec(**given, anchor_id_kind=enum_to_proto(pool_pb2.IdKind, kind))

    @classmethod
    def from_proto(cls, message: pool_pb2.AnchoredSpec) -> Anchored:
        return dataclass_of(
            cls,
            message,
            **{name: getattr(message, name) or None for name in _SIZES},
            anchor_id_kind=enum_from_proto(IdKind, pool_pb2.IdKind, message.anchor_id_kind) or IdKind.U64,
        )


_SIZES = ("negatives_per_anchor", "max_anchors", "max_positives_per_anchor", "max_vetoes_per_anchor", "max_pairs")
