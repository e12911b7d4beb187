"""How every figure of the book looks: one matplotlib style, one palette, two colour maps.

The text and the axes are drawn in `INK`, a colour that nobody would choose. Once the figure is an
SVG, `vglib.show.svg` replaces it by ``currentColor``, so that the same figure is dark on a light
page and light on a dark one. `PAPER` does the same for the colour of the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from cycler import cycler
from matplotlib.colors import LinearSegmentedColormap

__all__ = ["COLORS", "DIVERGING", "INK", "PAPER", "SEQUENTIAL", "style"]

INK = "#010203"
PAPER = "#fdfcfb"

# Okabe and Ito's hues, moved to luminances between 0.13 and 0.30: at least 3:1 on white and on near-black.
_BLUE, _ORANGE, _GREEN, _PINK = "#1a7fc9", "#d4621a", "#0a9070", "#c2549a"
_OCHRE, _TEAL, _VIOLET, _RED, _GREY = "#9c7f10", "#1e93a6", "#8268d6", "#d94545", "#7a828c"

COLORS: dict[str, str] = {
    "ink": INK,
    "paper": PAPER,
    "accent": _ORANGE,
    "muted": _GREY,
    # What a gradient does, and how far it came.
    "near": _BLUE,
    "far": _ORANGE,
    "vanishing": _BLUE,
    "exploding": _RED,
    "stable": _GREEN,
    # Activations.
    "tanh": _BLUE,
    "sigmoid": _PINK,
    "relu": _ORANGE,
    "linear": _GREY,
    # Recurrences.
    "rnn": _ORANGE,
    "lstm": _VIOLET,
    "gru": _GREEN,
    "irnn": _OCHRE,
    "residual": _TEAL,
    # Weights.
    "orthogonal": _GREEN,
    "gaussian": _PINK,
    "identity": _OCHRE,
    # Measured against predicted, with and without the remedy.
    "measured": _BLUE,
    "theory": _PINK,
    "clipped": _TEAL,
    "train": _TEAL,
    "test": _VIOLET,
}
"""Colours by the role they play; all but ``ink`` and ``paper`` read on light and on dark pages."""

_CYCLE = (_BLUE, _ORANGE, _GREEN, _PINK, _OCHRE, _VIOLET, _TEAL, _RED)


def _colormap(name: str, colors: list[str]) -> LinearSegmentedColormap:
    made = LinearSegmentedColormap.from_list(name, colors, N=256)
    made = made.with_extremes(bad=(0, 0, 0, 0))
    # Registered, so that a figure can name it: cmap="vg_diverging".
    mpl.colormaps.register(made, force=name in mpl.colormaps)
    return made


# Viridis without its darkest and lightest parts, which would sink into a dark or a light page.
SEQUENTIAL = _colormap("vg_sequential", [mpl.colormaps["viridis"](0.12 + 0.8 * i / 15) for i in range(16)])
"""Colour map for amounts; missing values (NaN) are transparent."""

DIVERGING = _colormap("vg_diverging", ["#1565b8", "#4f9be0", "#9aa0a6", "#e58a4a", "#c04a08"])
"""Colour map for signed values, grey in the middle; missing values (NaN) are transparent."""

_RC = {
    "figure.figsize": (6.4, 3.6),
    "figure.facecolor": "none",
    "figure.edgecolor": "none",
    "savefig.facecolor": "none",
    "savefig.edgecolor": "none",
    "font.size": 13.5,
    "axes.titlesize": 14.5,
    "axes.labelsize": 14,
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    "legend.fontsize": 13,
    "figure.titlesize": 15,
    "mathtext.fontset": "dejavusans",
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    # A fixed height spares matplotlib from laying out all ticks a second time: 60 % of a logarithmic frame.
    "axes.titley": 1.0,
    "axes.titlepad": 9,
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=_CYCLE),
    "grid.color": INK,
    "grid.alpha": 0.16,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    "lines.solid_capstyle": "round",
    "patch.facecolor": _BLUE,
    "patch.edgecolor": INK,
    "hatch.color": INK,
    "boxplot.boxprops.color": INK,
    "boxplot.whiskerprops.color": INK,
    "boxplot.capprops.color": INK,
    "boxplot.flierprops.markeredgecolor": INK,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.borderaxespad": 0.3,
    "image.cmap": "vg_sequential",
    # Each cell of a matrix stays one pixel, enlarged by the browser with sharp edges.
    "image.interpolation": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "vglib",
    "svg.image_inline": True,
}

# Starting from matplotlib's own defaults keeps a reader's matplotlibrc out of the book.
_DEFAULTS = {
    name: value
    for name, value in mpl.rcParamsDefault.items()
    if not name.startswith("_") and name not in ("backend", "backend_fallback", "interactive")
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the book's style inside a ``with`` block; matplotlib's settings come back afterwards.

    `vglib.show.explore` and `vglib.show.picture` draw inside it already; use it for a figure that
    is saved by other means. Such a figure has its text in `INK` and a transparent background.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from vglib.show import style
    >>> with style():
    ...     ax = Figure().subplots()
    >>> ax.spines["top"].get_visible()
    False
    """
    with mpl.rc_context({**_DEFAULTS, **_RC}):
        yield
