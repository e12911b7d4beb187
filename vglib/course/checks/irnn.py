"""Checks of the exercises on identity RNNs."""

from __future__ import annotations

import math

import numpy as np

from vglib import bptt, irnn, jacobians
from vglib.course.calling import Call
from vglib.course.checks.compare import apart, array, compare, predictions, several
from vglib.course.checks.topic import Topic

checks = Topic("irnn")


@checks.check("predictions")
def _predictions(call: Call, rng: np.random.Generator) -> str:
    # 1: a unit driven by positive numbers is never off.
    steady = irnn.init(1, 1, scale=0.99).replace(weight_ih=np.ones((1, 1)))
    logs = jacobians.log_norms(bptt.unroll(steady, rng.uniform(0.1, 1.0, size=(150, 1, 1))))
    # 2: the same sequence, weights ten times as large; so many units that some stay on.
    x = rng.normal(size=(6, 1, 3))
    sizes = [jacobians.log_norms(bptt.unroll(irnn.init(3, 64, std=std), x))[2, 0] for std in (0.01, 0.1)]
    # 3: all pairs of a fine grid, evenly spread; one side has a point less, so that few sums are 0.
    first, second = (((np.arange(n) + 0.5) / n - 0.5) for n in (100, 101))
    pairs = np.stack(np.meshgrid(first, second)).reshape(2, -1, 1)
    on = bptt.unroll(steady.replace(weight_hh=np.ones((1, 1))), pairs).saved[0] > 0
    # 4: what is left is the distance of a number from ½, which is `first` moved by ½.
    truth = [
        math.exp(logs[0, 0]),
        math.exp(sizes[1] - sizes[0]),
        float(np.mean(np.all(on, axis=0))),
        float(np.mean(first**2)),
    ]
    names = ["left after 150 steps", "factor", "open over two steps", "mean squared error"]
    mistakes = [
        (0, 0.99**149, "that is 0.99^149. From 150 steps earlier it is 150 factors."),
        (0, -0.5, "losses of 1 % multiply: they do not add up to 150 %."),
        (0, 0.0, "it shrinks, and does not vanish: compute 0.99^150."),
        (
            1,
            10,
            "the states are 10 times as large, and so is ∂h/∂x. "
            "But the path from h to h has no input weight on it.",
        ),
        (1, 0.1, "the path from h to h has no input weight on it."),
        (
            2,
            0.25,
            "½ · ½ would be right if the second number had to be positive. It must only not undo the first.",
        ),
        (2, 0.5, "that is the first step. The sum of both must be positive, too."),
        (2, 0.75, "that is the second step, given the first. Multiply by the first."),
        (3, 1 / 6, "that is the error of a network that knows neither number."),
        (3, 0.25, "the squared error is at most ¼, at the ends. What is it on average?"),
        (3, 1 / 3, "that is the mean of v². The best answer for an unknown number is its mean, not 0."),
    ]
    near = [1e-4, 1e-9, 4e-3, 1e-3]
    return predictions(
        call("predictions"),
        truth,
        names,
        mistakes,
        tolerances=near,
        absolute=True,
        column="measured",
        digits=".4f",
    )


def _pushed(x, U):
    """Find the tolls by trial: push each h_t by more than any toll, run on, and see what is missing at T."""
    driven = x @ U.T
    steps, units = driven.shape
    push = 1.0 + 2 * np.abs(driven).sum()
    h, pushed = np.zeros(units), np.zeros((steps + 1, units))
    for t, given in enumerate(driven):
        pushed[t] = h + push
        pushed[: t + 1] = np.maximum(0, pushed[: t + 1] + given)
        h = np.maximum(0, h + given)
    pushed[steps] = h + push
    return push - (pushed - h)


def _to_the_end(cuts):
    """Return the sums from each step to the end, and a row of zeros."""
    return np.concatenate([np.cumsum(cuts[::-1], axis=0)[::-1], np.zeros((1, cuts.shape[1]))])


