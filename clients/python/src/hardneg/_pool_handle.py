"""The base of a pool's handle: which pool on which server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from . import _columns
from ._columns import IdsLike
from ._transport import Transport


class PoolHandle:
    """Names one pool on one server.

    Attributes:
        name: The pool's name.
        uid: The pool meant; 0: whichever has the name.
    """

    def __init__(self, transport: Transport, name: str, uid: int) -> None:
        name = name.removeprefix("pools/")
        if not name:
            raise ValueError("a pool needs a name")
        self.name = name
        self.uid = uid
        self._transport = transport
        self._resource = f"pools/{name}"

    def _call_for_ids(
        self,
        service: Literal["mining", "pools"],
        method: str,
        request: Callable[..., Any],
        ids: IdsLike,
        timeout: float | None,
        **fields: Any,
    ) -> Iterator[Any]:
        """Makes a call for each part of the ids that fits into one request, none without ids; yields the answers."""
        pool = {"pool" if service == "mining" else "name": self._resource}
        every = _columns.normalize_ids(ids)
        for rows in _columns.row_slices(len(every)):
            part = request(**pool, pool_uid=self.uid, ids=_columns.encode_ids(every[rows]), **fields)
            yield self._transport.call(service, method, part, timeout=timeout)
