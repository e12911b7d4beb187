"""Checks of the exercises on clipping."""

from __future__ import annotations

import math

import numpy as np

from vglib import clipping
from vglib.course.calling import Call
from vglib.course.checks.compare import array, compare, predictions
from vglib.course.checks.proving import prove
from vglib.course.checks.topic import Topic
from vglib.course.given.clipping import ENTRIES, train_all

checks = Topic("clipping")


@checks.check("predictions")
def _predictions(call: Call, rng: np.random.Generator) -> str:
    def mean(eta):
        usual, rare = (float(clipping.by_norm(np.array([g]), eta)[0][0]) for g in (1.0, -19.0))
        return (9 * usual + rare) / 10

    low, high = 1.0, 19.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(middle) > 0 else (low, middle)
    pair, equal = np.array([3.0, 4.0]), np.full(10_000, 0.05)
    cut = clipping.by_value(pair, 3.5)
    turn = math.degrees(math.acos(cut @ pair / np.linalg.norm(cut) / np.linalg.norm(pair)))
    truth = [mean(4.0), low, turn, float(clipping.by_norm(equal, 1.0)[0][0])]
    names = ["mean at η = 4", "η at which the mean is 0", "turn of (3, 4), degrees", "entry of 10,000"]
    mistakes = [
        (0, -4.0, "that is the long gradient alone. Nine of ten are +1."),
        (0, -1.0, "that is the mean before clipping, and −19 is longer than 4."),
        (0, 0.8, "that is for η = 1, as in the chapter. At 4 the long gradient becomes −4."),
        (0, -0.5, "the sign: nine times +1 is more than 4."),
        (0, -1.5, "the mean over two kinds; but one is nine times as frequent."),
        (1, 4.0, "at η = 4 the mean is still positive: see question 1."),
        (1, 19.0, "at 19 nothing is clipped, and the mean is −1."),
        (2, math.degrees(math.atan2(4, 3)), "that is the angle of (3, 4) itself. By how much did it turn?"),
        (2, -truth[2], "how far it turns is wanted, without a sign."),
        (
            2,
            math.degrees(math.acos(7 / math.sqrt(50))),
            "that is for a threshold of 1. At 3.5 the 3 stays as it is.",
        ),
        (2, math.radians(truth[2]), "that is in radians."),
        (2, 0.0, "by norm it would not turn. By value only the second entry is cut."),
        (3, 0.05, "each entry is small, yet the norm is not: 0.05 · √10,000 = 5."),
        (3, 1.0, "by norm the whole vector gets length 1, not each entry."),
        (3, 1e-4, "10,000 entries of 1e-4 have the norm 0.01. Divide by √n, not by n."),
    ]
    return predictions(call("predictions"), truth, names, mistakes)


def _plain(gradients, eta):
    """Clip row by row and take the mean, in numbers that Python's math.hypot keeps in range."""
    rows = []
    for row in gradients:
        if all(map(math.isfinite, row)):
            size = math.hypot(1.0, math.hypot(*row) / eta)
            rows.append([g / size for g in row])
    if not rows:
        return np.zeros(len(gradients[0]))
    return np.array([math.fsum(column) / len(rows) for column in zip(*rows, strict=True)])


