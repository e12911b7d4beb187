r"""Random numbers in which a theorem's definitions hold and, of its hypotheses, those that are stated.

A second opinion on every step, which shares nothing with the symbolic one. The total derivatives come from a
forward pass alone: a quantity q is moved by :math:`\mathrm i\varepsilon`, whatever reads it follows, and
:math:`\partial L/\partial q = \operatorname{Im} L/\varepsilon`. So no rule of differentiation is used to
check one.
"""

from __future__ import annotations

import cmath
from collections.abc import Callable, Set
from typing import Any

import numpy as np

from vglib.course.proofs.trees import write
from vglib.course.proofs.values import World, agrees, value

__all__ = ["INDUCTION", "World", "agrees", "draw", "value"]

INDUCTION = -1
_EPS = 1e-30


def draw(theorem: str, stated: Set[int], rng: np.random.Generator) -> World:
    """Return one world.

    Parameters
    ----------
    theorem
        Its name.
    stated
        Places, from 0, of the hypotheses that have to hold, and `INDUCTION` for the induction hypothesis.
        The others are left open.
    rng
        Source of the numbers.
    """
    return _WORLDS[theorem](stated, rng)


def _lstm(stated: Set[int], rng: np.random.Generator) -> World:
    steps = range(-4, 5)
    weights = {name: rng.normal(size=2) for name in "figo"}
    biases = {(name, s): rng.normal() for name in "figo" for s in steps}
    reads, squares = rng.normal(size=(2, len(steps)))
    fixed = {("f", 1): 1.0, ("o", 0): 0.0, ("i", 1): 0.0}
    fixed = {key: gate for place, (key, gate) in enumerate(fixed.items()) if place in stated}

    def run(moved: tuple[str, int] | None) -> tuple[dict[tuple[str, int], Any], Any]:
        """One pass forward; the quantity `moved`, and none before it, is iε away from where it would be."""
        c: Any = 0.3
        h: Any = 0.2
        seen: dict[tuple[str, int], Any] = {}
        loss: Any = 0.0
        for at, s in enumerate(steps):

            def put(name: str, number: Any, s: int = s) -> Any:
                seen[name, s] = number + _EPS * 1j * ((name, s) == moved)
                return seen[name, s]

            gates = {}
            for name in "figo":
                drive = weights[name][0] * h + biases[name, s]
                free = cmath.tanh(drive) if name == "g" else 1 / (1 + cmath.exp(-drive))
                gates[name] = put(name, fixed.get((name, s), free))
            c = put("c", gates["f"] * c + gates["i"] * gates["g"])
            h = put("h", gates["o"] * cmath.tanh(c))
            loss = loss + reads[at] * h + squares[at] * h**2
        return seen, loss

    seen, _ = run(None)
    values: dict[str, Any] = {}
    for name, s in seen:
        place = f"[t{s:+d}]" if s else "[t]"
        values[name + place] = float(seen[name, s].real)
        if abs(s) <= 2:
            values[f"{name}_bar{place}"] = float(np.imag(run((name, s))[1]) / _EPS)
    for s in range(-2, 3):
        now, before = (f"[t{k:+d}]" if k else "[t]" for k in (s, s - 1))
        f, c, i, g, o = (values[name] for name in (f"f{now}", f"c{before}", f"i{now}", f"g{now}", f"o{now}"))
        local = {"f": c, "i": g, "g": i}
        values |= {f"d(c{now}, {name}{now})": slope for name, slope in local.items()}
        values[f"d(c{now}, c{before})"] = f
        values[f"d(h{now}, o{now})"] = float(np.tanh(values[f"c{now}"]))
        values[f"d(h{now}, c{now})"] = float(np.imag(o * np.tanh(values[f"c{now}"] + _EPS * 1j)) / _EPS)
    return World(values)


