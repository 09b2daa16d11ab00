"""The part of a pool's spec that makes it keep negatives per anchor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._enums import IdKind, enum_from_proto, enum_to_proto, parse_choice
from ._proto import pool_pb2


@dataclass(frozen=True)
class Anchored:
    """Makes a pool keep negatives per anchor (a query, a class, a face). None: the service's default.

    Attributes:
        negatives_per_anchor: The hardest kept of each; default 16, 1 to 1,024.
        max_anchors: Anchors; default 1,048,576. Rows of further ones are dropped and counted.
        max_positives_per_anchor: Known positives remembered; default 64.
        max_vetoes_per_anchor: Vetoed negatives remembered; default 256.
        max_pairs: Known positives and vetoes of all anchors together; default 16 for each of max_anchors.
        absolute_margin: Of requests that give none. When an anchor has too many negatives, those that fail it go first.
        relative_margin: Likewise. 0.05 is NV-Retriever's: a negative scores at most 95 % of the positive.
        anchor_id_kind: ``"u64"`` or ``"string"``.

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

    def to_proto(self) -> pool_pb2.AnchoredSpec:
        """The message."""
        message = pool_pb2.AnchoredSpec(
            anchor_id_kind=enum_to_proto(pool_pb2.IdKind, parse_choice(IdKind, self.anchor_id_kind, "anchor_id_kind"))
        )
        for name in _SIZES:
            value = getattr(self, name)
            if value is not None:
                if value < 1:  # 0 on the wire means the default
                    raise ValueError(f"{name} must be positive, not {value!r}")
                setattr(message, name, value)
        for name in _MARGINS:
            value = getattr(self, name)
            if value is not None:
                setattr(message, name, float(value))
        return message

    @classmethod
    def from_proto(cls, message: pool_pb2.AnchoredSpec) -> Anchored:
        """From the message."""
        return cls(
            **{name: getattr(message, name) or None for name in _SIZES},
            **_present(message, _MARGINS),
            anchor_id_kind=enum_from_proto(IdKind, pool_pb2.IdKind, message.anchor_id_kind) or IdKind.U64,
        )


_SIZES = ("negatives_per_anchor", "max_anchors", "max_positives_per_anchor", "max_vetoes_per_anchor", "max_pairs")


_MARGINS = ("absolute_margin", "relative_margin")


def _present(message: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(message, name) for name in names if message.HasField(name)}