@checks.check("mean-of-clipped")
def _mean_of_clipped(call: Call, rng: np.random.Generator) -> str:
    def run(gradients, eta, where, mistakes=(), hint=""):
        got = array(call("mean_of_clipped", gradients, eta), where, gradients.shape[1:])
        assert np.all(np.isfinite(got)), f"{where}: the result is not finite: {got}. {hint}".strip()
        compare(got, _plain(gradients, eta), where, mistakes, hint, tolerance=1e-9)

    for B, n in ((4, 2), (8, 5), (32, 10)):
        gradients = rng.normal(size=(B, n)) * rng.lognormal(sigma=2, size=(B, 1))
        lengths = np.linalg.norm(gradients, axis=1, keepdims=True)
        eta, whole = float(np.median(lengths)), gradients.mean(axis=0)
        columns = np.linalg.norm(gradients, axis=0)
        mistakes = [
            (
                np.mean(gradients * np.minimum(1, eta / lengths), axis=0),
                "that is the hard rule, min(1, η/‖g‖). The soft one shortens each row, if only a little.",
            ),
            (
                whole / np.hypot(1, np.linalg.norm(whole) / eta),
                "the mean was clipped. Clip each row, then take the mean.",
            ),
            (
                np.mean(gradients * eta / lengths, axis=0),
                "each row has the length η: short ones were made longer.",
            ),
            (
                np.mean(gradients / (1 + lengths / eta), axis=0),
                "squares and root are missing: √(1 + (‖g‖/η)²).",
            ),
            (np.mean(gradients / (1 + (lengths / eta) ** 2), axis=0), "the square root is missing."),
            (
                np.mean(gradients / np.hypot(1, lengths), axis=0),
                "the length is to be measured in units of η.",
            ),
            (np.mean(np.clip(gradients, -eta, eta), axis=0), "that is clipping by value."),
            (B * _plain(gradients, eta), "that is the sum; the mean is wanted."),
            (
                np.mean(gradients / np.hypot(1, columns / eta), axis=0),
                "the lengths are those of columns. One gradient is one row: axis=1.",
            ),
        ]
        run(gradients, eta, f"B = {B}, n = {n}", mistakes)
    gradients = rng.normal(size=(6, 4))
    gradients[2] = 0.0
    mistakes = [(_plain(np.delete(gradients, 2, axis=0), 0.5), "a row of zeros counts in B like any other.")]
    hint = "0/0 is NaN: what is the largest entry of a row of zeros?"
    run(gradients, 0.5, "a row of zeros", mistakes, hint)
    for size in (1e200, 1e-200):
        hint = "The squares left the range of a float: divide by the largest entry first."
        run(gradients * size, 0.5 * size, f"entries near {size:g}", hint=hint)
    mixed = gradients.copy()
    mixed[1] *= 1e200
    hint = "Divide each row by its own largest entry. The long row must come out 0.5 long, not 0."
    run(mixed, 0.5, "one row near 1e200, the others near 1", hint=hint)
    for bad in (np.inf, -np.inf, np.nan):
        spoilt = gradients.copy()
        spoilt[4, 1] = bad
        short = np.delete(spoilt, 4, axis=0)
        mended = np.where(np.isfinite(spoilt), spoilt, 0.0)
        mistakes = [
            (_plain(short, 0.5) * 5 / 6, "the bad row counts no longer: divide by the rows that are left."),
            (_plain(mended, 0.5), "only the bad entry was left out. Its whole row is not to be trusted."),
        ]
        run(spoilt, 0.5, f"a row with {bad}", mistakes)
    run(np.full((3, 2), np.nan), 1.0, "no row left", hint="Zeros are wanted, one a column.")
    return "Right for every batch, from 1e-200 to 1e200, with zeros, infinities and NaN."


@checks.check("find-threshold")
def _find_threshold(call: Call, rng: np.random.Generator) -> str:
    for _ in range(3):
        seeds, units = rng.integers(100_000, size=5), 10.0 ** rng.uniform(-3, 3, size=5)
        alone, norms = train_all(seeds, np.full(5, np.inf), units)
        median = np.median(norms[:60], axis=0)
        typical = median / np.sqrt(ENTRIES)  # an entry, if all are alike
        answers = call.many("find_threshold", [(norms[:60, i], ENTRIES) for i in range(5)])
        etas = np.array([float(array(a, f"network {i}", ())) for i, a in enumerate(answers, 1)])
        for i, eta in enumerate(etas, 1):
            assert 0 < eta < np.inf, (
                f"network {i}: the threshold is {eta:g}; a finite positive number is wanted."
            )
        losses = _at_the_end(seeds, etas, units)
        if np.sum(losses < 0.1) >= 4:
            break
        # Now and then a network learns with no threshold. Two of them are bad luck: draw others.
        if np.sum(_at_the_end(seeds, typical, units) < 0.1) >= 4:
            i = int(np.argmax(losses))
            share = etas[i] / typical[i]
            high = share > 1
            if 0.2 < share < 2:  # where it should do: try a lower one
                high = _at_the_end(seeds[i:][:1], etas[i:][:1] / 3, units[i:][:1])[0] < losses[i]
            why = "Too high: what is unusual still goes through." if high else "Too low: every step is tiny."
            if not 0.01 < share < 3000:
                why += " This network measures in another unit. Start from its norms."
            elif share > 6:
                why += " It is about as large as whole norms; an entry is some √n times smaller."
            raise AssertionError(
                f"{np.sum(losses < 0.1)} of 5 networks have learned. Network {i + 1}: with {etas[i]:.3g} "
                f"the loss ends at {losses[i]:.2f}; the median norm is {median[i]:.3g}. {why}"
            )
    rows = ["network  median norm  threshold   loss without   with"]
    for i in range(5):
        before = alone[-50:, i].mean()
        rows.append(f"{i + 1:7d}  {median[i]:11.2g}  {etas[i]:9.2g}  {before:13.1f}  {losses[i]:5.2f}")
    return "\n".join(rows)


def _at_the_end(seeds, thresholds, units):
    losses = train_all(seeds, thresholds, units)[0][-50:].mean(axis=0)
    return np.where(np.isfinite(losses), losses, np.inf)


@checks.check("keeps-direction")
def _keeps_direction(call: Call, rng: np.random.Generator) -> str:
    return prove(call, "keeps_direction", "clipping_direction")
