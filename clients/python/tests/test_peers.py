"""What replay buffers, object detectors and super-batch selection choose, asked of a real server.

docs/peers.md has the table. Each test computes the peer's choice or law with numpy, from the peer's documentation.
Draws have fixed seeds, so a run repeats exactly. With other seeds one of the about 150 comparisons with |z| < 4.5 would
fail in 1 of 1,000 runs. test_peers_anchored.py has the peers that choose negatives for each anchor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import hardneg

Floats = npt.NDArray[np.float64]
Z_MAX = 4.5


def ids_of(batch: hardneg.MinedBatch) -> list[int]:
    return [int(key) for key in batch.ids]


def z_of(counts: npt.NDArray[Any], draws: int, p: Floats) -> Floats:
    """Standard scores of counts of independent draws."""
    z: Floats = (counts - draws * p) / np.sqrt(draws * p * (1 - p))
    return z


def replay(real: hardneg.Client, name: str, priorities: Floats, **spec: Any) -> hardneg.Pool:
    """A pool of priorities that do not age, with cpprb's eps as its offset."""
    pool = real.create_pool(name, half_life=hardneg.NEVER, offset=1e-4, **spec)
    pool.report(np.arange(priorities.size), priorities)
    return pool


def counts_of_ones(pool: hardneg.Pool, draws: int, size: int, **options: Any) -> npt.NDArray[np.int64]:
    """How often each of the ids 0..size-1 is drawn in batches of one, which are independent draws."""
    drawn = [ids_of(pool.mine(1, random_fraction=0.0, seed=seed, **options))[0] for seed in range(draws)]
    return np.bincount(drawn, minlength=size)


PRIORITIES: Floats = np.random.default_rng(2).lognormal(0, 1.5, 20).astype(np.float32).astype(float)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
def test_prioritized(real: hardneg.Client, name: str, alpha: float) -> None:
    """Reverb 0.14.0 Prioritized: P = p^alpha / sum; cpprb 11 PrioritizedReplayBuffer: the same with p + eps, eps 1e-4.

    alpha counts once (TorchRL #3925 applied it twice), and a batch of one tells exactly this probability.
    """
    pool = replay(real, name, PRIORITIES)
    p = (PRIORITIES + 1e-4) ** alpha
    p /= p.sum()
    draws = 2_000
    counts = counts_of_ones(pool, draws, 20, strategy="proportional", alpha=alpha)
    assert np.abs(z_of(counts, draws, p)).max() < Z_MAX
    if alpha:
        twice = (PRIORITIES + 1e-4) ** (alpha**2 if alpha != 1 else 2)
        assert np.abs(z_of(counts, draws, twice / twice.sum())).max() > 2 * Z_MAX, "the test sees alpha applied twice"
    for seed in range(50):
        one = pool.mine(1, random_fraction=0.0, alpha=alpha, seed=seed, fields=["inclusion_probabilities"])
        assert one.inclusion_probabilities is not None
        assert one.inclusion_probabilities[0] == pytest.approx(p[ids_of(one)[0]], rel=1e-3)


@pytest.mark.parametrize("alpha", [0.6, 1.0])
def test_prioritized_with_replacement(real: hardneg.Client, alpha: float) -> None:
    """The peers draw a whole batch with replacement: so does select_from, with exactly cpprb's weights."""
    p = (PRIORITIES + 1e-4) ** alpha
    p /= p.sum()
    draws = 60_000
    chosen = real.select_from(
        PRIORITIES, draws, replacement=True, alpha=alpha, offset=1e-4, beta=0.4, normalization="max", seed=5
    )
    assert np.abs(z_of(np.bincount(chosen.rows, minlength=20), draws, p)).max() < Z_MAX
    w = (20 * p[chosen.rows]) ** -0.4
    assert set(chosen.rows.tolist()) == set(range(20)), "so the largest weight of the batch is that of the buffer"
    assert chosen.importance_weights == pytest.approx(w / w.max(), rel=1e-3)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_importance_weights_of_replay(real: hardneg.Client, name: str, beta: float) -> None:
    """cpprb 11, Schaul et al. 2016: w = (N·P)^-beta. Without normalization a draw of one has exactly this weight."""
    pool = replay(real, name, PRIORITIES)
    p = (PRIORITIES + 1e-4) ** 0.6
    p /= p.sum()
    for seed in range(50):
        one = pool.mine(1, random_fraction=0.0, alpha=0.6, beta=beta, seed=seed)
        assert one.importance_weights is not None
        assert one.importance_weights[0] == pytest.approx((20 * p[ids_of(one)[0]]) ** -beta, rel=1e-3)


