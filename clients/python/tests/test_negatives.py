"""Negatives of anchors: what is sent, what comes back, rectangles."""

from __future__ import annotations

import numpy as np
import pytest
from fake_server import FakeServer, ids_of, wire

import hardneg
from hardneg import _columns
from hardneg._mined_negatives import MinedNegatives
from hardneg._proto import columns_pb2, mining_service_pb2

NAN = float("nan")


def test_mine_negatives(server: FakeServer, client: hardneg.Client) -> None:
    pool = client.create_pool("queries", anchored=hardneg.Anchored())
    pool.report([1, 2, 3, 4], [0.1, 0.9, 0.5, 0.7], anchors=[10, 10, 10, 20])
    mined = pool.mine_negatives(
        [10, 20, 30],
        2,
        strategy="proportional",
        alpha=2.0,
        random_fraction=0.25,
        range_min=1,
        range_max=8,
        min_score=-1.0,
        max_score=1.0,
        absolute_margin=0.0,
        relative_margin=0.5,
        hard_margin=0.75,
        semi_hard_margin=0.25,
        distance_weighting=hardneg.DistanceWeighting(128, cutoff=0.25),
        max_per_group=1,
        age=hardneg.AgeWindow(max=60.0),
        model_version=hardneg.VersionWindow(3),
        shortfall="fill_unscored",
        exclude_ids=[99],
        seed=7,
        fields="all",
    )
    request = server.requests[-1]
    assert request.pool_uid == pool.uid
    assert wire(request.policy) == {
        "strategy": "NEGATIVE_STRATEGY_PROPORTIONAL",
        "alpha": 2.0,
        "random_fraction": 0.25,
        "range_min": 1,
        "range_max": 8,
        "min_score": -1.0,
        "max_score": 1.0,
        "absolute_margin": 0.0,
        "relative_margin": 0.5,
        "hard_margin": 0.75,
        "semi_hard_margin": 0.25,
        "distance_weighting": {"dimension": 128, "cutoff": 0.25},
        "max_per_group": 1,
        "age": {"max": 60.0},
        "model_version": {"min": 3},
        "shortfall": "SHORTFALL_FILL_UNSCORED",
    }
    assert (ids_of(request.anchors), ids_of(request.exclude_ids), request.seed) == ([10, 20, 30], [99], 7)
    assert set(wire(request.fields)) == {
        "scores",
        "inclusion_probabilities",
        "sources",
        "ages",
        "positive_scores",
        "labels",
    }
    assert (mined.offsets.tolist(), mined.offsets.dtype) == ([0, 2, 3, 3], np.int64)
    assert (len(mined), mined.counts.tolist()) == (3, [2, 1, 0])
    assert [list(negatives.ids) for negatives in mined] == [[2, 3], [4], []]
    assert list(mined[-3].ids) == [2, 3]
    assert mined[0].scores is not None
    assert mined[0].scores.tolist() == pytest.approx([0.9, 0.5])
    assert mined[0].positive_score == 0.75
    assert np.isnan(mined[1].positive_score or 0.0)
    assert (mined.ages, mined[0].ages) == (None, None)
    assert not mined.is_background.any()
    assert mined.policy.strategy is hardneg.NegativeStrategy.PROPORTIONAL
    assert mined.policy.distance_weighting == hardneg.DistanceWeighting(128, 0.25)
    assert mined.policy.shortfall is hardneg.Shortfall.FILL_UNSCORED
    assert mined.policy.hard_margin == 0.75
    assert (mined.seed, mined.shortfall_count, mined.unknown_anchor_count) == (7, 3, 1)
    with pytest.raises(IndexError):
        _ = mined[3]
    top = pool.mine_negatives([10], 1, strategy="top")
    assert wire(server.requests[-1].policy) == {"strategy": "NEGATIVE_STRATEGY_TOP"}
    assert not server.requests[-1].HasField("fields")
    assert top.inclusion_probabilities is None
    with pytest.raises(ValueError, match="inclusion_probabilities"):
        top.dense("inclusion_probabilities")


