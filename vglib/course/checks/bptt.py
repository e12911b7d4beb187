"""Checks of the exercises on backpropagation through time.

References are complex steps through the forward pass, Im L(x + ih)/h, which know no backward pass.
"""

from __future__ import annotations

import numpy as np

from vglib.course.calling import Call
from vglib.course.checks.compare import array, compare, derivatives, differs, several
from vglib.course.checks.topic import Topic

checks = Topic("bptt")

TINY = 1e-30


@checks.check("chain-gradient")
def _chain_gradient(call: Call, rng: np.random.Generator) -> str:
    def states_of(w, h0, x, frozen=None):
        h, states = h0, []
        for t, x_t in enumerate(x):
            h = w * np.tanh(h if frozen is None else frozen[t]) + x_t
            states.append(h)
        return np.array(states)

    stage = {
        1: "With one step there is no way back yet, only (h_1 − y_1) · tanh(h_0).",
        2: (
            "T = 1 was right. New is one factor, ∂h_2/∂h_1: it has w in it, and its slope is taken at h_1. "
            "(No state is a tanh here, so that slope is not 1 − h_1².)"
        ),
        3: "T = 1 and 2 were right. Does what comes back get its own factor at every step?",
    }
    worst = 0.0
    for steps in (1, 2, 3, 10, 30):
        w, h0 = float(rng.uniform(0.4, 1.4) * rng.choice([-1, 1])), float(rng.normal())
        x, y = rng.normal(size=steps), rng.normal(size=steps)
        states = states_of(w, h0, x)
        moves = states_of(w + TINY * 1j, h0, x).imag / TINY  # dh_t/dw
        direct = states_of(w + TINY * 1j, h0, x, [h0, *states[:-1]]).imag / TINY
        errors = states - y
        want = float(errors @ moves)
        where = f"T = {steps}, w = {w:.3f}"
        got = array(call("chain_gradient", w, h0, x, y), where, ())
        mistakes = [
            (
                errors @ direct,
                "this is the direct part alone. You forgot what comes back to h_{t+1} through h_{t+2}.",
            ),
            (errors[-1] * moves[-1], "this is the gradient of the last term. Each step has its own."),
            (want / steps, "this is the gradient of a mean over steps. L is a sum."),
        ]
        # What adds up may cancel: the sum of sizes is the scale.
        near = {"scale": max(1.0, float(np.abs(errors * moves).sum()))}
        if not differs(got, want, 1e-5, **near) and differs(got, want, 1e-9, **near):
            raise AssertionError(
                f"{where}: almost, {got:.12g} for {want:.12g}. "
                "A finite difference, or float32, is not exact. The loop backwards is."
            )
        hint = stage.get(steps, "Short sequences were right.")
        compare(got, want, where, mistakes * (steps > 1), hint, tolerance=1e-9, **near)
        worst = max(worst, abs(errors @ direct - want) / max(1e-9, abs(want)))
    return f"Right for T = 1, 2, 3, 10 and 30. The direct part alone would be wrong by up to {worst:.0%}."


def _second_order(W, V, U, b, x):
    """Return h_1 … h_T, also for stacks of one of the weights."""
    older = newer = np.zeros(W.shape[-1])
    states = []
    for t in range(x.shape[-2]):
        a = (W @ newer[..., None] + V @ older[..., None] + U @ x[..., t, :, None])[..., 0] + b
        older, newer = newer, np.tanh(a)
        states.append(newer)
    return np.stack(np.broadcast_arrays(*states), axis=-2)


