"""Checks of the exercises on the LSTM."""

from __future__ import annotations

import math

import numpy as np

from vglib import LSTM, bptt, lstm
from vglib.course.calling import Call
from vglib.course.checks.compare import array, compare, derivatives, differs, predictions, several
from vglib.course.checks.proving import prove
from vglib.course.checks.topic import Topic
from vglib.course.given.lstm import run_latch, story

checks = Topic("lstm")


def _left(biases: tuple[float, float], steps: int, dtype: str = "float64") -> tuple[float, np.ndarray]:
    """Return f of a layer without weights, and what is left of a gradient at c_T after 0, 1, … steps."""
    cell = LSTM.init(1, 1, dtype=dtype)
    none = {name: np.zeros_like(weight) for name, weight in cell.parameters.items()}
    none["bias_ih"][1], none["bias_hh"][1] = biases
    trace = bptt.unroll(cell.replace(**none), np.zeros((steps, 1, 1), dtype=dtype))
    d_final = np.array([[0.0, 1.0]], dtype=dtype)  # [h; c]
    cells = bptt.backprop(trace, np.zeros((steps, 1, 1), dtype=dtype), d_final).cells[::-1, 0, 0]
    return float(lstm.gates(trace)["f"][0, 0, 0]), cells


@checks.check("predictions")
def _predictions(call: Call, rng: np.random.Generator) -> str:
    low, high = 0.0, 20.0  # the bias whose gate is 1 − 1/200
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / (1 + math.exp(-middle)) < 1 - 1 / 200 else (low, middle)
    truth = [
        _left((1.0, 1.0), 1)[0],
        int(np.argmax(_left((math.log(99), 0.0), 100)[1] < 0.5)),
        low,
        int(np.argmax(_left((0.0, 0.0), 160, "float32")[1] == 0)),
    ]
    names = ["f, both biases 1", "less than half, f = 0.99", "bias for 200 steps", "exactly 0, float32"]
    mistakes = [
        (0, 1 / (1 + math.exp(-1)), "that is one bias of 1. PyTorch adds two."),
        (0, 2.0, "that is the total bias. The gate is its sigmoid."),
        (0, math.tanh(2), "that is tanh; a gate is a sigmoid."),
        (0, 0.5, "with weights of 0 the bias decides alone: the total is 2, not 0."),
        (1, 50, "losses of 1 % are of what is left: they multiply and do not add up to 50 %."),
        (1, 68, "0.99^68 is still a little more than half."),
        (1, 70, "0.99^69 is already below half."),
        (1, 100, "that is the time scale 1/(1 − f). Half is gone at about 0.69 of it."),
        (1, (68.5, 68.99), "right so far; a whole number of steps is wanted."),
        (2, (5.2995, 5.3005), "log 199 and log 200 both round to that. Give one more digit, or the formula."),
        (2, math.log(200), "close: f = 1 − 1/200, so f/(1 − f) is 199."),
        (2, 199, "that is f/(1 − f). The bias is its logarithm."),
        (2, 200, "that is the time scale. Which bias makes it?"),
        (2, 1 - 1 / 200, "that is the gate. Which bias makes it?"),
        (2, math.log10(199), "that is the logarithm to base 10."),
        (2, -math.log(199), "the sign: a positive bias opens the gate."),
        (3, 126, "from there on the numbers are subnormal, but not 0."),
        (3, 127, "from there on the numbers are subnormal, but not 0."),
        (3, 149, "2^-149 is the smallest positive float32, and it is not 0 yet."),
        (3, 1075, "that is float64."),
    ]
    tolerances = [2e-3, 1e-3, 4e-3, 1e-3]
    return predictions(
        call("predictions"),
        truth,
        names,
        mistakes,
        tolerances=tolerances,
        absolute=True,
        column="measured",
    )


