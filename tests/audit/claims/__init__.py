"""The claims, one module each: a function of a world and a plan that yields checks."""

from collections.abc import Callable, Iterator

from ..check import Check
from ..plan import Plan
from ..world import World
from . import anchored, at_rest, balanced, labels, never_short, noise, ranks, rotation, rounds, sampled, served

Claim = Callable[[World, Plan], Iterator[Check]]

#: Every claim, by the word that names it on the command line.
CLAIMS: dict[str, Claim] = {
    "at_rest": at_rest.checks,
    "never_short": never_short.checks,
    "ranks": ranks.checks,
    "sampled": sampled.checks,
    "served": served.checks,
    "balanced": balanced.checks,
    "labels": labels.checks,
    "noise": noise.checks,
    "anchored": anchored.checks,
    "rounds": rounds.checks,
    "rotation": rotation.checks,
}
