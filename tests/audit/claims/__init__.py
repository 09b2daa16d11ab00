"""The claims, one module each: a function of a world and a plan that yields checks."""

from collections.abc import Callable, Iterator

from ..check import Check
from ..plan import Plan
from ..world import World
from . import at_rest, never_short, ranks

Claim = Callable[[World, Plan], Iterator[Check]]

#: Every claim, by the word that names it on the command line.
CLAIMS: dict[str, Claim] = {
    "at_rest": at_rest.checks,
    "never_short": never_short.checks,
    "ranks": ranks.checks,
}
