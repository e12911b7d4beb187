"""The checks of the exercises on initialization: their reference, and what they say to usual mistakes."""

import re

import numpy as np
import pytest

from vglib.course.checks.initialization import _nets, _profile


def kept(up, down):
    return (up**2 + down**2) / 2


def test_the_average_over_all_nets_is_that_of_many_nets():
    rng = np.random.default_rng(0)
    for _, widths, up, down in _nets(rng):
        widths = np.array(widths)
        stds = np.sqrt(rng.uniform(0.7, 1.4, size=30) / (kept(up, down) * widths[:-1]))
        nets = 10
        ratios = np.zeros((nets, 2, 30))
        for net in range(nets):
            h, before, slopes, weights = rng.normal(size=(8, widths[0])), 1.0, [], []
            for layer, std in enumerate(stds):
                W = std * rng.normal(size=(widths[layer + 1], widths[layer]))
                a = h @ W.T
                slopes.append(np.where(a >= 0, up, down))
                weights.append(W)
                h = a * slopes[-1]
                ratios[net, 0, layer] = np.mean(h**2) / before
                before = np.mean(h**2)
            d, before = rng.normal(size=h.shape), 1.0
            for layer in reversed(range(30)):
                d = (d * slopes[layer]) @ weights[layer]
                ratios[net, 1, layer] = np.mean(d**2) / before
                before = np.mean(d**2)
        forwards, backwards = np.log10(ratios.mean(axis=0))
        signals, gradients = _profile(stds, widths, up, down)
        np.testing.assert_allclose(np.cumsum(forwards), signals, rtol=0, atol=0.6)
        np.testing.assert_allclose(np.cumsum(backwards[::-1])[::-1], gradients, rtol=0, atol=0.6)


@pytest.mark.parametrize(
    "scales",
    [
        lambda widths, up, down: (kept(up, down) * widths[:-1]) ** -0.5,
        lambda widths, up, down: (kept(up, down) * widths[1:]) ** -0.5,
        lambda widths, up, down: (kept(up, down) ** 2 * widths[1:] * widths[:-1]) ** -0.25,
        lambda widths, up, down: list((kept(up, down) * widths[:-1]) ** -0.5),
    ],
    ids=["forwards", "backwards", "geometric mean", "a list"],
)
def test_each_way_to_serve_both_sides_is_right(scales, passes):
    for seed in range(20):
        assert passes("initialization", "scales", {"scales": scales}, seed)


SCALES = {
    "compromise": (
        lambda n, up, down: (kept(up, down) * (n[1:] + n[:-1]) / 2) ** -0.5,
        r"256, 64.*falls .*2.9 powers of ten. That is the compromise",
    ),
    "Glorot": (lambda n, up, down: (2 / (n[1:] + n[:-1])) ** 0.5, "Glorot's rule for linear units"),
    "He": (lambda n, up, down: (2 / n[:-1]) ** 0.5, "random widths.*He's rule for ReLU"),
    "LeCun": (lambda n, up, down: (1 / n[:-1]) ** 0.5, "half.* of the units"),
    "no half": (lambda n, up, down: ((up**2 + down**2) * n[:-1]) ** -0.5, "half.* of the units"),
    "square of the mean": (
        lambda n, up, down: ((up + down) ** 2 / 4 * n[:-1]) ** -0.5,
        "not the square of their mean",
    ),
    "variance": (lambda n, up, down: 1 / (kept(up, down) * n[:-1]), "Its root is wanted"),
    "inverse": (lambda n, up, down: (kept(up, down) / n[:-1]) ** 0.5, "The other way round"),
    "one slope": (lambda n, up, down: (2 / (1 + down**2) / n[:-1]) ** 0.5, "above 0 need not be 1"),
    "one for all": (lambda n, up, down: (kept(up, down) * n.mean()) ** -0.5 * np.ones(30), "powers of ten"),
    "zeros": (lambda n, up, down: np.zeros(30), "layer 1 has 0; positive"),
    "one more": (lambda n, up, down: n**-0.5, r"the shape is \(31,\)"),
}


@pytest.mark.parametrize("mistake", SCALES)
def test_mistakes_of_scales_are_named(mistake, told):
    scales, words = SCALES[mistake]
    assert re.search(words, told("initialization", "scales", {"scales": scales}))


def settle(weights, x, factor, transposed=True, early=True, after=np.tanh):
    found, h = [], x
    for W in weights:
        a = h @ (W.T if transposed else W)
        found.append(factor(a))
        h = after(found[-1] * a if early else a)
    return np.array(found)


def rms(a):
    return np.mean(a**2) ** -0.5


FACTORS = {
    "late": (lambda w, x: settle(w, x, rms, early=False), "apply the factor before the tanh"),
    "deviation": (lambda w, x: settle(w, x, lambda a: 1 / a.std()), "variance about the mean"),
    "square": (lambda w, x: settle(w, x, lambda a: 1 / np.mean(a**2)), "is its root"),
    "inverse": (lambda w, x: settle(w, x, lambda a: np.mean(a**2) ** 0.5), "The other way round"),
    "length": (lambda w, x: settle(w, x, lambda a: 1 / np.linalg.norm(a)), "Divide by their number"),
    "output": (lambda w, x: settle(w, x, lambda a: rms(np.tanh(a))), "about the outputs"),
    "transposed": (lambda w, x: settle(w, x, rms, transposed=False), "rows are outputs"),
    "linear": (lambda w, x: settle(w, x, rms, after=lambda a: a), "tanh between the layers is missing"),
    "mean of units": (
        lambda w, x: settle(w, x, lambda a: np.mean(np.mean(a**2, axis=0) ** -0.5)),
        "not a mean of the units' factors",
    ),
    "mean of samples": (
        lambda w, x: settle(w, x, lambda a: np.mean(np.mean(a**2, axis=1) ** -0.5)),
        "not a mean of the samples' factors",
    ),
    "products": (lambda w, x: np.cumprod(settle(w, x, rms)), "Each matrix has its own"),
    "the first inputs": (
        lambda w, x: [rms(x @ W.T) for W in w],
        r"L = 4.*layer 2 has .* mean square .*\. Those before it are right",
    ),
    "sign": (lambda w, x: -settle(w, x, rms), "layer 1 is -.*; positive"),
    "a column": (lambda w, x: settle(w, x, rms)[:, None], r"the shape is \(1, 1\)"),
}


@pytest.mark.parametrize("mistake", FACTORS)
def test_mistakes_of_unit_factors_are_named(mistake, told):
    factors, words = FACTORS[mistake]
    assert re.search(words, told("initialization", "unit-factors", {"unit_factors": factors}), re.I)


def test_factors_may_be_a_list_or_computed_in_float32(passes):
    def unit_factors(weights, x):
        return list(settle(weights.astype("float32"), x.astype("float32"), rms))

    for seed in range(20):
        assert passes("initialization", "unit-factors", {"unit_factors": unit_factors}, seed)


RIGHT = (1 / 6, -7.526, 0.4, 7.288)


@pytest.mark.parametrize(
    ("which", "wrong", "words"),
    [
        (0, 1 / 3, "that is a linear layer"),
        (1, -15.05, "A length is its root"),
        (1, 7.526, "mind the sign"),
        (2, 2.5, "the other way round"),
        (3, 3.644, "for the squared length"),
        (3, 10.0, "too large"),
    ],
)
def test_mistakes_of_predictions_are_named(which, wrong, words, told_of_number):
    assert words in told_of_number("initialization", RIGHT, which, wrong)
