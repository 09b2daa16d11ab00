"""The handle of one pool: reports scores and mines batches."""

from __future__ import annotations

import os
import secrets
import threading
import time
import uuid
from collections.abc import Callable

import numpy as np
from typing_extensions import Unpack

from . import _columns
from ._acks import Ack, Rejection, ReportCounts
from ._batch_stream import BatchStream
from ._columns import FloatsLike, Ids, IdsLike
from ._enums import AckStatus
from ._errors import DeadlineExceeded, StaleScores, Unavailable
from ._mine_request import MineOptions, mine_request, size_of, uniform_ids_of, wait_seconds
from ._mined_batch import MinedBatch
from ._options import share_descriptions, takes
from ._pool_admin import PoolAdmin
from ._pool_negatives import PoolNegatives
from ._pool_samples import PoolSamples
from ._proto import mining_service_pb2
from ._report_rows import ReportColumns, ReportRows
from ._runs import Run, checked_run_id
from ._score_stream import ScoreStream
from ._stream_settings import OnFull, StreamSettings
from ._transport import Transport

# Seconds until an unavailable service is asked again: after its first failure, and at most.
_PROBE_FIRST_S, _PROBE_MAX_S = 1.0, 30.0


class Pool(PoolAdmin, PoolSamples, PoolNegatives):
    """A handle of one pool, made by `Client.create_pool` or `Client.pool`. It is cheap and thread-safe.

    A handle from `create_pool` refers to that very pool: once another pool has its name, calls raise
    `FailedPrecondition` or `NotFound` instead of mixing two pools. One from `Client.pool` refers to the name.

    Attributes:
        created: True where `Client.create_pool` made the pool, False where it found it; None in a handle from
            `Client.pool`.
        run_before: The pool's current training run when `Client.create_pool` found it; None where there was none, and
            in pools that do not age by steps.
    """

    def __init__(
        self,
        transport: Transport,
        name: str,
        *,
        uid: int = 0,
        created: bool | None = None,
        run_before: Run | None = None,
    ) -> None:
        super().__init__(transport, name, uid)
        self.created = created
        self.run_before = run_before
        # Reports of this handle are numbered like those of a stream, so that a retry after a lost answer counts once.
        self._worker = f"unary-{os.getpid()}-{secrets.token_hex(4)}"
        self._epoch = secrets.randbits(64)
        self._sequence = 0
        self._lock = threading.Lock()
        self._probe_at = 0.0  # while the service is unavailable: when `mine` asks it again, by time.monotonic
        self._probe_pause = _PROBE_FIRST_S
        self._rng = np.random.default_rng()

    def __repr__(self) -> str:
        return f"Pool({self.name!r})"

    @takes(ReportColumns)
    def report(
        self,
        ids: IdsLike,
        scores: FloatsLike,
        *,
        step: int = 0,
        run_id: str | None = None,
        model_version: int = 0,
        timeout: float | None = None,
        **columns: Unpack[ReportColumns],
    ) -> Ack:
        """Reports scores in one call and waits for the ack. `score_stream` suits training loops better.

        The server recognises a retry after a lost answer, and counts it once. More than 65,536 rows are sent as
        several batches in order; the ack has the sum of their counts.

        Args:
            ids: Integers 0 to 2^64-1 or strings, shape (n,).
            scores: Shape (n,); the service drops and counts NaN and infinite ones.
            step: Training step of the scores, 0 to 2^64-1; required in a pool that ages by steps.
            run_id: Names the training run that counts the steps, the same for all workers of it, at most 128 bytes; a
                run that starts again, or resumes from a checkpoint, needs a new one. Default that of
                `run_id_from_env`; ``""`` is none. Ignored in a pool that does not age by steps.
            model_version: Version of the model that computed the scores, 0 to 2^32-1; default 0.
            timeout: Seconds a batch; default the client's.
            **columns: Further columns of one value a row, as in `ScoreStream.report`: payloads, strata, groups,
                anchors, positive_scores, reference_scores, labels, anchor_labels.

        Raises:
            ValueError: A column has another length than `ids`; the text names it.
            NotFound: There is no such pool.
            InvalidArgument: The pool refuses a value, which `field` names. Nothing of the batch is applied.
            RunEnded, RunMissing, StepBehind: The batch is not of the pool's current run. Nothing of it is applied.
            StaleScores: Over half of the rows of a batch were older than the stored reports; the others were applied.

        Example:
            >>> ack = pool.report(window_ids, losses, step=step)
            >>> ack.counts.inserted, ack.counts.dropped
        """
        rows = ReportRows.of(ids, scores, columns)
        run = checked_run_id(run_id)
        ack: Ack | None = None
        stale: list[ReportCounts] = []
        size = rows.rows_a_message
        for start in range(0, max(len(rows), 1), size):
            with self._lock:
                self._sequence += 1
                sequence = self._sequence
            batch = mining_service_pb2.ScoreBatch(
                pool=self._resource,
                pool_uid=self.uid,
                worker_id=self._worker,
                worker_epoch=self._epoch,
                sequence=sequence,
                step=step,
                run_id=run,
                model_version=model_version,
            )
            rows[start : start + size].write(batch)
            request = mining_service_pb2.ReportScoresRequest(batch=batch)
            answer = self._transport.call("mining", "ReportScores", request, timeout=timeout)
            part = Ack.from_proto(answer.ack)
            if part.status is AckStatus.STALE:
                stale.append(part.counts)
            ack = part if ack is None else part.after(ack)
        if stale:
            raise StaleScores(sum(stale, ReportCounts()), len(stale))
        assert ack is not None  # the loop runs at least once
        return ack

    def score_stream(
        self,
        *,
        worker_id: str | None = None,
        run_id: str | None = None,
        batch_size: int = 4096,
        max_pending: int = 262_144,
        linger: float = 0.2,
        on_full: OnFull = "block",
        on_rejected: Callable[[Rejection], None] | None = None,
        ack_timeout: float = 30.0,
    ) -> ScoreStream:
        """Opens a background stream of scores, for training workers.

        `ScoreStream.report` returns at once. A thread collects rows in batches and sends them. After a lost connection
        it sends the unacknowledged ones again, in order, so that no row is lost and none counts twice.

        Args:
            worker_id: Names this worker, at most 128 bytes; default made of the process id. Streams may share one.
            run_id: As in `Pool.report`, for all rows of the stream. The stream fails once that run has ended.
            batch_size: Rows of a full batch, 1 to 65,536; default 4,096.
            max_pending: Rows that may wait for an ack before `on_full` applies; default 262,144.
            linger: Seconds after which an incomplete batch is sent; default 0.2.
            on_full: What `ScoreStream.report` does at `max_pending` rows: ``"block"`` (default) waits for room, and
                raises `QueueFull` after its timeout; ``"drop"`` drops and counts the new rows; ``"raise"`` raises
                `QueueFull` at once.
            on_rejected: A function that the background thread calls with each batch that the service refuses. Default
                none: the next `flush` or `close` raises `BatchesRejected`.
            ack_timeout: Seconds without any ack after which the stream reconnects; default 30.

        Example:
            >>> with pool.score_stream(worker_id="rank-3") as stream:
            ...     for step, (ids, images) in enumerate(loader, 1):
            ...         stream.report(ids, losses(images), step=step)
        """
        settings = StreamSettings(
            worker_id=worker_id or f"pid-{os.getpid()}",
            run_id=checked_run_id(run_id),
            batch_size=batch_size,
            max_pending=max_pending,
            linger=linger,
            on_full=on_full,
            on_rejected=on_rejected,
            ack_timeout=ack_timeout,
        )
        return ScoreStream(self._transport, self._resource, pool_uid=self.uid, settings=settings)

    @takes(MineOptions)
    def mine(
        self,
        batch_size: int | None = None,
        *,
        request_id: str | None = None,
        **options: Unpack[MineOptions],
    ) -> MinedBatch:
        """Mines one batch.

        A policy option (`strategy` to `balance`) that is not given, or None, takes the pool's default policy, and then
        the service's. To keep options for many calls, write a `MineOptions` and pass ``**options``.

        Args:
            batch_size: Samples wanted, 1 to 65,536; with a round, of each rank.
            request_id: Two calls with the same one within 60 s get the same batch. A random one is sent by
                default, so that a retry after a lost answer does not serve a second batch.
            strategy: ``"proportional"`` (default), ``"rank"``, ``"top"``, ``"uniform"`` or ``"stalest"``.
            alpha: Exponent of ``"proportional"`` and ``"rank"``, 0 (uniform) to 16 (hardest); default 1.
            random_fraction: Share of the batch drawn from the background, whatever its score, 0 to 1; default 0.25.
            beta: Exponent of the importance weights, 0 (no correction) to 1 (unbiased); default 1.
            normalization: Scale of the importance weights: ``"none"`` (default), ``"max"`` or ``"mean"``.
            windows: Conditions on hard samples, as `RankWindow(min=100)`; all must hold. Default none.
            shortfall: When there are too few hard samples: ``"fill"`` (default), ``"short"`` or ``"error"``.
            curriculum: Fields of the policy that change with `step`; default the pool's. An empty one is none.
            balance: Limits on strata and groups; default the pool's. An empty one is none.
            lease: Seconds (or a timedelta) for which a served sample is not served again, unless it is reported
                meanwhile; 0 is none, default the pool's.
            round: This rank's share of a training step that all ranks mine together; `Round.from_env` knows which. It
                is its own retry key: no request_id goes with it.
            step: The training step, for the curriculum; default the highest of the current run, where the pool ages
                by steps.
            negative_ratio: The batch size from the positives of the step, instead of `batch_size`.
            exclude_ids: Ids that are never served; at most 65,536.
            seed: 0 to 2^64-1; the same seed on the same state gives the same batch. Default random.
            wait: Samples that the hard store must hold before the server mines, for 10 s at most; a `Wait` sets
                another limit. Default 0.
            fields: Columns wanted beside the ids, or ``"all"``. Default: scores, importance_weights, sources, and
                payloads where the pool keeps them.
            dry_run: True counts no serve and starts no lease; default False.
            timeout: Seconds, on top of the wait; default the client's.
            on_unavailable: ``"raise"`` (default), or ``"uniform"``: while the service does not answer, return a batch
                drawn here from `uniform_ids`, marked `degraded`, and ask it again at growing intervals of 1 to 30 s.
            uniform_ids: For ``on_unavailable="uniform"``: N for the ids 0..N-1, or the ids.

        Raises:
            FailedPrecondition: There are too few samples, with ``shortfall="error"``.
            Unavailable, DeadlineExceeded: The service did not answer, with ``on_unavailable="raise"``.

        Example:
            >>> batch = pool.mine(256, strategy="proportional", alpha=1.0, random_fraction=0.25)
            >>> loss = (torch.tensor(batch.importance_weights) * per_sample_loss(batch.ids)).mean()
        """
        uniform_ids = uniform_ids_of(options)
        request = mine_request(self._resource, self.uid, batch_size, options)
        if not request.HasField("round"):
            request.request_id = uuid.uuid4().hex if request_id is None else request_id
        elif request_id is not None:
            raise ValueError("request_id and round exclude each other: a round is its own retry key")
        timeout = self._mine_timeout(request, options)
        if uniform_ids is None:
            return self._mine(request, timeout, None)
        if time.monotonic() >= self._probe_at:
            try:
                batch = self._mine(request, timeout, 1)
                self._probe_at, self._probe_pause = 0.0, _PROBE_FIRST_S
                return batch
            except (Unavailable, DeadlineExceeded):
                self._probe_at = time.monotonic() + self._probe_pause
                self._probe_pause = min(2 * self._probe_pause, _PROBE_MAX_S)
        return self._uniform_batch(request, uniform_ids, options)

    def _mine(self, request: mining_service_pb2.MineBatchRequest, timeout: float, retries: int | None) -> MinedBatch:
        answer = self._transport.call("mining", "MineBatch", request, timeout=timeout, retries=retries)
        return MinedBatch.from_proto(answer.batch)

    def _mine_timeout(self, request: mining_service_pb2.MineBatchRequest, options: MineOptions) -> float:
        """Seconds for a batch: what the caller allows, and what the server may wait before it mines."""
        timeout = options.get("timeout")
        return (self._transport.timeout if timeout is None else timeout) + wait_seconds(request)

    def _uniform_batch(
        self, request: mining_service_pb2.MineBatchRequest, uniform_ids: int | Ids, options: MineOptions
    ) -> MinedBatch:
        exclude = _columns.decode_ids(request.exclude_ids) if request.HasField("exclude_ids") else None
        with self._lock:  # a generator is not thread-safe
            rng = np.random.default_rng(request.seed) if request.HasField("seed") else self._rng
            return MinedBatch.uniform(rng, uniform_ids, size_of(request), exclude, options.get("round"))

    @takes(MineOptions)
    def batches(
        self,
        batch_size: int | None = None,
        *,
        prefetch: int = 2,
        count: int | None = None,
        **options: Unpack[MineOptions],
    ) -> BatchStream:
        """Mines batch after batch over one stream, a few ahead of the training step.

        The server mines `prefetch` batches at first and one more for each that is taken, so that no batch is older
        than `prefetch` steps. The stream reconnects by itself. Use it as a context manager, or call its `close`.

        Args:
            batch_size: Samples of each batch, 1 to 65,536; with a round, of each rank.
            prefetch: Batches mined ahead, 1 to 64; default 2.
            count: Batches after which the stream ends; default never.
            round: The round of the first batch; the number of each next batch is one higher.
            step: The training step of the first batch; that of each next batch is one higher.
            seed: The seed of the first batch, 0 to 2^64-1; that of each next batch is one higher. Default random.
            timeout: Seconds that one batch may take to come, reconnecting included, on top of the wait; default the
                client's.
            **options: As in `mine`: strategy, alpha, random_fraction, beta, normalization, windows, shortfall,
                curriculum, balance, lease, negative_ratio, exclude_ids, wait, fields, dry_run, on_unavailable,
                uniform_ids.

        Example:
            >>> with pool.batches(256, count=1000) as batches:
            ...     for batch in batches:
            ...         train_step(dataset[batch.ids], batch.importance_weights)
        """
        request = mine_request(self._resource, self.uid, batch_size, options)
        return BatchStream(
            self._transport,
            request,
            prefetch=prefetch,
            count=count,
            timeout=self._mine_timeout(request, options),
            uniform_ids=uniform_ids_of(options),
        )


share_descriptions(Pool.mine, Pool.batches)
share_descriptions(ScoreStream.report, Pool.report)
