"""Checks of the exercises on products of Jacobians."""

from __future__ import annotations

import math

import numpy as np

from vglib.course.calling import Call
from vglib.course.checks.compare import array, compare, predictions
from vglib.course.checks.proving import prove
from vglib.course.checks.topic import Topic
from vglib.course.given.jacobians import draw_network, log_norm_at

checks = Topic("jacobians")


def _steps_until(value, factor, done):
    """Multiply in float32 until `done`, and count."""
    value, factor, count = np.float32(value), np.float32(factor), 0
    while not done(value):
        value, count = value * factor, count + 1
    return count


def _stuck_at(factor):
    """Multiply a whole number again and again, rounding each product to a whole one; even wins a tie."""
    value, before = 1000, None
    while value != before:
        value, before = round(value * factor), value
    return value


@checks.check("predictions")
def _predictions(call: Call, rng: np.random.Generator) -> str:
    tiny = np.finfo(np.float32).tiny
    leaves = _steps_until(1024, 0.9, lambda value: value < tiny)
    zero = _steps_until(5, 0.5, lambda value: value == 0)
    low, high = 0.5, 0.99
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _stuck_at(middle) >= 10 else (middle, high)
    truth = [math.prod([1.1] * 49), leaves, high, zero]
    names = [
        "∂h(50)/∂h(1)",
        "1024 · 0.9ⁿ leaves the normal range at n",
        "10 u stays: w from",
        "5 · 0.5ⁿ is 0 at n",
    ]
    own = math.log(2) / -math.log(0.9)  # steps by 0.9 to a factor of ½
    mistakes = [
        (0, 1.1**50, "that is 1.1^50. From 1 to 50 there are 49 arrows."),
        (0, 1.1**48, "that is 1.1^48. From 1 to 50 there are 49 arrows."),
        (0, 0.1 * 49, "the factors are multiplied, not added."),
        (1, (127 * own - 8, 126 * own + 2), "that is for a start of 1. From 1024 the way down is longer."),
        (1, (116 * own - 2, 116 * own + 2), "1024 is above 1: it takes more steps than from 1, not fewer."),
        (
            1,
            (33 * own - 2, 33 * own + 2),
            "2^−23 is float32's rounding unit: a matter of digits, not of range.",
        ),
        (
            1,
            (159 * own - 3, 159 * own + 3),
            "at 2^−149 lies the smallest number of all. Full accuracy ends sooner.",
        ),
        (1, (leaves - 1, leaves - 0.001), "steps are whole: the first n that lies beyond."),
        (1, (1020, 1040), "that is where it sticks. Full accuracy ends sooner."),
        (1, (-math.inf, -1.0), "ln 0.9 is negative: mind the sign."),
        (
            2,
            1 - 0.5 / 11,
            "from there on even 11 u stays, and 10 u is never reached. Where does 10 u begin to stay?",
        ),
        (2, 0.9, "10 u · 0.9 = 9 u, which needs no rounding. A step of less than u/2 is undone."),
        (2, 0.05, "that is 1 − w."),
        (2, 0.5, "at 0.5 even 1 u goes to 0. Which w takes less than u/2 from 10 u?"),
        (3, 150.0, "that is for a start of 1. At n = 149 there are still 5 u."),
        (3, 149.0, "there are still 5 u: 5 · 2^−149."),
        (3, 151.0, "u is still there. What is half of it rounded to?"),
        (3, 153.0, "5 · 2^−152 is more than half of u. But each product is rounded: 5u, 2u, u, and then?"),
        (3, (124.0, 148.0), "below 2^−126 there are still multiples of u."),
    ]
    return predictions(
        call("predictions"), truth, names, mistakes, tolerances=[1e-3, 0.0, 1e-3, 0.0], column="multiplied"
    )


def _power(W, k):
    return np.linalg.norm(np.linalg.matrix_power(W, k), 2)


