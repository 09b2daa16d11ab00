"""The stream of reported scores: it batches, limits what waits, reconnects and resends."""

from __future__ import annotations

import logging
import math
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Literal, TypeAlias

import grpc
from typing_extensions import Unpack

from . import _columns
from ._acks import Ack, Rejection, ReportCounts, StreamStats
from ._batcher import Batcher, BatchKey, NumberedBatch
from ._checks import check_uint
from ._columns import FloatsLike, IdsLike
from ._enums import AckStatus
from ._errors import (
    BatchesRejected,
    DeadlineExceeded,
    HardnegError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    QueueFull,
    RunEnded,
    RunMissing,
    StaleScores,
    StreamClosed,
    Unauthenticated,
    Unimplemented,
    from_rpc,
    from_status,
)
from ._options import takes
from ._proto import mining_service_pb2
from ._report_rows import ReportColumns, ReportRows
from ._transport import Transport, backoff_s

#: What `ScoreStream.report` does when `max_pending` rows wait.
OnFull: TypeAlias = Literal["block", "drop", "raise"]

log = logging.getLogger("hardneg")

# Batches on the way at once. The server recognises resends among the last 1,024 of a worker; stay well inside.
_IN_FLIGHT_MAX = 256
# While batches are on the way, how often the clock looks whether acks still come, in seconds.
_WATCH_S = 1.0
# A timeout of None. There is no endless wait.
_BLOCK_S = 30.0
# Refusals of one batch that all later ones of the stream would meet too: its run is over.
_FATAL_TO_A_BATCH = (RunEnded, RunMissing)
# Errors of the stream as a whole that trying again does not cure.
_FATAL = (InvalidArgument, NotFound, PermissionDenied, Unauthenticated, Unimplemented, *_FATAL_TO_A_BATCH)


