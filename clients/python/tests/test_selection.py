"""Selection from a set, against the real server."""

from __future__ import annotations

import numpy as np
import pytest

import hardneg


def test_the_top_of_a_super_batch(real: hardneg.Client) -> None:
    losses = np.array([0.1, 5.0, 3.0, np.nan, 4.0], dtype=np.float32)
    chosen = real.select_from(losses, 2, strategy="top", ids=["a", "b", "c", "d", "e"])
    assert chosen.rows.tolist() == [1, 4]
    assert chosen.ids == ["b", "e"]
    assert (len(chosen), chosen.importance_weights, chosen.estimand) == (2, None, hardneg.Estimand.NONE)
    assert chosen.non_finite_count == 1
    learnable = real.select_from(losses, 2, strategy="top", reference_scores=[0, 4.9, 0, 0, 0])
    assert learnable.rows.tolist() == [4, 2]
    near = real.select_from([0.2, 0.9, 0.1], 2, strategy="top", lower_is_harder=True)
    assert near.rows.tolist() == [2, 0]


@pytest.mark.parametrize("strategy", ["proportional", "rank", "uniform"])
@pytest.mark.parametrize("replacement", [False, True])
def test_weighted_means_are_those_of_the_set(real: hardneg.Client, strategy: str, replacement: bool) -> None:
    rng = np.random.default_rng(3)
    losses = rng.lognormal(sigma=1.5, size=2_000)
    losses_f32 = losses.astype(np.float32)
    estimates = []
    for seed in range(300):
        chosen = real.select_from(losses_f32, 64, strategy=strategy, replacement=replacement, seed=seed)
        assert chosen.importance_weights is not None
        assert chosen.inclusion_probabilities is not None
        estimates.append(float((chosen.importance_weights * (chosen.rows % 5)).mean()))
    truth = float((np.arange(2_000) % 5).mean())
    error = np.std(estimates) / np.sqrt(len(estimates))
    # Six tests, of which one fails by chance for once in 25,000 choices of seeds.
    assert abs(np.mean(estimates) - truth) < 4.5 * error + 0.02 * truth


def test_a_seed_repeats_a_selection_and_bad_arguments_are_named(real: hardneg.Client) -> None:
    first = real.select_from(np.arange(100), 10)
    again = real.select_from(np.arange(100), 10, seed=first.seed)
    assert (first.rows == again.rows).all()
    with pytest.raises(hardneg.InvalidArgument, match="replacement"):
        real.select_from([1.0], 1, strategy="top", replacement=True)
    with pytest.raises(ValueError, match="strategy"):
        real.select_from([1.0], 1, strategy="hardest")
    with pytest.raises(ValueError, match="batch_size"):
        real.select_from([1.0], 0)
    with pytest.raises(ValueError, match="ids"):
        real.select_from([1.0], 1, ids=[1, 2])