def _second_order_mistaken(arrays, d_h, W_back=None, V_back=None, lag=2, slope=0):
    """Return the gradients with other matrices on the way back, another lag of V, or the slope elsewhere.

    The slope of step t is taken at h_{t+1+slope}; None leaves it out.
    """
    W, V, U, b, x = arrays
    W_back, V_back = W.T if W_back is None else W_back, V.T if V_back is None else V_back
    zero = np.zeros(len(b))
    h = [zero, zero, *_second_order(*arrays)]
    delta = [zero, zero, zero]  # of later steps, the nearest first
    dW, dV, dU, db = (np.zeros_like(p) for p in (W, V, U, b))
    for t in reversed(range(len(x))):
        total = d_h[t] + W_back @ delta[0] + V_back @ delta[lag - 1]
        here = total if slope is None else total * (1 - h[t + 2 + slope] ** 2)
        delta = [here, *delta[:2]]
        dW += np.outer(here, h[t + 1])
        dV += np.outer(here, h[t])
        dU += np.outer(here, x[t])
        db += here
    return dW, dV, dU, db


@checks.check("second-order-backward")
def _second_order_backward(call: Call, rng: np.random.Generator) -> str:
    names = ("dW", "dV", "dU", "db")
    for steps, units, inputs in ((1, 2, 3), (4, 3, 2), (2, 3, 2), (12, 5, 4), (40, 4, 1)):
        shapes = [(units, units), (units, units), (units, inputs), (units,), (steps, inputs)]
        arrays = [rng.normal(size=s) * (0.5 if i < 2 else 0.7) for i, s in enumerate(shapes)]
        W, V, *_ = arrays
        d_h = rng.normal(size=(steps, units))
        want = derivatives(lambda *weights, x=arrays[4]: _second_order(*weights, x), arrays[:4], d_h)
        where = f"T = {steps}, H = {units}, D = {inputs}"
        words = f"{where}: four arrays, dW, dV, dU and db,"
        got = several(call("second_order_backward", *arrays, d_h), 4, words)
        got = [array(g, f"{where}, {name}", w.shape) for g, name, w in zip(got, names, want, strict=True)]
        wrong = [n for n, g, right in zip(names, got, want, strict=True) if differs(g, right)]
        if not wrong:
            continue
        first = "." if steps > 1 else ", or it is taken at h_t, which is 0 here."
        known = [
            ({"V_back": 0 * V}, "the road by V is missing. h_{t+1} is read again two steps later."),
            ({"W_back": 0 * W}, "the road by W is missing."),
            ({"W_back": 0 * W, "V_back": 0 * V}, "this is the direct part alone: nothing comes back."),
            ({"W_back": W, "V_back": V}, "W and V are transposed on the way back."),
            ({"W_back": W}, "W is transposed on the way back."),
            ({"V_back": V}, "V is transposed on the way back."),
            ({"W_back": V.T, "V_back": W.T}, "W and V are swapped on the way back."),
            ({"lag": 1}, "the road by V arrives one step too early: it takes δ_{t+2}, not δ_{t+1}."),
            ({"lag": 3}, "the road by V arrives one step too late: it takes δ_{t+2}, not δ_{t+3}."),
            ({"slope": None}, "the slope of tanh, 1 − h_{t+1}², is missing in δ" + first),
            ({"slope": -1}, "the slope of tanh is taken at h_t. δ_t belongs to a_t, whose tanh is h_{t+1}."),
        ]
        for kind, why in known:
            mistaken = _second_order_mistaken(arrays, d_h, **kind)
            if not any(differs(g, v) for g, v in zip(got, mistaken, strict=True)):
                raise AssertionError(f"{where}: {why}")
        hint = "db is right, so δ is too. What does this weight meet at step t?" if "db" not in wrong else ""
        last = _second_order_mistaken(arrays, d_h * (np.arange(steps) == steps - 1)[:, None])
        for name, g, right, at_last in zip(names, got, want, last, strict=True):
            mistakes = [
                (at_last, "only the loss at the last state is in it. d_h has a row for each."),
                (right / steps, "this is the mean over steps; the gradient is their sum."),
            ]
            compare(g, right, f"{where}, {name}", mistakes, hint)
    return "Both roads carry the error: dW, dV, dU and db are right for T = 1, 2, 4, 12 and 40."


