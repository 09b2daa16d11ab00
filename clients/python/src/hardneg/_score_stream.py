"""The stream of reported scores: it batches, limits what waits, reconnects and resends."""

from __future__ import annotations

import logging
import math
import os
import secrets
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import grpc
from typing_extensions import Unpack

from ._acks import Ack, StreamStats
from ._batcher import Batcher, BatchKey, NumberedBatch
from ._checks import check_uint
from ._columns import FloatsLike, IdsLike
from ._enums import AckStatus
from ._errors import (
    DeadlineExceeded,
    HardnegError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    QueueFull,
    RunEnded,
    RunMissing,
    StreamClosed,
    Unauthenticated,
    Unimplemented,
    from_rpc,
    from_status,
)
from ._options import takes
from ._proto import mining_service_pb2
from ._report_rows import ReportColumns, ReportRows
from ._send_queue import SendQueue
from ._stream_settings import StreamSettings
from ._stream_tally import StreamTally
from ._transport import Transport, backoff_s

log = logging.getLogger("hardneg")

# Seconds between two checks of the clock thread that acks still come, while batches are on the way.
_ACK_CHECK_S = 1.0
# Seconds that `report` waits for room with a timeout of None. No call waits without a deadline.
_ROOM_TIMEOUT_S = 30.0


class _ClientFault(HardnegError):
    """An exception in the client's own code. The stream ends with it."""


# The run of the stream is over: the service would refuse every later batch as well.
_RUN_IS_OVER = (RunEnded, RunMissing)
# Errors that another connection does not cure.
_FATAL = (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    StreamClosed,
    Unauthenticated,
    Unimplemented,
    _ClientFault,
    *_RUN_IS_OVER,
)


