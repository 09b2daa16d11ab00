"""What one batch tells, as numbers: estimates of the means, what its probabilities count, its share of background."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hardneg import Estimand, MinedBatch

from .laws import Floats
from .population import FUNCTIONS, Population


def label_of(batch: MinedBatch) -> str:
    """What the batch says that its weights estimate, with the reasons where it says approximately."""
    return " ".join([str(batch.estimand), *sorted(map(str, batch.approximations))])


@dataclass(frozen=True)
class Draws:
    """A number of draws, one row each.

    Attributes:
        labels: (d,), as `label_of`.
        means: float64 (d, 4), mean(w f) of each of `FUNCTIONS`; NaN where the batch has no weights.
        counted: float64 (d,), the sum of 1/π over the batch; NaN where it has no probabilities.
        background: float64 (d,), the share of rows from the background.
        sizes: int64 (d,), rows.
    """

    labels: npt.NDArray[np.str_]
    means: Floats
    counted: Floats
    background: Floats
    sizes: npt.NDArray[np.int64]

    def groups(self, least: int) -> Iterator[tuple[str, Draws]]:
        """The draws by label, for each label that at least so many draws have."""
        for label in np.unique(self.labels):
            chosen = self.labels == label
            if chosen.sum() >= least:
                yield (
                    str(label),
                    Draws(
                        self.labels[chosen],
                        self.means[chosen],
                        self.counted[chosen],
                        self.background[chosen],
                        self.sizes[chosen],
                    ),
                )

    @property
    def weighted(self) -> bool:
        """Whether the batches have weights."""
        return len(self.means) > 0 and bool(np.isfinite(self.means).all())


def means_of(batch: MinedBatch, population: Population) -> Floats:
    """mean(w f) over the batch for each of `FUNCTIONS`: (4,), 0 for an empty batch, NaN without weights."""
    if batch.estimand is Estimand.NONE or batch.importance_weights is None:
        return np.full(len(FUNCTIONS), np.nan)
    if not len(batch):
        return np.zeros(len(FUNCTIONS))
    values = population.functions[:, population.index(np.asarray(batch.ids))]
    return np.asarray((values * batch.importance_weights.astype(np.float64)).mean(axis=1))


def counted_by(batch: MinedBatch) -> float:
    """The sum of 1/π over the batch, which counts the candidates; NaN without probabilities."""
    if batch.estimand is Estimand.NONE or batch.inclusion_probabilities is None:
        return float("nan")
    return float((1.0 / batch.inclusion_probabilities.astype(np.float64)).sum())


def measure(batches: Iterable[MinedBatch], population: Population) -> Draws:
    """Every batch as numbers."""
    labels, means, counted, background, sizes = [], [], [], [], []
    for batch in batches:
        labels.append(label_of(batch))
        means.append(means_of(batch, population))
        counted.append(counted_by(batch))
        background.append(batch.is_background.mean() if len(batch) else 0.0)
        sizes.append(len(batch))
    return Draws(np.array(labels), np.array(means), np.array(counted), np.array(background), np.array(sizes))
