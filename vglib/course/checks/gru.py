"""Checks of the exercises on gated recurrent units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from vglib import GRU, bptt
from vglib.course.calling import Call
from vglib.course.checks.compare import array, compare, predictions, several
from vglib.course.checks.proving import prove
from vglib.course.checks.topic import Topic
from vglib.course.given.gru import they_run

checks = Topic("gru")


def _last_states(candidates: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """Run one unit from 0 with each of the gate's biases; candidates (T,) are 0 or 1. Return all (T, B)."""
    x = np.stack(np.broadcast_arrays(candidates[:, None], biases), axis=-1)
    # The second input is the bias of z. tanh makes 1 of 40.
    weight = np.array([[0.0, 0.0], [0.0, 1.0], [40.0, 0.0]])
    cell = GRU(weight, np.zeros((3, 1)), np.zeros(3), np.zeros(3))
    return bptt.unroll(cell, x).states[1:, :, 0]


@checks.check("predictions")
def _predictions(call: Call, rng: np.random.Generator) -> str:
    def logit(z):
        return np.array([np.log(z / (1 - z))])

    # What one candidate leaves behind is 1 − z at first and (1 − z) z^q after q steps.
    written = np.eye(1, 201)[0]
    left = _last_states(written[:20], logit(0.9))[:, 0] / 0.1
    kept, width = 0.0, 20.0  # the best bias of z, by ever finer grids
    for _ in range(4):
        grid = kept + np.linspace(-width, width, 81)
        kept, width = float(grid[_last_states(written, grid)[-1].argmax()]), width / 20
    count = sum(weight.size for weight in GRU.init(inputs=64, hidden=128).parameters.values())
    end = float(_last_states(np.ones(1000), logit(0.999))[-1, 0])
    truth = [float(np.argmax(left < 0.5)), float(count), end, -kept]
    names = ["steps to less than half", "parameters", "state after 1,000 steps", "best bias of u"]
    mistakes = [
        (0, 6.0, "0.9 to the power 6 is 0.53, still more than half."),
        (0, 5.0, "losses multiply, they do not add up: 0.9 to the power 5 is 0.59."),
        (0, (6.5, 6.65), "that is where exactly half is left. Steps are whole."),
        (1, 4 * (128 * 64 + 128 * 128 + 2 * 128), "that is an LSTM, with four blocks."),
        (1, 3 * (128 * 64 + 128 * 128 + 128), "PyTorch adds two biases in each block."),
        (1, 3 * (128 * 64 + 128 * 128), "the biases are missing."),
        (1, 128 * 64 + 128 * 128 + 2 * 128, "that is one block of three."),
        (2, 1000.0, "a mean of ones cannot exceed 1: each step adds 0.001 of what is still missing."),
        (2, 1.0, "almost, after very many steps. Here 0.999 to the power 1000 is still missing."),
        (2, 0.999**1000, "that is what is still missing to 1."),
        (3, -truth[3], "the sign. Here u lets in the new, so a unit that keeps has a u near 0."),
        (3, (0.0049, 0.0051), "that is u itself. Its bias is wanted, the inverse of the sigmoid."),
        (3, 200 / 201, "that is 1 − u. The bias of u is wanted."),
        (3, -200.0, "a logarithm is missing: u / (1 − u) is the exponential of the bias."),
    ]
    near = [1e-9, 1e-9, 5e-3, 5e-3]
    return predictions(call("predictions"), truth, names, mistakes, tolerances=near, digits=".5g")


def _by_complex_steps(U, p, f, g, o, c, d_h, d_c):
    """Return the two gradients from the forward pass alone, one imaginary step an entry."""
    start = np.concatenate([np.log(f / (1 - f)), np.arctanh(g), np.log(o / (1 - o))])
    blocks = np.split(U, 3)

    def later(by_h, by_c):
        """Return what the gradients weigh, d_h · h_{t+1} + d_c · c_{t+1}, for rows of changes."""
        a_f, a_g, a_o = (a + by_h @ u.T for a, u in zip(np.split(start, 3), blocks, strict=True))
        forget = 1 / (1 + np.exp(-(a_f + p * by_c)))
        new = forget * (c + by_c) + (1 - forget) * np.tanh(a_g)
        return (new / (1 + np.exp(-a_o))) @ d_h + new @ d_c

    steps = 1e-30j * np.eye(len(c))
    return later(steps, 0 * steps).imag / 1e-30, later(0 * steps, steps).imag / 1e-30


