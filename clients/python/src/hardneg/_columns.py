"""Conversion between arrays and the columns of the contract, without a cost per element where the input allows it."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ._errors import HardnegError
from ._proto import columns_pb2

#: Sample ids: integers from 0 to 2^64-1 (any integer dtype, byte order and stride; a torch tensor; a list), or strings.
IdsLike: TypeAlias = npt.NDArray[Any] | Sequence[int] | Sequence[str] | Any
#: Scores: anything that becomes a one-dimensional float array.
FloatsLike: TypeAlias = npt.NDArray[Any] | Sequence[float] | Any
#: Small integers: anything that becomes a one-dimensional integer array.
IntsLike: TypeAlias = npt.NDArray[Any] | Sequence[int] | Any
#: Ids as the client returns and queues them.
Ids: TypeAlias = npt.NDArray[np.uint64] | list[str]

_Sized = TypeVar("_Sized", bound=Sized)

U64_LE = np.dtype("<u8")
F32_LE = np.dtype("<f4")
ID_BYTES_MAX = 256
ROWS_MAX = 65_536
# Half of what a message may have: rows of one message are all counted with the length of the longest.
_BATCH_BYTES_MAX = 8 * 1024 * 1024


def _array(values: Any) -> Any:
    """Copies a torch-like tensor to the host, and returns everything else as it is."""
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        values = values.detach().cpu()
        if "bfloat16" in str(getattr(values, "dtype", "")):  # numpy has no such type
            values = values.float()
        return values.numpy()
    if hasattr(values, "__array__") and not isinstance(values, np.ndarray):
        return np.asarray(values)
    return values


def normalize_ids(ids: IdsLike, *, name: str = "ids", empty: bool = False) -> Ids:
    """Ids as a contiguous little-endian uint64 array that shares no memory with the input, or as a list of str.

    Args:
        ids: As a caller gives them.
        name: What errors call the ids.
        empty: Whether an empty string is allowed: it says that a row has none.

    Raises:
        TypeError: Neither integers nor strings.
        ValueError: Not one-dimensional, negative, over 2^64-1, or a string that is empty or over 256 bytes.
    """
    ids = _array(ids)
    if isinstance(ids, (str, bytes)):
        raise TypeError(f"{name} must be a sequence of ids, not one {type(ids).__name__}")
    if isinstance(ids, np.ndarray):
        if ids.ndim != 1:
            raise ValueError(f"{name} must have one dimension, not shape {ids.shape}")
        if ids.dtype.kind == "u":
            return np.array(ids, dtype=U64_LE, order="C")
        if ids.dtype.kind == "i":
            if ids.size and int(ids.min()) < 0:
                raise ValueError(f"{name} must not be negative (found {int(ids.min())})")
            return np.array(ids, dtype=U64_LE, order="C")
        if ids.dtype.kind not in "UO":
            raise TypeError(f"{name} must be integers or strings, not {ids.dtype}")
        ids = ids.tolist()
    listed = list(ids)
    least = 0 if empty else 1
    if listed and all(isinstance(value, str) for value in listed):
        for value in listed:
            if not least <= len(value.encode()) <= ID_BYTES_MAX:
                raise ValueError(f"a string in {name} must have {least} to {ID_BYTES_MAX} bytes: {value[:40]!r}")
        return [str(value) for value in listed]
    if any(isinstance(value, (str, bool, np.bool_)) for value in listed):
        raise TypeError(f"{name} must be all integers or all strings")
    try:
        integers = [operator.index(value) for value in listed]
    except TypeError:
        raise TypeError(f"{name} must be integers or strings") from None
    if integers and not (min(integers) >= 0 and max(integers) < 2**64):
        raise ValueError(f"{name} must be from 0 to 2^64-1")
    return np.array(integers, dtype=U64_LE)


def normalize_row_ids(values: IdsLike, rows: int, *, name: str, empty: bool = False, row: str = "id") -> Ids:
    """Ids as `normalize_ids` makes them, one for each of `rows` rows; `row` is what errors call one of these."""
    ids = normalize_ids(values, name=name, empty=empty)
    if len(ids) != rows:
        raise ValueError(f"{name} must have {rows} entries, one per {row}, not {len(ids)}")
    return ids


def normalize_floats(values: FloatsLike, rows: int, *, name: str = "scores") -> npt.NDArray[np.float32]:
    """Floats as a contiguous little-endian float32 array of `rows` rows that shares no memory with the input.

    A value that float32 cannot hold becomes infinite; the service counts and drops it, as it does NaN.
    """
    values = _array(values)
    with np.errstate(over="ignore"):
        array = np.asarray(values)
        if array.dtype.kind not in "fiub" and array.size:
            raise TypeError(f"{name} must be real numbers, not {array.dtype}")
        array = np.array(array, dtype=F32_LE, order="C")
    if array.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), one per id, not {array.shape}")
    return array


def normalize_payloads(payloads: Iterable[bytes | None], rows: int, *, name: str) -> list[bytes]:
    """Payloads, one a row; None and empty keep what is stored."""
    listed = [b"" if payload is None else bytes(payload) for payload in payloads]
    if len(listed) != rows:
        raise ValueError(f"{name} must have {rows} entries, one per id, not {len(listed)}")
    return listed


def normalize_numbers(values: IntsLike, rows: int, *, name: str, row: str = "id") -> npt.NDArray[np.uint32]:
    """Strata, labels or counts as a uint32 array of `rows` rows that shares no memory with the input.

    `row` is what errors call one row.
    """
    array = np.asarray(_array(values))
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must be integers, not {array.dtype}")
    if array.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), one per {row}, not {array.shape}")
    if array.size and not (int(array.min()) >= 0 and int(array.max()) < 2**32):
        raise ValueError(f"{name} must be from 0 to 2^32-1")
    return np.array(array, dtype=np.uint32)


def row_bytes(column: npt.NDArray[Any] | list[str] | list[bytes]) -> int:
    """Bytes of a column's longest value."""
    if isinstance(column, list):
        return max((len(value.encode() if isinstance(value, str) else value) for value in column), default=0)
    return column.itemsize


