"""Channels to one server, and calls over them with deadlines and retries."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import grpc

from ._errors import HardnegError, ResourceExhausted, StreamClosed, Unavailable, from_rpc
from ._proto.mining_service_pb2_grpc import MiningServiceStub
from ._proto.pool_service_pb2_grpc import PoolServiceStub

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
TIMEOUT_S = 10.0

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # A dead peer is noticed within 30 s, also while nothing is sent but a stream is open.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC's own pause between connection attempts would grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # `Transport.call` retries, since it knows which calls are safe to repeat.
    ("grpc.enable_retries", 0),
)


def backoff_s(attempt: int, *, base: float = 0.1, limit: float = 5.0) -> float:
    """Seconds of exponential backoff with jitter: half to all of min(limit, base * 2^attempt)."""
    ceiling = min(limit, base * 2.0 ** min(attempt, 30))
    return ceiling * random.uniform(0.5, 1.0)


class Transport:
    """A few channels to one server, and calls over them with a deadline and retries."""

    def __init__(
        self,
        target: str,
        *,
        timeout: float,
        max_retries: int,
        channels: int,
        credentials: grpc.ChannelCredentials | None,
        token: str | None,
        metadata: Callable[[], Iterable[tuple[str, str]]] | None,
        options: Sequence[tuple[str, Any]],
    ) -> None:
        if channels < 1:
            raise ValueError("channels must be at least 1")
        if timeout <= 0:
            raise ValueError("timeout must be positive")
        self.target = target
        self.timeout = timeout
        self.max_retries = max_retries
        self._token = (("authorization", f"Bearer {token}"),) if token else ()
        self._metadata = metadata
        self.closed = threading.Event()
        self._pid = os.getpid()
        # Without a subchannel pool of its own, every channel to one address would share a connection.
        merged = [*dict((*_OPTIONS, ("grpc.use_local_subchannel_pool", int(channels > 1)), *options)).items()]
        self._channels = [
            grpc.insecure_channel(target, options=merged)
            if credentials is None
            else grpc.secure_channel(target, credentials, options=merged)
            for _ in range(channels)
        ]
        self._mining: Iterator[MiningServiceStub] = itertools.cycle(
            [MiningServiceStub(channel) for channel in self._channels]
        )
        self._pools: Iterator[PoolServiceStub] = itertools.cycle(
            [PoolServiceStub(channel) for channel in self._channels]
        )

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The headers of a call that is made now."""
        return (*self._token, *(self._metadata() if self._metadata else ()))

    def check_process(self) -> None:
        """Raises `RuntimeError` in a forked child: a channel's threads do not survive a fork, and a call would hang."""
        if os.getpid() != self._pid:
            raise RuntimeError("a Client does not survive fork: make one in each worker process")

    @property
    def mining(self) -> MiningServiceStub:
        """A stub of the mining service on the next channel in turn."""
        return next(self._mining)

    @property
    def pools(self) -> PoolServiceStub:
        """A stub of the pool service on the next channel in turn."""
        return next(self._pools)

    def call(
        self, service: str, method: str, request: Any, *, timeout: float | None = None, retries: int | None = None
    ) -> Any:
        """Makes a unary call, and retries it while the service is unavailable and time is left.

        Args:
            service: ``"mining"`` or ``"pools"``.
            method: Name of the method.
            request: The request.
            timeout: Seconds for all attempts together; None is the client's default.
            retries: Attempts after the first; None is the client's default.

        Raises:
            HardnegError: The error of the last attempt.
        """
        self.check_process()
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        retries = self.max_retries if retries is None else retries
        for attempt in itertools.count():
            if self.closed.is_set():
                raise StreamClosed("the client is closed")
            try:
                stub = getattr(self, service)
                left = max(deadline - time.monotonic(), 0.001)
                return getattr(stub, method)(request, timeout=left, metadata=self.metadata)
            except grpc.RpcError as broken:
                error = from_rpc(broken)
                pause = self._pause(error, attempt, retries, deadline)
                if pause is None:
                    raise error from broken
            except ValueError as broken:  # grpcio, on a closed channel
                if not self.closed.is_set():
                    raise
                raise StreamClosed("the client is closed") from broken
            self.closed.wait(pause)
        raise AssertionError("unreachable")

    def pages(self, service: str, method: str, request: Any, *, timeout: float | None = None) -> Iterator[Any]:
        """Makes a call for each page of a list, when it is needed.

        Args:
            service: As in `call`.
            method: Name of the method.
            request: The request for the first page; its `page_token` is changed.
            timeout: Seconds a page.

        Raises:
            HardnegError: As of `call`.
        """
        while True:
            answer = self.call(service, method, request, timeout=timeout)
            yield answer
            request.page_token = answer.next_page_token
            if not request.page_token:
                return

    def stream(self, service: str, method: str, request: Any) -> Iterator[Any]:
        """Makes a call that the server answers with many messages; it ends with the server, or when iteration stops.

        Raises:
            HardnegError: The error with which the server ended it.
        """
        self.check_process()
        call: Any = None
        try:
            call = getattr(getattr(self, service), method)(request, metadata=self.metadata)
            yield from call
        except grpc.RpcError as broken:
            raise from_rpc(broken) from broken
        except ValueError as broken:  # grpcio, on a closed channel
            if not self.closed.is_set():
                raise
            raise StreamClosed("the client is closed") from broken
        finally:
            if call is not None:
                call.cancel()

    @staticmethod
    def _pause(error: HardnegError, attempt: int, retries: int, deadline: float) -> float | None:
        """Seconds until the next attempt; None when there must be none."""
        if attempt >= retries:
            return None
        if isinstance(error, Unavailable):
            pause = max(backoff_s(attempt), error.retry_after or 0.0)
        elif isinstance(error, ResourceExhausted) and error.retry_after is not None:
            pause = error.retry_after + backoff_s(attempt)  # jitter, so that workers do not come back in step
        else:
            return None
        return pause if time.monotonic() + pause < deadline else None

    def wait_ready(self, timeout: float) -> None:
        """Blocks until every channel is connected."""
        self.check_process()
        deadline = time.monotonic() + timeout
        for channel in self._channels:
            try:
                grpc.channel_ready_future(channel).result(timeout=max(deadline - time.monotonic(), 0.001))
            except grpc.FutureTimeoutError:
                raise Unavailable(f"no connection to {self.target} within {timeout:g} s") from None

    def close(self) -> None:
        """Closes the channels and cancels calls under way."""
        if not self.closed.is_set():
            self.closed.set()
            if os.getpid() != self._pid:
                return  # in a forked child the connections are the parent's
            for channel in self._channels:
                channel.close()
