"""Claims that are known not to hold: each with what was measured. The list can only shrink."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """A known failure.

    Attributes:
        pattern: The keys of checks (claim / strategy) that fail, with * for any text. Every key that it fits fails.
        found: What is wrong, and what was measured.
        short: Whether the few draws of the short form show it.
    """

    pattern: str
    found: str
    short: bool = True


#: Every known failure: none.
KNOWN: tuple[Known, ...] = ()