def _shares(rng, x, units):
    """Return each step's share of ∂L/∂W for a tanh network without inputs' weights, and what it does to L.

    Every step gets a copy of W. The shares are derivatives by the copies; the second result is the change of
    L, a score read from the last state, as step k's copy moves along the sum of shares. Both by complex
    steps, so that no backward pass is trusted.
    """
    W = rng.normal(size=(units, units)) * 1.2 / units**0.5
    score, start = rng.normal(size=units), rng.normal(size=units)

    def last(first, moves):
        """Return dL as the copy of step `first[i]` moves along `moves[i]`."""
        h = np.repeat(start[None].astype(complex), len(moves), axis=0)
        for k, push in enumerate(x):
            here = (first == k)[:, None]
            moved = TINY * 1j * (moves @ h[:, :, None])[:, :, 0]
            h = np.tanh(push + h @ W.T + np.where(here, moved, 0.0))
        return (h @ score).imag / TINY

    steps = len(x)
    entries = np.eye(units * units).reshape(-1, units, units)
    first = np.repeat(np.arange(steps), len(entries))
    shares = last(first, np.tile(entries, (steps, 1, 1))).reshape(steps, units, units)
    return shares, last(np.arange(steps), np.repeat(shares.sum(axis=0)[None], steps, axis=0))


