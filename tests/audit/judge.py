"""Compares draws with the truths of what their labels say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .check import Check, mean_and_error, of_mean, skewness_of
from .laws import Floats, Law
from .measure import Draws
from .population import FUNCTIONS

#: The least independent draws, or pools, of one label from which a mean is judged.
LEAST_DRAWS, LEAST_POOLS = 150, 25
#: How far a batch that says APPROXIMATE may be off, as a share of the truth.
APPROXIMATE = 0.02


def loose(label: str) -> float:
    """The allowance of a label, as a share of the truth."""
    return APPROXIMATE if label.startswith("approximate") else 0.0


def functions_of(law: Law, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The functions whose means a policy estimates with an error that is nearly normal.

    Of a heavy law the sum of scores is that of a few samples. Unless a policy draws them in nearly every batch,
    hundreds of batches tell nothing about the mean score, whatever their standard deviation.
    """
    follows = options.get("strategy") in ("proportional", "rank") and options["random_fraction"] < 1
    if law.heavy and not (follows and "windows" not in options):
        return tuple(name for name in FUNCTIONS if name != "score")
    return FUNCTIONS


def means(
    claim: str,
    name: str,
    law: str,
    draws: Draws,
    truths: Callable[[str], Floats],
    functions: Sequence[str] = FUNCTIONS,
) -> Iterator[Check]:
    """The means of independent draws from one state, label by label.

    Args:
        claim: What should hold.
        name: Of the policy.
        law: Of the scores.
        draws: The draws.
        truths: The means of `FUNCTIONS` over what a label says, (4,).
        functions: Those that are judged.
    """
    for label, group in draws.groups(LEAST_DRAWS):
        if not group.weighted:
            continue
        truth = truths(label)
        for function in functions:
            number = FUNCTIONS.index(function)
            figure = f"mean(w·f), f={function}, {label}"
            allowed = loose(label) * truth[number]
            yield of_mean(claim, name, law, figure, group.means[:, number], truth[number], allowed)


def pooled_means(
    claim: str,
    name: str,
    law: str,
    pools: Sequence[Draws],
    truths: Sequence[Floats],
    allowance: float = 0.0,
    functions: Sequence[str] = FUNCTIONS,
) -> Iterator[Check]:
    """The means over pools with salts of their own, label by label: the pools are what is independent.

    Args:
        claim: What should hold.
        name: Of the policy.
        law: Of the scores.
        pools: The draws of each pool.
        truths: For each pool (d, 4), the means of `FUNCTIONS` over what each of its draws should estimate.
        allowance: What the claim allows besides, as a share of the truth.
        functions: Those that are judged.
    """
    for label in sorted({str(label) for draws in pools for label in draws.labels}):
        estimates, expected = [], []
        for draws, truth in zip(pools, truths, strict=True):
            chosen = draws.labels == label
            if chosen.any() and np.isfinite(draws.means[chosen]).all():
                estimates.append(draws.means[chosen].mean(axis=0))
                expected.append(truth[chosen].mean(axis=0))
        if len(estimates) < LEAST_POOLS:
            continue
        found, true = np.array(estimates), np.array(expected)
        for function in functions:
            number = FUNCTIONS.index(function)
            differences = found[:, number] - true[:, number]
            _, error = mean_and_error(differences + 1.0)
            value, truth_value = float(found[:, number].mean()), float(true[:, number].mean())
            allowed = (allowance + loose(label) + 1e-5) * abs(truth_value)
            figure = f"mean(w·f), f={function}, {label}"
            skewness = skewness_of(differences)
            yield Check(claim, name, law, figure, value, truth_value, error, len(found), allowed, skewness)