def _gru(stated: Set[int], rng: np.random.Generator) -> World:
    steps = range(-4, 5)
    weights = {f"u_{name}": float(rng.normal()) for name in "rzn"} | {"b_n": float(rng.normal())}
    drives = {(f"x_{name}", s): float(rng.normal()) for name in "rzn" for s in steps}
    reads, squares = rng.normal(size=(2, len(steps)))
    # 1 and 0 are limits of a sigmoid; with doubles they are reached.
    far = {("x_z", 1): 60.0, ("x_r", 1): -60.0}
    drives |= {key: drive for place, (key, drive) in enumerate(far.items()) if place in stated}

    def sigma(a: Any) -> Any:
        return 1 / (1 + cmath.exp(-a))

    def run(moved: tuple[str, int] | None) -> tuple[dict[tuple[str, int], Any], Any]:
        """One pass forward; the quantity `moved`, and none before it, is iε away from where it would be."""
        h: Any = 0.2
        seen: dict[tuple[str, int], Any] = {}
        loss: Any = 0.0
        for at, s in enumerate(steps):

            def put(name: str, number: Any, s: int = s) -> Any:
                seen[name, s] = number + _EPS * 1j * ((name, s) == moved)
                return seen[name, s]

            r, z = (put(name, sigma(drives[f"x_{name}", s] + weights[f"u_{name}"] * h)) for name in "rz")
            n = put("n", cmath.tanh(drives["x_n", s] + r * (weights["u_n"] * h + weights["b_n"])))
            h = put("h", (1 - z) * n + z * h)
            y = put("y", h)
            loss = loss + reads[at] * y + squares[at] * y**2
        return seen, loss

    seen, _ = run(None)
    values: dict[str, Any] = dict(weights)
    at = {s: f"[t{s:+d}]" if s else "[t]" for s in steps}
    for (name, s), drive in drives.items():
        values[f"{name}{at[s]}"] = drive
    for name, s in seen:
        values[f"{name}{at[s]}"] = float(seen[name, s].real)
        if abs(s) <= 2:
            values[f"{name}_bar{at[s]}"] = float(np.imag(run((name, s))[1]) / _EPS)
    for s in range(-2, 3):
        r, z, n, h = (values[f"{name}{at[k]}"] for name, k in (("r", s), ("z", s), ("n", s), ("h", s - 1)))
        moved = h + _EPS * 1j
        gates = {name: sigma(drives[f"x_{name}", s] + weights[f"u_{name}"] * moved) for name in "rz"}
        inside = weights["u_n"] * moved + weights["b_n"]
        gates["n"] = cmath.tanh(drives["x_n", s] + r * inside)
        for name, gate in gates.items():
            values[f"d({name}{at[s]}, h{at[s - 1]})"] = gate.imag / _EPS
        slope = cmath.tanh(drives["x_n", s] + (r + _EPS * 1j) * inside.real).imag / _EPS
        values |= {f"d(n{at[s]}, r{at[s]})": slope, f"d(h{at[s]}, h{at[s - 1]})": z}
        values |= {f"d(h{at[s]}, n{at[s]})": 1 - z, f"d(h{at[s]}, z{at[s]})": h - n}
        values[f"d(y{at[s]}, h{at[s]})"] = 1.0
    return World(values)


def _orthogonal(stated: Set[int], rng: np.random.Generator) -> World:
    n = int(rng.integers(2, 5))
    Q = rng.normal(size=(n + int(rng.integers(0, 3)), n))
    return World({"Q": np.linalg.qr(Q)[0] if 0 in stated else Q, "x": rng.normal(size=(n, 1))})


def _clipping(stated: Set[int], rng: np.random.Generator) -> World:
    g = rng.normal(size=(int(rng.integers(2, 6)), 1))
    eta = float(rng.lognormal()) * (1 if 1 in stated else rng.choice([-1, 1]))
    a = min(1.0, eta / float(np.linalg.norm(g)))
    return World({"g": g, "eta": eta, "a": a, "g_new": a * g})


def _residual(stated: Set[int], rng: np.random.Generator) -> World:
    n = int(rng.integers(2, 5))
    inner, x = rng.normal(size=(n, n)), rng.normal(size=(n, 1))
    reads, squares = rng.normal(size=(2, n, 1))

    def F(v: Any) -> Any:  # noqa: N802 - its name in mathematics
        return np.zeros_like(v) if 0 in stated else np.tanh(inner @ v)

    def slopes(of: Callable[[Any], Any], at: Any) -> Any:
        return np.concatenate([np.imag(of(at + _EPS * 1j * move[:, None])) / _EPS for move in np.eye(n)], 1)

    def loss(y: Any) -> Any:
        return reads.T @ y + squares.T @ y**2

    y = x + F(x)
    values = {"x": x, "y": y, "y_bar": slopes(loss, y), "x_bar": slopes(lambda v: loss(v + F(v)), x)}
    values |= {"d(y, x)": slopes(lambda v: v + F(v), x), "d(F(x), x)": slopes(F, x), "d(x, x)": np.eye(n)}
    return World(values, {"F": F})


def _hochreiter(stated: Set[int], rng: np.random.Generator) -> World:
    n, q = int(rng.integers(2, 5)), int(rng.integers(0, 4))
    W = rng.normal(size=(n, n))
    slopes = [rng.uniform(-1, 1, size=(n, 1)) for _ in range(q + 3)]
    e = [rng.normal(size=(n, 1))]
    for slope in slopes:
        e.append(W.T @ (slope * e[-1]))
    gamma = float(rng.normal())
    if 0 in stated:
        gamma = float(max(np.max(np.abs(slope)) for slope in slopes) * rng.uniform(1, 1.3))
    b = float(np.linalg.norm(W, 2)) * gamma
    if INDUCTION in stated and q:
        # Of the message at q nothing is known but the claim.
        e[q] = rng.normal(size=(n, 1))
        for k in (q, q + 1, q + 2):
            e[k + 1] = W.T @ (slopes[k] * e[k])
        if 0 not in stated:
            gamma, b = abs(gamma), abs(b)
        e[0] = rng.normal(size=(n, 1))
        e[0] *= rng.uniform(1, 1.3) * np.linalg.norm(e[q]) / (b**q * np.linalg.norm(e[0]))
    values: dict[str, Any] = {"W": W, "gamma": gamma, "b": b, "e[0]": e[0], "s[0]": slopes[0]}
    for k in range(3):
        values |= {write(["step", "e", k]): e[q + k], write(["step", "s", k]): slopes[q + k]}
    return World(values, q=q)


_WORLDS = {
    "lstm_passthrough": _lstm,
    "gru_path": _gru,
    "orthogonal_norm": _orthogonal,
    "clipping_direction": _clipping,
    "residual_identity": _residual,
    "hochreiter_bound": _hochreiter,
}