@checks.check("far-share")
def _far_share(call: Call, rng: np.random.Generator) -> str:
    for steps, units in ((4, 3), (9, 4), (1, 2), (20, 3)):
        negative = False
        while not negative:
            shares, effects = _shares(rng, rng.normal(size=(steps, units)), units)
            negative = steps != 9 or np.min(np.cumsum(effects) / effects.sum()) < -0.01
        whole = shares.sum(axis=0)

        def part(first, stop, effects=effects):
            return effects[first : max(0, stop)].sum() / effects.sum()

        first = [1, steps // 2, steps, 0]
        lags = [*first, *sorted(set(range(steps)) - set(first))]
        answers = call.many("far_share", [(shares, q) for q in lags])
        for q, got in zip(lags, answers, strict=True):
            want, far = part(0, steps - q), shares[: steps - q].sum(axis=0)
            mistakes = [
                (1 - want, "this is the near share. Far is q or more steps back."),
                (part(0, steps - q - 1), "off by one: step T − 1 − q is far, too."),
                (part(0, steps - q + 1), "off by one: step T − q lies q − 1 steps back."),
                (part(q, steps), "wrong end: step 0 is the farthest, step T − 1 the nearest."),
                (
                    np.linalg.norm(far) / np.linalg.norm(whole),
                    "this is a ratio of lengths. Near and far then add to more than 1.",
                ),
                (
                    np.sum(far * whole),
                    "divide by the whole projected on itself: all shares then add up to 1.",
                ),
                (
                    np.sum(far * whole) / np.linalg.norm(whole),
                    "divide by ⟨G, G⟩, the square of the whole's length, not by the length.",
                ),
                (abs(want), "a share may be negative: then the far steps pull the other way."),
            ]
            if steps > 2 and 0 < q < steps:
                square = np.sum(far**2) / np.sum(whole**2)
                mistakes.append((square, "far is projected on itself. Project it on the whole gradient."))
            hint = "Both products are over all entries: ⟨far, G⟩ and ⟨G, G⟩."
            if q == steps:
                hint = "Nothing is as far as that: the answer is 0."
            if q == 0:
                mistakes = [(0.0, "nothing is far? With q = 0 all of it is. (`shares[:-0]` is empty.)")]
            # Shares may be much longer than their sum.
            scale = max(1.0, float(np.abs(effects).sum() / abs(effects.sum())))
            compare(got, want, f"T = {steps}, q = {q}", mistakes, hint, tolerance=1e-5, scale=scale)
    return "Right for T = 1, 4, 9 and 20. Your shares say what moving the far copies of W does to the loss."


def _made(rng, parts):
    """Return shares whose projections on their sum are `parts`, which add up to 1."""
    whole = rng.normal(size=(3, 3)) * 10.0 ** rng.uniform(-2, 2)
    across = rng.normal(size=(len(parts), 3, 3)) * np.linalg.norm(whole)
    across -= across.mean(axis=0)
    along = np.sum(across * whole, axis=(1, 2)) / np.sum(whole**2)
    return (parts - along)[:, None, None] * whole + across


@checks.check("forgotten-after")
def _forgotten_after(call: Call, rng: np.random.Generator) -> str:
    cases, answers = [], []
    for steps in (12, 25, 40):
        # The far share as q grows: it falls, comes back once, and falls for good.
        far = 10.0 ** -np.linspace(0, rng.uniform(3, 6), steps + 1) * rng.uniform(0.7, 1.3, size=steps + 1)
        far[0], far[-1] = 1.0, 0.0
        below = int(np.argmax(np.abs(far) < 0.01))
        if steps > 12:
            back = below + int(rng.integers(1, 4))
            far[back] = rng.uniform(0.02, 0.2) * (-1 if steps > 25 else 1)
        late = [q for q in range(steps + 1) if abs(far[q]) >= 0.01]
        cases.append((_made(rng, -np.diff(far)[::-1]),))
        answers.append((max(late) + 1, below, far))
    for steps in (1, 6):  # all in the first step: it is never forgotten
        parts = np.zeros(steps)
        parts[0] = 1.0
        cases.append((_made(rng, parts),))
        answers.append((steps, steps, np.array([1.0] * steps + [0.0])))
    for got, (want, below, far) in zip(call.many("forgotten_after", cases), answers, strict=True):
        steps = len(far) - 1
        where = f"T = {steps}"
        got = array(got, where, ())
        whole = np.isfinite(got) and got == round(float(got)) and 0 <= got <= steps
        assert whole, f"{where}: q is a whole number from 0 to {steps}; {got:g} came."
        q = int(got)
        if q == want:
            continue
        if q == below:
            why = f"The share comes back after that: at q = {want - 1} it is {far[want - 1]:.1%}."
            why += " A negative share counts by its size." if far[want - 1] < 0 else " Which q is the last?"
        elif q == steps - want:
            why = "That is counted from the start. q counts steps back from the end."
        elif q < want:
            late = want - 1
            why = f"Too small: at q = {late} the far share is {far[late]:.1%}."
        else:
            why = f"Too large: at q = {q - 1} it is {far[q - 1]:.2%}, and stays below 1 % from q = {want} on."
        raise AssertionError(f"{where}, q = {q}: {why}")
    return f"Right for {len(cases)} gradients, also where the far share comes back once it was below 1 %."


KEYS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def _one_direction(weights, suffix, x, d):
    """Return h, ∂L/∂a and the total ∂L/∂h of one direction, whose steps come in the order it reads them.

    By complex steps: at each step, sequence by sequence, each unit is moved before or after its tanh.
    """
    W_ih, W_hh, b_ih, b_hh = (weights[key + suffix] for key in KEYS)
    steps, batch, units = d.shape
    found = []
    for before in (True, False):
        # One run for every (step, unit) that is moved; sequences do not meet.
        moved = TINY * 1j * np.eye(steps * units).reshape(steps, units, 1, steps, units)
        h = np.zeros((steps, units, batch, units), dtype=complex)
        out = []
        for t in range(steps):
            push = moved[..., t, :]
            a = x[t] @ W_ih.T + b_ih + b_hh + h @ W_hh.T
            h = np.tanh(a + push) if before else np.tanh(a) + push
            out.append(h)
        change = np.stack(out, axis=3).imag / TINY  # (step, unit, B, T, H)
        found.append(np.einsum("kubth,tbh->kbu", change, d))
    return np.stack([o[0, 0].real for o in out]), *found


@checks.check("fused-signals")
def _fused_signals(call: Call, rng: np.random.Generator) -> str:
    for steps, batch, units, inputs, everywhere in (
        (5, 1, 3, 2, False),
        (9, 3, 4, 5, True),
        (1, 1, 2, 1, True),
    ):
        shapes = [(units, inputs), (units, units), (units,), (units,)]
        weights = {
            key + suffix: rng.normal(size=shape) * 0.6
            for suffix in ("", "_reverse")
            for key, shape in zip(KEYS, shapes, strict=True)
        }
        x, d_outputs = rng.normal(size=(steps, batch, inputs)), rng.normal(size=(steps, batch, 2 * units))
        if not everywhere:  # the loss looks at one state in the middle
            d_outputs[np.arange(steps) != steps // 2] = 0.0
        ahead, back = slice(None, units), slice(units, None)
        one = _one_direction(weights, "", x, d_outputs[..., ahead])
        two = [part[::-1] for part in _one_direction(weights, "_reverse", x[::-1], d_outputs[::-1, :, back])]
        h, delta, d_hidden = (np.concatenate(pair, axis=-1) for pair in zip(one, two, strict=True))

        def returned(forward, reverse, turn=1, d=d_outputs, delta=delta, weights=weights, n=units):
            """Add to the direct part what comes back if δ of step t + forward, t + reverse is taken."""
            total = d.copy()
            for lag, half, suffix in ((forward, slice(None, n), ""), (reverse, slice(n, None), "_reverse")):
                W, shifted = weights["weight_hh_l0" + suffix], np.zeros_like(delta[..., half])
                for t in range(len(d)):
                    if 0 <= t + lag < len(d):
                        shifted[t] = delta[t + lag, :, half]
                total[..., half] += shifted @ (W if turn == 1 else W.T)
            return total

        where = f"T = {steps}, B = {batch}, H = {units}, D = {inputs}"
        got = several(
            call("fused_signals", weights, x, d_outputs), 2, f"{where}: two arrays, delta and d_hidden,"
        )
        both = delta[..., ahead] + delta[..., back]
        mistakes = [
            (
                d_hidden,
                "this is ∂L/∂h. delta has the slope of tanh in it: the zero inputs' gradient has, too.",
            ),
            (d_outputs, "this is the direct derivative. Ask for the gradient of the zero inputs."),
            (
                d_outputs * (1 - h**2),
                "only the direct part is in it: nothing has come back from other steps.",
            ),
            (
                np.concatenate([both, both], axis=-1),
                "the two directions are added up. Give each H zero inputs of its own.",
            ),
            (
                np.concatenate([delta[..., back], delta[..., ahead]], axis=-1),
                "the halves are swapped: the forward direction comes first.",
            ),
        ]
        came = array(got[0], f"{where}, delta")
        assert came.shape != both.shape, (
            f"{where}, delta: the shape is {came.shape}, it should be {delta.shape}. "
            "Each direction needs H zero inputs of its own."
        )
        compare(got[0], delta, f"{where}, delta", mistakes)
        mistakes = [
            (
                d_outputs,
                "this is the direct part alone, what retain_grad() shows. What comes back is missing.",
            ),
            (d_hidden - d_outputs, "this is what comes back. The loss's direct derivative is missing."),
            (returned(1, -1, turn=-1), "W_hh is transposed. Gradients are rows: δ W_hh."),
            (
                returned(1, 1),
                "the second half reads from the end: its h at t is read at t − 1, so δ of t − 1 comes back.",
            ),
            (returned(-1, 1), "the directions are mixed up: forward, h at t is read at t + 1."),
            (returned(-1, -1), "δ comes from the wrong side: forward, h at t is read at t + 1."),
            (
                returned(0, 0),
                "off by one: h is read by the *next* step of its direction, so take that step's δ.",
            ),
            (delta, "this is delta. Send it one step back, through W_hh, and add the direct part."),
        ]
        compare(got[1], d_hidden, f"{where}, d_hidden", mistakes)
    return "delta and ∂L/∂h are right in both directions, for a loss in the middle and for one at every step."
