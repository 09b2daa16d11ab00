"""The base of a pool's handle: which pool on which server."""

from __future__ import annotations

from ._transport import Transport


class PoolHandle:
    """Names one pool on one server."""

    def __init__(self, transport: Transport, name: str, uid: int) -> None:
        name = name.removeprefix("pools/")
        if not name:
            raise ValueError("a pool needs a name")
        self.name = name
        self.uid = uid
        self._transport = transport
        self._resource = f"pools/{name}"
