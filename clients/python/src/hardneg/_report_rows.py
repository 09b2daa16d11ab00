"""The rows of a report: columns of one length."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _columns
from ._columns import FloatsLike, Ids, IdsLike, IntsLike
from ._proto import mining_service_pb2

_ID_COLUMNS = ("ids", "anchors", "groups")
_FLOAT_COLUMNS = ("scores", "positive_scores", "reference_scores")
_NUMBER_COLUMNS = ("strata", "labels", "anchor_labels")


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
    def of(
        cls,
        ids: IdsLike,
        scores: FloatsLike,
        *,
        payloads: Iterable[bytes | None] | None,
        anchors: IdsLike | None,
        positive_scores: FloatsLike | None,
        strata: IntsLike | None,
        groups: IdsLike | None,
        reference_scores: FloatsLike | None,
        labels: IntsLike | None,
        anchor_labels: IntsLike | None,
    ) -> ReportRows:
        """What a caller gave, copied and checked.

        Raises:
            ValueError: A column has another length than `ids`, or a value out of range; the text names the column.
            TypeError: A column of the wrong type.
        """
        known = _columns.normalize_ids(ids)
        n = len(known)

        def keys(values: IdsLike | None, name: str, *, empty: bool = False) -> Ids | None:
            if values is None:
                return None
            column = _columns.normalize_ids(values, name=name, empty=empty)
            if len(column) != n:
                raise ValueError(f"{name} must have {n} entries, one per id, not {len(column)}")
            return column

        def floats(values: FloatsLike | None, name: str) -> npt.NDArray[np.float32] | None:
            return None if values is None else _columns.normalize_floats(values, n, name=name)

        def numbers(values: IntsLike | None, name: str) -> npt.NDArray[np.uint32] | None:
            return None if values is None else _columns.normalize_numbers(values, n, name=name)

        return cls(
            ids=known,
            scores=_columns.normalize_floats(scores, n),
            payloads=_columns.normalize_payloads(payloads, n),
            anchors=keys(anchors, "anchors"),
            positive_scores=floats(positive_scores, "positive_scores"),
            strata=numbers(strata, "strata"),
            groups=keys(groups, "groups", empty=True),
            reference_scores=floats(reference_scores, "reference_scores"),
            labels=numbers(labels, "labels"),
            anchor_labels=numbers(anchor_labels, "anchor_labels"),
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
        widths = [_columns.width(getattr(self, name)) for name in (*_ID_COLUMNS, "payloads")]
        widths += [4 for name in (*_FLOAT_COLUMNS, *_NUMBER_COLUMNS) if getattr(self, name) is not None]
        return _columns.rows_of_width(sum(widths))

    def write(self, batch: mining_service_pb2.ScoreBatch) -> None:
        """Sets the columns of a batch that has none."""
        batch.ids.CopyFrom(_columns.encode_ids(self.ids))
        batch.scores.CopyFrom(_columns.encode_floats(self.scores))
        if self.payloads is not None:
            batch.payloads.extend(self.payloads)
        if self.anchors is not None:
            batch.anchors.CopyFrom(_columns.encode_ids(self.anchors))
        if self.positive_scores is not None:
            batch.positive_scores.CopyFrom(_columns.encode_floats(self.positive_scores, absent=True))
        for name in _NUMBER_COLUMNS:
            if (numbers := getattr(self, name)) is not None:
                getattr(batch, name).extend(numbers.tolist())
        if self.groups is not None:
            batch.groups.CopyFrom(_columns.encode_ids(self.groups))
        if self.reference_scores is not None:
            # Not absent where NaN: a reference model that diverged must be counted, not passed over.
            batch.reference_scores.CopyFrom(_columns.encode_floats(self.reference_scores))
