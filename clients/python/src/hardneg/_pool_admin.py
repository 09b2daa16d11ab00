"""The part of a pool's handle that describes, changes and deletes the pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typing_extensions import Unpack

from ._activity import PoolView
from ._errors import POOL_RECREATED, FailedPrecondition, NotFound, Unavailable
from ._options import takes
from ._pool_handle import PoolHandle
from ._pool_spec import LIVE_PARTS, LivePoolOptions, PoolInfo, apply_live_options
from ._pool_stats import PoolStats
from ._proto import pool_pb2, pool_service_pb2


class PoolAdmin(PoolHandle):
    """The methods of `Pool` that concern the pool as a whole."""

    def stats(self, *, timeout: float | None = None) -> PoolStats:
        """The pool's statistics now."""
        request = pool_service_pb2.GetPoolStatsRequest(name=self._resource, pool_uid=self.uid)
        return PoolStats.from_proto(self._transport.call("pools", "GetPoolStats", request, timeout=timeout).stats)

    def watch(self, *, interval: float = 1.0) -> Iterator[PoolView]:
        """Watches the pool: yields its statistics and its activity, now and at every interval, without an end.

        Args:
            interval: Seconds between two answers, 0.5 to 60.

        Raises:
            NotFound: There is no such pool, or it was deleted meanwhile.
            ResourceExhausted: Too many clients are watching.
            Unavailable: The connection broke. The caller decides whether to watch again.

        Example:
            >>> for view in pool.watch(interval=5):
            ...     print(view.stats.sizes.hard, view.stats.bias.lift, [s.id for s in view.activity.suspects])
        """
        request = pool_service_pb2.WatchPoolStatsRequest(name=self._resource, pool_uid=self.uid)
        request.interval.FromNanoseconds(int(interval * 1e9))
        # A watch has no end, so it has no deadline either. Keepalive notices a dead connection.
        for answer in self._transport.stream("pools", "WatchPoolStats", request):
            yield PoolView.from_proto(answer)

    def info(self, *, timeout: float | None = None) -> PoolInfo:
        """The pool's spec and identity, with every default filled in."""
        return PoolInfo.from_proto(self._get(timeout))

    def _get(self, timeout: float | None) -> pool_pb2.Pool:
        request = pool_service_pb2.GetPoolRequest(name=self._resource, pool_uid=self.uid)
        pool: pool_pb2.Pool = self._transport.call("pools", "GetPool", request, timeout=timeout).pool
        return pool

    @takes(LivePoolOptions)
    def update(
        self,
        *,
        timeout: float | None = None,
        **options: Unpack[LivePoolOptions],
    ) -> PoolInfo:
        """Changes a live pool. What is not given, or None, stays as it is; a new half-life counts from now on.

        Args:
            timeout: Seconds a call; default the client's.
            quarantine: Sets samples aside that look mislabelled. `OFF` sets no more aside; those that are in
                quarantine stay there until they are released.
            flow: Couples how much is mined to how much is reported; `OFF` uncouples them.
            sample_ttl: Seconds, a timedelta, or `Steps` in a pool that ages by steps, after which a sample that no row
                reported is removed; `OFF` removes none.
            **options: As in `Client.create_pool`: half_life, max_step_jump, score_update, ema_weight, default_policy,
                serve_penalty, max_serves, lease, rotate_background, control_fraction.

        Raises:
            Aborted: Somebody else changed the pool at the same time; call again.
            InvalidArgument: A value is out of range, or cannot change in a live pool.

        Example:
            >>> pool.update(half_life=hardneg.Steps(2_000), default_policy=hardneg.MiningPolicy(alpha=0.5))
        """
        pool = self._get(timeout)
        before = pool_pb2.PoolSpec()
        before.CopyFrom(pool.spec)
        apply_live_options(pool.spec, options)
        request = pool_service_pb2.UpdatePoolRequest(pool=pool)
        for part in LIVE_PARTS:
            if _differs(before, pool.spec, part):
                request.update_mask.paths.append(f"spec.{part}")
        if not request.update_mask.paths:
            return PoolInfo.from_proto(pool)
        # Without retries: after an update whose answer was lost the etag has changed, and a second one would fail.
        answer = self._transport.call("pools", "UpdatePool", request, timeout=timeout, retries=0)
        return PoolInfo.from_proto(answer.pool)

    def delete(self, *, missing_ok: bool = False, timeout: float | None = None) -> None:
        """Deletes the pool and its samples.

        Raises:
            NotFound: There is none, unless `missing_ok`.
            FailedPrecondition: The handle is from `create_pool`, and another pool has taken the name since
                (``reason == "POOL_RECREATED"``): that one is left alone, and `missing_ok` makes no difference.
        """
        request = pool_service_pb2.DeletePoolRequest(name=self._resource, pool_uid=self.uid, allow_missing=missing_ok)
        try:
            self._transport.call("pools", "DeletePool", request, timeout=timeout, retries=0)
        except Unavailable:
            # The pool may be deleted and the answer lost: a second call must not raise NotFound for that.
            request.allow_missing = True
            try:
                self._transport.call("pools", "DeletePool", request, timeout=timeout)
            except FailedPrecondition as error:
                # It was deleted, and another pool has taken the name since.
                if error.reason != POOL_RECREATED:
                    raise

    def clear(self, *, timeout: float | None = None) -> int:
        """Removes all samples, also those in quarantine, from the live pool.

        The pool keeps its spec, its clock and run, its counters, the lists of trusted and blocked samples, and which
        batches were applied. In a dense pool every id that is not blocked can be drawn again. A retried request_id
        still gets the batch that was mined before. An anchored pool loses everything that was reported, and keeps
        known positives and vetoes.

        Returns:
            The number of samples removed; of an anchored pool, of the negatives of all anchors.

        Raises:
            FailedPrecondition: Another pool has taken the name of this handle's pool.
        """
        request = pool_service_pb2.ClearPoolRequest(name=self._resource, pool_uid=self.uid)
        removed: int = self._transport.call("pools", "ClearPool", request, timeout=timeout).removed_count
        return removed

    def exists(self, *, timeout: float | None = None) -> bool:
        """Whether there is a pool of this name; of a handle from `create_pool`, whether that one still exists."""
        try:
            self._get(timeout)
        except NotFound:
            return False
        except FailedPrecondition as error:
            if error.reason != POOL_RECREATED:
                raise
            return False
        return True


def _differs(before: pool_pb2.PoolSpec, after: pool_pb2.PoolSpec, part: Any) -> bool:
    """Whether an update has to write a part of the spec: also where an empty message was added or removed."""
    if part == "sample_ttl":
        return before.WhichOneof(part) != after.WhichOneof(part) or any(
            getattr(before, f"{part}_{unit}") != getattr(after, f"{part}_{unit}") for unit in ("time", "steps")
        )
    scalar = part == "control_fraction"
    present = not scalar and before.HasField(part) != after.HasField(part)
    return bool(present or getattr(before, part) != getattr(after, part))
