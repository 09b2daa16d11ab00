"""The stream of mined batches, which keeps a few of them ahead of the training step."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any

import grpc
import numpy as np

from . import _columns
from ._columns import Ids
from ._errors import DeadlineExceeded, HardnegError, ResourceExhausted, StreamClosed, Unavailable, from_rpc
from ._mine_request import size_of
from ._mined_batch import MinedBatch
from ._proto import mining_service_pb2
from ._rounds import Round
from ._transport import Transport, backoff_s

# Errors after which a new connection may do better.
_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


class BatchStream(Iterator[MinedBatch]):
    """An iterator of mined batches for one consuming thread. `Pool.batches` makes it.

    The server mines a batch only on a credit. Taking a batch grants one, so that at most `prefetch` batches wait.
    """

    def __init__(
        self,
        transport: Transport,
        request: mining_service_pb2.MineBatchRequest,
        *,
        prefetch: int,
        count: int | None,
        timeout: float,
        uniform_ids: int | Ids | None,
    ) -> None:
        if not 1 <= prefetch <= 64:
            raise ValueError(f"prefetch must be 1 to 64, not {prefetch}")
        if count is not None and count < 0:
            raise ValueError("count must not be negative")
        transport.check_process()
        self._transport = transport
        self._request = request
        self._prefetch = prefetch
        self._left = count
        self._timeout = timeout
        self._uniform_ids = uniform_ids
        self._rng = np.random.default_rng(request.seed if request.HasField("seed") else None)
        self._taken = 0

        self._changed = threading.Condition()
        self._ready: deque[MinedBatch] = deque()
        self._error: HardnegError | None = None  # ends the stream
        self._unavailable: HardnegError | None = None  # why there is no connection now; None while there is
        self._credits: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._call: Any = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="hardneg-batches", daemon=True)
        if count != 0:
            self._thread.start()

    def __enter__(self) -> BatchStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> BatchStream:
        return self

    def __next__(self) -> MinedBatch:
        """Returns the next batch, and waits for it as long as the timeout allows.

        Raises:
            StopIteration: After `count` batches, or once closed.
            DeadlineExceeded: No batch came within the timeout; the next call goes on waiting.
            Unavailable: No batch came within the timeout because the service cannot be reached.
            HardnegError: An error that no retry cures.
        """
        if self._left == 0 or self._stopped:
            self.close()
            raise StopIteration
        deadline = time.monotonic() + self._timeout
        with self._changed:
            while not self._ready:
                if self._error is not None:
                    raise self._error
                if self._stopped:  # closed by another thread
                    raise StopIteration
                left = deadline - time.monotonic()
                if self._uniform_ids is not None and (self._unavailable is not None or left <= 0):
                    return self._count(self._degraded())
                if left <= 0:
                    if self._unavailable is not None:
                        raise Unavailable(
                            f"no batch within {self._timeout:g} s: {self._unavailable}", code=self._unavailable.code
                        )
                    raise DeadlineExceeded(f"no batch within {self._timeout:g} s")
                self._changed.wait(left)
            batch = self._ready.popleft()
            if self._left is None or self._left > self._prefetch:
                self._credits.put(1)  # not for batches that nobody will take
            self._changed.notify_all()  # the thread may wait for room before it reconnects
            return self._count(batch)

    def close(self) -> None:
        """Ends the stream. Batches mined ahead are discarded. Closing twice is harmless."""
        with self._changed:
            self._stopped = True
            call = self._call
            self._changed.notify_all()
        self._credits.put(0)
        if call is not None:
            call.cancel()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=2.0)

    def _count(self, batch: MinedBatch) -> MinedBatch:
        self._taken += 1
        if self._left is not None:
            self._left -= 1
        return batch

    def _degraded(self) -> MinedBatch:
        assert self._uniform_ids is not None
        request = self._request
        exclude = _columns.decode_ids(request.exclude_ids) if request.HasField("exclude_ids") else None
        round = None
        if request.HasField("round"):
            round = Round.from_proto(request.round)
            round = replace(round, number=(round.number + self._taken) % 2**64)
        return MinedBatch.uniform(self._rng, self._uniform_ids, size_of(request), exclude, round)

    def _is_late(self, batch: MinedBatch) -> bool:
        """Whether a degraded batch has replaced the round of this one: the other ranks have gone on without it."""
        return batch.round is not None and batch.round.number < self._request.round.number + self._taken

    # Methods of the thread that connects and reads batches.

    def _run(self) -> None:
        """Connects, reads batches, and connects again after a pause, until the stream ends."""
        failures = 0  # connections in a row that brought no batch
        while (start := self._next_start()) is not None:
            read, error = self._read_batches(start)
            failures = 0 if read else failures
            pause = max(backoff_s(failures), error.retry_after or 0.0)
            failures += 1
            with self._changed:
                self._call = None
                if self._stopped:
                    return
                if not _passes(error) or self._transport.closed.is_set():
                    self._error = error
                    self._changed.notify_all()
                    return
                self._unavailable = error
                self._changed.notify_all()
                until = time.monotonic() + pause
                while not self._stopped and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)

    def _next_start(self) -> mining_service_pb2.StreamBatchesStart | None:
        """Waits until there is room for a batch; returns the first message of a connection, None once closed."""
        with self._changed:
            while not self._stopped:
                # Credits granted on a connection that broke are gone. Batches that wait here have used theirs.
                missing = self._prefetch - len(self._ready)
                if self._left is not None:
                    missing = min(missing, self._left - len(self._ready))
                if missing > 0:
                    break
                self._changed.wait()
            else:
                return None
            self._credits = queue.SimpleQueue()
            start = mining_service_pb2.StreamBatchesStart(request=self._request, max_outstanding=missing)
            mined = self._taken + len(self._ready)
            if self._request.HasField("seed"):
                start.request.seed = (self._request.seed + mined) % 2**64
            if self._request.HasField("round"):
                start.request.round.number += mined
            if self._request.HasField("step"):
                start.request.step += mined
            return start

    def _read_batches(self, start: mining_service_pb2.StreamBatchesStart) -> tuple[bool, HardnegError]:
        """Reads until the connection breaks; returns whether a batch came, and why the connection broke."""
        credits, read = self._credits, False
        call: Any = None
        try:
            call = self._transport.mining.StreamBatches(
                self._requests(start, credits), metadata=self._transport.metadata
            )
            with self._changed:
                self._call = call
                if self._stopped:
                    call.cancel()
            for response in call:
                batch = MinedBatch.from_proto(response.batch)
                read = True
                with self._changed:
                    self._unavailable = None
                    if self._is_late(batch):
                        if self._left is None or self._left >= self._prefetch:
                            credits.put(1)
                        continue
                    self._ready.append(batch)
                    self._changed.notify_all()
            return read, Unavailable("the server ended the stream", code=grpc.StatusCode.UNAVAILABLE)
        except grpc.RpcError as broken:
            return read, from_rpc(broken)
        except ValueError:  # grpcio, on a closed channel
            return read, StreamClosed("the client was closed")
        except Exception as broken:
            if call is not None:
                call.cancel()
            wrong = broken if isinstance(broken, HardnegError) else HardnegError(f"internal error: {broken!r}")
            return read, wrong
        finally:
            credits.put(0)  # ends the generator of requests

    def _requests(
        self, start: mining_service_pb2.StreamBatchesStart, credits: queue.SimpleQueue[int]
    ) -> Iterator[mining_service_pb2.StreamBatchesRequest]:
        """The first message, then credits until a 0. It runs in a thread of gRPC."""
        yield mining_service_pb2.StreamBatchesRequest(start=start)
        while granted := credits.get():
            yield mining_service_pb2.StreamBatchesRequest(credits=granted)


def _passes(error: HardnegError) -> bool:
    """Whether a new connection may do better."""
    if isinstance(error, ResourceExhausted):
        return error.retry_after is not None
    return error.code in _PASSING