def rows_of_width(width: int) -> int:
    """How many rows of so many bytes fit into one message."""
    overhead = 4  # tag and length of a string or a payload
    return max(1, min(ROWS_MAX, _BATCH_BYTES_MAX // (width + overhead)))


def row_slices(rows: int) -> Iterator[slice]:
    """Slices of at most as many rows as a request may have; none without rows."""
    return (slice(start, start + ROWS_MAX) for start in range(0, rows, ROWS_MAX))


def encode_ids(ids: Ids) -> columns_pb2.IdColumn:
    """The column of ids that `normalize_ids` returned."""
    if isinstance(ids, list):
        return columns_pb2.IdColumn(strings=columns_pb2.Strings(values=ids))
    return columns_pb2.IdColumn(u64_le=ids.astype(U64_LE, copy=False).tobytes())


def encode_floats(values: npt.NDArray[np.float32], *, nan_is_absent: bool = False) -> columns_pb2.FloatColumn:
    """The column of floats that `normalize_floats` returned; with `nan_is_absent`, a row with NaN has no value."""
    column = columns_pb2.FloatColumn(f32_le=values.astype(F32_LE, copy=False).tobytes())
    if nan_is_absent and (missing := np.isnan(values)).any():
        column.present = np.packbits(~missing, bitorder="little").tobytes()
    return column


def decode_ids(column: columns_pb2.IdColumn) -> Ids:
    """Ids as uint64 of shape (n,), a read-only view of the message where it is bytes; or as a list of str."""
    kind = column.WhichOneof("encoding")
    if kind == "strings":
        return list(column.strings.values)
    if kind == "u64s":
        return np.array(column.u64s.values, dtype=np.uint64)
    if len(column.u64_le) % 8:
        raise HardnegError(f"malformed answer: an id column of {len(column.u64_le)} bytes")
    return np.frombuffer(column.u64_le, dtype=U64_LE)


def checked_length(values: _Sized, rows: int, name: str) -> _Sized:
    """The column itself.

    Raises:
        HardnegError: It has another length than the ids.
    """
    if len(values) != rows:
        raise HardnegError(f"malformed answer: column {name} has {len(values)} rows, ids have {rows}")
    return values


def decode_numbers(values: Sequence[int], rows: int, *, name: str) -> npt.NDArray[np.uint32] | None:
    """Strata, labels or the like, of shape (rows,); None when the column was not sent."""
    return np.array(checked_length(values, rows, name), dtype=np.uint32) if len(values) else None


def decode_sources(values: bytes, rows: int) -> npt.NDArray[np.uint8] | None:
    """Values of `Source`, of shape (rows,); None when the column was not sent."""
    if not values and rows:
        return None
    return np.frombuffer(checked_length(values, rows, "sources"), dtype=np.uint8)


def decode_floats(column: columns_pb2.FloatColumn, rows: int, *, name: str) -> npt.NDArray[np.float32] | None:
    """Floats of shape (rows,), NaN where absent; None when the column was not sent."""
    kind = column.WhichOneof("encoding")
    if kind is None:
        return None
    values: npt.NDArray[np.float32]
    if kind == "floats":
        values = np.array(column.floats.values, dtype=np.float32)
    elif len(column.f32_le) % 4:
        raise HardnegError(f"malformed answer: column {name} of {len(column.f32_le)} bytes")
    else:
        values = np.frombuffer(column.f32_le, dtype=F32_LE)
    if values.size == 0 and rows > 0:
        return None
    checked_length(values, rows, name)
    if column.present:
        if len(column.present) < (rows + 7) // 8:
            raise HardnegError(f"malformed answer: the bitmap of column {name} is too short")
        bits = np.frombuffer(column.present, dtype=np.uint8)
        present = np.unpackbits(bits, count=rows, bitorder="little").astype(bool)
        if not present.all():
            values = np.where(present, values, np.float32(np.nan)).astype(np.float32)
    return values
