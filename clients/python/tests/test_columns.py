"""Encoding and decoding: no value, dtype, stride or byte order is lost on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import hardneg
from hardneg import _columns
from hardneg._mined_batch import MinedBatch
from hardneg._proto import columns_pb2, mining_service_pb2
from hardneg._report_rows import ReportRows


@given(
    hnp.arrays(
        dtype=st.one_of(
            hnp.unsigned_integer_dtypes(endianness="?"),
            hnp.integer_dtypes(endianness="?"),
        ),
        shape=st.integers(0, 40),
    ),
    st.sampled_from([1, 2, 3, -1, -2]),
)
def test_integer_ids_survive(ids: np.ndarray[Any, Any], stride: int) -> None:
    view = ids[::stride]
    if view.size and int(view.min()) < 0:
        with pytest.raises(ValueError, match="negative"):
            _columns.normalize_ids(view)
        return
    got = _columns.decode_ids(_columns.encode_ids(_columns.normalize_ids(view)))
    assert isinstance(got, np.ndarray)
    assert got.dtype == np.uint64
    assert got.tolist() == view.tolist()


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_listed_ids_survive(ids: list[int]) -> None:
    got = _columns.normalize_ids(ids)
    assert isinstance(got, np.ndarray)
    assert got.tolist() == ids


@given(st.lists(st.text(min_size=1, max_size=60)))
def test_string_ids_survive(ids: list[str]) -> None:
    got = _columns.decode_ids(_columns.encode_ids(_columns.normalize_ids(ids)))
    assert list(got) == ids


@given(
    hnp.arrays(hnp.floating_dtypes(sizes=(16, 32, 64), endianness="?"), st.integers(0, 40)),
    st.sampled_from([1, 2, -1]),
)
def test_floats_survive_at_single_precision(values: np.ndarray[Any, Any], stride: int) -> None:
    view = values[::stride]
    column = _columns.encode_floats(_columns.normalize_floats(view, view.size))
    got = _columns.decode_floats(column, view.size, name="scores")
    if got is None:
        assert view.size == 0
        return
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(got, view.astype(np.float32))


@given(hnp.arrays(np.float32, st.integers(1, 50)), st.data())
def test_absent_rows_are_nan(values: np.ndarray[Any, Any], data: st.DataObject) -> None:
    present = data.draw(hnp.arrays(bool, values.size))
    bits = np.packbits(present, bitorder="little").tobytes()
    for column in (
        columns_pb2.FloatColumn(f32_le=values.astype("<f4").tobytes(), present=bits),
        columns_pb2.FloatColumn(floats=columns_pb2.Floats(values=values.tolist()), present=bits),
    ):
        got = _columns.decode_floats(column, values.size, name="scores")
        assert got is not None
        assert np.isnan(got[~present]).all()
        np.testing.assert_array_equal(got[present], values[present])


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        (np.array([1.0]), TypeError),
        (np.array([True]), TypeError),
        ([1, "a"], TypeError),
        ([True], TypeError),
        ([1.5], TypeError),
        ("abc", TypeError),
        (np.array([[1, 2]]), ValueError),
        ([-1], ValueError),
        ([2**64], ValueError),
        (["x" * 257], ValueError),
        ([""], ValueError),
    ],
)
def test_wrong_ids_are_refused_before_sending(ids: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="ids"):
        _columns.normalize_ids(ids)


def test_wrong_scores_are_refused_before_sending() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        _columns.normalize_floats([1.0, 2.0], 3)
    with pytest.raises(TypeError, match="real numbers"):
        _columns.normalize_floats(["a"], 1)


def test_what_is_normalized_shares_no_memory_with_the_caller() -> None:
    ids, scores = np.arange(4, dtype="<u8"), np.zeros(4, dtype="<f4")
    assert not np.shares_memory(ids, np.asarray(_columns.normalize_ids(ids)))
    assert not np.shares_memory(scores, _columns.normalize_floats(scores, 4))


class _Tensor:
    """What the client uses of a torch tensor on a GPU."""

    dtype = "torch.bfloat16"

    def detach(self) -> _Tensor:
        return self

    def cpu(self) -> _Tensor:
        return self

    def float(self) -> _Tensor:
        self.dtype = "torch.float32"
        return self

    def numpy(self) -> np.ndarray[Any, Any]:
        assert self.dtype != "torch.bfloat16"
        return np.array([0.5, 1.5], dtype=np.float32)


def test_tensors_are_brought_to_the_host() -> None:
    assert _columns.normalize_floats(_Tensor(), 2).tolist() == [0.5, 1.5]


def test_a_batch_is_decoded_without_a_copy() -> None:
    message = mining_service_pb2.MinedBatch()
    message.ids.u64_le = np.arange(3, dtype="<u8").tobytes()
    message.scores.f32_le = np.ones(3, dtype="<f4").tobytes()
    message.sources = bytes([1, 2, 1])
    batch = MinedBatch.from_proto(message)
    assert len(batch) == 3
    assert isinstance(batch.ids, np.ndarray)
    assert batch.scores is not None
    assert not batch.ids.flags.owndata
    assert not batch.scores.flags.owndata
    assert batch.is_background.tolist() == [False, True, False]
    assert batch.importance_weights is None
    assert batch.ages is None


def test_columns_of_unequal_length_are_an_error() -> None:
    message = mining_service_pb2.MinedBatch()
    message.ids.u64_le = np.arange(3, dtype="<u8").tobytes()
    message.scores.f32_le = np.ones(2, dtype="<f4").tobytes()
    with pytest.raises(hardneg.HardnegError, match="scores has 2 rows"):
        MinedBatch.from_proto(message)
    message.ids.u64_le = b"1234567"
    with pytest.raises(hardneg.HardnegError, match="7 bytes"):
        MinedBatch.from_proto(message)


def test_long_rows_make_small_messages() -> None:
    ids = np.arange(70_000, dtype="<u8")
    rows = ReportRows(ids, np.zeros(70_000, "<f4"))
    assert rows.rows_a_message == 65_536
    assert replace(rows, payloads=[b"x" * 4096] * 70_000).rows_a_message < 4096
    assert replace(rows, groups=["g" * 256] * 70_000, anchors=["a" * 256] * 70_000).rows_a_message < 20_000
