"""Typical wrong answers to the exercises on orthogonal matrices, and what each of them is told."""

import math
import re

import numpy as np
import pytest

from vglib import RNN, bptt
from vglib.course.given.orthogonality import run_start

RIGHT = (32512, 10, 2 * math.tan(math.radians(179) / 2), 69)
PREDICTIONS = [
    (0, 4 * 128**2, "that is all entries"),
    (0, 8128, "that is one gate"),
    (0, 512 * 511 // 2, "four small ones"),
    (1, 9, "σ₁ = 9.11"),
    (1, 9.9, "round up"),
    (1, 1e9, "not that slow"),
    (2, math.pi * 179 / 180, "the exponential's a"),
    (2, 114.6, "half of it"),
    (2, 179, "a is no angle"),
    (3, 7, "not 1 − 0.1"),
    (3, 34.5, "slope squared"),
    (3, 68, "one step too early"),
    (3, 68.97, "round up"),
    (3, 80, "too large"),
]


@pytest.mark.parametrize(("which", "wrong", "words"), PREDICTIONS)
def test_a_wrong_prediction_is_explained(which, wrong, words, told_of_number):
    assert re.search(words, told_of_number("orthogonality", RIGHT, which, wrong))


def by_block(make):
    def nearest_rotations(W, gates):
        blocks = W.reshape(gates, -1, W.shape[1])
        return np.concatenate([make(block) for block in blocks])

    return nearest_rotations


def turned(make, column):
    """Return what `make` gives, with one column turned over if it is a mirror image."""

    def changed(block):
        Q = make(block).copy()
        if np.linalg.det(Q) < 0:
            Q[:, column] *= -1
        return Q

    return changed


def polar(block):
    U, _, Vt = np.linalg.svd(block)
    return U @ Vt


def within(block, which, always=False):
    U, _, Vt = np.linalg.svd(block)
    if always or np.linalg.det(U @ Vt) < 0:
        U[:, which] *= -1
    return U @ Vt


def twice_transposed(block):
    U, _, Vt = np.linalg.svd(block)
    U[:, -1] *= np.sign(np.linalg.det(U @ Vt.T))
    return U @ Vt.T


def q_of(block):
    return np.linalg.qr(block)[0]


def whole_stack(W, gates):
    U, _, Vt = np.linalg.svd(W, full_matrices=False)
    return U @ Vt


def split_otherwise(W, gates):
    hidden = W.shape[1]
    blocks = W.reshape(hidden, gates, hidden).swapaxes(0, 1)
    return np.stack([within(block, -1) for block in blocks]).swapaxes(0, 1).reshape(W.shape)


ROTATIONS = [
    (by_block(polar), "mirror image: its determinant is −1"),
    (by_block(lambda block: within(block, -1, always=True)), "was a rotation already|mirror image"),
    (by_block(lambda block: within(block, 0)), "large singular value is turned over"),
    (by_block(lambda block: polar(block) * np.sign(np.linalg.det(block))), "is −U Vᵀ"),
    (by_block(turned(polar, -1)), "turned rows or columns"),
    (by_block(twice_transposed), "returns Vᵀ already"),
    (by_block(turned(q_of, 0)), "QR's Q"),
    (by_block(lambda block: block / np.linalg.norm(block, axis=0)), "Is Σ still in it"),
    (by_block(lambda block: np.eye(len(block))), "some other lies nearer"),
    (split_otherwise, "were the rows split otherwise"),
    (lambda W, gates: W.ravel(), "the shape is"),
]


@pytest.mark.parametrize(("function", "words"), ROTATIONS)
@pytest.mark.parametrize("seed", [7, 8, 9])
def test_wrong_rotations_are_explained(function, words, seed, told):
    assert re.search(words, told("orthogonality", "nearest-rotations", {"nearest_rotations": function}, seed))


def test_rotations_in_half_the_digits_are_right_too(passes):
    function = by_block(lambda block: within(block.astype("float32"), -1))
    assert passes("orthogonality", "nearest-rotations", {"nearest_rotations": function})


def test_a_stack_that_is_orthogonal_as_a_whole_is_told_to_be_split(told):
    def nearest_rotations(W, gates):
        return by_block(lambda block: within(block, -1))(W, 1) if gates == 1 else whole_stack(W, gates)

    assert "Split W first" in told(
        "orthogonality", "nearest-rotations", {"nearest_rotations": nearest_rotations}
    )


def backward(X, G, lower=True, other=1.0, half=0.5, transposed=True):
    eye = np.eye(len(X))
    A = np.tril(X, -1) - np.tril(X, -1).T
    W = np.linalg.solve(eye - A / 2, eye + A / 2)
    left = eye - A / 2
    d_A = np.linalg.solve(left.T, G) @ (W + eye).T if transposed else np.linalg.solve(left, G) @ (W + eye)
    d_X = half * (d_A - other * d_A.T)
    return np.tril(d_X, -1) if lower else d_X


CAYLEY = [
    ({"other": 0.0}, "The share of (j, i) is missing"),
    ({"other": -1.0}, "subtract that share"),
    ({"lower": False}, "X counts only below its diagonal"),
    ({"lower": False, "other": 0.0}, "an A with free entries"),
    ({"transposed": False}, "transpose both factors"),
    ({"half": 1.0}, "twice the right answer"),
    ({"half": -0.5}, "but the sign"),
]


@pytest.mark.parametrize(("change", "words"), CAYLEY)
def test_a_wrong_gradient_through_cayley_is_explained(change, words, told):
    # Whatever is wrong is seen only from n = 2 on.
    assert words in told(
        "orthogonality", "cayley-backward", {"cayley_backward": lambda *inputs: backward(*inputs, **change)}
    )


def test_differences_are_a_right_gradient_too(passes):
    def loss(X, G):
        A = np.tril(X, -1) - np.tril(X, -1).T
        return np.sum(G * np.linalg.solve(np.eye(len(X)) - A / 2, np.eye(len(X)) + A / 2))

    def cayley_backward(X, G, step=1e-6):
        grad = np.zeros_like(X)
        for place in np.ndindex(X.shape):
            E = np.zeros_like(X)
            E[place] = step
            grad[place] = (loss(X + E, G) - loss(X - E, G)) / (2 * step)
        return grad

    for seed in range(20):
        assert passes("orthogonality", "cayley-backward", {"cayley_backward": cayley_backward}, seed)


def start(gain=1.0, variance=2e-5, shrinks=True, triangular=False):
    def choose_start(inputs, hidden, rng):
        W = np.linalg.qr(rng.normal(size=(hidden, hidden)))[0]
        if triangular:
            W = np.eye(hidden) + np.triu(rng.normal(size=(hidden, hidden)), 1)
        return gain * W, rng.normal(size=(hidden, inputs)) * math.sqrt(variance / (inputs if shrinks else 1))

    return choose_start


def test_what_is_felt_of_the_first_input_is_its_gradient():
    draw = np.random.default_rng(4)
    W, U, x = draw.normal(size=(5, 5)) / 2, draw.normal(size=(5, 2)), draw.normal(size=(7, 3, 2))
    cell = RNN(weight_ih=U, weight_hh=W, bias_ih=np.zeros(5), bias_hh=np.zeros(5))
    trace = bptt.unroll(cell, x)
    none, squares = np.zeros((7, 3, 5)), np.zeros(3)
    for unit in np.eye(5):
        first = bptt.backprop(trace, none, np.tile(unit, (3, 1)), want="inputs").inputs[0]
        squares += np.sum(first**2, axis=1)
    assert run_start(W, U, x)[1] == pytest.approx(np.mean(np.sqrt(squares / 5)), rel=1e-10)


def few_read(inputs, hidden, rng):
    """Let one unit remember and all others carry the gradient."""
    U = np.zeros((hidden, inputs))
    U[0] = 1.0
    return np.eye(hidden), U


STARTS = [
    (start(variance=1e-2), "a smaller U"),
    (start(variance=1e-8), "a larger U"),
    (start(variance=0.0), "a larger U"),
    (start(shrinks=False), "U must shrink as 1/√D"),
    (start(gain=0.95), "W is not orthogonal"),
    (start(triangular=True), "eigenvalues do not decide"),
    (start(gain=1e200), "W has an entry of"),
    (few_read, "the few units that read are full"),
    (lambda inputs, hidden, rng: (np.eye(hidden), np.zeros((inputs, hidden)) + 1e-3), "the shape is"),
    (lambda inputs, hidden, rng: np.eye(hidden), "two arrays, (W, U), are wanted"),
]


@pytest.mark.parametrize(("function", "words"), STARTS)
def test_a_wrong_start_is_explained(function, words, told):
    assert words in told("orthogonality", "choose-start", {"choose_start": function})
