"""Typical wrong answers to the exercises on residual nets, and what each of them is told."""

import math
import re

import numpy as np
import pytest

from vglib.course.given.resnets import stretch

RIGHT = (110 * math.log10(1.2), (10 ** (1 / 100) - 1) / 2, 1140, (1 / 1.01) ** 100)
PREDICTIONS = [
    (0, 1.2**110, "factor itself"),
    (0, 110 * math.log(1.2), "natural logarithm"),
    (0, 110 * math.log10(0.2), "Where is the I"),
    (1, 0.045, "they multiply"),
    (1, 0.0233, "that is 2β"),
    (1, 0.1, "for random branches"),
    (2, 6840, "not six"),
    (2, 2**20, "all paths"),
    (2, 1141.0 * 1.02, "paths through 3 of 20.*too large"),
    (3, 36.97, "per cent"),
    (3, 0.99**100, "not β²"),
    (3, 0.608, "its square"),
]


@pytest.mark.parametrize(("which", "wrong", "words"), PREDICTIONS)
def test_a_wrong_prediction_is_explained(which, wrong, words, told_of_number):
    assert re.search(words, told_of_number("resnets", RIGHT, which, wrong))


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def parts(x, W, b, V, c):
    return np.tanh(x @ W.T + b), sigmoid(x @ V.T + c)


def highway(x, *weights):
    f, t = parts(x, *weights)
    return t * f + (1 - t) * x


def backward(
    x, W, b, V, c, d_y, branch=1, bypass=1, gate=1, mean=False, adds=False, slope=True, turned=False
):
    f, t = parts(x, W, b, V, c)
    d_before = d_y * t * ((1 - f**2) if slope else 1)
    d_gate = d_y * (f if adds else f - x) * t * (1 - t)
    d_x = bypass * d_y * (t if turned else 1 - t) + branch * d_before @ W + gate * d_gate @ V
    size = len(x) if mean else 1
    return (
        d_x,
        d_before.T @ x / size,
        d_before.sum(axis=0) / size,
        d_gate.T @ x / size,
        d_gate.sum(axis=0) / size,
    )


FORWARDS = [
    (lambda x, *w: x + parts(x, *w)[0] * parts(x, *w)[1], "x is added whole"),
    (lambda x, *w: (1 - parts(x, *w)[1]) * parts(x, *w)[0] + parts(x, *w)[1] * x, "wrong way round"),
    (lambda x, W, b, V, c: highway(x, W.T, b, V, c), "W is transposed"),
    (lambda x, W, b, V, c: highway(x, W, b, V.T, c), "V is transposed"),
    (lambda x, W, b, V, c: highway(x, W.T, b, V.T, c), "W and V are transposed"),
]
BACKWARDS = [
    ({"gate": 0}, "the way through the gate is missing"),
    ({"gate": -1}, "f − x, not x − f"),
    ({"bypass": 0}, "the bypass is missing"),
    ({"turned": True}, "the factor 1 − t, not t"),
    ({"adds": True}, "also takes x away"),
    ({"slope": False}, "slope of tanh"),
    ({"mean": True}, "the sum is wanted"),
]


@pytest.mark.parametrize(("function", "words"), FORWARDS)
def test_a_wrong_highway_is_explained(function, words, told):
    assert words in told("resnets", "highway", {"highway": function, "highway_backward": backward})


@pytest.mark.parametrize(("change", "words"), BACKWARDS)
def test_a_wrong_gradient_of_the_highway_is_explained(change, words, told):
    names = {"highway": highway, "highway_backward": lambda *inputs: backward(*inputs, **change)}
    assert words in told("resnets", "highway", names)


def size(weights):
    return math.sqrt(weights.shape[1] * np.mean(weights**2))


BETAS = [
    (lambda w: 1 / math.sqrt(len(w)), "1/√L is for s = 1"),
    (lambda w: math.sqrt(2) / size(w) / len(w), "1/L is for branches that agree"),
    (lambda w: 2 / size(w) / math.sqrt(len(w)), "how many of the ReLUs are on"),
    (lambda w: 1 / size(w) / math.sqrt(len(w)), "how many of the ReLUs are on"),
    (lambda w: 0.0, "not 0, is wanted"),
    (lambda w: 1e200, "explodes"),
    (lambda w: 1e-9, "next to nothing"),
    (lambda w: np.full(len(w), 0.1), "shape"),
]


@pytest.mark.parametrize(("function", "words"), BETAS)
def test_a_wrong_scale_is_explained(function, words, told):
    assert words in told("resnets", "choose-beta", {"choose_beta": function})


def test_trial_and_error_with_the_given_tool_is_a_right_answer_too(passes):
    def choose_beta(weights):
        low, high = 1e-6, 1e6
        while high / low > 1.01:
            middle = math.sqrt(low * high)
            try:
                far = np.mean(stretch(weights, middle)) > 0.6
            except ValueError:
                far = True
            low, high = (low, middle) if far else (middle, high)
        return low

    assert passes("resnets", "choose-beta", {"choose_beta": choose_beta}, 3)