def test_importance_weights_over_their_largest(real: hardneg.Client, name: str) -> None:
    """(N·P)^-beta / max: of the batch here, as in Acme's agents on Reverb; cpprb divides by the largest of the buffer.

    A batch has no sample twice, so its probabilities are 1 - exp(-P·t) instead of B·P: less than 1 % apart here.
    """
    priorities = np.random.default_rng(3).uniform(0.5, 2.0, 4_000)
    pool = replay(real, name, priorities)
    p = (priorities + 1e-4) / (priorities + 1e-4).sum()
    batch = pool.mine(32, random_fraction=0.0, beta=0.5, normalization="max", seed=1)
    w = (4_000 * p[ids_of(batch)]) ** -0.5
    assert batch.importance_weights is not None
    assert batch.importance_weights.max() == 1.0
    assert batch.importance_weights == pytest.approx(w / w.max(), rel=0.01)
    # cpprb's scale, as the client computes it from the least priority of its buffer.
    plain = pool.mine(32, random_fraction=0.0, beta=0.5, seed=1, dry_run=True)
    assert plain.importance_weights is not None
    assert ids_of(plain) == ids_of(batch)
    largest = (4_000 * p.min()) ** -0.5
    assert plain.importance_weights / largest == pytest.approx(w / largest, rel=0.01)


def test_priorities_that_are_no_weights_differ(real: hardneg.Client, name: str) -> None:
    """On purpose. Reverb 0.14.0: p = 0 is never drawn, NaN and p < 0 are errors.

    Here 0 and less weigh the offset, as cpprb's eps, and less is counted; NaN and infinite rows are dropped and
    counted, and the rest of the batch is applied.
    """
    pool = real.create_pool(name, half_life=hardneg.NEVER, offset=1e-4)
    ack = pool.report(range(6), [np.nan, np.inf, -np.inf, -3.0, 0.0, 1.0])
    assert (ack.counts.non_finite, ack.counts.inserted, ack.floored) == (3, 3, 1)
    pi = {}
    for seed in range(200):
        one = pool.mine(1, alpha=0.25, random_fraction=0.0, seed=seed, fields=["inclusion_probabilities"])
        assert one.inclusion_probabilities is not None
        pi[ids_of(one)[0]] = float(one.inclusion_probabilities[0])
    b = np.array([1e-4, 1e-4, 1 + 1e-4]) ** 0.25
    assert pi == {3 + i: pytest.approx(share, rel=1e-3) for i, share in enumerate(b / b.sum())}


def test_an_item_without_a_priority_is_client_work(real: hardneg.Client, name: str) -> None:
    """cpprb 11 adds an item without a priority at the largest so far; Reverb wants one (its #91).

    The client reports the highest stored score, which a dry run of TOP tells.
    """
    pool = replay(real, name, PRIORITIES)
    hardest = pool.mine(1, strategy="top", random_fraction=0.0, dry_run=True)
    assert hardest.scores is not None
    assert hardest.scores[0] == PRIORITIES.max()
    pool.report([20], hardest.scores)
    old, new = pool.get_samples([int(PRIORITIES.argmax()), 20])
    assert old.weight_log2 == new.weight_log2


def test_uniform(real: hardneg.Client, name: str) -> None:
    """Reverb 0.14.0 Uniform, cpprb 11 ReplayBuffer: 1/N each. They draw with replacement, a batch here without."""
    pool = replay(real, name, PRIORITIES)
    draws = 2_000
    counts = counts_of_ones(pool, draws, 20, strategy="uniform")
    assert np.abs(z_of(counts, draws, np.full(20, 0.05))).max() < Z_MAX
    assert sorted(ids_of(pool.mine(20, strategy="uniform", random_fraction=0.0))) == list(range(20))
    assert len(pool.mine(64, strategy="uniform", random_fraction=0.0)) == 20


@pytest.mark.parametrize("lower_is_harder", [False, True])
def test_heaps(real: hardneg.Client, name: str, lower_is_harder: bool) -> None:
    """Reverb 0.14.0 MaxHeap and MinHeap: the item of the largest (least) priority.

    256 samples of a table are 256 times that item; a batch of 256 has the 256 hardest, in order.
    """
    scores = np.random.default_rng(4).exponential(size=3_000).astype(np.float32)
    pool = real.create_pool(name, half_life=hardneg.NEVER, lower_is_harder=lower_is_harder)
    pool.report(np.arange(3_000), scores)
    order = np.argsort(scores if lower_is_harder else -scores)
    for size in (1, 256):
        assert ids_of(pool.mine(size, strategy="top", random_fraction=0.0)) == order[:size].tolist()


