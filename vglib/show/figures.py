"""Figures that come back in several chapters; each draws on axes it is given and returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.patches import FancyBboxPatch

from vglib.base.data import Specimen
from vglib.show.style import COLORS, INK, SEQUENTIAL

__all__ = [
    "draw_influence",
    "draw_lags",
    "draw_sentence",
    "draw_specimen",
    "draw_split",
    "draw_unrolled",
    "stretch",
]

FAINTEST = 1e-6
"""Share of the largest gradient at which a word has gone dark."""


def brightness(sizes: Sequence[float]) -> np.ndarray:
    """Map sizes to 0 … 1: 1 for the largest, 0 for `FAINTEST` of it and below, evenly per decade between."""
    sizes = np.asarray(sizes, dtype=float)
    largest = sizes.max()
    if not largest > 0:
        return np.zeros_like(sizes)
    return 1 - np.log(np.maximum(sizes / largest, FAINTEST)) / np.log(FAINTEST)


def draw_sentence(
    ax: Any,
    words: Sequence[str],
    sizes: Sequence[float],
    target: str,
    marked: int,
    lines: int = 3,
    color: str = COLORS["accent"],
) -> Any:
    """Write a sentence with each word lit by the size of its gradient.

    Parameters
    ----------
    ax : matplotlib Axes
    words : sequence of str
        What the network reads.
    sizes : sequence of float
        ‖∂L/∂x‖ of each word; the light is logarithmic, dark at `FAINTEST` of the largest.
    target : str
        The word to predict, written after the last, in a frame.
    marked : int
        Index of the word that matters, written bold.
    lines : int
        Lines to leave room for.
    color : str
        Of the light.

    Returns
    -------
    matplotlib Axes
    """
    ax.set_axis_off()
    width, gap = 54.0, 0.45  # in letters
    light = brightness(sizes)
    x, line = 0.0, 0
    for index, word in enumerate([*words, target]):
        is_target, is_marked = index == len(words), index == marked
        length = len(word) * (1.2 if is_target or is_marked else 1.05) + 1.0
        if x + length > width:
            x, line = 0.0, line + 1
        box = FancyBboxPatch(
            (x, -line - 0.4),
            length,
            0.8,
            boxstyle="round,pad=0,rounding_size=0.5",
            mutation_aspect=0.25,
            facecolor="none" if is_target else color,
            edgecolor=INK if is_target else "none",
            alpha=1.0 if is_target else 0.85 * float(light[index]),
            linewidth=1.2,
        )
        ax.add_patch(box)
        weight = "bold" if is_target or is_marked else "normal"
        ax.text(x + length / 2, -line, word, ha="center", va="center", fontsize=13, weight=weight)
        x += length + gap
    ax.set_xlim(0, width)
    ax.set_ylim(-lines + 0.45, 0.55)
    return ax


def draw_split(ax: Any, lengths: Mapping[str, tuple[float, float]], rate: float = 1.0) -> Any:
    """Draw for each network how far a step moves the weights for near and for far reasons, on a log scale.

    Parameters
    ----------
    ax : matplotlib Axes
    lengths : mapping of name to (near, far)
        Norms of the two parts of ∂L/∂W.
    rate : float
        Learning rate, multiplied into both.

    Returns
    -------
    matplotlib Axes
    """
    names = list(lengths)
    for row, name in enumerate(names):
        near, far = (rate * value for value in lengths[name])
        ax.plot([far, near], [row, row], color=INK, alpha=0.35, linewidth=1.5, zorder=1)
        for value, kind, marker in ((near, "near", "o"), (far, "far", "D")):
            label = f"{kind} part" if row == 0 else None
            ax.scatter(value, row, s=75, color=COLORS[kind], marker=marker, label=label, zorder=2)
        ax.annotate(name, (0, row), xycoords=("axes fraction", "data"), va="center")
    ax.set_xscale("log")
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    return ax


def draw_lags(
    ax: Any,
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    colors: Mapping[str, str] | None = None,
    dashed: Sequence[str] = (),
) -> Any:
    """Draw the course's one plot: the size of a gradient against how many steps back it has come.

    Parameters
    ----------
    ax : matplotlib Axes
    lines : mapping of label to (lags, logs)
        Natural logarithms of the size, as `vglib.jacobians.log_norms` gives them; drawn in powers of ten.
    colors : mapping of label to colour, optional
    dashed : sequence of str
        Labels drawn dashed: bounds and predictions.

    Returns
    -------
    matplotlib Axes
    """
    for label, (lags, logs) in lines.items():
        decades = np.asarray(logs, dtype=float) / np.log(10)
        color = (colors or {}).get(label)
        ax.plot(lags, decades, label=label, color=color, linestyle="--" if label in dashed else "-")
    ax.axhline(0, color=INK, linewidth=0.8, alpha=0.5)
    ax.set_xlabel("steps back")
    ax.set_ylabel("size of the gradient")
    ax.yaxis.set_major_formatter(_power_of_ten)
    ax.yaxis.get_major_locator().set_params(integer=True)
    return ax


def draw_specimen(
    ax: Any,
    sentence: Specimen,
    lines: Mapping[str, Sequence[float]],
    colors: Mapping[str, str] | None = None,
    dashed: Sequence[str] = (),
    height: float = 0.6,
) -> Any:
    """Draw how far a gradient is stretched on its way back through the specimen, and where "France" was read.

    Parameters
    ----------
    ax : matplotlib Axes
    sentence : Specimen
    lines : mapping of label to sequence, length T + 1
        For instance ``jacobians.log_norms(trace, ord=2)[:, 0]``: natural logarithms at the states 0 … T.
    colors, dashed
        As for `draw_lags`.
    height : float
        Of the word "France", as a share of the axis, where no line passes.

    Returns
    -------
    matplotlib Axes
    """
    steps = len(sentence.words)
    draw_lags(ax, {name: (np.arange(steps + 1), logs[::-1]) for name, logs in lines.items()}, colors, dashed)
    read = sentence.lag - 1  # the state that has just read it
    ax.axvline(read, color=COLORS["muted"], linestyle=":")
    # Below remedies, which stay up, and above what falls, which has come down by then.
    ax.annotate("France", (read - 0.8, height), xycoords=("data", "axes fraction"), ha="right", va="center")
    ax.set_xlim(0, steps)
    ax.set_xlabel("steps back from the last state")
    ax.set_ylabel("largest stretch")
    return ax


def _power_of_ten(value: float, _: int) -> str:
    return f"$10^{{{value:g}}}$"


def stretch(axes: Any, heights: Sequence[float], space: float = 0.45) -> None:
    """Give stacked panels other heights and the whole width, for panels without an axis on the left."""
    axes[0].get_gridspec().set_height_ratios(heights)
    axes[0].figure.subplots_adjust(left=0.01, right=0.99, top=0.95, bottom=0.13, hspace=space)


def draw_influence(ax: Any, matrix: np.ndarray, faintest: float = 1e-6, brightest: float = 1.0) -> Any:
    """Draw how much each step k (across) adds to the gradient of the loss at each step t (down).

    Parameters
    ----------
    ax : matplotlib Axes
    matrix : numpy array, shape (T, T)
        `vglib.bptt.influence` of one sequence; zeros stay empty.
    faintest, brightest : float
        Ends of the colour scale.

    Returns
    -------
    matplotlib Axes
    """
    shown = np.where(matrix > 0, np.clip(matrix, faintest, brightest), np.nan)
    image = ax.imshow(shown, cmap=SEQUENTIAL, norm=LogNorm(faintest, brightest), aspect="equal")
    ax.set_xlabel("step k that contributes")
    ax.set_ylabel("step t of the loss")
    ax.grid(visible=False)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.85, extend="both")
    bar.outline.set_visible(False)
    return ax


def draw_unrolled(ax: Any, steps: int = 4) -> Any:
    """Draw a recurrent network unrolled in time, with the way of the last loss back to the first step.

    Parameters
    ----------
    ax : matplotlib Axes
    steps : int
        T.

    Returns
    -------
    matplotlib Axes
    """
    ax.set_axis_off()

    def arrow(start: tuple[float, float], end: tuple[float, float], color: str, width: float = 1.4) -> None:
        properties = {"arrowstyle": "-|>", "color": color, "lw": width, "mutation_scale": 13}
        ax.annotate("", xy=end, xytext=start, arrowprops=properties)

    def node(x: float, y: float, text: str, color: str) -> None:
        frame = {"boxstyle": "circle,pad=0.32", "facecolor": "none", "edgecolor": color, "linewidth": 1.6}
        ax.text(x, y, text, ha="center", va="center", bbox=frame, fontsize=13)

    for t in range(steps):
        node(t, 0, f"$x_{t}$", COLORS["muted"])
        node(t, 1, f"$h_{t + 1}$", COLORS["near"])
        node(t, 2, f"$L_{t}$", COLORS["far"])
        arrow((t, 0.26), (t, 0.72), INK)
        arrow((t, 1.28), (t, 1.74), INK)
        start = t - 0.74
        arrow((start, 1.06), (t - 0.26, 1.06), INK)
        ax.text(t - 0.5, 1.13, "$W$", ha="center", va="bottom", fontsize=12)
        arrow((t - 0.26, 0.9), (start, 0.9), COLORS["far"], 2.2)
    node(-1, 1, "$h_0$", COLORS["muted"])
    last = steps - 1
    arrow((last - 0.1, 1.74), (last - 0.1, 1.28), COLORS["far"], 2.2)
    way = f"$L_{last}$'s way back"
    ax.text(last + 0.24, 1.5, way, color=COLORS["far"], va="center", fontsize=13)
    ax.set_xlim(-1.35, steps + 0.75)
    ax.set_ylim(-0.4, 2.4)
    return ax
