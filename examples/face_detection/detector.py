"""The detector: a histogram of oriented gradients and a linear classifier, and its evaluation.

Source: Dalal and Triggs 2005, *Histograms of Oriented Gradients for Human Detection*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

SIDE = 25  # of a window, in pixels: the size of the faces
CELL = 5
BINS = 9
FEATURES = (SIDE // CELL - 1) ** 2 * 4 * BINS


def hog(patches: np.ndarray) -> np.ndarray:
    """HOG descriptors, patch by patch, so that a crop and a window of a photo are treated alike.

    Args:
        patches: Grey values, shape (n, 25, 25).

    Returns:
        float32, shape (n, 576): 4 x 4 overlapping blocks of 2 x 2 cells of 5 x 5 pixels, 9 unsigned orientations.
    """
    patches = np.sqrt(np.clip(patches, 0, 1), dtype=np.float32)  # their gamma compression
    dy, dx = np.zeros_like(patches), np.zeros_like(patches)
    dy[:, 1:-1] = patches[:, 2:] - patches[:, :-2]
    dx[:, :, 1:-1] = patches[:, :, 2:] - patches[:, :, :-2]
    size = np.hypot(dx, dy)
    turn = (np.arctan2(dy, dx) / np.pi % 1.0) * BINS  # 0..9, a half-turn
    low = np.floor(turn).astype(np.int8)
    upper = turn - low  # the share that goes to the next bin
    cells = SIDE // CELL
    histogram = np.empty((len(patches), cells, cells, BINS), np.float32)
    for b in range(BINS):
        vote = size * ((low % BINS == b) * (1 - upper) + ((low + 1) % BINS == b) * upper)
        histogram[..., b] = vote.reshape(-1, cells, CELL, cells, CELL).sum(axis=(2, 4))
    corners = [histogram[:, i : cells - 1 + i, j : cells - 1 + j] for i in (0, 1) for j in (0, 1)]
    blocks = np.concatenate(corners, axis=-1)
    for clip in (0.2, None):  # L2-Hys: normalise, clip, normalise
        blocks /= np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + 1e-4)
        if clip is not None:
            np.minimum(blocks, clip, out=blocks)
    return blocks.reshape(len(patches), FEATURES)


@dataclass(frozen=True)
class Detector:
    """A linear classifier; a window with a score above 0 is taken for a face."""

    weights: np.ndarray
    bias: float

    def score(self, features: np.ndarray) -> np.ndarray:
        """Scores, shape (n,), of features of shape (n, 576)."""
        return np.asarray(features, np.float32) @ self.weights + np.float32(self.bias)


def loss(scores: np.ndarray) -> np.ndarray:
    """The logistic loss of negatives, which a worker reports: the larger, the harder."""
    return np.logaddexp(0.0, scores).astype(np.float32)


def fit(positives: np.ndarray, negatives: np.ndarray, weights: np.ndarray | None = None, *, c: float) -> Detector:
    """Fits the classifier; both classes have the same total weight.

    Args:
        positives: Features, shape (p, 576).
        negatives: Features, shape (n, 576).
        weights: Of the negatives, shape (n,); None: all alike.
        c: Inverse strength of the L2 penalty.
    """
    weights = np.ones(len(negatives)) if weights is None else np.asarray(weights, float)
    n = len(positives)
    sample_weight = np.concatenate([np.ones(n), weights * (n / weights.sum())])
    labels = np.concatenate([np.ones(n), np.zeros(len(negatives))])
    model = LogisticRegression(C=c, max_iter=300, tol=1e-3)
    model.fit(np.concatenate([positives, negatives]), labels, sample_weight=sample_weight)
    return Detector(model.coef_[0].astype(np.float32), float(model.intercept_[0]))


@dataclass(frozen=True)
class Quality:
    """How good a detector is on faces and photographs that it has never seen."""

    fppi: float  # false positives per image, after non-maximum suppression, at the fixed recall
    average_precision: float  # of the faces among all windows


def evaluate(
    detector: Detector,
    faces: np.ndarray,
    windows: np.ndarray,
    boxes: np.ndarray,
    photos: np.ndarray,
    *,
    recall: float,
) -> Quality:
    """Measures a detector.

    Args:
        detector: The detector.
        faces: Features of held-out faces, shape (f, 576).
        windows: Features of every window of held-out photographs, shape (n, 576).
        boxes: Where the windows are, (top, left, side) in pixels of the photo, shape (n, 3).
        photos: Which photo each is of, shape (n,).
        recall: Share of the faces that the detector must find; that sets its threshold.
    """
    positive, negative = detector.score(faces), detector.score(windows)
    threshold = np.sort(positive)[::-1][int(np.ceil(recall * len(positive))) - 1]
    found = 0
    for photo in np.unique(photos):
        chosen = np.flatnonzero((photos == photo) & (negative >= threshold))
        found += len(suppress(boxes[chosen], negative[chosen]))
    labels = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    return Quality(
        fppi=found / len(np.unique(photos)),
        average_precision=float(average_precision_score(labels, np.concatenate([positive, negative]))),
    )


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float = 0.3) -> np.ndarray:
    """Non-maximum suppression: the positions kept, best first; of two windows over `overlap` the better stays."""
    order = np.argsort(-scores, kind="stable")
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        top, left, side = boxes[order].T
        best_top, best_left, best_side = boxes[best]
        high = np.minimum(top + side, best_top + best_side) - np.maximum(top, best_top)
        wide = np.minimum(left + side, best_left + best_side) - np.maximum(left, best_left)
        shared = high.clip(0) * wide.clip(0)
        order = order[shared / (side**2 + best_side**2 - shared) <= overlap]
    return np.array(kept, dtype=int)
