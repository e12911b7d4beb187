"""Checks of the exercises on orthogonal matrices."""

from __future__ import annotations

import math

import numpy as np

from vglib import orthogonality
from vglib.course.calling import Call
from vglib.course.checks.compare import array, compare, derivatives, predictions, several
from vglib.course.checks.proving import prove
from vglib.course.checks.topic import Topic
from vglib.course.given.orthogonality import run_start

checks = Topic("orthogonality")


@checks.check("predictions")
def _predictions(call: Call, rng: np.random.Generator) -> str:
    # Another way than on paper: by counting, matrix powers, the inverse map and trial.
    lower = int(np.tri(128, k=-1).sum())
    power, n = np.array([[1.0, 1.0], [0.0, 1.0]]), 1
    while np.linalg.norm(power, 2) < 10:
        power, n = power @ [[1.0, 1.0], [0.0, 1.0]], n + 1
    turn = math.radians(179)
    want = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    a = float(orthogonality.inverse_cayley(want)[1, 0])
    left, steps = 1.0, 0
    while left >= 0.5:
        left, steps = left * 0.99, steps + 1
    names = ["free numbers of the LSTM", "shear reaches 10 at n", "a for 179°", "halved after"]
    mistakes = [
        (0, 4 * 128**2, "that is all entries. WᵀW = I ties most of half of them."),
        (0, 4 * 128 * 129 // 2, "a skew-symmetric matrix has zeros on its diagonal."),
        (0, 128 * 127 // 2, "that is one gate. An LSTM has four."),
        (0, 512 * 511 // 2, "each gate has a matrix of its own: four small ones, not one large."),
        (1, 9, "close: S⁹ has σ₁ = 9.11. σ₁ − 1/σ₁ = n."),
        (1, (9.001, 9.999), "steps are whole: round up."),
        (1, (1e3, math.inf), "growth of a shear is slow, yet not that slow: S^n has the entry n."),
        (2, turn, "that is the exponential's a. Cayley needs far more."),
        (2, a / 2, "half of it: A is halved inside the transform."),
        (2, 179, "a is no angle, and not in degrees."),
        (3, 6, "the slope is 1 − 0.1², not 1 − 0.1."),
        (3, 7, "the slope is 1 − 0.1², not 1 − 0.1."),
        (3, (34, 35), "is the slope squared? A gradient meets it once a step."),
        (3, steps - 1, "one step too early: it is still a little longer than half."),
        (3, (steps - 0.999, steps - 0.001), "steps are whole: round up."),
    ]
    truth = [4 * lower, n, a, steps]
    return predictions(
        call("predictions"),
        truth,
        names,
        mistakes,
        tolerances=[0, 0, 1e-2, 0],
        column="computed",
        digits=".6g",
    )


@checks.check("nearest-rotations")
def _nearest_rotations(call: Call, rng: np.random.Generator) -> str:
    rows = []
    for gates, hidden in ((1, 3), (4, 2), (3, 5), (4, 8)):
        blocks = rng.normal(size=(gates, hidden, hidden))
        # Half of the blocks turn space over: for them U Vᵀ is not the answer.
        turned = rng.permutation(np.arange(gates) % 2 == 0)
        blocks[(np.linalg.det(blocks) < 0) != turned, 0] *= -1
        W = blocks.reshape(gates * hidden, hidden)
        where = f"G = {gates}, H = {hidden}"
        got = array(call("nearest_rotations", W, gates), where, W.shape)
        assert np.all(np.isfinite(got)), f"{where}: an entry is not finite."
        assert gates == 1 or orthogonality.defect(got) >= 1e-6, (
            f"{where}: the columns of the whole stack are orthonormal, so no gate's block is orthogonal. "
            "Split W first."
        )
        for g, (block, Q) in enumerate(zip(blocks, got.reshape(blocks.shape), strict=True)):
            defect = orthogonality.defect(Q)
            assert defect < 1e-5, (
                f"{where}: block {g} has ‖QᵀQ − I‖ = {defect:.2g}. "
                "Is Σ still in it, or were the rows split otherwise?"
            )
            why = _not_nearest(block, Q)
            assert not why, f"{where}: block {g} {why}"
        rows.append(f"{where}: moved by {np.linalg.norm(got - W):.2f}")
    return "\n".join(["Every gate a rotation, and none nearer.", *rows])


def _not_nearest(block: np.ndarray, Q: np.ndarray) -> str:
    """Say what is wrong with the orthogonal Q as the rotation nearest to the block; nothing if it is that.

    Nearest among all orthogonal matrices: QᵀB is symmetric and has no negative eigenvalue. Among rotations
    the smallest may be negative, but none is larger in size, or turning that pair round would gain.
    """
    U, _, Vt = np.linalg.svd(block)
    mirror = np.linalg.det(Q) < 0
    rest = Q.T @ block
    if np.allclose(rest, rest.T, atol=1e-5):
        values = np.linalg.eigvalsh((rest + rest.T) / 2)
        if mirror and values[0] > 0:
            return (
                "is the nearest orthogonal matrix, and that is a mirror image: its determinant is −1. "
                "A rotation's is 1. What does it cost to turn one direction over, and which is the cheapest?"
            )
        if mirror and np.linalg.det(block) > 0:
            return (
                "has the determinant −1. U Vᵀ was a rotation already: turn a direction over only where "
                "its determinant is −1."
            )
        if not mirror and values[0] + values[1] > -1e-5:
            return ""
        if not mirror and values[-1] < 0:
            return "is −U Vᵀ. All directions are turned over, where one would do."
        if not mirror:
            return (
                "is a rotation and not the nearest: a direction with a large singular value is turned over. "
                "NumPy sorts them: which is the smallest?"
            )
    middle = np.abs(U.T @ Q @ Vt)
    if np.allclose(middle, np.eye(len(Q)), atol=1e-5):
        return "is made with (Vᵀ)ᵀ: np.linalg.svd returns Vᵀ already."
    if np.allclose(np.abs(Q), np.abs(np.linalg.qr(block)[0]), atol=1e-5):
        return "is QR's Q, which depends on the order of the columns. What the SVD gives is nearer."
    if np.allclose(np.abs(Q), np.abs(U @ Vt), atol=1e-5):
        return "is U Vᵀ with turned rows or columns. Turn a direction of the SVD's: between U and Vᵀ."
    if mirror:
        return "is orthogonal, and its determinant is −1: a mirror image. A rotation's is 1."
    return "is a rotation and not the nearest: some other lies nearer. Or were the rows split otherwise?"


def _cayley(X: np.ndarray) -> np.ndarray:
    lower = np.tril(X, -1)
    half, eye = (lower - np.swapaxes(lower, -1, -2)) / 2, np.eye(X.shape[-1])
    return np.linalg.solve(eye - half, eye + half)


@checks.check("cayley-backward")
def _cayley_backward(call: Call, rng: np.random.Generator) -> str:
    for n in (1, 2, 3, 6):
        X, G = rng.normal(size=(2, n, n))
        (want,) = derivatives(_cayley, [X], G)
        A, W, eye = np.tril(X, -1) - np.tril(X, -1).T, _cayley(X), np.eye(n)
        whole = np.linalg.solve((eye - A / 2).T, G) @ (W + eye).T / 2
        other = np.linalg.solve(eye - A / 2, G) @ (W + eye) / 2
        share = "each X_ij stands in A twice. The share of (j, i) is missing, with its sign."
        mistakes = [
            (np.tril(whole, -1), share),
            (np.tril(whole + whole.T, -1), "at (j, i) X_ij stands with a minus: subtract that share."),
            (whole - whole.T, "that is the gradient by A. X counts only below its diagonal."),
            (whole, "that is the gradient by an A with free entries. A is L − Lᵀ."),
            (np.tril(other - other.T, -1), "transpose both factors: ⟨G, P dA Q⟩ = ⟨Pᵀ G Qᵀ, dA⟩."),
        ]
        got = call("cayley_backward", X, G)
        compare(got, want, f"n = {n}", mistakes, "The reference differentiates numerically.")
    return "Equal to the derivatives in numbers for n = 1, 2, 3 and 6."


def _faint(W: np.ndarray, U: np.ndarray) -> str:
    """Say why the first input is hardly felt although the gradient by the states arrives."""
    reads = np.linalg.norm(U, axis=1)
    if np.max(reads) > 0.01 and np.median(reads) < 1e-3:
        return "where it arrives nothing is read, and the few units that read are full. Let all of them read."
    return "what is read leaves too faint a trace: a larger U."


@checks.check("choose-start")
def _choose_start(call: Call, rng: np.random.Generator) -> str:
    rows = ["  D    H   log-norm, worst   first input, felt"]
    # With one input chance decides more: a wider network evens it out.
    for fewest, most, width in ((1, 2, 44), (4, 7, 28), (16, 31, 28)):
        inputs, hidden = int(rng.integers(fewest, most)), width + int(rng.integers(12))
        start = call("choose_start", inputs, hidden, rng)
        where = f"D = {inputs}, H = {hidden}"
        start = several(start, 2, f"{where}: two arrays, (W, U),")
        shapes = {"W": (hidden, hidden), "U": (hidden, inputs)}
        W, U = (
            array(part, f"{where}, {name}", shape)
            for part, (name, shape) in zip(start, shapes.items(), strict=True)
        )
        for name, part in (("W", W), ("U", U)):
            assert np.all(np.isfinite(part)), f"{where}: an entry of {name} is not finite."
            assert np.max(np.abs(part)) < 1e6, f"{where}: {name} has an entry of {np.max(np.abs(part)):.1g}."
        logs, felt = run_start(W, U, rng.normal(size=(200, 6, inputs)))
        worst = float(logs[np.argmax(np.abs(logs))])
        got = f"{where}: the log-norm is {worst:.3f}, the first input is felt with {felt:.3g}."
        if not abs(worst) <= 1:
            defect, radius = orthogonality.defect(W), np.max(np.abs(np.linalg.eigvals(W)))
            why = "The states grow too large for tanh to stay straight: a smaller U."
            if defect > 1e-3 and abs(radius - 1) < 1e-2:
                why = f"W has spectral radius 1 and a defect of {defect:.2g}: eigenvalues do not decide."
            elif defect > 1e-3:
                why = f"W is not orthogonal: its defect is {defect:.2g}."
            elif inputs > 1 and len(rows) > 1:
                why = "It went well with fewer inputs. More of them add up: U must shrink as 1/√D."
            raise AssertionError(f"{got} {why}")
        assert felt >= 0.002, f"{got} At least 0.002 is wanted. The gradient arrives, but {_faint(W, U)}"
        rows.append(f"{inputs:3d}  {hidden:3d}  {worst:16.2f}  {felt:18.4f}")
    return "\n".join(rows)


@checks.check("keeps-length")
def _keeps_length(call: Call, rng: np.random.Generator) -> str:
    return prove(call, "keeps_length", "orthogonal_norm")
