"""The data and the model: is a distorted handwritten digit an 8?

The data are scikit-learn's 1,797 scanned digits (UCI), each in 1,024 distortions. A sample's id says which digit and
which distortion, so that a worker and a trainer that only share ids see the same picture.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

Floats = NDArray[np.float64]
Ids = NDArray[np.uint64]

TARGET = 8
VARIANTS = 1024
_FEATURES = 64 + 1  # pixels and a constant


class Digits:
    """Pictures of digits; the id of a picture determines its digit and its distortion."""

    def __init__(self) -> None:
        """Reads the scans from scikit-learn's package."""
        digits = load_digits()
        self._images = digits.images / 16.0
        self._positive = digits.target == TARGET

    def negatives(self, rng: np.random.Generator, n: int) -> Ids:
        """Ids, shape (n,), of pictures that show no 8."""
        return self._draw(rng, np.flatnonzero(~self._positive), n)

    def positives(self, rng: np.random.Generator, n: int) -> Ids:
        """Ids, shape (n,), of pictures of an 8."""
        return self._draw(rng, np.flatnonzero(self._positive), n)

    @staticmethod
    def _draw(rng: np.random.Generator, digits: NDArray[np.int64], n: int) -> Ids:
        return (rng.choice(digits, n) * VARIANTS + rng.integers(0, VARIANTS, n)).astype(np.uint64)

    def features(self, ids: Ids) -> Floats:
        """Pixels with a constant, shape (n, 65): shifted by up to a pixel, brighter or darker, noisy, all by the id."""
        digit, variant = np.divmod(ids.astype(np.int64), VARIANTS)
        rows, columns = np.divmod(variant % 9, 3)
        y = np.clip(np.arange(8)[None, :] + rows[:, None] - 1, 0, 7)
        x = np.clip(np.arange(8)[None, :] + columns[:, None] - 1, 0, 7)
        pixels = self._images[digit[:, None, None], y[:, :, None], x[:, None, :]].reshape(-1, 64)
        contrast = 0.6 + 0.8 * ((variant * 37) % 101)[:, None] / 100
        noise = np.sin(variant[:, None] * 12.9898 + np.arange(64) * 78.233) * 0.15
        return np.hstack([pixels * contrast + noise, np.ones((len(ids), 1))])


@dataclass
class Model:
    """A logistic regression, shape (65,), and its version."""

    weights: Floats
    version: int = 0

    @classmethod
    def new(cls, version: int = 0) -> Model:
        """Starts with weights of 0."""
        return cls(np.zeros(_FEATURES), version)

    def probability(self, features: Floats) -> Floats:
        """The probability that each row shows an 8, shape (n,)."""
        return 1 / (1 + np.exp(-np.clip(features @ self.weights, -30, 30)))

    def loss(self, features: Floats) -> Floats:
        """Cross-entropy of negatives, shape (n,)."""
        return -np.log1p(-np.minimum(self.probability(features), 1 - 1e-9))

    def step(self, features: Floats, labels: Floats, sample_weights: Floats, rate: float) -> None:
        """One step of weighted gradient descent."""
        error = (self.probability(features) - labels) * sample_weights
        self.weights -= rate * features.T @ error / sample_weights.sum()

    def save(self, path: Path) -> None:
        """Publishes the model: a reader sees the old file or the new one, never half of it."""
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, weights=self.weights, version=self.version)
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path) -> Model:
        """Loads the published model; a new one when none is published yet."""
        try:
            with np.load(path) as saved:
                return cls(saved["weights"], int(saved["version"]))
        except FileNotFoundError:
            return cls.new()
