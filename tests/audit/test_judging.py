"""The audit's own judgement: it sees a bias and lets a right estimate pass; the list of known failures only shrinks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from .check import Check, mean_and_error, of_mean, threshold
from .known import KNOWN, Known
from .report import judge


def _mean(values: npt.NDArray[np.float64], truth: float, allowance: float = 0.0) -> Check:
    return of_mean("claim", "policy", "law", "figure", values, truth, allowance)


def test_a_bias_of_a_tenth_fails_and_the_truth_passes() -> None:
    values = np.random.default_rng(1).normal(1.0, 0.5, 2_000)
    assert _mean(values, 1.0).passes(4.5)
    assert not _mean(values, 1.1).passes(4.5)
    assert _mean(values, 1.1, allowance=0.1).passes(4.5), "what the claim allows is no failure"


def test_figures_without_chance_must_agree() -> None:
    assert Check("claim", "policy", "law", "short batches", 0, 0).passes(4.5)
    assert not Check("claim", "policy", "law", "short batches", 1, 0).passes(4.5)
    assert not _mean(np.full(100, 0.008), 1.0).passes(4.5)
    assert not Check("claim", "policy", "law", "mean", float("nan"), 1.0, 0.1, 100).passes(4.5)


def test_skewed_samples_fail_no_more_often_than_normal_ones() -> None:
    """Of 6,000 means of 60 exponentials 16 should be beyond 3 standard errors; without a correction 82 are."""
    rng = np.random.default_rng(2)
    samples = rng.exponential(size=(6_000, 60))
    corrected = sum(not _mean(values, 1.0).passes(3.0) for values in samples)
    plain = sum(abs(mean - 1.0) > 3.0 * error for mean, error in map(mean_and_error, samples))
    assert corrected < 40
    assert plain > 55


def test_the_threshold_holds_for_the_whole_run() -> None:
    tests = [_mean(np.random.default_rng(seed).normal(size=50), 0.0) for seed in range(500)]
    assert threshold(tests) == pytest.approx(4.753, abs=0.001)  # the normal quantile of 1 - 1e-6
    assert all(check.passes(threshold(tests)) for check in tests)


@pytest.mark.parametrize(
    ("estimate", "listed", "ok"), [(0, False, True), (1, False, False), (1, True, True), (0, True, False)]
)
def test_the_list_of_known_failures_only_shrinks(estimate: int, listed: bool, ok: bool) -> None:
    checks = [Check("never short", "top fill", "law", "short batches", estimate, 0)]
    known = [Known("never short / *", "found")] if listed else []
    assert judge(checks, known, full=True).ok is ok


def test_the_short_form_does_not_ask_for_what_it_cannot_show() -> None:
    checks = [Check("never short", "top fill", "law", "short batches", 0, 0)]
    assert judge(checks, [Known("never short / *", "found", short=False)], full=False).ok
    assert not judge(checks, [Known("never short / *", "found", short=False)], full=True).ok


def test_no_failure_is_listed_twice() -> None:
    patterns = [known.pattern for known in KNOWN]
    assert len(set(patterns)) == len(patterns)