def test_negatives_as_rectangles(client: hardneg.Client) -> None:
    pool = client.create_pool("queries")
    pool.report([1, 2, 3], [0.1, 0.9, 0.5], anchors=[10, 10, 20])
    mined = pool.mine_negatives([20, 10, 30], 3, strategy="random")
    ids, mask = mined.dense()
    assert (ids.shape, ids.dtype) == ((3, 3), np.uint64)
    assert ids.tolist() == [[3, 0, 0], [2, 1, 0], [0, 0, 0]]
    assert mask.tolist() == [[True, False, False], [True, True, False], [False] * 3]
    assert mined.dense(fill=2**64 - 1)[0][0].tolist() == [3, 2**64 - 1, 2**64 - 1]
    scores, _ = mined.dense("scores", fill=-np.inf)
    assert scores[0].tolist() == [0.5, -np.inf, -np.inf]
    with pytest.raises(ValueError, match="fill"):
        mined.dense(fill=-1)
    assert pool.mine_negatives([], 2).dense()[0].shape == (0, 2)

    named = client.create_pool("named", id_kind="string")
    named.report(["a", "bb"], [0.1, 0.9], anchors=["x", "x"])
    texts, mask = named.mine_negatives(["x", "y"], 3).dense(fill="-")
    assert texts.tolist() == [["bb", "a", "-"], ["-"] * 3]
    assert mask.sum() == 2


def test_a_number_of_negatives_for_each_anchor(server: FakeServer, client: hardneg.Client) -> None:
    pool = client.create_pool("queries", anchored=hardneg.Anchored())
    pool.report([1, 2, 3, 4], [0.1, 0.9, 0.5, 0.7], anchors=[10, 10, 10, 20])
    numbers: tuple[object, ...] = ([2, 0, 5], np.array([2, 0, 5], dtype=np.uint8))
    for each in numbers:
        mined = pool.mine_negatives([10, 20, 20], each)
        request = server.requests[-1]
        assert (request.num_negatives, list(request.num_negatives_per_anchor)) == (0, [2, 0, 5])
        assert (mined.counts.tolist(), mined.num_negatives, mined.shortfall_count) == ([2, 0, 1], 5, 4)
        assert mined.dense()[0].shape == (3, 5)
    pool.mine_negatives([10], np.int64(3))
    assert (server.requests[-1].num_negatives, list(server.requests[-1].num_negatives_per_anchor)) == (3, [])
    assert pool.mine_negatives([10, 20], [0, 0]).dense()[0].shape == (2, 0)
    for wrong in (0, [1, 2], [-1], [[1]]):
        with pytest.raises(ValueError, match="num_negatives"):
            pool.mine_negatives([10], wrong)
    with pytest.raises(TypeError, match="num_negatives"):
        pool.mine_negatives([10], [1.5])


def test_malformed_negatives_are_an_error() -> None:
    two = columns_pb2.IdColumn(u64s=columns_pb2.U64s(values=[1, 2]))
    for offsets in ([], [0], [0, 1], [0, 2, 1, 2], [1, 2]):
        message = mining_service_pb2.MineNegativesResponse(offsets=offsets, ids=two)
        with pytest.raises(hardneg.HardnegError, match="offsets"):
            MinedNegatives.from_proto(message, 2)
    message = mining_service_pb2.MineNegativesResponse(offsets=[0, 2], ids=two, sources=b"\x01")
    with pytest.raises(hardneg.HardnegError, match="sources"):
        MinedNegatives.from_proto(message, 2)
    with pytest.raises(hardneg.HardnegError, match="more than 1"):
        MinedNegatives.from_proto(mining_service_pb2.MineNegativesResponse(offsets=[0, 2], ids=two), 1)