def _mistaken_tolls(x, U, want):
    driven = x @ U.T
    h, sums = np.zeros(len(U)), []
    for given in driven:
        sums.append(h + given)
        h = np.maximum(0, h + given)
    sums, none = np.array(sums), np.zeros((1, len(U)))
    cuts, free = np.maximum(0, -sums), np.maximum(0, -np.cumsum(driven, axis=0))
    largest = np.concatenate([np.maximum.accumulate(cuts[::-1])[::-1], none])
    later = [np.minimum.accumulate(np.cumsum(driven[t:], axis=0), axis=0)[-1] for t in range(len(x))]
    empty = np.concatenate([np.maximum(0, -np.array(later)), none])
    is_open = np.concatenate([np.logical_and.accumulate((sums > 0)[::-1])[::-1], none == 0]).astype(float)
    return [
        (is_open, "that is the gradient, 1 where a path is open. A toll is 0 there, and a number elsewhere."),
        (1 - is_open, "that says which paths are shut. How much is cut off on the way?"),
        (
            _to_the_end(np.maximum(0, -driven)),
            "you looked at the input of a step alone. A large sum is not cut by a small push down.",
        ),
        (_to_the_end(free), "your sums go below 0. Cut them there: h = max(0, a)."),
        (largest, "that is the largest single cut. A push pays at each of them."),
        (_to_the_end(1.0 * (cuts > 0)), "you counted the cuts. Add up how much each of them takes."),
        (np.concatenate([cuts, none]), "those are the cuts of single steps. Add them up from t to the end."),
        (
            np.concatenate([none, np.cumsum(cuts, axis=0)]),
            "you added up the cuts before t. A push on h_t meets those that come after it.",
        ),
        (
            np.concatenate([want[1:], none]),
            "one step late: a push on h_t meets the cut of step t as well, on its way to h_{t+1}.",
        ),
        (empty, "you start at t with an empty unit. What it holds there, h_t, comes on top of the push."),
        (want[::-1], "the order is turned; entry T comes last."),
    ]


@checks.check("tolls")
def _tolls(call: Call, rng: np.random.Generator) -> str:
    paper = np.array([[2.0], [-3.0], [1.0], [-1.5], [2.0]])
    cases = [("inputs 2, −3, 1, −1.5, 2", paper, np.ones((1, 1)))]
    for steps, units, inputs in ((1, 4, 2), (5, 3, 1), (40, 16, 6), (200, 32, 8)):
        x, U = rng.normal(size=(steps, inputs)), rng.normal(size=(units, inputs)) * 0.01
        cases.append((f"T = {steps}, H = {units}", x, U))
    answers = call.many("tolls", [inputs for _, *inputs in cases])
    rows = ["Right: so much a push loses on its way, found by pushing."]
    for got, (where, x, U) in zip(answers, cases, strict=True):
        want = _pushed(x, U)
        # A toll is a sum of inputs, so their size says what counts as 0.
        size = float(np.abs(x @ U.T).sum(axis=0).max())
        compare(got, want, where, _mistaken_tolls(x, U, want), scale=size)
        free = np.sum(want[0] < 1e-9 * size)
        rows.append(f"{where}: from the first step {free} of {len(U)} paths are open.")
    return "\n".join(rows[:1] + rows[2:])


def _run(parts, v, marks):
    """Return the answers of a network with these weights, and the right ones."""
    W_ih, W_hh, b, r, c = parts
    batch = np.arange(v.shape[1])
    x = np.stack([v, np.zeros_like(v)], axis=-1)
    x[marks, batch, 1] = 1.0
    h = np.zeros((v.shape[1], len(b)))
    for driven in x @ W_ih.T + b:
        h = np.maximum(0, driven + h @ W_hh.T)
    return h @ r + c, v[marks, batch].sum(axis=0)


def _hears_unmarked(parts, v, marks, limits):
    """Return whether the answers change when all numbers without a mark are moved to a limit."""
    batch, answers = np.arange(v.shape[1]), []
    for limit in limits:
        moved = np.full_like(v, limit)
        moved[marks, batch] = v[marks, batch]
        answers.append(_run(parts, moved, marks)[0])
    return np.max(np.abs(answers[0] - answers[1])) > 1e-6 * (limits[1] - limits[0])


