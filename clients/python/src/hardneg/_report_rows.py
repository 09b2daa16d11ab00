"""The rows of a report: columns of one length."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from . import _columns
from ._columns import FloatsLike, Ids, IdsLike, IntsLike
from ._proto import mining_service_pb2

#: Columns of a report beside ids and scores: how each is checked and copied, given its values, rows and name.
_NORMALIZE: dict[str, Callable[..., Any]] = {
    "payloads": _columns.normalize_payloads,
    "anchors": _columns.normalize_row_ids,
    "positive_scores": _columns.normalize_floats,
    "strata": _columns.normalize_numbers,
    "groups": functools.partial(_columns.normalize_row_ids, empty=True),
    "reference_scores": _columns.normalize_floats,
    "labels": _columns.normalize_numbers,
    "anchor_labels": _columns.normalize_numbers,
}


class ReportColumns(TypedDict, total=False):
    """Keyword arguments of `ScoreStream.report`, which describes them, and of `Pool.report`. None: not given."""

    payloads: Iterable[bytes | None] | None
    strata: IntsLike | None
    groups: IdsLike | None
    anchors: IdsLike | None
    positive_scores: FloatsLike | None
    reference_scores: FloatsLike | None
    labels: IntsLike | None
    anchor_labels: IntsLike | None


@dataclass(frozen=True)
class ReportRows:
    """Columns of a report; None was not given."""

    ids: Ids
    scores: npt.NDArray[np.float32]
    payloads: list[bytes] | None = None
    anchors: Ids | None = None
    positive_scores: npt.NDArray[np.float32] | None = None
    strata: npt.NDArray[np.uint32] | None = None
    groups: Ids | None = None
    reference_scores: npt.NDArray[np.float32] | None = None
    labels: npt.NDArray[np.uint32] | None = None
    anchor_labels: npt.NDArray[np.uint32] | None = None

    @classmethod
    def of(cls, ids: IdsLike, scores: FloatsLike, columns: ReportColumns) -> ReportRows:
        """Checks and copies what a caller gave.

        Raises:
            ValueError: A column has another length than `ids`, or a value out of range; the text names the column.
            TypeError: A column of the wrong type.
        """
        normalized = _columns.normalize_ids(ids)
        rows = len(normalized)
        return cls(
            normalized,
            _columns.normalize_floats(scores, rows),
            **{
                name: _NORMALIZE[name](values, rows, name=name)
                for name, values in columns.items()
                if values is not None
            },
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice) -> ReportRows:
        cut: dict[str, Any] = {name: None if column is None else column[rows] for name, column in vars(self).items()}
        return ReportRows(**cut)

    @property
    def kind(self) -> tuple[str, ...]:
        """Which columns there are, and of which types: rows of one kind may share a batch."""
        return tuple(
            f"{name}:{'list' if isinstance(column, list) else 'array'}"
            for name, column in vars(self).items()
            if column is not None
        )

    @classmethod
    def joined(cls, parts: Sequence[ReportRows]) -> ReportRows:
        """The rows of all parts, which must be of one kind."""
        if len(parts) == 1:
            return parts[0]

        def join(name: str) -> Any:
            columns = [getattr(part, name) for part in parts]
            if columns[0] is None:
                return None
            if isinstance(columns[0], list):
                return list(itertools.chain.from_iterable(columns))
            return np.concatenate(columns)

        return cls(**{field.name: join(field.name) for field in fields(cls)})

    @property
    def rows_a_message(self) -> int:
        """How many of these rows fit into one message, whichever they are."""
        widths = [_columns.row_bytes(column) for column in vars(self).values() if column is not None]
        return _columns.rows_of_width(sum(widths))

    def write(self, batch: mining_service_pb2.ScoreBatch) -> None:
        """Sets the columns of a batch that has none."""
        for name, column in vars(self).items():
            if column is None:
                continue
            if name in ("ids", "anchors", "groups"):
                getattr(batch, name).CopyFrom(_columns.encode_ids(column))
            elif name in ("scores", "reference_scores", "positive_scores"):
                # NaN as a positive's score says that it is unknown. Elsewhere a model diverged: the service counts it.
                encoded = _columns.encode_floats(column, nan_is_absent=name == "positive_scores")
                getattr(batch, name).CopyFrom(encoded)
            else:
                getattr(batch, name).extend(column if name == "payloads" else column.tolist())
