"""The handle of one pool: reports scores and mines batches."""

from __future__ import annotations

import os
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal

import numpy as np

from . import _columns, _mine_request
from ._acks import Ack, Rejection, ReportCounts
from ._balance import Balance
from ._batch_stream import BatchStream
from ._columns import FloatsLike, IdsLike, IntsLike
from ._curriculum import Curriculum
from ._durations import Span
from ._enums import AckStatus, Normalization, Shortfall, Strategy
from ._errors import DeadlineExceeded, StaleScores, Unavailable
from ._mine_request import Field, OnUnavailable
from ._mined_batch import MinedBatch
from ._mining_policy import MiningPolicy, Wait, Window
from ._negative_ratio import NegativeRatio
from ._pool_admin import PoolAdmin
from ._pool_negatives import PoolNegatives
from ._pool_samples import PoolSamples
from ._proto import mining_service_pb2
from ._report_rows import ReportRows
from ._rounds import Round
from ._runs import Run, named
from ._score_stream import OnFull, ScoreStream
from ._transport import Transport

# Seconds between two questions whether an unavailable service is back, at first and at most.
_PROBE_S = (1.0, 30.0)


class Pool(PoolAdmin, PoolSamples, PoolNegatives):
    """A handle of one pool: cheap, thread-safe, made by `Client.create_pool` or `Client.pool`.

    A handle from `create_pool` means that very pool: once it was deleted and made anew, calls raise
    `FailedPrecondition` or `NotFound` instead of mixing two runs. A handle from `Client.pool` means the name.

    Attributes:
        created: Whether `Client.create_pool` made the pool; False where it was there. None in a handle from
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
        # Unary reports are numbered too, so that a retry after a lost answer counts once.
        self._worker = f"unary-{os.getpid()}-{secrets.token_hex(4)}"
        self._epoch = secrets.randbits(64)
        self._sequence = 0
        self._lock = threading.Lock()
        self._away_until = 0.0
        self._away_pause = _PROBE_S[0]
        self._rng = np.random.default_rng()

    def __repr__(self) -> str:
        return f"Pool({self.name!r})"

    def report(
        self,
        ids: IdsLike,
        scores: FloatsLike,
        *,
        step: int = 0,
        run_id: str | None = None,
        model_version: int = 0,
        payloads: Iterable[bytes | None] | None = None,
        strata: IntsLike | None = None,
        groups: IdsLike | None = None,
        anchors: IdsLike | None = None,
        positive_scores: FloatsLike | None = None,
        reference_scores: FloatsLike | None = None,
        labels: IntsLike | None = None,
        anchor_labels: IntsLike | None = None,
        timeout: float | None = None,
    ) -> Ack:
        """Reports scores in one call and waits for the answer. For training loops see `score_stream`.

        A retry after a lost answer is recognised by the server and counts once. More than 65,536 rows are sent as
        several batches in order; the counts are their sum.

        Args:
            ids: Integers 0 to 2^64-1 or strings, shape (n,).
            scores: Shape (n,); NaN and infinite ones are dropped and counted.
            step: Training step of the scores; required in a pool that ages by steps.
            run_id: Names the training run that counts the steps, the same for all workers of it, at most 128 bytes; a
                run that starts again, or resumes from a checkpoint, needs a new one. Default that of
                `run_id_from_env`; ``""`` is none. Ignored in a pool that does not age by steps.
            model_version: Version of the model that computed them.
            payloads: Bytes to keep with each sample (None or empty: keep what is stored).
            strata: Each sample's class, source or the like, 0 to 2^32-1, for `Balance`.
            groups: Each sample's image, clip or the like, integers (0: none) or strings (empty: none), for
                `Balance.max_per_group`.
            anchors: The anchor that each sample is a negative of; required in an anchored pool.
            positive_scores: The score of that anchor's positive, NaN where unknown, for margins: the last one told
                counts, beside those that `add_positives` tells by name.
            reference_scores: The score by a reference model (an irreducible loss), 0 where there is none: what is
                stored is score - reference. Mindermann et al. 2022.
            labels: Anchored pools: each sample's label (a class, a document), 0 to 2^32-1; 0 is none.
            anchor_labels: Each anchor's label, likewise.
            timeout: Seconds a batch; default the client's.

        Raises:
            ValueError: A column has another length than `ids`; the text names it.
            NotFound: There is no such pool.
            InvalidArgument: A value that the pool refuses; `field` says which. The batch did nothing.
            RunEnded, RunMissing, StepBehind: It is not of the pool's current run. The batch did nothing.
            StaleScores: Over half of the rows of a batch were older than what is stored; the rest was applied.

        Example:
            >>> ack = pool.report(window_ids, losses, step=step)
            >>> ack.counts.inserted, ack.counts.dropped
        """
        columns = ReportRows.of(
            ids,
            scores,
            payloads=payloads,
            strata=strata,
            groups=groups,
            anchors=anchors,
            positive_scores=positive_scores,
            reference_scores=reference_scores,
            labels=labels,
            anchor_labels=anchor_labels,
        )
        run = named(run_id)
        ack: Ack | None = None
        stale: list[ReportCounts] = []
        size = columns.rows_a_message
        for start in range(0, max(len(columns), 1), size):
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
            columns[start : start + size].write(batch)
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
        """Opens a background stream of scores: what a training worker uses.

        `ScoreStream.report` returns at once; a thread gathers rows into batches, sends them, and after a lost
        connection sends the unacknowledged ones again, in order, so that none is lost and none counts twice.

        Args:
            worker_id: Names this worker; default is the host's process id. Two streams may share one.
            run_id: As in `report`, for all that the stream sends. Once that run has ended the stream fails: no report
                of it will be taken any more.
            batch_size: Rows sent together, 1 to 65,536.
            max_pending: Rows that may wait for an ack before `on_full` applies.
            linger: Seconds after which an incomplete batch is sent anyway.
            on_full: ``"block"`` until there is room (then `QueueFull` after the timeout), ``"drop"`` the new rows
                and count them, or ``"raise"`` `QueueFull` at once.
            on_rejected: Called, from the background thread, with each batch that the service refused. Without it,
                the next `flush` or `close` raises `BatchesRejected`.
            ack_timeout: Seconds without any ack after which the connection is given up and made anew.

        Example:
            >>> with pool.score_stream(worker_id="rank-3") as stream:
            ...     for step, (ids, images) in enumerate(loader, 1):
            ...         stream.report(ids, losses(images), step=step)
        """
        return ScoreStream(
            self._transport,
            self._resource,
            pool_uid=self.uid,
            worker_id=worker_id or f"pid-{os.getpid()}",
            run_id=named(run_id),
            batch_size=batch_size,
            max_pending=max_pending,
            linger=linger,
            on_full=on_full,
            on_rejected=on_rejected,
            ack_timeout=ack_timeout,
        )

    def mine(
        self,
        batch_size: int | None = None,
        *,
        strategy: Strategy | str | None = None,
        alpha: float | None = None,
        random_fraction: float | None = None,
        beta: float | None = None,
        normalization: Normalization | str | None = None,
        windows: Sequence[Window] = (),
        shortfall: Shortfall | str | None = None,
        curriculum: Curriculum | None = None,
        balance: Balance | None = None,
        lease: Span | None = None,
        round: Round | None = None,
        step: int | None = None,
        negative_ratio: NegativeRatio | None = None,
        exclude_ids: IdsLike | None = None,
        seed: int | None = None,
        wait: Wait | int | None = None,
        fields: Collection[Field] | Literal["all"] | None = None,
        request_id: str | None = None,
        dry_run: bool = False,
        timeout: float | None = None,
        on_unavailable: OnUnavailable = "raise",
        uniform_ids: int | IdsLike | None = None,
    ) -> MinedBatch:
        """Mines one batch. None takes the pool's default policy, then the service's.

        Args:
            batch_size: Samples wanted, 1 to 65,536; with a round, of each rank.
            strategy: ``"proportional"``, ``"rank"``, ``"top"``, ``"uniform"`` or ``"stalest"``.
            alpha: 0 (uniform) to 16 (harder); default 1.
            random_fraction: Share drawn from the background, whatever its score, 0 to 1; default 0.25.
            beta: Exponent of the importance weights, 0 (no correction) to 1 (unbiased).
            normalization: ``"none"``, ``"max"`` or ``"mean"``.
            windows: Conditions on hard samples, as `RankWindow(min=100)`; all must hold.
            shortfall: ``"fill"``, ``"short"`` or ``"error"``.
            curriculum: Fields of the policy that change with `step`.
            balance: Limits on strata and groups.
            lease: A served sample rests for so many seconds (or a timedelta), until it is reported again; 0 is not.
            round: This rank's share of a training step that all ranks mine together; `Round.from_env` knows which. It
                is its own retry key: no request_id goes with it.
            step: The training step, for the curriculum; default the highest of the current run, where the pool ages
                by steps.
            negative_ratio: Instead of `batch_size`: as many as the positives of the step ask for.
            exclude_ids: Never these; at most 65,536.
            seed: The same seed on the same state gives the same batch.
            wait: Wait until the hard store holds this many samples (`Wait` to say how long; 10 s).
            fields: Columns wanted beside the ids, or ``"all"``. Default: scores, weights, sources, and payloads
                where the pool keeps them.
            request_id: Two calls with the same one within 60 s get the same batch. A random one is sent by
                default, so that a retry after a lost answer does not serve a second batch.
            dry_run: Count no serve.
            timeout: Seconds, on top of the wait; default the client's.
            on_unavailable: ``"uniform"`` returns a batch drawn here from `uniform_ids`, marked `degraded`, while
                the service does not answer, and asks it again at growing intervals of 1 to 30 s.
            uniform_ids: For ``"uniform"``: N for the ids 0..N-1, or the ids.

        Raises:
            FailedPrecondition: ``shortfall="error"`` and too few samples.
            Unavailable, DeadlineExceeded: No answer, with ``on_unavailable="raise"``.

        Example:
            >>> batch = pool.mine(256, strategy="proportional", alpha=1.0, random_fraction=0.25)
            >>> loss = (torch.tensor(batch.importance_weights) * per_sample_loss(batch.ids)).mean()
        """
        local = _mine_request.local_ids(on_unavailable, uniform_ids)
        request = _mine_request.mine_request(
            self._resource,
            self.uid,
            batch_size,
            MiningPolicy(
                strategy, alpha, random_fraction, beta, normalization, windows, shortfall, curriculum, balance
            ),
            lease=lease,
            round=round,
            step=step,
            negative_ratio=negative_ratio,
            exclude_ids=exclude_ids,
            seed=seed,
            wait=wait,
            fields=fields,
            dry_run=dry_run,
        )
        if round is None:
            request.request_id = uuid.uuid4().hex if request_id is None else request_id
        elif request_id is not None:
            raise ValueError("request_id and round exclude each other: a round is its own retry key")
        allowed = (self._transport.timeout if timeout is None else timeout) + _mine_request.wait_s(request)
        if local is None:
            return self._mine(request, allowed, None)
        if time.monotonic() >= self._away_until:
            try:
                batch = self._mine(request, allowed, 1)
                self._away_until, self._away_pause = 0.0, _PROBE_S[0]
                return batch
            except (Unavailable, DeadlineExceeded):
                self._away_until = time.monotonic() + self._away_pause
                self._away_pause = min(2 * self._away_pause, _PROBE_S[1])
        exclude = _columns.decode_ids(request.exclude_ids) if request.HasField("exclude_ids") else None
        with self._lock:
            rng = self._rng if seed is None else np.random.default_rng(seed)
            return MinedBatch.uniform(rng, local, _mine_request.local_size(request), exclude, round)

    def _mine(self, request: mining_service_pb2.MineBatchRequest, timeout: float, retries: int | None) -> MinedBatch:
        answer = self._transport.call("mining", "MineBatch", request, timeout=timeout, retries=retries)
        return MinedBatch.from_proto(answer.batch)

    def batches(
        self,
        batch_size: int | None = None,
        *,
        prefetch: int = 2,
        count: int | None = None,
        strategy: Strategy | str | None = None,
        alpha: float | None = None,
        random_fraction: float | None = None,
        beta: float | None = None,
        normalization: Normalization | str | None = None,
        windows: Sequence[Window] = (),
        shortfall: Shortfall | str | None = None,
        curriculum: Curriculum | None = None,
        balance: Balance | None = None,
        lease: Span | None = None,
        round: Round | None = None,
        step: int | None = None,
        negative_ratio: NegativeRatio | None = None,
        exclude_ids: IdsLike | None = None,
        seed: int | None = None,
        wait: Wait | int | None = None,
        fields: Collection[Field] | Literal["all"] | None = None,
        dry_run: bool = False,
        timeout: float | None = None,
        on_unavailable: OnUnavailable = "raise",
        uniform_ids: int | IdsLike | None = None,
    ) -> BatchStream:
        """Mines batch after batch over one stream, a few ahead of the training step.

        The server mines `prefetch` batches at first and one more for each that you take, so that no batch is older
        than `prefetch` steps. The stream reconnects by itself. Use it as a context manager, or call `close`.

        Args:
            batch_size: As in `mine`, like every argument not named here.
            prefetch: Batches mined ahead, 1 to 64.
            count: Stop after this many batches; default never.
            strategy: See `mine`.
            alpha: See `mine`.
            random_fraction: See `mine`.
            beta: See `mine`.
            normalization: See `mine`.
            windows: See `mine`.
            shortfall: See `mine`.
            curriculum: See `mine`.
            balance: See `mine`.
            lease: See `mine`.
            round: Of the first batch; its number is one more for each.
            step: Of the first batch; one more for each.
            negative_ratio: See `mine`.
            exclude_ids: See `mine`.
            seed: Of the first batch; advanced by one each.
            wait: See `mine`.
            fields: See `mine`.
            dry_run: See `mine`.
            timeout: Seconds that one batch may take to come, reconnecting included.
            on_unavailable: See `mine`.
            uniform_ids: See `mine`.

        Example:
            >>> with pool.batches(256, count=1000) as batches:
            ...     for batch in batches:
            ...         train_step(dataset[batch.ids], batch.importance_weights)
        """
        request = _mine_request.mine_request(
            self._resource,
            self.uid,
            batch_size,
            MiningPolicy(
                strategy, alpha, random_fraction, beta, normalization, windows, shortfall, curriculum, balance
            ),
            lease=lease,
            round=round,
            step=step,
            negative_ratio=negative_ratio,
            exclude_ids=exclude_ids,
            seed=seed,
            wait=wait,
            fields=fields,
            dry_run=dry_run,
        )
        return BatchStream(
            self._transport,
            request,
            prefetch=prefetch,
            count=count,
            timeout=(self._transport.timeout if timeout is None else timeout) + _mine_request.wait_s(request),
            uniform_ids=_mine_request.local_ids(on_unavailable, uniform_ids),
        )
