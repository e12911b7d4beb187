"""Wrong answers to the exercises on products of Jacobians, and what they are told."""

import numpy as np
import pytest

from vglib import RNN, bptt, jacobians
from vglib.course.given.jacobians import draw_network, log_norm_at

RIGHT = (1.1**49, 895, 0.95, 152)


def predict(question, value):
    answer = list(RIGHT)
    answer[question] = value
    return lambda: answer


def relay(keep, hand_on, units=8):
    return lambda radius: keep(radius) * np.eye(units) + hand_on(radius) * np.eye(units, k=1)


def gain(slopes, W, v, way="right"):
    """Return the logs as the solution does, with one mistake."""
    v = v if way in ("undivided", "again") else v / np.linalg.norm(v)
    logs = [0.0]
    for slope in slopes if way == "turned" else slopes[::-1]:
        v = {"column": slope * (W @ v), "late": (v @ W) * slope}.get(way, (v * slope) @ W)
        length = np.max(np.abs(v)) if way == "largest" else np.linalg.norm(v)
        if length == 0 and way != "nan":
            logs.append(-np.inf)
            continue
        logs.append(np.log(length) + (0 if way in ("each", "plain", "undivided") else logs[-1]))
        v = v if way in ("plain", "undivided") else v / length
    return np.array(logs if way == "forward" else logs[::-1])


def wrong(way):
    return lambda slopes, W, v: gain(slopes, W, v, way)


def bisect(W0, U, x, level=0.0):
    low, high = 0.5, 4.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if log_norm_at(middle, W0, U, x) < level else (low, middle)
    return low


KNOWN = {}


def first_only(W0, U, x):
    """Search once, and give the same gain to every later network."""
    return KNOWN.setdefault("gain", bisect(W0, U, x))


WRONG = [
    ("predictions", predict(0, 117.39), "there are 49 arrows"),
    ("predictions", predict(1, 829), "for a start of 1"),
    ("predictions", predict(1, 764), "more steps than from 1, not fewer"),
    ("predictions", predict(1, 1047), "smallest number of all"),
    ("predictions", predict(1, -895), "mind the sign"),
    ("predictions", predict(1, 894), "steps are whole"),
    ("predictions", predict(1, 894.71), "steps are whole"),
    ("predictions", predict(2, 21 / 22), "even 11 u stays"),
    ("predictions", predict(2, 0.9), "needs no rounding"),
    ("predictions", predict(3, 150), "for a start of 1"),
    ("predictions", predict(3, 151), "half of it"),
    ("predictions", predict(3, 153), "each product is rounded"),
    ("predictions", predict(3, 160), "too large"),
    ("surprise", relay(lambda r: 0, lambda r: 3), "no eigenvalue but 0"),
    ("surprise", relay(lambda r: 0.5, lambda r: 2.5), "same as for another radius"),
    ("surprise", relay(lambda r: r, lambda r: 3), "one step stretches by"),
    ("surprise", relay(lambda r: r, lambda r: 3 - r, 3), "over before five steps"),
    ("surprise", lambda r: r * np.eye(8), "W is normal"),
    ("surprise", relay(lambda r: r, lambda r: 1.0), "three times as large"),
    ("surprise", lambda r: np.full((8, 8), 1e300), "one step stretches by"),
    ("vector-log-gain", wrong("column"), "J v. A gradient is a row"),
    ("vector-log-gain", wrong("late"), "meets the slopes first"),
    ("vector-log-gain", wrong("turned"), "last Jacobian comes first"),
    ("vector-log-gain", wrong("each"), "one step's log"),
    ("vector-log-gain", wrong("forward"), "order is turned"),
    ("vector-log-gain", wrong("undivided"), "divide v by its length at the start"),
    ("vector-log-gain", wrong("plain"), "underflows. Rescale it"),
    ("vector-log-gain", wrong("largest"), "logarithm of the largest entry"),
    ("vector-log-gain", wrong("nan"), "NaN. A zero vector"),
    ("vector-log-gain", lambda slopes, W, v: np.zeros(len(slopes) + 1), "Take the logarithm before"),
    ("find-gain", lambda W0, U, x: 1 / np.max(np.abs(np.linalg.eigvals(W0))), "spectral radius 1"),
    ("find-gain", lambda W0, U, x: 1 / np.linalg.norm(W0, 2), "largest singular value 1"),
    ("find-gain", lambda W0, U, x: 0.0, "a positive number is wanted"),
    ("find-gain", lambda W0, U, x: 1.0, "The gradient fades"),
    ("find-gain", lambda W0, U, x: bisect(W0, U, x, 2.0), "search on, in smaller steps"),
    ("find-gain", lambda W0, U, x: 3.9, "The gradient explodes"),
    ("find-gain", lambda W0, U, x: 1e300, "tanh is flat"),
    ("find-gain", first_only, "The line lies elsewhere"),
]


@pytest.mark.parametrize(("task", "answer", "words"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(task, answer, words, told):
    KNOWN.clear()
    assert words in told("jacobians", task, {task.replace("-", "_"): answer})


def test_the_right_ways_of_the_functions_pass(passes):
    right = {
        "predictions": lambda: RIGHT,
        "surprise": relay(lambda r: r, lambda r: 3 - r),
        "vector_log_gain": gain,
        "find_gain": bisect,
    }
    for function in right:
        assert passes("jacobians", function.replace("_", "-"), right)


def test_a_rotated_matrix_passes_although_its_eigenvalues_are_hard_to_compute(passes):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    shear = relay(lambda r: r, lambda r: 3 - r, 6)

    def surprise(radius):
        W = np.zeros((8, 8))
        W[:6, :6] = shear(radius)
        W *= 1 - 1e-12  # so that rounding does not lift the norm above 3
        return turn @ W @ turn.T

    assert passes("jacobians", "surprise", {"surprise": surprise})


def test_the_given_number_is_that_of_the_library():
    W0, U, x = draw_network(np.random.default_rng(0))
    for g in (0.7, 2.0):
        zeros = np.zeros(len(U))
        cell = RNN(weight_ih=U, weight_hh=g * W0, bias_ih=zeros, bias_hh=zeros)
        want = jacobians.log_norms(bptt.unroll(cell, x))[0].mean()
        assert log_norm_at(g, W0, U, x) == pytest.approx(want, abs=1e-9)