@checks.check("surprise")
def _surprise(call: Call, rng: np.random.Generator) -> str:
    radii = [0.5, *(round(float(r), 3) for r in rng.uniform(0.2, 0.6, size=2))]
    answers = call.many("surprise", [(radius,) for radius in radii])
    found = []
    for radius, answer in zip(radii, answers, strict=True):
        where = f"radius = {radius:g}"
        W = array(answer, where)
        square = W.ndim == 2 and 1 <= W.shape[0] == W.shape[1] <= 8
        assert square, f"{where}: W must be (n, n) with n ≤ 8; its shape is {W.shape}."
        assert np.all(np.isfinite(W)), f"{where}: W has an entry that is not finite."
        size = np.linalg.norm(W, 2) if np.max(np.abs(W)) < 1e9 else math.inf
        if size > 3 + 1e-9:
            raise AssertionError(
                f"{where}: one step stretches by {size:.3g}, more than 3. "
                "Spread the growth over five steps, by more units."
            )
        largest = np.max(np.abs(np.linalg.eigvals(W)))
        # Rounding moves the eigenvalues of such a matrix by this much, unless it is triangular.
        if abs(largest - radius) > 0.01:
            why = "That is too large."
            if found and np.array_equal(W, found[0]):
                why = "W is the same as for another radius."
            elif largest < 1e-9:
                why = "A relay alone has no eigenvalue but 0. Let each unit keep a part of its value, too."
            elif largest < radius:
                why = "That is too small."
            raise AssertionError(f"{where}: the spectral radius is {largest:.3g}. {why}")
        growth = _power(W, 5)
        if not growth >= 100:
            why = "Does what is handed on get close to three times as large at each step?"
            if np.allclose(W @ W.T, W.T @ W):
                why = "W is normal, so its norm is its spectral radius, and powers can only shrink."
            elif len(W) < 6:
                why = f"A relay of {len(W)} units is over before five steps."
            raise AssertionError(f"{where}: ‖W^5‖ = {growth:.3g}, less than 100. {why}")
        found.append(W)
    lags, W, radius = (1, 2, 5, 10, 20, 60), found[0], radii[0]
    rows = [
        ("k", [f"{k}" for k in lags]),
        ("log10 ‖W^k‖", [f"{np.log10(_power(W, k)):.1f}" for k in lags]),
        ("k log10 max|λ|", [f"{k * np.log10(radius):.1f}" for k in lags]),
    ]
    table = [f"{name:15s}" + "".join(f"{v:>8s}" for v in row) for name, row in rows]
    return "\n".join([f"Yes, it can. For a spectral radius of {radius:g}:", *table])


def _log_lengths(slopes, W, v, kind=""):
    """Multiply without any care: right as long as a float can hold it."""
    lengths, row = [1.0], v
    measure = np.max if kind == "largest" else np.linalg.norm
    for slope in slopes if kind == "turned" else slopes[::-1]:
        if kind == "column":
            row = slope * (W @ row)
        elif kind == "late":
            row = (row @ W) * slope
        else:
            row = (row * slope) @ W
        lengths.append(measure(np.abs(row)) / np.linalg.norm(v))
    return np.log(lengths[::-1])