def _mistaken(U, p, f, g, o, c, d_h, d_c, slope=None, **wrong):
    """Return the two gradients with one thing forgotten or added; each word of `wrong` names one."""
    new = f * c + (1 - f) * g
    squashed, fall = (np.tanh(new), 1 - np.tanh(new) ** 2) if "squash" in wrong else (new, 1)
    d_new = d_c + (0 if "around" in wrong else d_h * (1 if "shut" in wrong else o) * fall)
    a_f = d_new * (c - g if slope is None else slope)
    a_g = d_new * (1 if "write" in wrong else 1 - f) * (1 if "candidate" in wrong else 1 - g**2)
    a_o = (d_new if "late" in wrong else d_h) * (c if "old" in wrong else squashed)
    if "unread" in wrong:
        a_o = 0 * c
    if "gates" not in wrong:
        a_f, a_o = a_f * f * (1 - f), a_o * o * (1 - o)
    by_c = d_new * f + p * (a_f + (a_o if "look" in wrong else 0))
    if "straight" in wrong:
        return sum(block @ a for block, a in zip(np.split(U, 3), (a_f, a_g, a_o), strict=True)), by_c
    return U.T @ np.concatenate([a_f, a_g, a_o]) + (d_h if "direct" in wrong else 0), by_c


def _variants(given: tuple[np.ndarray, ...]) -> Iterator[tuple[tuple[np.ndarray, np.ndarray], str]]:
    """Yield both gradients as typical mistakes make them."""
    c, g = given[5], given[3]
    for change, why in (
        ({"slope": c}, "f stands in the step twice, in f c and in (1 − f) g. The second is missing."),
        ({"slope": c + g}, "1 − f falls when f rises: its slope is −g, not +g."),
        ({"slope": g - c}, "the slope by f is c − g. Yours has the other sign."),
        ({"slope": -g}, "f stands in the step twice, in f c and in (1 − f) g. The first is missing."),
        ({"around": True}, "c_{t+1} is also heard through h_{t+1} = o c_{t+1}."),
        ({"squash": True}, "that is an LSTM's way out, o tanh(c_{t+1}). This cell has no second tanh."),
        ({"gates": True}, "the slopes of the sigmoids, f (1 − f) and o (1 − o), are missing."),
        ({"write": True}, "the candidate is multiplied by 1 − f, and so is its gradient."),
        ({"unread": True}, "h_t also reaches h_{t+1} through the output gate."),
        ({"candidate": True}, "the slope of the candidate's tanh, 1 − g², is missing."),
        ({"shut": True}, "on the way from h_{t+1} to c_{t+1} the factor o is missing."),
        ({"straight": True}, "backwards each block of U is transposed."),
        ({"old": True}, "o multiplies the new cell, c_{t+1}, not c_t."),
        ({"late": True}, "o is read by h_{t+1} alone: what comes to c_{t+1} from later does not reach it."),
        ({"look": True}, "only f looks at c_t. The output gate has no peephole here."),
        ({"direct": True}, "h_{t+1} does not read h_t itself. That would be a GRU."),
    ):
        yield _mistaken(*given, **change), why