class ScoreStream:
    """Reports scores from the background. `Pool.score_stream` makes it; it is thread-safe.

    Every batch carries (worker_id, a random worker_epoch, sequence). The stream keeps it until the service acknowledges
    it, and sends it again, in order, after a lost connection; the server recognises batches that had arrived, and
    ignores them. Refused batches raise at the next `flush` or `close` (or go to `on_rejected`), `stats` counts rows
    that were not accepted, and no call waits without a deadline.
    """

    def __init__(
        self,
        transport: Transport,
        resource: str,
        *,
        pool_uid: int,
        settings: StreamSettings,
    ) -> None:
        transport.check_process()
        self.worker_id = settings.worker_id
        self.worker_epoch = secrets.randbits(63) + 1
        self._transport = transport
        self._resource = resource
        self._settings = settings
        self._pid = os.getpid()

        # One lock for all state below. No call of gRPC and no code of the caller runs under it.
        self._changed = threading.Condition()
        template = mining_service_pb2.ScoreBatch(
            pool=resource,
            pool_uid=pool_uid,
            worker_id=settings.worker_id,
            worker_epoch=self.worker_epoch,
            run_id=settings.run_id,
        )
        self._batcher = Batcher(template, settings.batch_size)
        self._queue = SendQueue()
        self._tally = StreamTally()
        self._acked_sequence = 0
        self._connection = 0  # changes when a connection begins and when it ends
        self._call: Any = None
        self._connected = False
        self._last_progress = time.monotonic()
        self._closing = False  # no more reports are taken
        self._stopped = False  # the threads must end
        self._fatal: HardnegError | None = None
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
        try:  # the other error must reach the caller, so this one is only logged
            self.close(timeout=2.0)
        except HardnegError as broken:
            log.warning("while closing a score stream after another error: %s", broken)

    def __repr__(self) -> str:
        return f"ScoreStream({self._resource!r}, worker_id={self.worker_id!r})"

    @property
    def floor_log2(self) -> float | None:
        """The pool's lowest priority as log2 of its weight, by the last ack; None while there is room.

        The hard store would drop new samples below it: a worker need not report them. Where the background is a sample
        of the reported ids, report all of them nevertheless, or it is no longer uniform.
        """
        with self._changed:
            return None if self._tally.last_ack is None else self._tally.last_ack.floor_log2

    @property
    def position(self) -> bytes | None:
        """The pool's state as of the last ack; None before one, and where the pool is not journalled. Opaque."""
        with self._changed:
            return None if self._tally.last_ack is None else self._tally.last_ack.position

    @property
    def durable_position(self) -> bytes | None:
        """The state, as of the last ack, that survives a crash of the server; None where nothing does. Opaque."""
        with self._changed:
            return None if self._tally.last_ack is None else self._tally.last_ack.durable_position

    @property
    def stats(self) -> StreamStats:
        """What the stream has done so far, consistent at one moment."""
        with self._changed:
            return self._tally.stats(
                pending_rows=self._pending_rows(), pending_batches=len(self._queue), connected=self._connected
            )

    @takes(ReportColumns)
    def report(
        self,
        ids: IdsLike,
        scores: FloatsLike,
        *,
        step: int = 0,
        model_version: int = 0,
        timeout: float | None = _ROOM_TIMEOUT_S,
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
            The number of rows accepted: all of them, except with ``on_full="drop"``.

        Raises:
            QueueFull: There is no room; `accepted_rows` of the first rows were queued.
            StreamClosed: The stream is closed or has failed for good, as when its training run has ended (`RunEnded`,
                the cause).
        """
        self._check_process()
        new = ReportRows.of(ids, scores, columns)
        check_uint(64, step=step)
        check_uint(32, model_version=model_version)
        key = BatchKey(step, model_version, new.kind)
        deadline = time.monotonic() + (_ROOM_TIMEOUT_S if timeout is None else timeout)
        rows, done = len(new), 0
        size = min(self._settings.batch_size, new.rows_a_message)
        with self._changed:
            self._check_open()
            self._tally.counters["reported_rows"] += rows
            while done < rows:
                part = min(size, rows - done)
                if not self._make_room(part, deadline):
                    self._tally.counters["dropped_rows"] += rows - done
                    if self._fatal is not None or self._closing:
                        self._check_open()
                    if self._settings.on_full == "drop":
                        return done
                    raise QueueFull(
                        f"{self._pending_rows()} rows wait for the service (max_pending={self._settings.max_pending}); "
                        f"{rows - done} of {rows} were not queued; last error: {self._tally.last_error}",
                        accepted_rows=done,
                    )
                self._enqueue(self._batcher.add(key, new[done : done + part], size))
                done += part
            self._changed.notify_all()  # the clock thread learns when the first of the collected rows came
        return done

    def flush(self, timeout: float = 30.0) -> None:
        """Sends the collected rows, and waits until the service has answered everything reported before this call.

        Raises:
            DeadlineExceeded: It has not within `timeout` seconds. The rows are still queued; flush again.
            BatchesRejected: The service refused batches since the last flush, and there is no `on_rejected`.
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
                        f"last error: {self._tally.last_error}"
                    )
                self._changed.wait(left)
            if self._fatal is not None:
                self._check_open()
            if self._acked_sequence < target:
                raise StreamClosed(f"the stream was closed; {self._tally.counters['lost_rows']} rows are lost")
            failed = self._tally.take_error()
        if failed is not None:
            raise failed

    def close(self, timeout: float = 30.0) -> None:
        """Flushes, then ends the stream. Closing twice is harmless.

        Raises:
            DeadlineExceeded: Rows were not acknowledged in time; they are lost, `stats.lost_rows` says how many.
            BatchesRejected, StaleScores: As in `flush`.
            StreamClosed: The stream had failed before, with rows pending.
        """
        if os.getpid() != self._pid:
            return  # in a forked child the stream, its threads and its rows are the parent's
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
            # The end of the requests lets the server end the stream; a stream that it does not end is cancelled.
            for thread in self._threads:
                thread.join(timeout=1.0)
            if call is not None and any(thread.is_alive() for thread in self._threads):
                call.cancel()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("a ScoreStream does not survive fork: open one in each worker process")

    # The caller of each of these methods holds the lock.

    def _pending_rows(self) -> int:
        return self._batcher.rows + self._queue.rows

    def _check_open(self) -> None:
        if self._fatal is not None:
            raise StreamClosed(
                f"the score stream failed: {self._fatal} ({self._tally.counters['lost_rows']} rows are lost)"
            ) from self._fatal
        if self._closing:
            raise StreamClosed("the score stream is closed")

    def _make_room(self, rows: int, deadline: float) -> bool:
        """Returns whether `rows` more may wait; with ``on_full="block"`` it waits for that until the deadline."""
        while self._pending_rows() + rows > self._settings.max_pending:
            left = deadline - time.monotonic()
            if self._settings.on_full != "block" or left <= 0:
                return False
            self._enqueue(self._batcher.seal())  # collected rows take room too: send them now
            self._changed.wait(left)
            if self._fatal is not None or self._closing:
                return False
        return True

    def _enqueue(self, batches: list[NumberedBatch]) -> None:
        for batch in batches:
            if not self._queue:
                self._last_progress = time.monotonic()
            self._queue.append(batch)
            self._changed.notify_all()

    def _lose_pending(self) -> None:
        self._tally.counters["lost_rows"] += self._pending_rows()
        self._batcher.clear()
        self._queue.clear()

    def _fail(self, error: HardnegError) -> None:
        with self._changed:
            self._tally.last_error = self._fatal = error
            self._lose_pending()
            self._changed.notify_all()

    # The method of the clock thread.

    def _tick(self) -> None:
        """Ends batches whose first row has waited for `linger`, and cancels connections that bring no acks."""
        while True:
            stuck = None
            with self._changed:
                if self._stopped or self._fatal is not None:
                    return
                now, due = time.monotonic(), math.inf
                if self._batcher.rows and now - self._batcher.since >= self._settings.linger:
                    self._enqueue(self._batcher.seal())
                if self._batcher.rows:
                    due = self._batcher.since + self._settings.linger - now
                if self._queue:
                    due = min(due, _ACK_CHECK_S, self._settings.ack_timeout)
                    if self._queue.in_flight and now - self._last_progress > self._settings.ack_timeout:
                        self._last_progress = now
                        stuck = self._call
                if stuck is None:  # without rows it waits until `report` wakes it
                    self._changed.wait(None if due == math.inf else due)
            if stuck is not None:
                log.warning("no ack from %s for %g s: reconnecting", self._transport.target, self._settings.ack_timeout)
                stuck.cancel()

    # Methods of the thread that connects and reads acks.

    def _run(self) -> None:
        """Connects, reads acks, and connects again after a pause, until the stream ends."""
        failures = 0  # connections in a row that brought no ack
        while (connection := self._begin_connection()) is not None:
            acked_before = self._acked_sequence
            error = self._read_acks(connection)
            if not self._end_connection(error):
                return
            answered = self._acked_sequence > acked_before
            failures = 0 if answered else failures
            pause = max(backoff_s(failures), error.retry_after or 0.0)
            failures += 1
            if not answered:
                log.info("score stream to %s: %s; next try in %.1f s", self._transport.target, error, pause)
            with self._changed:
                until = time.monotonic() + pause
                while not self._stopped and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)

    def _begin_connection(self) -> int | None:
        """Waits until there is something to send; returns the connection's number, None when the stream has ended."""
        with self._changed:
            while not self._queue and not self._stopped:
                self._changed.wait()
            if self._stopped or self._fatal is not None:
                return None
            if self._connection:
                self._tally.counters["reconnects"] += 1
            self._connection += 1
            self._queue.resend_all()
            self._last_progress = time.monotonic()
            return self._connection

    def _read_acks(self, connection: int) -> HardnegError:
        """Sends and reads until the connection breaks; returns why it did."""
        call: Any = None
        try:
            call = self._transport.mining.StreamScores(self._requests(connection), metadata=self._transport.metadata)
            with self._changed:
                self._call = call
            for response in call:
                self._acknowledge(response.ack)
            return HardnegError("the server ended the stream")
        except grpc.RpcError as broken:
            return from_rpc(broken)
        except ValueError:  # grpcio, on a closed channel
            return StreamClosed("the client was closed")
        except HardnegError as refused:  # an ack that makes no sense, or one that ends the stream
            call.cancel()
            return refused
        except Exception as broken:
            log.exception("score stream of %s", self._resource)
            return _ClientFault(f"internal error of the client: {broken!r}")

    def _end_connection(self, error: HardnegError) -> bool:
        """Leaves every unacknowledged batch to be sent again; returns whether there is to be another connection."""
        with self._changed:
            self._call, self._connected = None, False
            self._connection += 1  # ends the generator of requests, if it still waits
            self._queue.resend_all()
            self._changed.notify_all()
            if self._stopped:
                return False
            self._tally.last_error = error
        if isinstance(error, _FATAL) or self._transport.closed.is_set():
            self._fail(error)
            return False
        return True

    def _requests(self, connection: int) -> Iterator[mining_service_pb2.StreamScoresRequest]:
        """What is sent on one connection: the queue from its head. It runs in a thread of gRPC."""
        while True:
            with self._changed:
                while True:
                    if self._connection != connection:
                        return
                    if (batch := self._queue.take_unsent()) is not None:
                        break
                    if self._stopped or self._fatal is not None:
                        return
                    self._changed.wait(1.0)
                if batch.times_sent > 1:
                    self._tally.counters["resent_batches"] += 1
            yield batch.request

    def _acknowledge(self, message: mining_service_pb2.ScoreAck) -> None:
        """Takes the head of the queue off.

        Raises:
            HardnegError: The ack is not that of the head, or says that the run is over.
        """
        ack = Ack.from_proto(message)
        rejection = None
        with self._changed:
            self._connected = True
            self._last_progress = time.monotonic()
            if message.sequence <= self._acked_sequence:
                return
            if self._stopped and not self._queue.is_next(message.sequence):
                return  # `close` gave the pending batches up
            batch = self._queue.pop(message.sequence)
            if ack.status is AckStatus.REJECTED:
                rejection = batch.rejection(from_status(message.error))
                self._tally.add_rejection(rejection, raised_by_flush=self._settings.on_rejected is None)
            else:
                self._tally.add_ack(ack, batch.rows)
        if rejection is not None and self._settings.on_rejected is not None:
            try:
                self._settings.on_rejected(rejection)
            except Exception:
                log.exception("on_rejected raised; the rejection was: %s", rejection.error)
        with self._changed:
            # Only now, so that `on_rejected` has returned when a flush does.
            self._acked_sequence = message.sequence
            if rejection is not None and isinstance(rejection.error, _RUN_IS_OVER):
                raise rejection.error  # before the flush wakes: the service would refuse what follows as well
            self._changed.notify_all()
