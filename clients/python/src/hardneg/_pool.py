"""One pool: reporting, mining, figures."""

from __future__ import annotations

import os
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal

import numpy as np

from . import _columns, _requests
from ._batches import BatchStream
from ._choices import Normalization, ScoreUpdate, Shortfall, Strategy
from ._columns import FloatsLike, IdsLike
from ._errors import DeadlineExceeded, NotFound, Unavailable
from ._mined import MinedBatch
from ._policy import MiningPolicy, Wait, Window
from ._pools import HalfLife, PoolInfo, PoolStats
from ._proto import mining_service_pb2, pool_pb2, pool_service_pb2
from ._reports import Ack, Rejection
from ._requests import Field, OnUnavailable
from ._stream import OnFull, ScoreStream
from ._transport import Transport

# Seconds between two questions whether an unavailable service is back, at first and at most.
_PROBE_S = (1.0, 30.0)


class Pool:
    """A handle of one pool: cheap, thread-safe, made by `Client.create_pool` or `Client.pool`.

    A handle from `create_pool` means that very pool: once it was deleted and made anew, calls raise
    `FailedPrecondition` or `NotFound` instead of mixing two runs. A handle from `Client.pool` means the name.
    """

    def __init__(self, transport: Transport, name: str, *, uid: int = 0) -> None:
        name = name.removeprefix("pools/")
        if not name:
            raise ValueError("a pool needs a name")
        self.name = name
        self.uid = uid
        self._transport = transport
        self._resource = f"pools/{name}"
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
        model_version: int = 0,
        payloads: Iterable[bytes | None] | None = None,
        timeout: float | None = None,
    ) -> Ack:
        """Reports scores in one call and waits for the answer. For training loops see `score_stream`.

        A retry after a lost answer is recognised by the server and counts once. More than 65,536 rows are sent as
        several batches in order; the counts are their sum.

        Args:
            ids: Integers 0 to 2^64-1 or strings, shape (n,).
            scores: Shape (n,); NaN and infinite ones are dropped and counted.
            step: Training step of the scores; required in a pool that ages by steps.
            model_version: Version of the model that computed them.
            payloads: Bytes to keep with each sample (None or empty: keep what is stored).
            timeout: Seconds a batch; default the client's.

        Raises:
            NotFound: There is no such pool.
            InvalidArgument: A value that the pool refuses; `field` says which. The batch did nothing.

        Example:
            >>> ack = pool.report(window_ids, losses, step=step)
            >>> ack.counts.inserted, ack.counts.dropped
        """
        known = _columns.normalize_ids(ids)
        values = _columns.normalize_floats(scores, len(known))
        extra = _columns.normalize_payloads(payloads, len(known))
        ack: Ack | None = None
        size = _columns.rows_a_message(known, extra)
        for start in range(0, max(len(known), 1), size):
            rows = slice(start, start + size)
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
                model_version=model_version,
                ids=_columns.encode_ids(known[rows]),
                scores=_columns.encode_floats(values[rows]),
                payloads=extra[rows] if extra is not None else None,
            )
            request = mining_service_pb2.ReportScoresRequest(batch=batch)
            answer = self._transport.call("mining", "ReportScores", request, timeout=timeout)
            part = Ack.from_proto(answer.ack)
            ack = part if ack is None else Ack(**{**vars(part), "counts": ack.counts + part.counts})
        assert ack is not None  # the loop runs at least once
        return ack

    def score_stream(
        self,
        *,
        worker_id: str | None = None,
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
            batch_size=batch_size,
            max_pending=max_pending,
            linger=linger,
            on_full=on_full,
            on_rejected=on_rejected,
            ack_timeout=ack_timeout,
        )

    def mine(
        self,
        batch_size: int,
        *,
        strategy: Strategy | str | None = None,
        alpha: float | None = None,
        random_fraction: float | None = None,
        beta: float | None = None,
        normalization: Normalization | str | None = None,
        windows: Sequence[Window] = (),
        shortfall: Shortfall | str | None = None,
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
            batch_size: Samples wanted, 1 to 65,536.
            strategy: ``"proportional"``, ``"rank"``, ``"top"``, ``"uniform"`` or ``"stalest"``.
            alpha: 0 (uniform) to 16 (harder); default 1.
            random_fraction: Share drawn from the background, whatever its score, 0 to 1; default 0.25.
            beta: Exponent of the importance weights, 0 (no correction) to 1 (unbiased).
            normalization: ``"none"``, ``"max"`` or ``"mean"``.
            windows: Conditions on hard samples, as `RankWindow(min=100)`; all must hold.
            shortfall: ``"fill"``, ``"short"`` or ``"error"``.
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
        local = _requests.local_ids(on_unavailable, uniform_ids)
        request = _requests.mine_request(
            self._resource,
            self.uid,
            batch_size,
            MiningPolicy(strategy, alpha, random_fraction, beta, normalization, windows, shortfall),
            exclude_ids=exclude_ids,
            seed=seed,
            wait=wait,
            fields=fields,
            dry_run=dry_run,
        )
        request.request_id = uuid.uuid4().hex if request_id is None else request_id
        allowed = (self._transport.timeout if timeout is None else timeout) + _requests.wait_s(request)
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
            return MinedBatch.uniform(rng, local, batch_size, exclude)

    def _mine(self, request: mining_service_pb2.MineBatchRequest, timeout: float, retries: int | None) -> MinedBatch:
        answer = self._transport.call("mining", "MineBatch", request, timeout=timeout, retries=retries)
        return MinedBatch.from_proto(answer.batch)

    def batches(
        self,
        batch_size: int,
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
        request = _requests.mine_request(
            self._resource,
            self.uid,
            batch_size,
            MiningPolicy(strategy, alpha, random_fraction, beta, normalization, windows, shortfall),
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
            timeout=(self._transport.timeout if timeout is None else timeout) + _requests.wait_s(request),
            uniform_ids=_requests.local_ids(on_unavailable, uniform_ids),
        )

    def remove(self, ids: IdsLike, *, timeout: float | None = None) -> int:
        """Removes samples from the hard store and the background.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls.
            timeout: Seconds a call.

        Returns:
            How many were stored.
        """
        known = _columns.normalize_ids(ids)
        removed = 0
        for start in range(0, len(known), _columns.ROWS_MAX):
            column = _columns.encode_ids(known[start : start + _columns.ROWS_MAX])
            request = mining_service_pb2.RemoveSamplesRequest(pool=self._resource, pool_uid=self.uid, ids=column)
            removed += self._transport.call("mining", "RemoveSamples", request, timeout=timeout).removed_count
        return removed

    def stats(self, *, timeout: float | None = None) -> PoolStats:
        """The pool's figures now."""
        request = pool_service_pb2.GetPoolStatsRequest(name=self._resource)
        return PoolStats.from_proto(self._transport.call("pools", "GetPoolStats", request, timeout=timeout).stats)

    def info(self, *, timeout: float | None = None) -> PoolInfo:
        """What the pool is, every default filled in."""
        return PoolInfo.from_proto(self._get(timeout))

    def _get(self, timeout: float | None) -> pool_pb2.Pool:
        request = pool_service_pb2.GetPoolRequest(name=self._resource)
        pool: pool_pb2.Pool = self._transport.call("pools", "GetPool", request, timeout=timeout).pool
        return pool

    def update(
        self,
        *,
        half_life: HalfLife | None = None,
        max_step_jump: int | None = None,
        score_update: ScoreUpdate | str | None = None,
        ema_weight: float | None = None,
        default_policy: MiningPolicy | None = None,
        serve_penalty: float | None = None,
        max_serves: int | None = None,
        rotate_background: bool | None = None,
        timeout: float | None = None,
    ) -> PoolInfo:
        """Changes a live pool; what is None stays as it is. A new half-life counts from now on.

        Raises:
            Aborted: Somebody else changed the pool at the same time; call again.
            InvalidArgument: A value is out of range, or cannot change in a live pool.

        Example:
            >>> pool.update(half_life=hardneg.Steps(2_000), default_policy=hardneg.MiningPolicy(alpha=0.5))
        """
        pool = self._get(timeout)
        before = pool_pb2.PoolSpec()
        before.CopyFrom(pool.spec)
        _requests.apply_live(
            pool.spec,
            half_life=half_life,
            max_step_jump=max_step_jump,
            score_update=score_update,
            ema_weight=ema_weight,
            default_policy=default_policy,
            serve_penalty=serve_penalty,
            max_serves=max_serves,
            rotate_background=rotate_background,
        )
        request = pool_service_pb2.UpdatePoolRequest(pool=pool)
        for part in _requests.LIVE_PARTS:
            if getattr(before, part) != getattr(pool.spec, part):
                request.update_mask.paths.append(f"spec.{part}")
        if not request.update_mask.paths:
            return PoolInfo.from_proto(pool)
        # Not repeated: if it took effect and the answer was lost, the etag would not match a second time.
        answer = self._transport.call("pools", "UpdatePool", request, timeout=timeout, retries=0)
        return PoolInfo.from_proto(answer.pool)

    def delete(self, *, missing_ok: bool = False, timeout: float | None = None) -> None:
        """Deletes the pool of this name and its samples.

        Raises:
            NotFound: There is none, unless `missing_ok`.
        """
        request = pool_service_pb2.DeletePoolRequest(name=self._resource, allow_missing=missing_ok)
        try:
            self._transport.call("pools", "DeletePool", request, timeout=timeout, retries=0)
        except Unavailable:
            # It may have happened: a second try must not call that an error.
            request.allow_missing = True
            self._transport.call("pools", "DeletePool", request, timeout=timeout)

    def exists(self, *, timeout: float | None = None) -> bool:
        """Whether there is a pool of this name."""
        try:
            self._get(timeout)
        except NotFound:
            return False
        return True