def test_fifo_and_lifo(real: hardneg.Client, name: str) -> None:
    """Reverb 0.14.0 Fifo and Lifo: the first and the last inserted. Here the age is that of the last report.

    STALEST takes the oldest of 16 uniform draws a place: all of a small pool, about the oldest 1/16 of a large one.
    A window of ages serves the latest.
    """
    pool = real.create_pool(name, half_life=hardneg.Steps(1e6))
    order = np.random.default_rng(6).permutation(100)
    for step, key in enumerate(order, 1):
        pool.report([key], [1.0], step=step)
    assert set(ids_of(pool.mine(10, strategy="stalest", random_fraction=0.0))) == set(order[:10].tolist())
    newest = pool.mine(10, strategy="uniform", random_fraction=0.0, windows=[hardneg.AgeWindow(max=9)])
    assert set(ids_of(newest)) == set(order[-10:].tolist())
    pool.report([order[0]], [1.0], step=101)
    assert set(ids_of(pool.mine(10, strategy="stalest", random_fraction=0.0))) == set(order[1:11].tolist()), "differs"


def test_max_times_sampled(real: hardneg.Client, name: str) -> None:
    """Reverb 0.14.0 max_times_sampled=3 removes an item after 3 samples. On purpose it rests here, until reported."""
    pool = replay(real, name, PRIORITIES, max_serves=3)
    drawn: list[int] = []
    for seed in range(30):
        drawn += ids_of(pool.mine(7, random_fraction=0.0, seed=seed))
    assert np.bincount(drawn, minlength=20).tolist() == [3] * 20
    pool.report([5], [1.0])
    assert [ids_of(pool.mine(1, random_fraction=0.0)) for _ in range(4)] == [[5]] * 3 + [[]]


def test_sample_to_insert_ratio(real: hardneg.Client, name: str) -> None:
    """Reverb 0.14.0 SampleToInsertRatio(samples_per_insert=2, min_size_to_sample=50, error_buffer=40).

    It keeps (inserts - 50)·2 - samples in [-40, 40]. min_size_to_sample is a size of the table; min_reported counts
    reports, also of known ids. Reports come in batches, of at most 2 x error_buffer mined samples.
    """
    flow = hardneg.Flow(mined_per_reported=2, error_buffer=40, min_reported=50, max_wait=0.1)
    pool = real.create_pool(name, half_life=hardneg.NEVER, flow=flow)

    def mined() -> int:
        return sum(len(pool.mine(size, random_fraction=0.0)) for size in (10, 10, 10, 10, 10, 10, 1))

    for first in (0, 25):
        pool.report(range(first, min(first + 25, 49)), np.ones(min(25, 49 - first)))
    assert mined() == 0, "no samples of a table below min_size_to_sample"
    assert pool.mine(1, wait=hardneg.Wait(50, timeout=0.1), random_fraction=0.0).timed_out, "as MinSize(50)"
    pool.report([49], [1.0])
    assert mined() == 40, "(50 - 50)·2 - 40 = -40"
    pool.report(range(50, 60), np.ones(10))
    assert mined() == 20, "(60 - 50)·2 - 60 = -40"
    pool.report(range(60, 100), np.ones(40))  # (100 - 50)·2 - 60 = 40
    with pytest.raises(hardneg.ResourceExhausted):
        pool.report([100], [1.0], timeout=3)
    assert pool.stats().flow.balance == 40
    with pytest.raises(hardneg.InvalidArgument, match="error_buffer"):  # the peer's ValueError
        real.create_pool(f"{name}-tight", flow=hardneg.Flow(mined_per_reported=2, error_buffer=1.5))


def test_the_larger_of_two_scores_in_one_batch(real: hardneg.Client, name: str) -> None:
    """haystack #4916, documents found twice: the higher score counts, in one report as in two."""
    for rule, expected in (("max", 0.9), ("ema", 0.5), ("last", 0.1)):
        pool = real.create_pool(f"{name}-{rule}", half_life=hardneg.NEVER, score_update=rule)
        pool.report([1, 1], [0.9, 0.1])
        pool.report([2], [0.9])
        pool.report([2], [0.1])
        scores = [sample.score for sample in pool.get_samples([1, 2])]
        assert scores == [pytest.approx(expected)] * 2


def sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def test_ohem(real: hardneg.Client, name: str) -> None:
    """mmdetection 3.3.0 OHEMSampler: loss.topk(num), also where losses are saturated; Shrivastava et al. 2016."""
    rng = np.random.default_rng(7)
    for law, loss in (("exponential", rng.exponential(size=20_000)), ("saturated", sigmoid(rng.normal(8, 1, 20_000)))):
        stored = loss.astype(np.float32)
        pool = real.create_pool(f"{name}-{law}", half_life=hardneg.NEVER)
        pool.report(np.arange(20_000), stored)
        batch = pool.mine(512, strategy="top", random_fraction=0.0)
        assert batch.scores is not None
        assert batch.scores.tolist() == np.sort(stored)[::-1][:512].tolist()
        if law == "exponential":
            assert ids_of(batch) == np.argsort(-stored)[:512].tolist()


