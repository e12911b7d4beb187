"""Wrong answers to the exercises on clipping, and what they are told."""

import math

import numpy as np
import pytest

from vglib import RNN, bptt, clipping
from vglib.base.losses import cross_entropy
from vglib.course.given import clipping as given

RIGHT = (0.5, 9.0, math.degrees(math.atan2(4, 3) - math.atan2(3.5, 3)), 0.01)


def rows(rule, good=lambda g: np.all(np.isfinite(g))):
    """Clip each good row by a rule of its length, and take the mean."""

    def mean_of_clipped(gradients, eta):
        kept = [g * rule(math.hypot(*g), eta) for g in gradients if good(g)]
        return np.mean(kept, axis=0) if kept else np.zeros(gradients.shape[1])

    return mean_of_clipped


def library(gradients, eta):
    """Clip by the library's own rule."""
    kept = [clipping.by_norm(g, eta)[0] for g in gradients if np.all(np.isfinite(g))]
    return np.mean(kept, axis=0)


def soft(length, eta):
    return 1 / math.hypot(1, length / eta)


def careless(gradients, eta):
    length = np.sqrt(np.sum(gradients**2, axis=1, keepdims=True))
    return np.mean(gradients / np.sqrt(1 + (length / eta) ** 2), axis=0)


def mended(gradients, eta):
    return rows(soft)(np.nan_to_num(gradients, posinf=0, neginf=0), eta)


def without_zeros(gradients, eta):
    return rows(soft)(gradients[np.any(gradients != 0, axis=1)], eta)


def in_one_scale(gradients, eta):
    good = gradients[np.all(np.isfinite(gradients), axis=1)]
    largest = np.max(np.abs(good), initial=0.0) or 1.0
    length = largest * np.linalg.norm(good / largest, axis=1, keepdims=True)
    return np.mean(good / np.hypot(1, length / eta), axis=0)


def all_counted(gradients, eta):
    good = np.all(np.isfinite(gradients), axis=1).sum()
    return rows(soft)(gradients, eta) * good / len(gradients)


def autoclip(norms, n):
    auto = clipping.AutoClip()
    return [auto.update(norm) for norm in norms][-1]


WRONG = [
    ("mean-of-clipped", library, "that is the hard rule"),
    ("mean-of-clipped", lambda g, eta: np.mean(np.clip(g, -eta, eta), axis=0), "clipping by value"),
    ("mean-of-clipped", rows(lambda length, eta: eta / length), "short ones were made longer"),
    ("mean-of-clipped", rows(lambda length, eta: 1 / (1 + length / eta)), "squares and root are missing"),
    ("mean-of-clipped", rows(lambda length, eta: soft(length, eta) ** 2), "the square root is missing"),
    ("mean-of-clipped", rows(lambda length, eta: soft(length, 1)), "in units of η"),
    ("mean-of-clipped", lambda g, eta: rows(soft)(g.mean(0)[None], eta), "the mean was clipped"),
    ("mean-of-clipped", lambda g, eta: len(g) * rows(soft)(g, eta), "the mean is wanted"),
    ("mean-of-clipped", careless, "squares left the range"),
    ("mean-of-clipped", without_zeros, "counts in B like any other"),
    ("mean-of-clipped", in_one_scale, "by its own largest entry"),
    ("mean-of-clipped", lambda g, eta: rows(soft)(g, eta) if np.isfinite(g).any() else 0 * g[0], "Zeros are"),
    ("mean-of-clipped", mended, "Its whole row is not to be trusted"),
    ("mean-of-clipped", all_counted, "divide by the rows that are left"),
    ("find-threshold", autoclip, "as large as whole norms"),
    ("find-threshold", lambda norms, n: np.percentile(norms, 25), "as large as whole norms"),
    ("find-threshold", lambda norms, n: np.median(norms) / n, "Too low"),
    ("find-threshold", lambda norms, n: 1.0, "another unit"),
    ("find-threshold", lambda norms, n: np.inf, "a finite positive number"),
    ("keeps-direction", lambda: [("g'/norm(g') = g/norm(g)", "algebra")], "1"),
]
PREDICTIONS = [
    (0, -4, "long gradient alone"),
    (0, 0.8, "for η = 1"),
    (1, 19, "nothing is clipped"),
    (2, 53.13, "angle of (3, 4) itself"),
    (3, 1, "whole vector gets length 1"),
]


@pytest.mark.parametrize(("which", "wrong", "words"), PREDICTIONS)
def test_a_wrong_prediction_is_explained(which, wrong, words, told_of_number):
    assert words in told_of_number("clipping", RIGHT, which, wrong)


@pytest.mark.parametrize(("task", "answer", "words"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(task, answer, words, told):
    assert words in told("clipping", task, {task.replace("-", "_"): answer}, seed=1)


@pytest.mark.parametrize("share", [0.5, 0.7, 1.0, 1.3])
def test_thresholds_in_the_band_pass(share, passes):
    rule = {"find_threshold": lambda norms, n: share * np.median(norms) / n**0.5}
    assert passes("clipping", "find-threshold", rule, seed=1)


def test_the_given_network_descends_along_the_gradient_of_the_library():
    seed, unit, eta = 5, 10.0, 0.2
    draw = np.random.default_rng(seed)
    words = draw.normal(size=(given.NAMES + given.FILLERS, given.INPUTS))
    W, U, b, readout = given._start(seed, draw)
    names, order = given._read(draw, 3)
    cell = RNN(weight_ih=U, weight_hh=W, bias_ih=b, bias_hh=np.zeros_like(b))
    losses, norms = given.train(seed, eta, unit, updates=3)
    for k in range(3):
        trace = bptt.unroll(cell, words[order[k]])
        h = trace.outputs[-1]
        loss, d_logits = cross_entropy(h @ readout, names[k])
        d_outputs = np.zeros_like(trace.outputs)
        d_outputs[-1] = unit * d_logits @ readout.T
        grads = dict(bptt.backprop(trace, d_outputs).parameters)
        grads["readout"] = unit * h.T @ d_logits
        assert losses[k] == pytest.approx(loss, rel=1e-9)
        assert norms[k] == pytest.approx(clipping.by_norm(grads, np.inf)[1], rel=1e-9)
        assert sum(g.size for g in grads.values()) == given.ENTRIES
        step = clipping.by_value(grads, eta)
        cell = cell.replace(**{name: w - 0.3 / unit * step[name] for name, w in cell.parameters.items()})
        readout = readout - 0.3 / unit * step["readout"]


def test_networks_side_by_side_are_the_same_as_alone():
    together = given.train_all([3, 8], [0.1, np.inf], [1.0, 100.0], updates=20)
    for i, (seed, eta, unit) in enumerate([(3, 0.1, 1.0), (8, np.inf, 100.0)]):
        alone = given.train(seed, eta, unit, updates=20)
        for many, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(many[:, i], one, rtol=1e-6)