@checks.check("passthrough")
def _passthrough(call: Call, rng: np.random.Generator) -> str:
    return prove(call, "passthrough", "lstm_passthrough")


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def _peephole_step(z: np.ndarray, p: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return h′ and c′ as two rows; any of the inputs may be a stack."""
    z_i, z_f, z_g, z_o = np.moveaxis(z, -2, 0)
    p_i, p_f, p_o = np.moveaxis(p, -2, 0)
    new = _sigmoid(z_f + p_f * c) * c + _sigmoid(z_i + p_i * c) * np.tanh(z_g)
    return np.stack([_sigmoid(z_o + p_o * new) * np.tanh(new), new], axis=-2)


def _slips(
    z: np.ndarray, p: np.ndarray, c: np.ndarray, d_h: np.ndarray, d_c: np.ndarray
) -> list[tuple[tuple[np.ndarray, ...], str]]:
    """Return what comes out when one thing is forgotten: (d_z, d_p, d_old), and what it was."""
    i, f, g = _sigmoid(z[0] + p[0] * c), _sigmoid(z[1] + p[1] * c), np.tanh(z[2])
    new = f * c + i * g
    o, squashed = _sigmoid(z[3] + p[2] * new), np.tanh(new)
    at_o, by_h = d_h * squashed * o * (1 - o), d_h * o * (1 - squashed**2)

    def rest(total, looks=True, seen=new, at_o=at_o):
        at = [total * g * i * (1 - i), total * c * f * (1 - f), total * i * (1 - g**2), at_o]
        old = total * f + (at[0] * p[0] + at[1] * p[1] if looks else 0.0)
        return np.stack(at), np.stack([at[0] * c, at[1] * c, at_o * seen]), old

    whole = d_c + by_h + at_o * p[2]
    early = _sigmoid(z[3] + p[2] * c)
    there, then = d_h * squashed * early * (1 - early), d_h * early * (1 - squashed**2)
    old_cell = "the output gate looks at the NEW cell c′, yours at the old one."
    return [
        (rest(d_c + then + there * p[2], at_o=there), old_cell),
        (rest(d_c + then, seen=c, at_o=there), old_cell),
        (
            rest(d_c + by_h),
            "the output gate looks at the cell as well: "
            "from its pre-activation a path leads back to c′ through p_o.",
        ),
        (
            rest(by_h + at_o * p[2]),
            "what comes from later steps, d_c, is missing in the total gradient by c′.",
        ),
        (rest(d_c + at_o * p[2]), "the path from h′ to c′ through tanh is missing."),
        (rest(d_c + d_h * o + at_o * p[2]), "the slope of tanh at c′ is missing: 1 − tanh²(c′)."),
        (
            rest(whole, looks=False),
            "i and f look at the old cell: two paths lead from their pre-activations to c.",
        ),
        (
            rest(whole, seen=c),
            "the output gate looks at the NEW cell: the gradient of p_o has c′ in it, not c.",
        ),
    ]


GRADIENTS = [
    ("z", "The rows are i, f, g, o, counted from 0."),
    ("p", "The rows are i, f, o, counted from 0."),
    ("c", "Who reads c, and what arrives at each of them?"),
]


@checks.check("peephole-backward")
def _peephole_backward(call: Call, rng: np.random.Generator) -> str:
    sizes = (1, 2, 5, 12)
    for units in sizes:
        z, p, c, d_h, d_c = (
            rng.normal(size=shape) for shape in ((4, units), (3, units), units, units, units)
        )
        where = f"H = {units}"
        got = call("peephole_backward", z, p, c, d_h, d_c)
        got = several(got, 3, f"{where}: three arrays, (d_z, d_p, d_old),")
        want = derivatives(_peephole_step, [z, p, c], np.stack([d_h, d_c]))
        known = _slips(z, p, c, d_h, d_c)
        for k, (name, hint) in enumerate(GRADIENTS):
            mistakes = [(wrong[k], why) for wrong, why in known if differs(wrong[k], want[k])]
            if k == 0:
                mistakes.append((want[0][[0, 1, 3, 2]], "the rows are i, f, g, o, in this order."))
            compare(got[k], want[k], f"{where}, gradient by {name}", mistakes, hint)
    return f"Equal to the derivatives in numbers for H = {', '.join(map(str, sizes))}."


def _tell(name: str, h: np.ndarray, bits: np.ndarray) -> None:
    """Compare the last h with the bits that are wanted: say how many are wrong, or the faintest."""
    signed = h[-1] * bits
    wrong = int(np.sum(signed <= 0))
    assert wrong == 0, f"{name}: {wrong} of {len(bits)} sequences end with the wrong sign."
    assert signed.min() >= 0.2, (
        f"{name}: the sign is right, but |h| falls to {signed.min():.3g}; 0.2 is wanted."
    )


LETS_IN = "Without the noise it goes well: i lets noise in between writes."


def _quiet(table: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the last h when there is no noise after the write."""
    quiet = x.copy()
    quiet[2:, :, 0] = 0.0
    return run_latch(table, quiet)[0][-1]


@checks.check("latch")
def _latch(call: Call, rng: np.random.Generator) -> str:
    table = array(call("latch"), "the table, one row a gate", (4, 5))
    assert np.all(np.isfinite(table)), "an entry is not finite."
    largest = np.max(np.abs(table))
    assert largest <= 20, f"the largest weight is {largest:g} in size; 20 is allowed."

    x, bits = story(rng, 12, 8, write=1)
    h, near = run_latch(table, x)
    try:
        _tell("ten steps after a write", h, bits)
    except AssertionError as error:
        why, last = "Is i open at a write, and o open at the end?", h[-1]
        if np.all(last * bits < 0):
            why = "All of them: a sign in row g is turned."
        elif np.all(last == 0):
            why = "h is exactly 0: nothing is written. Does row g look at v?"
        elif np.all(last > 0) or np.all(last < 0):
            why = "h has one sign for both bits: what row g writes at a write does not follow v."
        elif np.min(_quiet(table, x) * bits) >= 0.2:
            why = LETS_IN
        raise AssertionError(f"{error} {why}") from None

    # Three stories of the same length in one run: eight sequences each.
    events = ({}, {"again": 300}, {"reset": 700})
    inputs = [story(rng, 1002, 8, write=1, **more)[0] for more in events]
    h, back = run_latch(table, np.concatenate(inputs, axis=1))
    (kept, far), (replaced, _), (emptied, cut) = zip(
        np.split(h, 3, axis=1), np.split(back, 3, axis=1), strict=True
    )
    try:
        _tell("a thousand steps after a write", kept, bits)
    except AssertionError as error:
        why, left = LETS_IN, np.abs(_quiet(table, inputs[0])).min()
        if left < 0.2:
            why = f"Without the noise |h| is {left:.2g}, too: f is not open enough."
            why += " What is f to the power 1,000?"
        raise AssertionError(f"{error} {why}") from None
    try:
        _tell("a second write with the other bit", replaced, -bits)
    except AssertionError as error:
        raise AssertionError(
            f"{error} Writing adds i·g to f·c: with f open at a write the old bit is still there."
        ) from None
    rest = float(np.max(np.abs(emptied[-1])))
    if rest >= 0.05:
        why, left = LETS_IN, np.abs(_quiet(table, inputs[2])).max()
        if left >= 0.05:
            why = f"Without the noise it is {left:.2g}, too. Which gate empties the cell, and is it shut?"
        raise AssertionError(f"after a reset |h| is {rest:.3g}; less than 0.05 is wanted. {why}")
    sizes = [float(np.min(np.abs(gradient[1]))) for gradient in (near, far)]
    if sizes[1] < 0.1:
        why = "It is so small ten steps after the write already: is g saturated at v = ±1, or tanh(c)?"
        if sizes[0] >= 0.1:
            why = "Ten steps after the write it was large enough: f is not open enough."
        raise AssertionError(f"the gradient over a thousand steps is {sizes[1]:.2g}; 0.1 is wanted. {why}")
    left = float(np.max(np.abs(cut[1])))
    assert left < 1e-3, f"the gradient of a bit that was reset is {left:.2g}; it should be below 0.001."
    return "\n".join(
        [
            f"value kept over 1,000 steps: |h| = {np.abs(kept[-1]).min():.2f} or more",
            f"gradient ten and a thousand steps after a write: {sizes[0]:.3f}, {sizes[1]:.3f}",
            f"after a reset: |h| at most {rest:.4f}, gradient at most {left:.0e}",
        ]
    )
