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
    """What `Pool` can do that concerns the pool as a whole."""

    def stats(self, *, timeout: float | None = None) -> PoolStats:
        """The pool's figures now."""
        request = pool_service_pb2.GetPoolStatsRequest(name=self._resource, pool_uid=self.uid)
        return PoolStats.from_proto(self._transport.call("pools", "GetPoolStats", request, timeout=timeout).stats)

    def watch(self, *, interval: float = 1.0) -> Iterator[PoolView]:
        """Watches the pool: its figures and what it is doing, now and at every interval, until you stop iterating.

        Args:
            interval: Seconds between two answers, 0.5 to 60.

        Raises:
            NotFound: There is no such pool, or it was deleted meanwhile.
            ResourceExhausted: Too many are watching.
            Unavailable: The service went away; watching again is the caller's choice.

        Example:
            >>> for view in pool.watch(interval=5):
            ...     print(view.stats.sizes.hard, view.stats.bias.lift, [s.id for s in view.activity.suspects])
        """
        request = pool_service_pb2.WatchPoolStatsRequest(name=self._resource, pool_uid=self.uid)
        request.interval.FromNanoseconds(int(interval * 1e9))
        # No deadline: a watch has no end. A server that has gone is noticed by keepalive.
        for answer in self._transport.stream("pools", "WatchPoolStats", request):
            yield PoolView.from_proto(answer)

    def info(self, *, timeout: float | None = None) -> PoolInfo:
        """What the pool is, every default filled in."""
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
        # Not repeated: if it took effect and the answer was lost, the etag would not match a second time.
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
            # It may have happened: a second try must not call that an error.
            request.allow_missing = True
            try:
                self._transport.call("pools", "DeletePool", request, timeout=timeout)
            except FailedPrecondition as error:
                # It did happen: the name has gone to another pool since.
                if error.reason != POOL_RECREATED:
                    raise

    def clear(self, *, timeout: float | None = None) -> int:
        """Removes all samples in place, those in quarantine too.

        The spec, the clock and its runs, the counters, who is trusted or blocked, and which batches were applied
        stay. In a dense pool every id can be drawn again that is not blocked. Batches mined before still answer
        retries. Of an anchored pool everything that reports told is removed; known positives and vetoes stay.

        Returns:
            How many there were; of an anchored pool, the negatives of all anchors.

        Raises:
            FailedPrecondition: Another pool has taken the name of this handle's.
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
    """Also where an empty message came or went."""
    if part == "sample_ttl":
        return before.WhichOneof(part) != after.WhichOneof(part) or any(
            getattr(before, f"{part}_{unit}") != getattr(after, f"{part}_{unit}") for unit in ("time", "steps")
        )
    scalar = part == "control_fraction"
    present = not scalar and before.HasField(part) != after.HasField(part)
    return bool(present or getattr(before, part) != getattr(after, part))