@pytest.mark.parametrize("positives", [0, 1, 3, 40, 300])
def test_the_number_of_negatives_of_samplers(positives: int) -> None:
    """mmdetection 3.3.0 BaseSampler(num=512, neg_pos_ub=5) and SSDHead(neg_pos_ratio=3).

    neg_pos_ub counts 0 positives as 1, SSD gives them no negatives. `num` is the client's to subtract from.
    """
    assert hardneg.NegativeRatio(positives, 3).size == 3 * positives
    upper_bound = int(5 * max(1, positives))
    assert hardneg.NegativeRatio(positives, 5, min_size=5).size == upper_bound


def test_a_fraction_of_negatives_differs() -> None:
    """On purpose: 3 positives at 2.5 are 8 negatives here, 7 in mmdetection, which truncates neg_pos_ub·positives."""
    assert (hardneg.NegativeRatio(3, 2.5).size, int(2.5 * 3)) == (8, 7)


def test_ssd_hard_negative_mining(real: hardneg.Client, name: str) -> None:
    """SSD (mmdetection 3.3.0 SSDHead, torchvision): of each image the 3 x positives boxes of the largest loss.

    An image without a positive has none. An image is an anchor, so that one request serves a batch of images.
    """
    rng = np.random.default_rng(8)
    positives = np.array([0, 1, 4, 9, 30])
    losses = rng.exponential(size=(5, 60)).astype(np.float32)
    pool = real.create_pool(name, half_life=hardneg.NEVER, anchored=hardneg.Anchored(negatives_per_anchor=60))
    images, boxes = np.indices(losses.shape)
    pool.report((images * 60 + boxes).ravel(), losses.ravel(), anchors=images.ravel())
    mined = pool.mine_negatives(range(5), [hardneg.NegativeRatio(int(n)).size for n in positives], shortfall="short")
    for image, (negatives, count) in enumerate(zip(mined, positives, strict=True)):
        hardest = np.argsort(-losses[image])[: 3 * count] + 60 * image
        assert np.asarray(negatives.ids).tolist() == hardest.tolist()


def test_ssd_over_a_whole_data_set(real: hardneg.Client, name: str) -> None:
    """The same ratio of one pool of all boxes: the hardest 3 x positives of all images together."""
    losses = np.random.default_rng(9).exponential(size=2_000).astype(np.float32)
    pool = real.create_pool(name, half_life=hardneg.NEVER)
    pool.report(np.arange(2_000), losses)
    for positives in (0, 7):
        ratio = hardneg.NegativeRatio(positives)
        batch = pool.mine(negative_ratio=ratio, strategy="top", random_fraction=0.0)
        assert ids_of(batch) == np.argsort(-losses)[: 3 * positives].tolist()


def test_rho_loss(real: hardneg.Client) -> None:
    """RHO-LOSS (Mindermann et al. 2022): of a super-batch the 32 of 320 with the largest loss - irreducible loss."""
    rng = np.random.default_rng(10)
    loss, irreducible = rng.exponential(size=(2, 320)).astype(np.float32)
    for size in (32, 320):  # below 0 too
        chosen = real.select_from(loss, size, reference_scores=irreducible, strategy="top")
        assert chosen.rows.tolist() == np.argsort(irreducible - loss)[:size].tolist()


def test_one_chunk_of_jest(real: hardneg.Client) -> None:
    """JEST (Evans et al. 2024) draws a chunk without replacement, P ~ exp(learner - reference), by Gumbel-top-k.

    Its later chunks have new scores, given those drawn before: the client calls again with them.
    """
    learner, reference = np.array([1.0, 0.5, 2.0, 0.0]), np.array([0.25, 0.5, 1.0, 0.5])
    p = np.exp(learner - reference)
    p /= p.sum()
    draws = 2_000
    counts = np.zeros((4, 4))
    for seed in range(draws):
        chosen = real.select_from(learner, 2, reference_scores=reference, hardness="exponential", seed=seed)
        counts[tuple(chosen.rows)] += 1
    law = p[:, None] * p / (1 - p)[:, None]
    off = ~np.eye(4, dtype=bool)
    assert counts[~off].sum() == 0
    assert np.abs(z_of(counts[off], draws, law[off])).max() < Z_MAX
