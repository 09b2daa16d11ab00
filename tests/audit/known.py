"""Claims that are known not to hold: each with what was measured. The list can only shrink."""

from __future__ import annotations

#: By claim and strategy, `Check.key`, with * for any text: what is wrong, and by how much.
#: A pattern says that every claim that it fits fails.
KNOWN: dict[str, str] = {
    "never short / * fill": "The background's share is not taken from the hard store where it is larger than |R|: of "
    "63 batches of 32 to 1,024, with ε from 0 to 1 and |R| = 256, 6 (PROPORTIONAL, RANK) or 12 (UNIFORM, TOP) are "
    "short.",
    "ERROR is no silence / *": "The same batches are short under ERROR, without an error.",
    "never short, leased / top": "TOP takes no more than the share of the hard store once the background is leased: 29 "
    "of 30 leased batches of 512 are short, with 19,000 samples to be had.",
    "mean at rest, p=1 / top ε=0.01 B=32": "With ε·B < 1/2 no row is from the background, and the weights are those "
    "of ALL: mean(w) is .008 of 1.",
    "Σ1/π at rest, p=1 / top ε=0.01 B=32": "The same: Σ1/π counts the 32 rows, not the 4,000 ids.",
    "share of background / top ε=0.01 B=32": "The same: the share is 0, not .01.",
    "mean at rest, p=1 / proportional α=1 ε=0 B=64 windows": "HARD_STORE divides by all of the hard store, not by what "
    "the window admits: mean(w) is .52 of 1 for 260 of 500 ranks.",
    "law of RANK / rank α=1 B=1": "Ranks of neighbouring keys share one mass: of 120 cosines in .60 to .68 the hardest "
    "is drawn with probability .135 instead of .186.",
}