class ScoreStream:
    """Reports scores from the background. Made by `Pool.score_stream`; thread-safe.

    Every batch carries (worker_id, a random worker_epoch, sequence), and is kept until the service acknowledged it.
    After a lost connection the unacknowledged ones are sent again in order; those that had arrived are recognised
    by the server and do nothing. Nothing is lost silently: refused batches raise at the next `flush` or `close`
    (or go to `on_rejected`), rows not accepted are counted in `stats`, and no call waits without a deadline.
    """

    def __init__(
        self,
        transport: Transport,
        resource: str,
        *,
        pool_uid: int,
        worker_id: str,
        run_id: str,
        batch_size: int,
        max_pending: int,
        linger: float,
        on_full: OnFull,
        on_rejected: Callable[[Rejection], None] | None,
        ack_timeout: float,
    ) -> None:
        if not 1 <= batch_size <= _columns.ROWS_MAX:
            raise ValueError(f"batch_size must be 1 to {_columns.ROWS_MAX}, not {batch_size}")
        if max_pending < batch_size:
            raise ValueError(f"max_pending ({max_pending}) must be at least batch_size ({batch_size})")
        if on_full not in ("block", "drop", "raise"):
            raise ValueError(f"on_full must be 'block', 'drop' or 'raise', not {on_full!r}")
        if len(worker_id.encode()) > 128:
            raise ValueError("worker_id must have at most 128 bytes")
        if linger <= 0 or ack_timeout <= 0:
            raise ValueError("linger and ack_timeout must be positive")
        self.worker_id = worker_id
        self.worker_epoch = secrets.randbits(63) + 1
        self._transport = transport
        self._resource = resource
        self._batch_size = batch_size
        self._max_pending = max_pending
        self._linger = linger
        self._on_full = on_full
        self._on_rejected = on_rejected
        self._ack_timeout = ack_timeout
        self._pid = os.getpid()
        transport.check_process()

        # One lock for all state below; it is never held over a call to gRPC or to the caller's code.
        self._changed = threading.Condition()
        every = mining_service_pb2.ScoreBatch(
            pool=resource, pool_uid=pool_uid, worker_id=worker_id, worker_epoch=self.worker_epoch, run_id=run_id
        )
        self._batcher = Batcher(every, batch_size)
        self._queue: deque[NumberedBatch] = deque()  # sealed, unacknowledged, in order
        self._sent = 0  # the first so many of the queue are sent on the present connection
        self._queue_rows = 0
        self._acked_sequence = 0
        self._connection = 0  # number of the present connection
        self._call: Any = None
        self._last_progress = time.monotonic()
        self._closing = False  # no more reports
        self._stopped = False  # threads must end
        self._fatal: HardnegError | None = None
        self._rejections: list[Rejection] = []
        self._stale = (ReportCounts(), 0)  # of the stale batches since the last flush: their rows, and how many
        self._floor: float | None = None
        self._position: bytes | None = None
        self._durable_position: bytes | None = None
        self._counts = ReportCounts()
        self._connected = False
        self._last_error: HardnegError | None = None
        names = ("reported", "acked", "rejected", "dropped", "lost")
        batches = (
            "acked_batches",
            "rejected_batches",
            "duplicate_batches",
            "stale_batches",
            "resent_batches",
            "reconnects",
        )
        weights = ("clamped", "floored")
        self._numbers = dict.fromkeys((*(f"{name}_rows" for name in names), *batches, *weights), 0)
        self._threads = [
            threading.Thread(target=self._run, name="hardneg-stream", daemon=True),
            threading.Thread(target=self._tick, name="hardneg-stream-clock", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> ScoreStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        try:  # something else went wrong already: say so, do not hide it
            self.close(timeout=2.0)
        except HardnegError as broken:
            log.warning("while closing a score stream after another error: %s", broken)

    def __repr__(self) -> str:
        return f"ScoreStream({self._resource!r}, worker_id={self.worker_id!r})"

    # What the caller sees.

    @property
    def floor_log2(self) -> float | None:
        """The pool's lowest priority as log2 of its weight, by the last ack; None while there is room.

        Samples that are new and below it would be dropped: a worker may save itself reporting them. In a pool with a
        background of reported ids keep reporting all of them, or the background is no longer uniform.
        """
        with self._changed:
            return self._floor

    @property
    def position(self) -> bytes | None:
        """The pool's state as of the last ack; None before one, and where the pool is not journalled. Opaque."""
        with self._changed:
            return self._position

    @property
    def durable_position(self) -> bytes | None:
        """As of the last ack: all that stands before it survives a crash of the server. None: nothing does. Opaque."""
        with self._changed:
            return self._durable_position

    @property
    def stats(self) -> StreamStats:
        """What the stream has done so far, consistent at one moment."""
        with self._changed:
            return StreamStats(
                pending_rows=self._pending_rows(),
                pending_batches=len(self._queue),
                connected=self._connected,
                counts=self._counts,
                last_error=self._last_error,
                **self._numbers,
            )

    @takes(ReportColumns)
    def report(
        self,
        ids: IdsLike,
        scores: FloatsLike,
        *,
        step: int = 0,
        model_version: int = 0,
        timeout: float | None = _BLOCK_S,
        **columns: Unpack[ReportColumns],
    ) -> int:
        """Queues scores for sending and returns; the arrays are copied and may be reused at once.

        Args:
            ids: Integers 0 to 2^64-1 or strings, shape (n,).
            scores: Shape (n,); the service drops and counts NaN and infinite ones.
            step: Training step of the scores, 0 to 2^64-1; required in a pool that ages by steps.
            model_version: Version of the model that computed the scores, 0 to 2^32-1; default 0.
            timeout: With ``on_full="block"``: seconds to wait for room; None and the default are 30 s.
            payloads: Bytes to keep with each sample; None or empty keeps what is stored.
            strata: Each sample's class, source or the like, 0 to 2^32-1, for `Balance`.
            groups: Each sample's image, clip or the like, integers (0: none) or strings (empty: none), for
                `Balance.max_per_group`.
            anchors: The anchor that each sample is a negative of; required in an anchored pool.
            positive_scores: The score of that anchor's positive, NaN where unknown, for margins. The last report
                counts, beside the scores that `Pool.add_positives` gives by name.
            reference_scores: The score by a reference model (an irreducible loss), 0 where there is none; the pool
                stores score - reference. Mindermann et al. 2022.
            labels: Anchored pools: each sample's label (a class, a document), 0 to 2^32-1; 0 is none.
            anchor_labels: Anchored pools: each anchor's label, 0 to 2^32-1; 0 is none.

        Returns:
            Rows accepted: all of them, except with ``on_full="drop"``.

        Raises:
            QueueFull: No room; `accepted_rows` says how many of the first rows were queued.
            StreamClosed: The stream is closed or has failed for good, as when its training run has ended (`RunEnded`,
                the cause).
        """
        self._check_process()
        report = ReportRows.of(ids, scores, columns)
        check_uint(64, step=step)
        check_uint(32, model_version=model_version)
        key = BatchKey(step, model_version, report.kind)
        deadline = time.monotonic() + (_BLOCK_S if timeout is None else timeout)
        rows, done = len(report), 0
        size = min(self._batch_size, report.rows_a_message)
        with self._changed:
            self._check_open()
            self._numbers["reported_rows"] += rows
            while done < rows:
                part = min(size, rows - done)
                if not self._make_room(part, deadline):
                    self._numbers["dropped_rows"] += rows - done
                    if self._fatal is not None or self._closing:
                        self._check_open()
                    if self._on_full == "drop":
                        return done
                    raise QueueFull(
                        f"{self._pending_rows()} rows wait for the service (max_pending={self._max_pending}); "
                        f"{rows - done} of {rows} were not queued; last error: {self._last_error}",
                        accepted_rows=done,
                    )
                self._enqueue(self._batcher.add(key, report[done : done + part], size))
                done += part
            self._changed.notify_all()  # the clock learns when the first of the gathered rows came
        return done

    def flush(self, timeout: float = 30.0) -> None:
        """Sends what is gathered and waits until the service has answered everything reported before this call.

        Raises:
            DeadlineExceeded: Not within `timeout` seconds. The rows are still queued; flush again.
            BatchesRejected: The service refused batches since the last flush (and there is no `on_rejected`).
            StaleScores: Over half of the rows of batches since the last flush were older than what is stored.
            StreamClosed: The stream has failed for good; pending rows are lost.
        """
        self._check_process()
        deadline = time.monotonic() + timeout
        with self._changed:
            self._enqueue(self._batcher.seal())
            target = self._batcher.sequence
            while self._acked_sequence < target and self._fatal is None and not self._stopped:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise DeadlineExceeded(
                        f"{self._pending_rows()} rows are not acknowledged after {timeout:g} s; "
                        f"last error: {self._last_error}"
                    )
                self._changed.wait(left)
            if self._fatal is not None:
                self._check_open()
            if self._acked_sequence < target:
                raise StreamClosed(f"the stream was closed; {self._numbers['lost_rows']} rows are lost")
            rejections, self._rejections = self._rejections, []
            (counts, stale), self._stale = self._stale, (ReportCounts(), 0)
        if rejections:
            raise BatchesRejected(rejections)
        if stale:
            raise StaleScores(counts, stale)

    def close(self, timeout: float = 30.0) -> None:
        """Flushes, then ends the stream. Closing twice is harmless.

        Raises:
            DeadlineExceeded: Rows were not acknowledged in time; they are lost, `stats.lost_rows` says how many.
            BatchesRejected, StaleScores: As in `flush`.
            StreamClosed: The stream had failed before, with rows pending.
        """
        if os.getpid() != self._pid:
            return  # a fork: the stream, its threads and its rows are the parent's
        with self._changed:
            if self._stopped:
                return
            self._closing = True
            self._changed.notify_all()
        try:
            self.flush(timeout)
        finally:
            with self._changed:
                self._stopped = True
                self._lose_pending()
                call = self._call
                self._changed.notify_all()
            # The half-close lets the server end the stream by itself; one that does not is cut.
            for thread in self._threads:
                thread.join(timeout=1.0)
            if call is not None and any(thread.is_alive() for thread in self._threads):
                call.cancel()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("a ScoreStream does not survive fork: open one in each worker process")

    # State, always under the lock.

    def _pending_rows(self) -> int:
        return self._batcher.rows + self._queue_rows

    def _check_open(self) -> None:
        if self._fatal is not None:
            raise StreamClosed(
                f"the score stream failed: {self._fatal} ({self._numbers['lost_rows']} rows are lost)"
            ) from self._fatal
        if self._closing:
            raise StreamClosed("the score stream is closed")

    def _make_room(self, rows: int, deadline: float) -> bool:
        """Waits, where that is the policy, until `rows` more may wait."""
        while self._pending_rows() + rows > self._max_pending:
            left = deadline - time.monotonic()
            if self._on_full != "block" or left <= 0:
                return False
            self._enqueue(self._batcher.seal())  # what is gathered takes room too, and need not linger now
            self._changed.wait(left)
            if self._fatal is not None or self._closing:
                return False
        return True

    def _enqueue(self, sealed: list[NumberedBatch]) -> None:
        for batch in sealed:
            if not self._queue:
                self._last_progress = time.monotonic()
            self._queue.append(batch)
            self._queue_rows += batch.rows
            self._changed.notify_all()

    def _lose_pending(self) -> None:
        self._numbers["lost_rows"] += self._pending_rows()
        self._batcher.clear()
        self._queue.clear()
        self._queue_rows = self._sent = 0

    def _fail(self, error: HardnegError) -> None:
        with self._changed:
            self._last_error = self._fatal = error
            self._lose_pending()
            self._changed.notify_all()

    # The threads.

    def _tick(self) -> None:
        """Seals batches that have waited for `linger`, and gives up connections that make no progress."""
        while True:
            stuck = None
            with self._changed:
                if self._stopped or self._fatal is not None:
                    return
                now, due = time.monotonic(), math.inf
                if self._batcher.rows and now - self._batcher.since >= self._linger:
                    self._enqueue(self._batcher.seal())
                if self._batcher.rows:
                    due = self._batcher.since + self._linger - now
                if self._queue:
                    due = min(due, _WATCH_S, self._ack_timeout)
                    if self._sent and now - self._last_progress > self._ack_timeout:
                        self._last_progress = now
                        stuck = self._call
                if stuck is None:  # an idle stream needs no clock: `report` wakes it
                    self._changed.wait(None if due == math.inf else due)
            if stuck is not None:
                log.warning("no ack from %s for %g s: reconnecting", self._transport.target, self._ack_timeout)
                stuck.cancel()

    def _run(self) -> None:
        """Connects, reads acks, and connects again."""
        failures = attempts = 0
        while True:
            with self._changed:
                # A connection is made when there is something to send.
                while not self._queue and not self._stopped:
                    self._changed.wait()
                if self._stopped or self._fatal is not None:
                    return
                self._connection += 1
                connection = self._connection
                self._sent = 0
                self._last_progress = time.monotonic()
                if attempts:
                    self._numbers["reconnects"] += 1
                attempts += 1
            answered = False
            call: Any = None
            error: HardnegError
            try:
                call = self._transport.mining.StreamScores(
                    self._requests(connection), metadata=self._transport.metadata
                )
                with self._changed:
                    self._call = call
                for response in call:
                    answered, failures = True, 0
                    self._acknowledge(response.ack)
                error = HardnegError("the server ended the stream")
            except grpc.RpcError as broken:
                error = from_rpc(broken)
            except ValueError:  # grpcio, on a closed channel
                error = StreamClosed("the client was closed")
            except HardnegError as broken:  # an answer that makes no sense
                error = broken
                call.cancel()
            except Exception as broken:
                log.exception("score stream of %s", self._resource)
                error = HardnegError(f"internal error of the client: {broken!r}")
                self._fail(error)
                return
            with self._changed:
                self._call, self._connected = None, False
                self._connection += 1  # ends the generator of requests, if it still waits
                self._sent = 0
                self._changed.notify_all()
                if self._stopped:
                    return
                self._last_error = error
            if isinstance(error, (*_FATAL, StreamClosed)) or self._transport.closed.is_set():
                self._fail(error)
                return
            pause = max(backoff_s(failures), error.retry_after or 0.0)
            failures += 1
            if not answered:
                log.info("score stream to %s: %s; next try in %.1f s", self._transport.target, error, pause)
            with self._changed:
                until = time.monotonic() + pause
                while not self._stopped and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)

    def _requests(self, connection: int) -> Iterator[mining_service_pb2.StreamScoresRequest]:
        """What is sent on one connection: the queue from its head. Runs in a thread of gRPC."""
        while True:
            with self._changed:
                while True:
                    if self._connection != connection:
                        return
                    if self._sent < min(len(self._queue), _IN_FLIGHT_MAX):
                        break
                    if self._stopped or self._fatal is not None:
                        return
                    self._changed.wait(1.0)
                batch = self._queue[self._sent]
                self._sent += 1
                batch.times_sent += 1
                if batch.times_sent > 1:
                    self._numbers["resent_batches"] += 1
            yield batch.request

    def _acknowledge(self, message: mining_service_pb2.ScoreAck) -> None:
        """Takes the head of the queue off: acks come in the order of the batches."""
        ack = Ack.from_proto(message)
        rejection = None
        with self._changed:
            self._connected = True
            self._last_progress = time.monotonic()
            if message.sequence <= self._acked_sequence:
                return
            if not self._sent or self._queue[0].sequence != message.sequence:
                if self._stopped:
                    return
                raise HardnegError(f"ack of batch {message.sequence}, which is not the next one")
            batch = self._queue.popleft()
            self._sent -= 1
            self._queue_rows -= batch.rows
            if ack.status is AckStatus.REJECTED:
                error = from_status(message.error)
                rejection = Rejection(
                    batch.sequence,
                    batch.ids,
                    batch.request.batch.step,
                    batch.request.batch.model_version,
                    error,
                )
                self._numbers["rejected_batches"] += 1
                self._numbers["rejected_rows"] += batch.rows
                self._last_error = error
                if self._on_rejected is None:
                    self._rejections.append(rejection)
            else:
                self._numbers["acked_batches"] += 1
                self._numbers["acked_rows"] += batch.rows
                self._numbers["duplicate_batches"] += ack.status is AckStatus.DUPLICATE
                if ack.status is AckStatus.STALE:
                    self._numbers["stale_batches"] += 1
                    self._stale = (self._stale[0] + ack.counts, self._stale[1] + 1)
                self._counts = self._counts + ack.counts
                self._numbers["clamped"] += ack.clamped
                self._numbers["floored"] += ack.floored
                self._floor = ack.floor_log2
                # Acks come in the order of the batches: the last is the newest.
                self._position = ack.position
                self._durable_position = ack.durable_position
        if rejection is not None and self._on_rejected is not None:
            try:
                self._on_rejected(rejection)
            except Exception:
                log.exception("on_rejected raised; the rejection was: %s", rejection.error)
        with self._changed:
            # After the callback, so that a flush that returns has seen it.
            self._acked_sequence = message.sequence
            if rejection is not None and isinstance(rejection.error, _FATAL_TO_A_BATCH):
                raise rejection.error  # before the flush wakes: all that follows would be refused as well
            self._changed.notify_all()