def test_positives_and_vetoes(server: FakeServer, client: hardneg.Client) -> None:
    pool = client.create_pool("queries")
    pool.report([1, 2, 3], [0.1, 0.9, 0.5], anchors=[10, 10, 20])
    counts = pool.add_positives([10, 20], [2, 9], scores=[0.75, NAN])
    assert counts == hardneg.PairCounts(added_count=2, removed_count=1)
    request = server.requests[-1]
    assert (ids_of(request.anchors), ids_of(request.positives)) == ([10, 20], [2, 9])
    assert (request.scores.f32_le[:4], request.scores.present) == (np.float32(0.75).tobytes(), b"\x01")
    assert pool.reject_negatives([10, 10], [1, 2]) == hardneg.PairCounts(1, 1)
    assert ids_of(server.requests[-1].negatives) == [1, 2]
    pool.add_positives([10], [2])
    assert not server.requests[-1].HasField("scores")
    assert pool.add_positives(np.full(70_000, 5), np.arange(70_000)).added_count == 70_000
    assert [len(_columns.decode_ids(sent.positives)) for sent in server.requests[-2:]] == [65_536, 4_464]
    with pytest.raises(ValueError, match="positives must have 2"):
        pool.add_positives([1, 2], [3])
    with pytest.raises(ValueError, match="negatives must have 1"):
        pool.reject_negatives([1], [3, 4])
    with pytest.raises(ValueError, match="scores"):
        pool.add_positives([1], [3], scores=[0.5, 0.5])


def test_refused_pairs_are_an_error_that_names_them(server: FakeServer, client: hardneg.Client) -> None:
    pool = client.create_pool("queries")
    server.max_pairs = 2
    with pytest.raises(hardneg.PairsRefused, match="3 pairs were refused: max_pairs 2 at row 2") as refused:
        pool.add_positives([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], model_version=7)
    assert server.requests[-1].model_version == 7
    error = refused.value
    assert isinstance(error, hardneg.ResourceExhausted)
    assert (error.counts, error.rows.tolist(), error.rows.dtype) == (hardneg.PairCounts(2, 0), [2, 3, 4], np.int64)
    assert error.limits == (hardneg.ReachedLimit(2, "max_pairs", 2),)
    # Of several calls the rows are those of the whole.
    server.max_pairs = 2 + 65_536
    with pytest.raises(hardneg.PairsRefused) as refused:
        pool.reject_negatives(np.full(65_539, 9), np.arange(65_539) + 100)
    assert refused.value.rows.tolist() == [65_536, 65_537, 65_538]
    assert refused.value.limits[0].row == 65_536
    assert refused.value.counts.added_count == 65_536


def test_labels_of_negatives_and_anchors() -> None:
    ids = columns_pb2.IdColumn(u64s=columns_pb2.U64s(values=[1, 2, 3]))
    message = mining_service_pb2.MineNegativesResponse(
        offsets=[0, 2, 3], ids=ids, labels=[7, 0, 9], anchor_labels=[5, 0]
    )
    mined = MinedNegatives.from_proto(message, 2)
    assert mined.labels is not None
    assert mined.anchor_labels is not None
    assert (mined.labels.dtype, mined.labels.tolist(), mined.anchor_labels.tolist()) == (np.uint32, [7, 0, 9], [5, 0])
    first = mined[0]
    assert first.labels is not None
    assert (first.labels.tolist(), first.label) == ([7, 0], 5)
    labels, _ = mined.dense("labels", fill=1)
    assert labels.tolist() == [[7, 0], [9, 1]]
    # Asked for, and no negatives: there are labels of the anchors only.
    none = MinedNegatives.from_proto(
        mining_service_pb2.MineNegativesResponse(
            offsets=[0, 0], ids=columns_pb2.IdColumn(u64s=columns_pb2.U64s()), anchor_labels=[5]
        ),
        2,
    )
    assert none.labels is not None
    assert (none.labels.size, none[0].label) == (0, 5)
    bare = MinedNegatives.from_proto(mining_service_pb2.MineNegativesResponse(offsets=[0, 3], ids=ids), 3)
    assert (bare.labels, bare.anchor_labels, bare[0].label) == (None, None, None)
    del message.labels[0]
    with pytest.raises(hardneg.HardnegError, match="labels"):
        MinedNegatives.from_proto(message, 2)
