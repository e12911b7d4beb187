"""Checks of the exercises on initialization."""

from __future__ import annotations

import math

import numpy as np

from vglib import initialization
from vglib.course.calling import Call
from vglib.course.checks.compare import array, predictions
from vglib.course.checks.topic import Topic

checks = Topic("initialization")


@checks.check("predictions")
def _predictions(call: Call, rng: np.random.Generator) -> str:
    stacked, single = (sum(initialization.fans((1200, 300), gates)) for gates in (1, 4))
    truth = [
        initialization.mean_field("relu", 1 / 3).chi,
        25 * math.log10(initialization.mean_field("relu", 1.0).chi),
        single / stacked,  # a variance is 2 over the sum of the fans
        -2 / math.log(0.76),
    ]
    names = [
        "one default layer",
        "50 layers, powers of ten",
        "stacked gates, variance",
        "layers for a factor of e",
    ]
    mistakes = [
        (0, 1 / 3, "that is a linear layer. Half of the ReLUs pass nothing back."),
        (0, 1 / 12, "the ReLU takes a half once, not twice."),
        (0, 6**-0.5, "that is the factor of the length. The question is about the mean square."),
        (1, 50 * math.log10(1 / 2), "that is the mean square. A length is its root."),
        (1, -truth[1], "it loses them: mind the sign."),
        (1, 2**-25, "that is the factor itself. Its logarithm to base ten is wanted."),
        (1, -25, "those are powers of two. One of them is 0.3 powers of ten."),
        (2, 2.5, "the other way round: it draws less than the rule wants, so this is below 1."),
        (2, math.sqrt(0.4), "that is the standard deviation. The question is about the variance."),
        (2, 0.6, "that is what is missing. What it draws is wanted."),
        (2, 0.25, "n_in counts as well: 2/(H + 4H) against 2/(H + H)."),
        (3, truth[3] / 2, "that is for the squared length. The length falls half as fast."),
        (3, -2 / math.log10(0.76), "that is for a factor of ten. For e, take the natural logarithm."),
        (3, truth[3] / 4, "a length is the root of a square: its scale is twice as long, not half."),
    ]
    return predictions(call("predictions"), truth, names, mistakes, tolerances=5e-3, digits=".3f")


def _nets(rng):
    """Return nets as tuples: name, widths, and the slopes of their units above and below 0."""
    narrow = int(rng.integers(50, 80))
    wide = narrow * int(rng.integers(4, 6))
    pairs = [256, 64] * 15 + [256]
    random = rng.integers(60, 300, size=30).tolist()
    spindle = np.repeat([narrow, wide, narrow], [10, 11, 10]).tolist()
    return [
        ("256, 64, 256, …; ReLU", pairs, 1.0, 0.0),
        ("random widths; slopes 1 and {down:.2f}", [*random, random[0]], 1.0, float(rng.uniform(0.3, 0.6))),
        (f"{narrow}, {wide}, {narrow}, …; absolute value", [narrow, wide] * 15 + [narrow], 1.0, -1.0),
        (
            "narrow, wide, narrow; slopes {up:.2f} and {down:.2f}",
            spindle,
            float(rng.uniform(0.4, 0.7)),
            float(rng.uniform(1.4, 2.0)),
        ),
    ]


def _profile(stds, widths, up, down):
    """Return log₁₀ of the mean squares at each layer, averaged over all nets: signal, gradient.

    The weights are symmetric about 0, so half of the units are above it. A sum of n terms of variance s² and
    a mean square of slopes give each layer's factor, forwards with the units below, backwards with those
    above.
    """
    slope, square = (up**2 + down**2) / 2, 2 * np.log10(stds)
    forwards = np.log10(slope * widths[:-1]) + square
    backwards = np.log10(slope * widths[1:]) + square
    return np.cumsum(forwards), np.cumsum(backwards[::-1])[::-1]


def _why(stds, widths, up, down):
    """Say which known rule the standard deviations follow, if any."""
    fans, both = (widths[:-1], widths[1:]), widths[1:] + widths[:-1]
    square, mean = up**2 + down**2, (up + down) / 2
    rules = [
        ([4 / (square * both)], "That is the compromise. Each change of width loses on both ways."),
        ([2 / both], "That is Glorot's rule for linear units: what do the two slopes do to a mean square?"),
        ([4 / both], "That is the compromise, and for ReLU. It loses at each change of width."),
        ([2 / fan for fan in fans], "That is He's rule for ReLU. Here the other half passes something, too."),
        (
            [1 / (square * fan) for fan in fans],
            "Each slope serves *half* of the units: the mean of their squares is (up² + down²)/2.",
        ),
        ([1 / fan for fan in fans], "That is for linear units: what do the two slopes do to a mean square?"),
        (
            [1 / (mean**2 * fan) for fan in fans] if mean else [],
            "A mean square is the mean of the squares of the slopes, not the square of their mean.",
        ),
        ([2 / (up**2 * fan) for fan in fans], "The units below 0 pass something on as well."),
        ([2 / ((1 + down**2) * fan) for fan in fans], "The slope above 0 need not be 1."),
        ([(2 / (square * fan)) ** 2 for fan in fans], "That is the variance. Its root is wanted."),
        ([square / (2 * fan) for fan in fans], "The other way round: larger slopes want smaller weights."),
    ]
    for variances, why in rules:
        if any(np.allclose(stds**2, variance, rtol=1e-6, atol=0) for variance in variances):
            return why
    return ""


