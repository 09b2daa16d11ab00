"""The table, the figures as JSON, the learning curves and the picture of the hardest windows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

if TYPE_CHECKING:
    from .arms import Arm
    from .run import Budget, Trained
    from .windows import Windows

COLOURS = {
    "random": "#7f7f7f",
    "ohem": "#e69f00",
    "top": "#d55e00",
    "mixture": "#0072b2",
    "weighted": "#56b4e9",
}
COLUMNS = 14  # windows in a row of the picture


@dataclass(frozen=True)
class Shown:
    """A row of the picture: windows by id, and the losses that were reported for them, both of shape (n,)."""

    title: str
    ids: np.ndarray
    losses: np.ndarray | None = None


@dataclass(frozen=True)
class Paired:
    """How one arm differs from another on the same splits.

    Attributes:
        mean: The mean difference, in the direction of the measure.
        error: Standard error of that mean.
        wins: Seeds on which the arm is better.
        losses: Seeds on which it is worse.
    """

    mean: float
    error: float
    wins: int
    losses: int


def paired(values: np.ndarray, baseline: np.ndarray, *, lower_is_better: bool) -> Paired:
    """Compares two arms seed by seed; both arrays have shape (seeds,)."""
    difference = values - baseline
    better = -difference if lower_is_better else difference
    return Paired(
        float(difference.mean()),
        float(difference.std(ddof=1) / np.sqrt(len(difference))),
        int((better > 0).sum()),
        int((better < 0).sum()),
    )


def curves(results: list[Trained], arm: str, read: Callable[[Any], float]) -> np.ndarray:
    """One measure of one arm, shape (seeds, rounds + 1), in order of the seeds."""
    own = sorted((result for result in results if result.arm == arm), key=lambda result: result.seed)
    return np.array([[read(quality) for quality in result.qualities] for result in own])


def write(
    out: Path,
    results: list[Trained],
    arms: list[Arm],
    budget: Budget,
    windows: Windows,
    *,
    seconds: float,
    settings: dict[str, Any],
    shown: list[Shown],
) -> None:
    """Writes everything into `out`, and prints the table."""
    out.mkdir(parents=True, exist_ok=True)
    fppi = {arm.name: curves(results, arm.name, lambda q: q.fppi) for arm in arms}
    precision = {arm.name: curves(results, arm.name, lambda q: q.average_precision) for arm in arms}
    text = table(arms, fppi, precision, budget, settings)
    (out / "table.md").write_text(text)
    print("\n" + text)
    figures = {
        "settings": settings,
        "seconds": round(seconds, 1),
        "false_positives_per_image": {name: values.tolist() for name, values in fppi.items()},
        "average_precision": {name: values.round(5).tolist() for name, values in precision.items()},
    }
    (out / "results.json").write_text(json.dumps(figures, indent=1) + "\n")
    draw_comparison(out / "comparison.png", arms, fppi, precision, budget)
    if shown:
        draw_windows(out / "hardest.png", shown, windows)
    print(f"{seconds:.0f} s in all. Written to {out}: {', '.join(sorted(p.name for p in out.iterdir()))}")


def table(
    arms: list[Arm],
    fppi: dict[str, np.ndarray],
    precision: dict[str, np.ndarray],
    budget: Budget,
    settings: dict[str, Any],
) -> str:
    """The comparison after the last round, in Markdown that reads well in a terminal."""
    seeds = len(fppi[arms[0].name])
    where = "part of the training photos (--validate)" if settings["validate"] else "photos and faces never seen"
    lines = [
        f"After {budget.rounds} rounds, on {where}; {seeds} seeds, mean ± sd over them. Every arm scored "
        f"{budget.rounds} x {budget.scored:,} windows and was fitted on the same "
        f"{(budget.rounds + 1) * budget.negatives:,} negatives.",
        *(f"{arm.label}: {describe(arm)}." for arm in arms if arm.mine is not None),
        "",
    ]
    measures = (
        (f"false positives per image at {budget.recall:.0%} recall (lower is better)", fppi, True, ".2f"),
        ("average precision (higher is better)", precision, False, ".3f"),
    )
    for title, values, lower, form in measures:
        header = [title]
        against = [name for name in ("random", "ohem") if name in values]
        for name in against:
            header += [f"against {name}, paired ± se", "won : lost"]
        body = []
        for arm in arms:
            last = values[arm.name][:, -1]
            cells = [f"{arm.label}", f"{last.mean():{form}} ± {last.std(ddof=1):{form}}"]
            for name in against:
                if name == arm.name:
                    cells += ["", ""]
                    continue
                p = paired(last, values[name][:, -1], lower_is_better=lower)
                cells += [f"{p.mean:+{form}} ± {p.error:{form}}", f"{p.wins} : {p.losses}"]
            body.append(cells)
        title, *rest = header
        lines += [f"**{title[0].upper()}{title[1:]}**", ""]
        lines += [*markdown(["negatives", "mean ± sd", *rest], body), ""]
    return "\n".join(lines)


def describe(arm: Arm) -> str:
    """How an arm mines, in a few words."""
    mined = dict(arm.mine or {})
    words = [str(mined.pop("strategy")), *(f"{name} {value:g}" for name, value in mined.items())]
    return ", ".join(words).replace("_", " ") + (", fitted with importance weights" if arm.weighted else "")


def markdown(header: list[str], body: list[list[str]]) -> list[str]:
    """A Markdown table with aligned columns."""
    widths = [max(len(row[i]) for row in [header, *body]) for i in range(len(header))]

    def line(row: list[str]) -> str:
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return [line(header), rule, *map(line, body)]


def draw_comparison(
    path: Path,
    arms: list[Arm],
    fppi: dict[str, np.ndarray],
    precision: dict[str, np.ndarray],
    budget: Budget,
) -> None:
    """Learning curves (mean ± standard error) on the left, differences to random, seed by seed, on the right."""
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(2, 2, figsize=(12, 8.2), width_ratios=[1.1, 1], constrained_layout=True)
    rows = (
        (fppi, f"false positives per image\nat {budget.recall:.0%} recall", "lower is better", True),
        (precision, "average precision", "higher is better", False),
    )
    for (values, name, direction, lower), (left, right) in zip(rows, axes, strict=True):
        for i, arm in enumerate(arms):
            colour, curve = COLOURS[arm.name], values[arm.name]
            rounds = np.arange(curve.shape[1])
            error = curve.std(axis=0, ddof=1) / np.sqrt(len(curve))
            shifted = rounds + (i - (len(arms) - 1) / 2) * 0.06  # so that the bars do not hide one another
            left.errorbar(
                shifted, curve.mean(axis=0), error, color=colour, marker="o", ms=4, lw=1.8, capsize=2, label=arm.label
            )
        left.set_xticks(rounds)
        left.set_ylim(bottom=0 if lower else None)
        left.set_xlabel("round (0: random negatives only)")
        left.set_ylabel(name)
        left.set_title(f"Learning curves, mean ± standard error ({direction})", fontsize=10, loc="left")
        left.grid(axis="y", alpha=0.25)
        if "random" not in values:
            right.set_visible(False)
            continue
        others = [arm for arm in arms if arm.name != "random"]
        for i, arm in enumerate(others):
            difference = values[arm.name][:, -1] - values["random"][:, -1]
            spread = np.linspace(-0.16, 0.16, len(difference))
            right.scatter(i + spread, difference, s=26, color=COLOURS[arm.name], alpha=0.65, lw=0)
            error = difference.std(ddof=1) / np.sqrt(len(difference))
            right.errorbar(
                i + 0.3, difference.mean(), error, color="black", marker="D", ms=5, capsize=4, lw=1.6, zorder=3
            )
            won = (difference < 0).sum() if lower else (difference > 0).sum()
            right.annotate(
                f"{won} of {len(difference)}\nbetter",
                (i, 1.0),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=8.5,
                color="#444444",
            )
        low, high = right.get_ylim()
        right.set_ylim(low, high + 0.22 * (high - low))
        right.axhline(0, color="#7f7f7f", lw=1)
        right.set_xlim(-0.5, len(others) - 0.4)
        right.set_xticks(range(len(others)), [arm.label.replace(" ", "\n", 1) for arm in others], fontsize=8.5)
        right.set_ylabel("difference to random negatives")
        right.set_title("Last round, paired by seed; diamond: mean ± se", fontsize=10, loc="left")
        right.grid(axis="y", alpha=0.25)
    axes[0, 0].legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_windows(path: Path, rows: list[Shown], windows: Windows) -> None:
    """A grid of windows: for each row its title, under each window the photo that it is from, and its loss."""
    figure = plt.figure(figsize=(COLUMNS * 0.9, len(rows) * 1.5), layout="constrained")
    for row, part in zip(rows, np.atleast_1d(figure.subfigures(len(rows), 1, hspace=0.06)), strict=True):
        part.suptitle(row.title, x=0.005, ha="left", fontsize=10)
        axes = part.subplots(1, COLUMNS)
        for ax in axes:
            ax.axis("off")
            ax.set_anchor("N")  # close to its title
        for i, (ax, window) in enumerate(zip(axes, row.ids, strict=False)):
            ax.imshow(windows.patches[window], cmap="gray", vmin=0, vmax=255)
            caption = windows.names[windows.photos[window]].split(".")[0].split("_")[0]
            if row.losses is not None:
                caption += f"\nloss {row.losses[i]:.2f}"
            ax.text(0.5, -0.06, caption, transform=ax.transAxes, ha="center", va="top", fontsize=7)
    figure.savefig(path, dpi=140)
    plt.close(figure)


def distinct(ids: np.ndarray, windows: Windows, count: int) -> np.ndarray:
    """Positions of the first `count` of these windows that are of different places: no picture shows one twice."""
    chosen: list[int] = []
    places: list[tuple[int, np.ndarray]] = []
    for position, candidate in enumerate(ids):
        photo = int(windows.photos[candidate])
        top, left, side = windows.boxes[candidate]
        if windows.variants[candidate] == 1:  # where it is in the photo, not in its mirror image
            left = windows.widths[photo] - left - side
        centre = np.array([top + side / 2, left + side / 2])
        if all(photo != other or np.abs(centre - there).max() > side / 2 for other, there in places):
            chosen.append(position)
            places.append((photo, centre))
        if len(chosen) == count:
            break
    return np.array(chosen, dtype=int)
