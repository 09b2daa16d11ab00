"""The part of a pool's handle that looks up, removes, blocks and quarantines single samples."""

from __future__ import annotations

from collections.abc import Iterator

from . import _columns
from ._columns import IdsLike
from ._pool_handle import PoolHandle
from ._proto import columns_pb2, mining_service_pb2, pool_service_pb2
from ._samples import BlockCounts, QuarantinedSample, ReleaseCounts, Sample, SetAsideCounts


class PoolSamples(PoolHandle):
    """What `Pool` can do that concerns single samples."""

    def remove(self, ids: IdsLike, *, timeout: float | None = None) -> int:
        """Removes samples from the hard store and the background.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls.
            timeout: Seconds a call.

        Returns:
            How many were stored.
        """
        removed = 0
        for column in _parts(ids):
            request = mining_service_pb2.RemoveSamplesRequest(pool=self._resource, pool_uid=self.uid, ids=column)
            removed += self._transport.call("mining", "RemoveSamples", request, timeout=timeout).removed_count
        return removed

    def release_lease(self, ids: IdsLike, *, timeout: float | None = None) -> int:
        """Ends leases before their time: of samples that were served but not trained on, say after a failed step.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls.
            timeout: Seconds a call.

        Returns:
            How many rested and may be served again.

        Example:
            >>> batch = pool.mine(256, lease=60)
            >>> pool.release_lease(batch.ids[128:])  # the second half was not used
        """
        released = 0
        for column in _parts(ids):
            request = mining_service_pb2.ReleaseLeaseRequest(pool=self._resource, pool_uid=self.uid, ids=column)
            released += self._transport.call("mining", "ReleaseLease", request, timeout=timeout).released_count
        return released

    def get_samples(self, ids: IdsLike, *, timeout: float | None = None) -> list[Sample]:
        """Looks samples up: what is stored of them, and what keeps them from being served.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls.
            timeout: Seconds a call.

        Returns:
            One an id, in order.

        Example:
            >>> (sample,) = pool.get_samples([17])
            >>> sample.place, sample.score, sample.lease_left
        """
        samples: list[Sample] = []
        for column in _parts(ids):
            request = mining_service_pb2.GetSamplesRequest(pool=self._resource, pool_uid=self.uid, ids=column)
            answer = self._transport.call("mining", "GetSamples", request, timeout=timeout)
            samples += map(Sample.from_proto, answer.samples)
        return samples

    def quarantined(self, *, page_size: int = 1000, timeout: float | None = None) -> Iterator[QuarantinedSample]:
        """The samples that are set aside, in order of id; pages are fetched as they are needed.

        Args:
            page_size: Samples a page, 1 to 65,536.
            timeout: Seconds a page.

        Example:
            >>> wrong = [sample.id for sample in pool.quarantined() if is_mislabelled(sample.id)]
            >>> pool.remove(wrong)
            >>> pool.release_quarantined(trust=True)  # the others are just hard
        """
        token = ""
        while True:
            request = pool_service_pb2.ListQuarantinedRequest(
                name=self._resource, pool_uid=self.uid, page_size=page_size, page_token=token
            )
            answer = self._transport.call("pools", "ListQuarantined", request, timeout=timeout)
            yield from map(QuarantinedSample.from_proto, answer.samples)
            token = answer.next_page_token
            if not token:
                return

    def release_quarantined(
        self, ids: IdsLike | None = None, *, trust: bool = False, timeout: float | None = None
    ) -> ReleaseCounts:
        """Puts samples back from quarantine, with the score they were last reported with.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls. None: all of them.
            trust: Never set them aside again.
            timeout: Seconds a call.

        Returns:
            What became of them.
        """
        released = refused = 0
        for column in [None] if ids is None else _parts(ids):
            request = pool_service_pb2.ReleaseQuarantinedRequest(
                name=self._resource, pool_uid=self.uid, ids=column, trust=trust
            )
            answer = self._transport.call("pools", "ReleaseQuarantined", request, timeout=timeout)
            released += answer.released_count
            refused += answer.refused_count
        return ReleaseCounts(released, refused)

    def quarantine(self, ids: IdsLike, *, timeout: float | None = None) -> SetAsideCounts:
        """Sets samples aside by hand, with or without a quarantine rule: none is served until it is released.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls.
            timeout: Seconds a call.

        Returns:
            What became of them.

        Example:
            >>> pool.quarantine([17, 42])
            SetAsideCounts(quarantined=2, absent=0, refused=0)
        """
        quarantined = absent = refused = 0
        for column in _parts(ids):
            request = pool_service_pb2.QuarantineSamplesRequest(name=self._resource, pool_uid=self.uid, ids=column)
            answer = self._transport.call("pools", "QuarantineSamples", request, timeout=timeout)
            quarantined += answer.quarantined_count
            absent += answer.absent_count
            refused += answer.refused_count
        return SetAsideCounts(quarantined, absent, refused)

    def block(self, ids: IdsLike, *, timeout: float | None = None) -> BlockCounts:
        """Removes samples and takes no report of them any more, until they are unblocked.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls. They need not be stored.
            timeout: Seconds a call.

        Returns:
            What became of them.

        Raises:
            ResourceExhausted: More than 1,048,576 samples would be blocked. Of more than 65,536 ids those
                sent before stay blocked; a second call changes nothing for them.

        Example:
            >>> pool.block(corrupt_ids)
            >>> [sample for sample in pool.blocked()]
        """
        blocked = removed = refused = 0
        for column in _parts(ids):
            request = pool_service_pb2.BlockSamplesRequest(name=self._resource, pool_uid=self.uid, ids=column)
            answer = self._transport.call("pools", "BlockSamples", request, timeout=timeout)
            blocked += answer.blocked_count
            removed += answer.removed_count
            refused += answer.refused_count
        return BlockCounts(blocked, removed, refused)

    def unblock(self, ids: IdsLike, *, timeout: float | None = None) -> int:
        """Takes reports of samples again; the next one stores the sample anew.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls.
            timeout: Seconds a call.

        Returns:
            How many were blocked.
        """
        unblocked = 0
        for column in _parts(ids):
            request = pool_service_pb2.UnblockSamplesRequest(name=self._resource, pool_uid=self.uid, ids=column)
            unblocked += self._transport.call("pools", "UnblockSamples", request, timeout=timeout).unblocked_count
        return unblocked

    def blocked(self, *, page_size: int = 1000, timeout: float | None = None) -> Iterator[int | str]:
        """The ids (or string keys) that are blocked, in order of id; pages are fetched as they are needed.

        Args:
            page_size: Samples a page, 1 to 65,536.
            timeout: Seconds a page.
        """
        token = ""
        while True:
            request = pool_service_pb2.ListBlockedRequest(
                name=self._resource, pool_uid=self.uid, page_size=page_size, page_token=token
            )
            answer = self._transport.call("pools", "ListBlocked", request, timeout=timeout)
            yield from (sample.name or sample.id for sample in answer.samples)
            token = answer.next_page_token
            if not token:
                return


def _parts(ids: IdsLike) -> Iterator[columns_pb2.IdColumn]:
    """The ids, in columns of as many as a message takes; none without any."""
    known = _columns.normalize_ids(ids)
    for start in range(0, len(known), _columns.ROWS_MAX):
        yield _columns.encode_ids(known[start : start + _columns.ROWS_MAX])