@checks.check("vector-log-gain")
def _vector_log_gain(call: Call, rng: np.random.Generator) -> str:
    known = [
        ("column", "you computed J v. A gradient is a row: v J, or Jᵀ v."),
        ("late", "the slopes come after W. J = diag(φ′) W: a row meets the slopes first."),
        ("largest", "that is the logarithm of the largest entry. The vector's length is wanted."),
        ("turned", "the steps run from 0 to T − 1. Go back: the last Jacobian comes first."),
    ]
    for steps, units in ((1, 3), (2, 2), (7, 4), (20, 6)):
        where = f"T = {steps}, H = {units}"
        slopes, v = rng.uniform(0.1, 1.0, size=(steps, units)), rng.normal(size=units) * 3
        W = rng.normal(size=(units, units))
        want = _log_lengths(slopes, W, v)
        undivided = want + np.log(np.linalg.norm(v)) * (np.arange(steps + 1) < steps)
        mistakes = [
            *((_log_lengths(slopes, W, v, kind), why) for kind, why in known),
            (-np.diff(want, append=0), "each entry is one step's log. Add them up, from T back."),
            (want[::-1], "the order is turned: entry T is 0, entry 0 is the longest way."),
            (undivided, "divide v by its length at the start."),
            (
                np.cumsum(want[::-1])[::-1],
                "v keeps its length, which is then counted anew at every step. Divide it out.",
            ),
            (np.exp(want), "these are the lengths; their logarithms are wanted."),
            (want / np.log(10), "that is the logarithm to base 10; the natural one is wanted."),
        ]
        got = array(call("vector_log_gain", slopes, W, v), where, (steps + 1,))
        if not np.any(np.abs(got) > 1e-9):
            raise AssertionError(f"{where}: all logs are 0. Take the logarithm before you divide it away.")
        compare(got, want, where, mistakes, tolerance=1e-8)
    # Far out of range there is a closed form: c W makes the product c^T times as large.
    slopes, v = rng.uniform(0.5, 1.0, size=(1000, 4)), rng.normal(size=4)
    W = np.linalg.qr(rng.normal(size=(4, 4)))[0] * 1.3
    base = _log_lengths(slopes, W, v)
    for c in (1e-3, 1e3):
        where = f"T = 1000, W of size {1.3 * c:g}"
        got = array(call("vector_log_gain", slopes, c * W, v), where, (1001,))
        lost = np.flatnonzero(~np.isfinite(got))
        if len(lost):
            event = "under" if c < 1 else "over"
            raise AssertionError(
                f"{where}: after {1000 - int(lost[-1])} steps the vector {event}flows. Rescale it."
            )
        compare(got, base + np.log(c) * np.arange(1000, -1, -1), where, tolerance=1e-8)
    where = "all units off at step 400"
    slopes[400] = 0.0
    got = array(call("vector_log_gain", slopes, W, v), where, (1001,))
    assert not np.any(np.isnan(got)), f"{where}: NaN. A zero vector cannot be divided by its length."
    assert np.all(got[:401] == -np.inf), f"{where}: entries 0 … 400 must be −inf."
    compare(got[401:], base[401:], f"{where}, entries 401 … T", tolerance=1e-8)
    return "Right from T = 1 to T = 1000, where the product is about 1e±3000, and with all units off."


@checks.check("find-gain")
def _find_gain(call: Call, rng: np.random.Generator) -> str:
    rows = ["network  gain  max|λ|   log-norm at 0.9 g     g   1.1 g"]
    networks = [draw_network(rng) for _ in range(3)]
    gains = [float(array(g, f"network {i}", ())) for i, g in enumerate(call.many("find_gain", networks), 1)]
    for i, (g, (W0, U, x)) in enumerate(zip(gains, networks, strict=True)):
        assert 0 < g < np.inf, f"network {i + 1}: the gain is {g:g}; a positive number is wanted."
        got = log_norm_at(g, W0, U, x)
        radius, size = np.max(np.abs(np.linalg.eigvals(W0))), np.linalg.norm(W0, 2)
        if not abs(got) <= 1:
            why = "The gradient fades: more gain." if got < 0 else "The gradient explodes: less gain."
            if abs(g * radius - 1) < 1e-3:
                why = "You made the spectral radius 1. But the slopes of tanh are below 1 and shrink it, too."
            elif abs(g * size - 1) < 1e-3:
                why = "You made the largest singular value 1: nothing can grow, and tanh makes it shrink."
            elif g > 4:
                why = "With so large a W most units sit where tanh is flat. Less gain."
            elif any(abs(g - other) < 1e-9 for other in gains[:i]):
                why = "The same gain did for an earlier network. The line lies elsewhere for each: search."
            elif abs(got) < 3:
                why = "Close. The line is thin: search on, in smaller steps."
            raise AssertionError(f"network {i + 1}: with g = {g:.3f} the log-norm is {got:.1f}. {why}")
        around = [round(log_norm_at(f * g, W0, U, x)) for f in (0.9, 1.1)]
        rows.append(
            f"{i + 1:7d}  {g:4.2f}  {g * radius:6.2f} {around[0]:19d} {round(got) + 0:5d} {around[1]:7d}"
        )
    return "\n".join(rows)


@checks.check("hochreiter-bound")
def _hochreiter_bound(call: Call, rng: np.random.Generator) -> str:
    return prove(call, "hochreiter_bound", "hochreiter_bound")
