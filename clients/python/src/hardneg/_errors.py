"""Errors of the client: one class per gRPC status, built from the `google.rpc` details that the server sends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped, unused-ignore]

if TYPE_CHECKING:
    from ._acks import Rejection, ReportCounts

__all__ = [
    "Aborted",
    "AlreadyExists",
    "BatchesRejected",
    "DeadlineExceeded",
    "FailedPrecondition",
    "HardnegError",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "QueueFull",
    "ResourceExhausted",
    "RunEnded",
    "RunMissing",
    "StaleScores",
    "StepBehind",
    "StreamClosed",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
]

# The reason of `FailedPrecondition` when another pool has taken the name of the handle's pool.
POOL_RECREATED = "POOL_RECREATED"


class HardnegError(Exception):
    """Base of every error that the service, or the way to it, causes.

    Arguments that the client itself can see to be wrong raise `TypeError` or `ValueError` before anything is sent.

    Attributes:
        message: For the developer, in English.
        code: The gRPC status, or None for an error of the client itself.
        reason: Machine-readable, from `google.rpc.ErrorInfo`, for example ``"POOL_NOT_FOUND"``; empty if unknown.
        field: The field at fault, in the words of the contract, for example ``"policy.alpha"``; None if unknown.
        violations: Every (field, description) of `google.rpc.BadRequest`.
        retry_after: Seconds to wait before another try, from `google.rpc.RetryInfo`; None if the server named none.
        metadata: The other values of `google.rpc.ErrorInfo`.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        violations: Iterable[tuple[str, str]] = (),
        retry_after: float | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.metadata = dict(metadata or {})
        # An UNIMPLEMENTED error names the field in its ErrorInfo only.
        self.field = self.violations[0][0] if self.violations else self.metadata.get("field")

    def __str__(self) -> str:
        named = f" [field: {self.field}]" if self.field and self.field not in self.message else ""
        return f"{self.message}{named}"


class InvalidArgument(HardnegError):
    """A value that the service refuses; `field` says which."""


class NotFound(HardnegError):
    """There is no such pool."""


class AlreadyExists(HardnegError):
    """A pool of that name exists with another spec."""


class FailedPrecondition(HardnegError):
    """The pool's state does not allow the call: too few samples with ``shortfall="error"``, or another pool's uid."""


class RunEnded(FailedPrecondition):
    """Another training run began in the pool and ended the run of the report, which never begins again.

    `metadata` has ``run_id`` and ``current_run_id``. A training that resumes needs a new ``run_id``.
    """


class RunMissing(FailedPrecondition):
    """The pool's current run has a name, ``metadata["current_run_id"]``, and the report has no ``run_id``."""


class StepBehind(FailedPrecondition):
    """The first step of this process is more than a half-life behind the current run's highest.

    `metadata` has ``step``, ``highest_step`` and ``current_run_id``. A training that starts again, or resumes from an
    older step, needs a new ``run_id``.
    """


class Aborted(HardnegError):
    """Somebody else changed the pool in between (its etag differs): read it again and retry."""


class ResourceExhausted(HardnegError):
    """A limit of the server; `retry_after` says when another try makes sense, if at all."""


class Unavailable(HardnegError):
    """The service cannot be reached, or is stopping. The client has retried already."""


class DeadlineExceeded(HardnegError, TimeoutError):
    """The call did not end within its timeout. It is a `TimeoutError` too."""


class Unauthenticated(HardnegError):
    """No credentials, or wrong ones."""


class PermissionDenied(HardnegError):
    """The credentials do not allow this."""


class Unimplemented(HardnegError):
    """This version of the server does not support the request; `field` names what is not supported."""


class StaleScores(HardnegError):
    """Over half of the rows of a batch were stale: the pool has reports of later steps. The others were applied.

    The worker is behind the others, or has started again without a new ``run_id``. A worker that is meant to lag may
    catch this and go on.

    Attributes:
        counts: Rows of the stale batches by outcome.
        batches: How many batches were stale.
    """

    def __init__(self, counts: ReportCounts, batches: int = 1) -> None:
        self.counts = counts
        self.batches = batches
        super().__init__(
            f"{counts.stale} of {counts.total} rows in {batches} batch(es) are older than what is stored: a training "
            "that starts again, or resumes from an older step, needs a new run_id"
        )


class QueueFull(HardnegError):
    """A score stream holds `max_pending` rows that the service has not taken.

    Attributes:
        accepted_rows: How many rows, from the first on, were queued; the others were not.
    """

    def __init__(self, message: str, accepted_rows: int) -> None:
        super().__init__(message)
        self.accepted_rows = accepted_rows


class StreamClosed(HardnegError):
    """The stream or its client was closed, or ended by an error that no retry cures (the `__cause__`)."""


class BatchesRejected(HardnegError):
    """The service refused batches of a score stream: their rows are not stored.

    Attributes:
        rejections: One `Rejection` a batch, in order.
    """

    def __init__(self, rejections: Iterable[Rejection]) -> None:
        self.rejections = tuple(rejections)
        rows = sum(rejection.rows for rejection in self.rejections)
        first = self.rejections[0].error
        super().__init__(
            f"the service rejected {len(self.rejections)} batch(es), {rows} rows in all; the first: {first}",
            code=first.code,
            reason=first.reason,
            violations=first.violations,
            retry_after=first.retry_after,
            metadata=first.metadata,
        )


_CLASSES: dict[grpc.StatusCode, type[HardnegError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
}
_BY_REASON: dict[str, type[HardnegError]] = {
    "RUN_ENDED": RunEnded,
    "RUN_MISSING": RunMissing,
    "STEP_BEHIND": StepBehind,
}
_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

_M = TypeVar("_M", error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)


def _detail(status: status_pb2.Status, kind: Callable[[], _M]) -> _M | None:
    for packed in status.details:
        message = kind()
        if packed.Is(message.DESCRIPTOR):
            packed.Unpack(message)
            return message
    return None


def from_status(status: status_pb2.Status) -> HardnegError:
    """The error of a `google.rpc.Status`, as in the ack of a rejected batch."""
    code = _BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    info = _detail(status, error_details_pb2.ErrorInfo)
    bad = _detail(status, error_details_pb2.BadRequest)
    retry = _detail(status, error_details_pb2.RetryInfo)
    reason = info.reason if info else ""
    return (_BY_REASON.get(reason) or _CLASSES.get(code, HardnegError))(
        status.message or code.name,
        code=code,
        reason=reason,
        violations=[(v.field, v.description) for v in bad.field_violations] if bad else (),
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
        metadata=dict(info.metadata) if info else None,
    )


def from_rpc(error: grpc.RpcError) -> HardnegError:
    """The error of a failed call."""
    # grpcio raises an object that is a `grpc.Call` too, which its stubs do not say.
    call: Any = error
    code: grpc.StatusCode = call.code() if callable(getattr(call, "code", None)) else grpc.StatusCode.UNKNOWN
    text: str = (call.details() if callable(getattr(call, "details", None)) else str(error)) or ""
    trailers = call.trailing_metadata() if callable(getattr(call, "trailing_metadata", None)) else ()
    for key, value in trailers or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status()
            try:
                status.ParseFromString(value)
            except Exception:  # a proxy may have mangled it; code and text are still good
                break
            if status.code == code.value[0]:
                return from_status(status)
    return _CLASSES.get(code, HardnegError)(text or code.name, code=code)
