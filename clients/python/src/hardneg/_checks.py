"""Checks of arguments that several modules make before anything is sent."""

from __future__ import annotations


def check_positive(**arguments: float | None) -> None:
    """Refuses 0, which in a message means the default: a caller that passes 0 would get another value.

    Raises:
        ValueError: A value is neither None nor positive; the text names the argument.
    """
    for name, value in arguments.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, not {value!r}")


def check_uint(bits: int, **arguments: int | None) -> None:
    """Refuses integers that an unsigned field of this many bits cannot hold.

    Raises:
        ValueError: A value is neither None nor from 0 to 2^bits-1; the text names the argument.
    """
    for name, value in arguments.items():
        if value is not None and not 0 <= value < 2**bits:
            raise ValueError(f"{name} must be from 0 to 2^{bits}-1, not {value!r}")
