"""Checks of the exercises on residual nets."""

from __future__ import annotations

import math

import numpy as np

from vglib import NonFiniteError, bptt, jacobians, resnets
from vglib.course.calling import Call
from vglib.course.checks.compare import array, compare, derivatives, predictions, several
from vglib.course.checks.proving import prove
from vglib.course.checks.topic import Topic
from vglib.course.given.resnets import stretch

checks = Topic("resnets")


def _power(base: list[float], exponent: int) -> np.ndarray:
    """Return the coefficients of a power of a polynomial: entry k is what comes through k branches."""
    law = np.ones(1)
    for _ in range(exponent):
        law = np.convolve(law, base)
    return law


@checks.check("predictions")
def _predictions(call: Call, rng: np.random.Generator) -> str:
    # Blocks F(x) = 0.2 x, and the product that vglib measures.
    stretching = {"kind": "pre-activation", "layers": 1, "activation": "linear"}
    net = resnets.Dense.init(1, 110, beta=0.2, **stretching).replace(weight1=np.ones((110, 1, 1)))
    growth = float(jacobians.log_norms(bptt.unroll(net, np.ones((1, 1))))[0, 0]) / math.log(10)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.prod(np.full(100, 1 + 2 * middle)) < 10 else (low, middle)
    law = _power([1.0, 0.01], 100)
    truth = [growth, low, _power([1.0, 1.0], 20)[3], law[0] / law.sum()]
    names = ["power of ten, 110 blocks", "largest β", "paths through 3 of 20", "share through no branch"]
    mistakes = [
        (0, 1.2**110, "that is the factor itself. Which power of ten is it?"),
        (0, math.log(1.2) * 110, "that is the natural logarithm; a power of ten is wanted."),
        (
            0,
            math.log10(1 + 0.2 * 110),
            "what a branch adds passes through the other branches, too: multiply.",
        ),
        (0, 110 * math.log10(0.2), "that is the product of the branches alone. Where is the I?"),
        (1, 9 / 200, "1 + 100 · 2β = 10 adds the blocks up; they multiply."),
        (1, 10 ** (1 / 100) - 1, "that is 2β: the branches stretch by up to 2."),
        (1, 0.05, "1/(2√L) is for random branches. These may all agree."),
        (1, 0.1, "1/√L is for random branches. These may all agree, and stretch by 2."),
        (2, 20**3, "a path meets each block once, and in order: choose 3 of 20."),
        (2, 6840, "the order is fixed: the same three branches are one path, not six."),
        (2, 2**20, "that is all paths, of any length."),
        (2, 8.0, "that would be the paths of a net with three blocks."),
        (3, 100 * truth[3], "that is in per cent; a share lies between 0 and 1."),
        (3, 1 / 101, "that is p, the chance of one head. What is the chance of none in 100 tosses?"),
        (3, math.comb(100, 0) / 2**100, "that is the share of the paths, not of the gradient."),
        (3, 0.99**100, "p is β²/(1 + β²), not β². (Close, though.)"),
        (3, 0.9**100, "squares add up: it is β², not β, that goes into p."),
        (3, math.sqrt(truth[3]), "that is for the length; the question is about its square."),
    ]
    tolerances = [5e-3, 2e-2, 5e-3, 5e-3]
    return predictions(call("predictions"), truth, names, mistakes, tolerances=tolerances, column="found")


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def _highway(x: np.ndarray, W: np.ndarray, b: np.ndarray, V: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return y; any of the inputs may be a stack."""
    f = np.tanh(x @ np.swapaxes(W, -1, -2) + b[..., None, :])
    t = _sigmoid(x @ np.swapaxes(V, -1, -2) + c[..., None, :])
    return t * f + (1 - t) * x


@checks.check("highway")
def _check_highway(call: Call, rng: np.random.Generator) -> str:
    for B, N in ((1, 1), (1, 4), (5, 3), (8, 6)):
        where = f"B = {B}, N = {N}"
        x, d_y = rng.normal(size=(2, B, N))
        W, V = rng.normal(size=(2, N, N))
        b, c = rng.normal(size=(2, N))
        f, t = np.tanh(x @ W.T + b), _sigmoid(x @ V.T + c)
        mistakes = [
            ((1 - t) * f + t * x, "the gate is the wrong way round: t opens the branch, 1 − t the bypass."),
            (x + t * f, "x is added whole; here it has the factor 1 − t."),
        ]
        if N > 1:
            turned, turn = np.tanh(x @ W + b), _sigmoid(x @ V + c)
            mistakes += [
                (t * turned + (1 - t) * x, "W is transposed: x @ W.T for a batch of rows."),
                (turn * f + (1 - turn) * x, "V is transposed: x @ V.T for a batch of rows."),
                (turn * turned + (1 - turn) * x, "W and V are transposed: x @ W.T, x @ V.T."),
            ]
        compare(call("highway", x, W, b, V, c), _highway(x, W, b, V, c), f"{where}, y", mistakes)

        got = call("highway_backward", x, W, b, V, c, d_y)
        got = several(got, 5, f"{where}: five gradients")
        through_f, through_gate = d_y * t * (1 - f**2), d_y * (f - x) * t * (1 - t)
        direct = d_y * (1 - t)
        only_adds = "∂y/∂t is f − x: the gate also takes x away."
        of_x = [
            (direct + through_f @ W, "the way through the gate is missing: t depends on x."),
            (through_f @ W + through_gate @ V, "the bypass is missing: x is also read directly, with 1 − t."),
            (d_y + through_f @ W + through_gate @ V, "the bypass has the factor 1 − t here."),
            (d_y * t + through_f @ W + through_gate @ V, "the bypass has the factor 1 − t, not t."),
            (direct + d_y * (1 - f**2) @ W + through_gate @ V, "the branch has the factor t."),
            (direct + d_y * t @ W + through_gate @ V, "the slope of tanh, 1 − f², is missing."),
            (direct + through_f @ W + d_y * (f - x) @ V, "the slope of the gate, t(1 − t), is missing."),
            (direct + through_f @ W - through_gate @ V, "∂y/∂t is f − x, not x − f."),
            (direct + through_f @ W + d_y * f * t * (1 - t) @ V, only_adds),
        ]
        if N > 1:
            turned = direct + through_f @ W.T + through_gate @ V.T
            of_x.append((turned, "W and V are transposed on the way back."))
        of_gate = [(d_y * f * t * (1 - t), only_adds)]
        known = {
            "x": of_x,
            "W": [((d_y * t).T @ x, "the slope of tanh, 1 − f², is missing.")],
            "b": [((d_y * t).sum(axis=0), "the slope of tanh, 1 − f², is missing.")],
            "V": [(a.T @ x, why) for a, why in of_gate],
            "c": [(a.sum(axis=0), why) for a, why in of_gate],
        }
        want = derivatives(_highway, [x, W, b, V, c], d_y)
        for name, part, target in zip(known, got, want, strict=True):
            mean = (target / B, "that is the mean over the batch; the sum is wanted.")
            more = known[name] + ([mean] if B > 1 and name != "x" else [])
            compare(part, target, f"{where}, gradient of {name}", more)
    return "Forwards and backwards right, for every batch and width."


@checks.check("identity")
def _identity(call: Call, rng: np.random.Generator) -> str:
    return prove(call, "identity", "residual_identity")


@checks.check("choose-beta")
def _choose_beta(call: Call, rng: np.random.Generator) -> str:
    rows = ["blocks  width  size of W      β  log-stretch"]
    for fewest, most, width in ((10, 20, 48), (30, 40, 32), (90, 110, 32), (170, 200, 36)):
        blocks, size = int(rng.integers(fewest, most)), float(10.0 ** rng.uniform(-1.5, 1.5))
        weights = size * rng.normal(size=(blocks, width, width)) / width**0.5
        beta = float(array(call("choose_beta", weights), f"{blocks} blocks, β", ()))
        assert 0 < abs(beta) < np.inf, f"{blocks} blocks: β is {beta:g}; a finite number, not 0, is wanted."
        try:
            logs = float(np.mean(stretch(weights, beta)))
        except NonFiniteError:
            logs = math.inf
        if not 0.3 <= logs <= 1.0:
            here = beta * size * math.sqrt(blocks / 2)
            why = "Too small: at least 0.3 is wanted." if logs < 0.3 else "Too large: at most 1 is wanted."
            if abs(logs) < 0.05:
                why = "Too small: the branches do next to nothing."
            elif logs > 5:
                why = "Too large: the gradient explodes."
            if abs(beta * math.sqrt(blocks) - 1) < 0.05:
                why += " 1/√L is for s = 1; these weights have another size. Measure it."
            elif abs(beta * size / math.sqrt(2) * blocks - 1) < 0.2:
                why += " 1/L is for branches that agree. Random ones may be larger: 1/√L."
            elif abs(here - math.sqrt(0.5)) < 0.05 or abs(here - math.sqrt(2)) < 0.05:
                why += " A factor of √2: how many of the ReLUs are on?"
            raise AssertionError(
                f"{blocks} blocks of width {width}: with β = {beta:.3g} the log-stretch is {logs:.3g}. {why}"
            )
        rows.append(f"{blocks:6d}  {width:5d}  {size:9.2g}  {beta:5.2g}  {logs:11.2f}")
    return "\n".join(rows)
