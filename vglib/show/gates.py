"""The three gates of an LSTM cell as sliders: what it keeps, what it shows, what comes back.

The figure is drawn once in Python, for a page without a script, and by ``gates.js`` whenever a slider moves:
frames for all positions of three sliders would weigh megabytes. `vglib.show.held` has the equations.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files

from vglib.show.held import CELL, check_gate, descriptions, held, sentence
from vglib.show.page import Shown, stylesheet
from vglib.show.style import COLORS

__all__ = ["gates"]

_LABELS = {"i": "input gate i", "f": "forget gate f", "o": "output gate o"}
_CORNERS = {
    "remember": {"f": 1, "i": 0},
    "add": {"f": 1, "i": 1},
    "erase": {"f": 0, "i": 0},
    "overwrite": {"f": 0, "i": 1},
    "output shut": {"o": 0},
    "output open": {"o": 1},
}

# A panel in pixels: the whole, and left, top, width and height of the plot in it.
_SIZE, _PLOT = (340, 198), (40, 6, 296, 168)
_STEPS = (-0.6, 20.6)
_HELD, _BACK = (-2.7, 5.3), (-4.5, 2.8)


def gates(i: float = 0.5, f: float = 0.9, o: float = 0.5, *, title: str | None = None) -> Shown:
    """Show the gates of an LSTM cell as three sliders, and what the cell holds, shows and sends back.

    Works alike in JupyterLab and in the built book, by a small script that comes with it; without the
    script the figure stands as it is for the values given.

    Parameters
    ----------
    i, f, o
        Where the input, forget and output gate stand at first, from 0 (shut) to 1 (open), in hundredths.
    title
        A line above the figure, plain text.

    Returns
    -------
    Shown
        What the notebook shows as the result of its cell.

    Raises
    ------
    TypeError, ValueError
        A gate is no number from 0 to 1 with two decimals; the title is no text.

    Examples
    --------
    >>> gates(i=0, f=1, o=0)
    gates(i=0, f=1, o=0): After 20 steps the cell holds all of what was written. The output s
    """
    at = {name: _position(name, value) for name, value in {"i": i, "f": f, "o": o}.items()}
    if title is not None and (not isinstance(title, str) or not title.strip()):
        raise ValueError(f"title must be text, not {title!r:.80}")
    found = held(**at)
    named = json.dumps([at, title])
    key = f"vg-gates-{sha256(named.encode()).hexdigest()[:10]}"
    says = sentence(at, found)
    alts = descriptions(found)
    drawn = _paths(at, found)
    head = f'<p class="vg-title">{escape(title)}</p>' if title else ""
    values = ", ".join(f"{name} = {value:.2f}" for name, value in at.items())
    data = json.dumps(CELL, separators=(",", ":"))
    html = (
        f'<div class="vg-explore vg-gates" id="{key}" style="--vg-width:4.2" role="group"'
        f' aria-label="{escape(title or "The three gates of an LSTM cell")}"'
        f' data-values="{escape(json.dumps(at, separators=(",", ":")))}">{head}'
        f'<div class="vg-panels">{_cell_panel(drawn, alts[0])}{_gradient_panel(drawn, alts[1])}</div>'
        f'<p class="vg-values">Drawn for the gates {values}.</p>'
        f'<p class="vg-says" aria-live="polite">{escape(says)}</p>'
        # The script shows them: where it does not run they would do nothing.
        f'<div class="vg-hands" hidden>{_sliders(key, at)}{_buttons(at)}</div>'
        f'<script type="application/json" class="vg-data">{data}</script></div>'
    )
    if not os.environ.get("VGLIB_STATIC"):
        style, script = (_file(f"static/gates.{kind}") for kind in ("css", "js"))
        html = f"{stylesheet()}<style>{style}</style>{html}<script>{script}</script>"
    return Shown(html, f"gates({', '.join(f'{name}={value:g}' for name, value in at.items())}): {says:.70}")


def _position(name: str, value: float) -> float:
    """Return where the slider of a gate stands; it moves by hundredths."""
    gate = check_gate(name, value)
    if not math.isclose(gate, round(gate, 2), rel_tol=0, abs_tol=1e-6):
        raise ValueError(f"{name} must be a whole number of hundredths, as its slider has it; got {value!r}")
    return round(gate, 2)


def _file(path: str) -> str:
    return files("vglib.show").joinpath(path).read_text(encoding="utf-8")


# -- the lines: in the units of the plot, y downwards as SVG has it; gates.js has the same ------------------


def _place(value: float) -> str:
    # Halves go up, as Math.round has it; the sum takes the sign off a zero.
    return f"{math.floor(1000 * value + 0.5) / 1000 + 0.0:g}"


def _decades(values: Iterable[float]) -> list[float]:
    return [max(math.log10(value), -99.0) if value else -99.0 for value in values]


def _line(values: Sequence[float]) -> str:
    return "".join(f"{'L' if t else 'M'}{t} {_place(-v)}" for t, v in enumerate(values))


def _dots(values: Sequence[float]) -> str:
    return "".join(f"M{t} {_place(-v)}h0" for t, v in enumerate(values))


def _sticks(values: Sequence[float]) -> str:
    return "".join(f"M{t} 0V{_place(-v)}" for t, v in enumerate(values, start=1))


def _paths(at: Mapping[str, float], found: Mapping[str, list[float]]) -> dict[str, str]:
    total, straight = _decades(found["total"]), _decades(found["straight"])
    return {
        "offered": _sticks(found["g"]),
        "admitted": _sticks([at["i"] * value for value in found["g"]]),
        "cell": _line(found["c"]),
        "cell-dots": _dots(found["c"]),
        "output": _line(found["h"]),
        "total": _line(total),
        "total-dots": _dots(total),
        "straight": _line(straight),
    }


# -- the panels ---------------------------------------------------------------------------------------------


# Name in `_paths`, class, colour, and what the key says; the first is drawn last.
_Line = tuple[str, str, str, str]

_CELL_LINES: list[_Line] = [
    ("cell", "vg-line", COLORS["lstm"], "cell c"),
    ("output", "vg-line", COLORS["stable"], "output h"),
    ("admitted", "vg-stick", COLORS["muted"], "let in"),
    ("offered", "vg-stick vg-offered", COLORS["muted"], "offered g"),
]
_GRADIENT_LINES: list[_Line] = [
    ("total", "vg-line", COLORS["accent"], "gradient at c"),
    ("straight", "vg-band", COLORS["lstm"], "straight along the cell"),
]


def _cell_panel(paths: Mapping[str, str], alt: str) -> str:
    ticks = {float(v): str(v).replace("-", "−") for v in range(-2, 6)}
    return _panel("Forwards, from a 1 at step 0", alt, _HELD, ticks, paths, _CELL_LINES)


def _gradient_panel(paths: Mapping[str, str], alt: str) -> str:
    ticks = {-4.0: "10⁻⁴", -2.0: "10⁻²", 0.0: "1", 2.0: "10²"}
    return _panel("Backwards, from a 1 at step 20", alt, _BACK, ticks, paths, _GRADIENT_LINES)


def _panel(
    head: str,
    alt: str,
    heights: tuple[float, float],
    ticks: Mapping[float, str],
    paths: Mapping[str, str],
    lines: Sequence[_Line],
) -> str:
    """Return one plot over the steps: its heading, its key, its axes and its lines."""
    (width, height), (left, top, wide, high) = _SIZE, _PLOT
    (first, last), (low, up) = _STEPS, heights
    x = {t: left + wide * (t - first) / (last - first) for t in range(0, 21, 5)}
    y = {v: top + high * (up - v) / (up - low) for v in ticks}
    grid = "".join(f"M{at:.1f} {top}v{high}" for at in x.values())
    grid += "".join(f"M{left} {at:.1f}h{wide}" for at in y.values())
    texts = [
        f'<text x="{at:.1f}" y="{top + high + 17}" text-anchor="middle">{t or "step 0"}</text>'
        for t, at in x.items()
    ]
    texts += [
        f'<text x="{left - 6}" y="{at + 4.3:.1f}" text-anchor="end">{ticks[v]}</text>' for v, at in y.items()
    ]
    key = drawn = ""
    for name, kind, color, said in lines:
        sample, line = _path(kind, color, "M0 4H16"), _path(kind, color, paths[name], name)
        if f"{name}-dots" in paths:
            sample += _path("vg-dots", color, "M8 4h0")
            line += _path("vg-dots", color, paths[f"{name}-dots"], f"{name}-dots")
        key += f'<span><svg viewBox="0 0 16 8" aria-hidden="true">{sample}</svg>{said}</span>'
        drawn = line + drawn
    return (
        f'<div class="vg-panel"><p class="vg-head">{head}</p><p class="vg-key">{key}</p>'
        f'<div class="vg-stage" style="aspect-ratio:{width} / {height}">'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(alt)}">'
        f'<path class="vg-grid" d="{grid}"/><path class="vg-axis" d="M{left} {top}v{high}h{wide}"/>'
        f'{"".join(texts)}<svg x="{left}" y="{top}" width="{wide}" height="{high}"'
        f' viewBox="{first:g} {-up:g} {last - first:g} {up - low:g}" preserveAspectRatio="none">'
        f'<path class="vg-zero" d="M{first:g} 0H{last:g}"/>{drawn}</svg></svg></div></div>'
    )


def _path(kind: str, color: str, d: str, name: str = "") -> str:
    named = f' data-line="{name}"' if name else ""
    return f'<path class="{kind}"{named} stroke="{color}" d="{d}"/>'


# -- what the reader moves ----------------------------------------------------------------------------------


def _sliders(key: str, at: Mapping[str, float]) -> str:
    rows = "".join(
        f'<div class="vg-control"><label for="{key}-{name}">{_LABELS[name]}</label>'
        f'<input type="range" id="{key}-{name}" name="{name}" min="0" max="1" step="0.01" value="{value:g}"'
        f' autocomplete="off" aria-valuetext="{value:.2f}" style="--vg-at:{value:g}">'
        f'<output for="{key}-{name}" aria-live="off" style="min-width:4ch">{value:.2f}</output></div>'
        for name, value in at.items()
    )
    return f'<div class="vg-controls">{rows}</div>'


def _buttons(at: Mapping[str, float]) -> str:
    made = []
    for name, corner in _CORNERS.items():
        pressed = str(all(at[gate] == value for gate, value in corner.items())).lower()
        text = ", ".join(f"{gate} = {value}" for gate, value in corner.items())
        made.append(
            f'<button type="button" aria-pressed="{pressed}" data-gates="{escape(json.dumps(corner))}">'
            f"{name} <span>{text}</span></button>"
        )
    return (
        f'<div class="vg-corners" role="group" aria-label="Corner cases of the gates">{"".join(made)}</div>'
    )
