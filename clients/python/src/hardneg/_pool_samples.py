"""The part of a pool's handle that looks up, removes, blocks and quarantines single samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any, TypeVar

from ._columns import IdsLike
from ._pool_handle import PoolHandle
from ._proto import mining_service_pb2, pool_service_pb2
from ._samples import BlockCounts, QuarantinedSample, ReleaseCounts, Sample, SetAsideCounts

_Counts = TypeVar("_Counts", SetAsideCounts, ReleaseCounts, BlockCounts)


class PoolSamples(PoolHandle):
    """The methods of `Pool` that concern single samples."""

    def remove(self, ids: IdsLike, *, timeout: float | None = None) -> int:
        """Removes samples from the hard store and the background.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls.
            timeout: Seconds a call.

        Returns:
            How many of them were stored.
        """
        answers = self._call_for_ids("mining", "RemoveSamples", mining_service_pb2.RemoveSamplesRequest, ids, timeout)
        return sum(answer.removed_count for answer in answers)

    def release_lease(self, ids: IdsLike, *, timeout: float | None = None) -> int:
        """Ends leases early, for samples that were served but not trained on, as after a failed step.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls.
            timeout: Seconds a call.

        Returns:
            How many of them were under a lease.

        Example:
            >>> batch = pool.mine(256, lease=60)
            >>> pool.release_lease(batch.ids[128:])  # the second half was not used
        """
        answers = self._call_for_ids("mining", "ReleaseLease", mining_service_pb2.ReleaseLeaseRequest, ids, timeout)
        return sum(answer.released_count for answer in answers)

    def get_samples(self, ids: IdsLike, *, timeout: float | None = None) -> list[Sample]:
        """Looks samples up: tells what is stored of them, and what keeps them from being served.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls.
            timeout: Seconds a call.

        Returns:
            One `Sample` for each id, in order.

        Example:
            >>> (sample,) = pool.get_samples([17])
            >>> sample.place, sample.score, sample.lease_left
        """
        answers = self._call_for_ids("mining", "GetSamples", mining_service_pb2.GetSamplesRequest, ids, timeout)
        return [Sample.from_proto(sample) for answer in answers for sample in answer.samples]

    def quarantined(self, *, page_size: int = 1000, timeout: float | None = None) -> Iterator[QuarantinedSample]:
        """Yields the samples in quarantine, in order of id; pages are fetched as they are needed.

        Args:
            page_size: Samples a page, 1 to 65,536.
            timeout: Seconds a page.

        Example:
            >>> wrong = [sample.id for sample in pool.quarantined() if is_mislabelled(sample.id)]
            >>> pool.remove(wrong)
            >>> pool.release_quarantined(trust=True)  # the others are just hard
        """
        request = pool_service_pb2.ListQuarantinedRequest(name=self._resource, pool_uid=self.uid, page_size=page_size)
        for answer in self._transport.pages("pools", "ListQuarantined", request, timeout=timeout):
            yield from map(QuarantinedSample.from_proto, answer.samples)

    def release_quarantined(
        self, ids: IdsLike | None = None, *, trust: bool = False, timeout: float | None = None
    ) -> ReleaseCounts:
        """Puts samples back from quarantine, with the score of their last report.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls. None: all of them.
            trust: True never sets them aside again; default False.
            timeout: Seconds a call.

        Returns:
            The number of samples by outcome.
        """
        request_type = pool_service_pb2.ReleaseQuarantinedRequest
        if ids is None:
            request = request_type(name=self._resource, pool_uid=self.uid, trust=trust)
            answers = iter([self._transport.call("pools", "ReleaseQuarantined", request, timeout=timeout)])
        else:
            answers = self._call_for_ids("pools", "ReleaseQuarantined", request_type, ids, timeout, trust=trust)
        return _summed(ReleaseCounts, answers)

    def quarantine(self, ids: IdsLike, *, timeout: float | None = None) -> SetAsideCounts:
        """Puts samples in quarantine by hand, with or without a quarantine rule: none is served until it is released.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls.
            timeout: Seconds a call.

        Returns:
            The number of samples by outcome.

        Example:
            >>> pool.quarantine([17, 42])
            SetAsideCounts(quarantined=2, absent=0, refused=0)
        """
        request = pool_service_pb2.QuarantineSamplesRequest
        return _summed(SetAsideCounts, self._call_for_ids("pools", "QuarantineSamples", request, ids, timeout))

    def block(self, ids: IdsLike, *, timeout: float | None = None) -> BlockCounts:
        """Removes samples, and ignores reports of them until they are unblocked.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls. They need not be stored.
            timeout: Seconds a call.

        Returns:
            The number of samples by outcome.

        Raises:
            ResourceExhausted: More than 1,048,576 samples would be blocked. Of more than 65,536 ids, those of earlier
                calls stay blocked.

        Example:
            >>> pool.block(corrupt_ids)
            >>> [sample for sample in pool.blocked()]
        """
        request = pool_service_pb2.BlockSamplesRequest
        return _summed(BlockCounts, self._call_for_ids("pools", "BlockSamples", request, ids, timeout))

    def unblock(self, ids: IdsLike, *, timeout: float | None = None) -> int:
        """Accepts reports of blocked samples again; the next one stores the sample.

        Args:
            ids: Shape (n,); more than 65,536 are sent in several calls.
            timeout: Seconds a call.

        Returns:
            How many of them were blocked.
        """
        answers = self._call_for_ids("pools", "UnblockSamples", pool_service_pb2.UnblockSamplesRequest, ids, timeout)
        return sum(answer.unblocked_count for answer in answers)

    def blocked(self, *, page_size: int = 1000, timeout: float | None = None) -> Iterator[int | str]:
        """Yields the blocked ids (or string keys), in order of id; pages are fetched as they are needed.

        Args:
            page_size: Samples a page, 1 to 65,536.
            timeout: Seconds a page.
        """
        request = pool_service_pb2.ListBlockedRequest(name=self._resource, pool_uid=self.uid, page_size=page_size)
        for answer in self._transport.pages("pools", "ListBlocked", request, timeout=timeout):
            yield from (sample.name or sample.id for sample in answer.samples)


def _summed(kind: type[_Counts], answers: Iterable[Any]) -> _Counts:
    """Sums the answers of several calls: field `x` of the counts is `x_count` of an answer."""
    listed = list(answers)
    names = [field.name for field in fields(kind)]
    return kind(**{name: sum(getattr(answer, f"{name}_count") for answer in listed) for name in names})