@checks.check("scales")
def _scales(call: Call, rng: np.random.Generator) -> str:
    nets = [(name, np.array(widths), up, down) for name, widths, up, down in _nets(rng)]
    answers = call.many("scales", [net[1:] for net in nets])
    form = "{:44s} {:>6s} {:>9s} {:>15s} {:>9s}"
    rows = [form.format("", "signal", "gradient", "Glorot: signal", "gradient")]
    for answer, (name, widths, up, down) in zip(answers, nets, strict=True):
        where = name.format(up=up, down=down)
        stds = array(answer, where, (30,))
        for layer, std in enumerate(stds, 1):
            assert 0 < std < np.inf, f"{where}: layer {layer} has {std:g}; positive and finite is wanted."
        glorot = np.sqrt(4 / ((up**2 + down**2) * (widths[1:] + widths[:-1])))
        worst = []
        for chosen in (stds, glorot):
            for logs in _profile(chosen, widths, up, down):
                layer = int(np.argmax(np.abs(logs)))
                worst.append((float(logs[layer]), layer + 1))
        for (value, layer), what in zip(
            worst[:2],
            ("the signal {} up to layer", "the gradient {} on its way back into layer"),
            strict=False,
        ):
            way = "grows" if value > 0 else "falls"
            assert abs(value) <= 1, (
                f"{where}: {what.format(way)} {layer}, by {abs(value):.1f} powers of ten. "
                f"{_why(stds, widths, up, down)}".strip()
            )
        # Minus 0 looks like a mistake.
        rows.append(form.format(where, *(f"{round(value, 1) + 0.0:+.1f}" for value, _ in worst)))
    return "\n".join([*rows, "(powers of ten of the mean square, where it is farthest off)"])


def _squares(weights, x, factors):
    """Return the mean square of each layer's pre-activations in the net that is scaled by the factors."""
    found, h = [], x
    for W, factor in zip(weights, factors, strict=True):
        a = factor * (h @ W.T)
        found.append(np.mean(a**2))
        h = np.tanh(a)
    return np.array(found)


def _mistaken(weights, x, kind):
    """Return the factors of a recipe that is not quite the one in the question."""
    found, h = [], x
    for W in weights:
        a = h @ (W if kind == "column" else W.T)
        square = a.var() if kind == "variance" else np.mean(a**2)
        factor = {
            "square": 1 / square,
            "inverse": square**0.5,
            "length": np.linalg.norm(a) ** -1,
            "output": np.mean(np.tanh(a) ** 2) ** -0.5,
            "units": np.mean(np.mean(a**2, axis=0) ** -0.5),
            "samples": np.mean(np.mean(a**2, axis=1) ** -0.5),
        }.get(kind, square**-0.5)
        found.append(factor * (found[-1] if kind == "product" and found else 1.0))
        h = a if kind == "late" else factor * a
        h = h if kind == "linear" else np.tanh(h)
    return np.array(found)


@checks.check("unit-factors")
def _unit_factors(call: Call, rng: np.random.Generator) -> str:
    known = {
        "late": "the next layer must see the scaled layer: apply the factor before the tanh.",
        "variance": "that is the variance about the mean. The mean square itself is wanted.",
        "square": "that is 1 over the mean square. A factor of the weights is its root.",
        "inverse": "the other way round: a layer that is too large wants a factor below 1.",
        "length": "that is 1 over the length of all entries together. Divide by their number first: a mean.",
        "output": "that is about the outputs of the tanh. The mean square of what goes into it shall be 1.",
        "column": "the matrices act as h @ W.T: rows are outputs.",
        "linear": "the tanh between the layers is missing.",
        "units": "one mean over all units *and* samples is wanted, not a mean of the units' factors.",
        "samples": "one mean over all units *and* samples is wanted, not a mean of the samples' factors.",
        "product": "those are products of the factors up to each layer. Each matrix has its own.",
    }
    cases = []
    for layers, units, batch, scale in ((1, 5, 3, 1.0), (4, 8, 6, 0.01), (10, 20, 4, 30.0), (40, 20, 8, 1.0)):
        weights = scale * rng.normal(size=(layers, units, units)) * rng.uniform(0.2, 5, size=(layers, 1, 1))
        x = rng.normal(size=(batch, units)) + 0.5
        cases.append((f"L = {layers}, N = {units}, weights of size {scale:g}", weights, x))
    answers = call.many("unit_factors", [inputs for _, *inputs in cases])
    for got, (where, weights, x) in zip(answers, cases, strict=True):
        factors = array(got, where, (len(weights),))
        for layer, factor in enumerate(factors, 1):
            assert 0 < factor < np.inf, (
                f"{where}: the factor of layer {layer} is {factor:g}; positive and finite is wanted."
            )
        squares = _squares(weights, x, factors)
        wrong = np.abs(squares - 1) > 1e-4
        if not np.any(wrong):
            continue
        for kind, why in known.items():
            mistaken = _mistaken(weights, x, kind)
            assert np.any(np.abs(factors - mistaken) > 1e-6 * mistaken), f"{where}: {why}"
        layer = int(np.argmax(wrong)) + 1
        before = "Those before it are right. " if layer > 1 else ""
        raise AssertionError(
            f"{where}: scaled by your factors, layer {layer} has pre-activations with mean square "
            f"{squares[layer - 1]:.6g}. {before}It must be 1 in every layer."
        )
    return "Right for nets of 1 to 40 layers, whatever the size of their weights."
