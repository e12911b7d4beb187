r"""An LSTM cell of one unit whose three gates stand still: what it keeps, what it shows, what comes back.

    g_{t+1} = tanh(w x_{t+1} + r h_t)                    offered
    c_{t+1} = f c_t + i g_{t+1}                          held;    c_0 is written
    h_t     = o tanh(c_t)                                shown
    c̄_t     = f c̄_{t+1} + o (1 − tanh² c_t) h̄_t           c̄_T = 1
    h̄_t     = r (1 − g²_{t+1}) i c̄_{t+1}                  the output is read by the next candidate alone

It is `vglib.LSTM` with no weights into the gates and the biases log(i/(1 − i)), …; the limits 0 and 1 are
exact here. ``gates.js`` has the same lines and words for the page, where no Python runs; the tests compare
the numbers of both with those of `vglib`.

Index legend: t step, T steps; i, f, o the gates; a bar is the total derivative of the loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vglib.base.errors import real_number

__all__ = ["CELL", "check_gate", "descriptions", "held", "sentence"]

CELL: dict[str, Any] = {
    "w": 1.0,
    "r": 0.7,
    # Chosen so that no gate can lead the cell off the drawing, and so that with all three open the gradient
    # grows: a cell with gates is no safeguard by itself.
    "x": [
        *(-0.9, -0.7, -1.4, 0.0, -0.2, 0.9, 1.3, 0.7, -0.1, -1.2),
        *(0.9, 1.3, -1.5, 1.2, 0.5, -0.3, 0.8, -0.5, -1.4, -0.3),
    ],
    "written": 1.0,
}
"""Weights w and r, the inputs x_1 … x_T, and the value written into c_0."""


def held(i: float, f: float, o: float) -> dict[str, list[float]]:
    """Run `CELL` with its gates held, forwards and backwards.

    Parameters
    ----------
    i, f, o
        The gates, from 0 to 1.

    Returns
    -------
    dict of str to list of float
        ``c``, ``h``: cell and output at the steps 0 … T; ``g``: what is offered at the steps 1 … T;
        ``total``: c̄_0 … c̄_T; ``straight``: the part f^(T−t) of it that never left the cell.

    Raises
    ------
    TypeError, ValueError
        A gate is no number from 0 to 1.
    """
    i, f, o = (check_gate(name, value) for name, value in {"i": i, "f": f, "o": o}.items())
    w, r, x = CELL["w"], CELL["r"], CELL["x"]
    c, g = [CELL["written"]], []
    h = [o * math.tanh(c[0])]
    for t, value in enumerate(x):
        g.append(math.tanh(w * value + r * h[t]))
        c.append(f * c[t] + i * g[t])
        h.append(o * math.tanh(c[t + 1]))
    total = [0.0] * len(x) + [1.0]
    straight = list(total)
    for t in reversed(range(len(x))):
        back = r * (1 - g[t] ** 2) * i * total[t + 1]
        total[t] = f * total[t + 1] + o * (1 - math.tanh(c[t]) ** 2) * back
        straight[t] = f * straight[t + 1]
    return {"c": c, "h": h, "g": g, "total": total, "straight": straight}


def check_gate(name: str, value: Any) -> float:
    """Return a gate as a float of Python; raise unless it is from 0 to 1."""
    number = real_number(name, value, 0)
    if number > 1:
        raise ValueError(f"{name} must be at most 1, a gate that is open; got {value!r}")
    return number


def written(value: float) -> str:
    """Write a number with two digits, as a sentence has it, in one piece."""
    size = abs(value)
    if size in (0, 1):
        text = f"{size:g}"
    elif size >= 99.5:
        text = f"{size:.0f}"
    elif size >= 1e-3:
        text = f"{size:#.2g}".rstrip(".")
    else:
        digits, power = f"{size:.1e}".split("e")
        text = f"{digits}\u00a0×\u00a010{str(int(power)).translate(_RAISED)}"
    return f"−{text}" if value < 0 else text


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def sentence(at: Mapping[str, float], found: Mapping[str, Sequence[float]]) -> str:
    """Say what the gates `at` do, as `held` has found it."""
    steps, c, h = len(CELL["x"]), found["c"], found["h"]
    total, straight = found["total"][0], found["straight"][0]
    share = {0: "nothing", 1: "all"}.get(straight) or written(straight)
    since = f"; with new input it stands at {written(c[-1])}" if at["i"] else ""
    shown = f"The output shows {written(h[-1])}." if at["o"] else "The output shows nothing."
    if not total:
        way = ""
    elif total == straight:
        way = ", all of it straight along the cell"
    elif not straight:
        way = ", all of it by way of the output"
    else:
        way = f", of which {written(straight)} came straight along the cell"
    return (
        f"After {steps} steps the cell holds {share} of what was written{since}. {shown} "
        f"A gradient of 1 at the end is {written(total)} at step\u00a00{way}."
    )


def descriptions(found: Mapping[str, Sequence[float]]) -> tuple[str, str]:
    """Say what is seen in the two panels."""
    c = found["c"]

    def span(values: Sequence[float]) -> str:
        return f"from {written(values[0])} to {written(values[-1])}"

    return (
        f"Lines over the steps 0 to {len(c) - 1}: the cell goes {span(c)}, at most {written(max(c))}, "
        f"at least {written(min(c))}; the output goes {span(found['h'])}.",
        f"Lines over the same steps, on a log scale, from the last step back to the first: "
        f"the whole gradient goes {span(found['total'][::-1])}, "
        f"its part straight along the cell {span(found['straight'][::-1])}.",
    )