def _mistakes_by_c(given: tuple[np.ndarray, ...], by_h: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    _, p, f, g, o, c, d_h, d_c = given
    total = d_c + d_h * o
    to_gate = total * (c - g) * f * (1 - f)
    hears = "f reads c_t, too: {}"
    yield total * f, hears.format("p times what its pre-activation hears is missing.")
    yield d_c * f, "c_{t+1} is also heard through h_{t+1} = o c_{t+1}, and f reads c_t, too."
    yield total * f + to_gate, hears.format("through the weight p, which is missing.")
    yield (
        total * f + p * total * (c - g),
        "the slope of its sigmoid, f (1 − f), is missing on the way through the gate f.",
    )
    yield p * to_gate, "that is the way through the gate alone. c_t is also kept by it: f times the gradient."
    yield total, "that is the total gradient by c_{t+1}. One factor leads on to c_t, and a second way."
    yield total * (1 - f) + p * to_gate, "c_t is kept by f, not by 1 − f."
    yield by_h, "the two are exchanged: first the gradient by h_t, then the one by c_t."
    for (_, value), why in _variants(given):
        yield value, why


def _mistakes_by_h(given: tuple[np.ndarray, ...]) -> Iterator[tuple[np.ndarray, str]]:
    for (value, _), why in _variants(given):
        yield value, why
    f, g, o = np.split(given[0], 3)
    for order in ((f, o, g), (g, f, o), (g, o, f), (o, f, g), (o, g, f)):
        yield _mistaken(np.concatenate(order), *given[1:])[0], "the rows of U are in the order f, g, o."


@checks.check("coupled-backward")
def _coupled_backward(call: Call, rng: np.random.Generator) -> str:
    for H in (1, 2, 5, 8):
        U, p, c = rng.normal(size=(3 * H, H)), rng.normal(size=H), rng.uniform(-1, 1, size=H)
        f, o = rng.uniform(0.1, 0.9, size=(2, H))
        g = rng.uniform(-0.9, 0.9, size=H)
        d_h, d_c = rng.normal(size=(2, H))
        given = (U, p, f, g, o, c, d_h, d_c)
        got = several(call("coupled_backward", *given), 2, f"H = {H}: two arrays, by h_t and by c_t,")
        by_h, by_c = _by_complex_steps(*given)
        near = {"tolerance": 1e-9}
        compare(got[1], by_c, f"H = {H}, by c_t", _mistakes_by_c(given, by_h), **near)
        compare(got[0], by_h, f"H = {H}, by h_t", _mistakes_by_h(given), **near)
    return "Right for 1, 2, 5 and 8 units."


def _converted(
    K: np.ndarray,
    R: np.ndarray,
    k: np.ndarray,
    s: np.ndarray,
    order: tuple[int, ...] = (1, 0, 2),
    turned: str = "KRks",
    which: int = 0,
    biases: str = "apart",
    reshaped: bool = False,
) -> list[np.ndarray]:
    """Return a conversion: order of the blocks, what is negated of which, what becomes of the biases."""
    if reshaped:
        K, R = (blocks.reshape(blocks.shape[::-1]).T for blocks in (K, R))
    if biases == "swapped":
        k, s = s, k
    elif biases != "apart":
        k, s = (k + s, 0 * s) if biases == "first" else (0 * k, k + s)
    made = []
    for name, blocks in (("K", K.T), ("R", R.T), ("k", k), ("s", s)):
        parts = np.split(blocks, 3)
        parts[which] = -parts[which] if name in turned else parts[which]
        made.append(np.concatenate([parts[b] for b in order]))
    return made


MISCONVERTED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"order": (0, 1, 2), "turned": ""}, "the blocks still stand in the order u, r, n."),
    ({"order": (0, 1, 2)}, "the blocks still stand in the order u, r, n."),
    ({"turned": ""}, "z keeps, u lets in: z = 1 − u. Something has to be negated."),
    ({"turned": "KR"}, "the matrices of u are negated, its biases are not: 1 − σ(a) = σ(−a), all of a."),
    ({"turned": "ks"}, "the biases of u are negated, its matrices are not."),
    ({"which": 1}, "r was negated. It is u that is turned round."),
    ({"which": 2}, "the candidate was negated. It is u that is turned round."),
    ({"biases": "swapped"}, "the two biases are exchanged. In PyTorch b_hn stands inside r ⊙ (…)."),
    (
        {"biases": "first"},
        "the biases were added. For n the second stands inside r ⊙ (…): keep them apart.",
    ),
    (
        {"biases": "second"},
        "the biases were added. For n the first stands outside r ⊙ (…): keep them apart.",
    ),
    ({"reshaped": True}, "`reshape` gives the right shape and mixes up the numbers. Transpose: `K.T`."),
    ({"turned": "Rs"}, "K and k of u are not negated: 1 − σ(a) = σ(−a), all of a."),
    ({"turned": "Kk"}, "R and s of u are not negated: 1 − σ(a) = σ(−a), all of a."),
    ({"turned": "KRk"}, "s of u is not negated: 1 − σ(a) = σ(−a), all of a."),
    ({"turned": "KRs"}, "k of u is not negated: 1 − σ(a) = σ(−a), all of a."),
)


@checks.check("to-pytorch")
def _to_pytorch(call: Call, rng: np.random.Generator) -> str:
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

    def we_run(weights, x):
        return bptt.unroll(GRU(*weights), x[:, None]).states[1:, 0]

    for D, H in ((2, 3), (5, 2), (4, 4), (1, 6)):
        where = f"D = {D}, H = {H}"
        K, R = rng.normal(size=(D, 3 * H)), rng.normal(size=(H, 3 * H))
        k, s = rng.normal(size=(2, 3 * H))
        x = rng.normal(size=(12, D))
        given = (K, R, k, s)
        got = several(call("to_pytorch", *given), 4, f"{where}: four arrays, {', '.join(names)},")
        weights = []
        shapes = ((3 * H, D), (3 * H, H), (3 * H,), (3 * H,))
        for name, value, shape in zip(names, got, shapes, strict=True):
            weights.append(array(value, f"{where}, {name}"))
            came = weights[-1].shape
            assert came == shape, (
                f"{where}: {name} has the shape {came}, PyTorch wants {shape}. Did you transpose?"
            )
            finite = np.all(np.abs(weights[-1]) < 1e100)
            assert finite, f"{where}: {name} holds a number that is not finite, or beyond 1e100."
        known = ((we_run(_converted(*given, **change), x), why) for change, why in MISCONVERTED)
        hint = "These are states, step by step: the two libraries do not compute the same."
        # float32 is what PyTorch keeps weights in.
        compare(we_run(weights, x), they_run(*given, x), where, known, hint, tolerance=1e-5)
    return "Both libraries compute the same, for every size."


@checks.check("gru-path")
def _gru_path(call: Call, rng: np.random.Generator) -> str:
    report = prove(call, "gru_path", "gru_path")
    if any("hypothesis" in line and "r[t+1]" in line for line in report.splitlines()):
        report += "\nIt uses r[t+1] = 0. Can you do without? One of the two hypotheses is enough."
    return report