def _weights(answer, where):
    answer = several(answer, 5, f"{where}: five things, W_ih, W_hh, b, r and c,")
    bias = array(answer[2], f"{where}: b")
    units = len(bias) if bias.ndim else 0
    assert 1 <= units <= 4, f"{where}: b has shape {bias.shape}; one to four units are allowed."
    shapes = [(units, 2), (units, units), (units,), (units,), ()]
    parts = []
    for name, part, shape in zip(("W_ih", "W_hh", "b", "r", "c"), answer, shapes, strict=True):
        part = array(part, f"{where}: {name}, for H = {units} units", shape)
        assert np.all(np.isfinite(part)), f"{where}: {name} has an entry that is not finite."
        parts.append(part)
    return parts


@checks.check("signed-adder")
def _signed_adder(call: Call, rng: np.random.Generator) -> str:
    ranges = [
        (-1.0, 1.0),
        (-round(float(rng.uniform(2, 4)), 2), round(float(rng.uniform(0.3, 0.9)), 2)),
        # Of another size, so that one network cannot serve all.
        (-round(float(rng.uniform(30, 90)), 1), round(float(rng.uniform(200, 400)), 1)),
    ]
    answers = call.many("signed_adder", ranges)
    known = {
        "no negative number, T = 20": (
            "Does one unit keep all that it has, and the gate nothing? Is the gate right at both limits of v?"
        ),
        "T = 20": "A gate that is off for a negative number loses it.",
        "marks next to each other": "Does the gate forget the first before the second comes?",
        "the last step marked": "Its number has not reached the unit that keeps: read out the gate as well.",
        "T = 2000": "A small leak or a small growth shows only here: what keeps must keep exactly.",
    }
    rows = []
    for answer, (low, high) in zip(answers, ranges, strict=True):
        place = f"numbers from {low:g} to {high:g}".replace("-", "−")
        parts = _weights(answer, place)

        def draw(steps, batch, least, low=low, high=high):
            numbers = rng.uniform(low if least is None else least, high, size=(steps, batch))
            # The limits themselves are allowed, too.
            numbers[:, -2:] = [high, low if least is None else least]
            return numbers

        # Neither neighbours nor the last step: those are tested by themselves.
        far = np.stack([rng.integers(1, 8, size=50), rng.integers(10, 18, size=50)])
        v, each = draw(20, 50, None), np.ones(50, int)
        tests = {
            "no negative number, T = 20": (draw(20, 50, 0.0), far),
            "T = 20": (v, far),
            "marks next to each other": (v, np.stack([7 * each, 8 * each])),
            "the last step marked": (v, np.stack([3 * each, 19 * each])),
            "the first step marked": (v, np.stack([0 * each, 12 * each])),
            "T = 2": (draw(2, 50, None), np.stack([0 * each, each])),
        }
        if low == -1:
            marks = np.sort(np.argsort(rng.uniform(size=(2000, 20)), axis=0)[:2], axis=0)
            tests["T = 2000"] = draw(2000, 20, None), marks
        answered, want = _run(parts, v, far)
        shift = answered - want
        if np.ptp(shift) < 1e-9 and np.abs(shift).max() > 1e-6:
            way = "large" if shift[0] > 0 else "small"
            raise AssertionError(
                f"{place}: every answer is {abs(shift[0]):.6g} too {way}. "
                "Which c mends that, for any low and high?"
            )
        for name, (numbers, marks) in tests.items():
            got, want = _run(parts, numbers, marks)
            error = np.abs(got - want)
            at = int(np.argmax(np.where(np.isfinite(error), error, np.inf)))
            if error[at] < 1e-9 * max(1.0, high - low):
                continue
            why = known.get(name, "")
            if error[at] < 1e-5 * (high - low) and name != "T = 2000":
                why = "That is almost right: is there a float32 or a rounding in it?"
            elif _hears_unmarked(parts, numbers, marks, (low, high)):
                why = "Numbers without a mark change your answer: there the gate must be 0, up to v = high."
            first, second = numbers[marks[:, at], at]
            right, yours = apart(want[at], got[at])
            raise AssertionError(
                f"{place}, {name}: marked were {first:.6g} and {second:.6g}, the sum is {right}, "
                f"yours {yours}. {why}".strip()
            )
        rows.append(f"{place:28s} right for {len(tests)} kinds of sequences")
    return "\n".join(rows)
