"""Checks of the exercises on truncation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from vglib import RNN, truncation
from vglib.course.calling import Call
from vglib.course.checks.compare import array, compare, differs, predictions
from vglib.course.checks.topic import Topic

checks = Topic("truncation")


@checks.check("predictions")
def _predictions(call: Call, rng: np.random.Generator) -> str:
    made = truncation.windows(1000, 20, 50)
    visits = np.zeros(1000)
    for w in made:
        visits[w.start : w.stop] += 1
    m = np.arange(1, 10_001)
    truth = [
        sum(w.steps for w in made),
        max(w.reach(503) for w in made),
        int(np.sum(visits == 1)),
        int(np.min(-(-10_000 // m) + m)),
    ]
    names = [
        "steps gone back together",
        "steps that L_503 sees",
        "steps gone through once",
        "states held at best",
    ]
    twice = "the first steps are gone through more than once: step 0 by the passes that end at 20 and at 40."
    mistakes = [
        (0, 2500, "the first two passes cannot go back 50 steps."),
        (0, 1000, "that is for k2 = k1. Here the passes overlap."),
        (1, 50, "only the last loss of a chunk sees all 50."),
        (1, 33, "its pass ends after step 519, so it begins at 470. Count from there to 503."),
        (1, 4, "it flows on beyond the start of its own chunk."),
        (2, 40, twice),
        (3, 100, "that is the length of a segment. Add the states of the open one and the stored ones."),
        (3, 199, "nearly: count the stored states and those of the open segment, also the one that is both."),
        (3, 10_100, "the stored states are one a segment, not one a step."),
    ]
    return predictions(call("predictions"), truth, names, mistakes, tolerances=1e-9, digits="g")


def _run(W: np.ndarray, a: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the states (T + 1, H) of h_{t+1} = sin(W h_t + a_t)."""
    states = [start]
    for given in a:
        states.append(np.sin(W @ states[-1] + given))
    return np.array(states)


def _by_uses(W: np.ndarray, a: np.ndarray, start: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Return ∂L_t/∂W as step k uses it, (t, k, H, H): W is changed in that step alone, by complex steps."""
    steps, units = a.shape
    states, found = _run(W, a, start), np.zeros((steps, steps, units, units))
    changed = W + 1e-30j * np.eye(units**2).reshape(-1, units, units)
    for k in range(steps):
        h = np.sin(changed @ states[k] + a[k])
        for t in range(k, steps):
            if t > k:
                h = np.sin(h @ W.T + a[t])
            found[t, k] = (h.imag @ d[t] / 1e-30).reshape(units, units)
    return found


def _mistaken_parts(
    W: np.ndarray, slopes: np.ndarray, h: np.ndarray, d: np.ndarray, which: str
) -> np.ndarray:
    """Return the parts with one thing done wrong."""
    steps, parts, message = len(h), [], d
    for j in range(steps):
        met, used = slopes[: steps - j], h[: steps - j]
        if which == "slopes":
            met = slopes[j:]
        elif which == "states":
            used = h[j:]
        elif which == "none":
            met = 1.0
        delta = message * met
        parts.append((message if which == "before" else delta).T @ used)
        message = message @ W if which == "once" else delta @ (W.T if which == "turned" else W)
        message = message[:-1] if which == "last" else message[1:]
    return np.stack(parts)


def _mistakes_by_distance(
    W: np.ndarray, slopes: np.ndarray, h: np.ndarray, d: np.ndarray, uses: np.ndarray, want: np.ndarray
) -> Iterator[tuple[np.ndarray, str]]:
    yield np.cumsum(want, axis=0), "these are the sums up to distance j. Return each distance alone."
    yield want[::-1], "the order is turned: G_0 is the part with no step between loss and use."
    sorted_by = "the sum is right, but the parts are sorted by the step of the {}. Sort by t − k."
    yield uses.sum(axis=0), sorted_by.format("use, k")
    yield uses.sum(axis=1), sorted_by.format("loss, t")
    for which, why in (
        (
            "none",
            "there are no slopes in it: δ is what arrives at a pre-activation, so every step has its φ′.",
        ),
        (
            "before",
            "in G_j the last slope is missing: δ is what arrives at a pre-activation, that is d · φ′.",
        ),
        ("once", "after one step back the message has met W, but not the slopes of the step before."),
        ("turned", "W is transposed on the way back: rows of gradients are multiplied by W as it is."),
        (
            "slopes",
            "after j steps back loss t is at step t − j, and meets the slopes of that step, not of t.",
        ),
        (
            "states",
            "after j steps back loss t is at step t − j. It is h_{t−j} that W is multiplied by there.",
        ),
        ("last", "after each round the loss that has come to step 0 goes out: the first row, not the last."),
    ):
        yield _mistaken_parts(W, slopes, h, d, which), why


@checks.check("by-distance")
def _by_distance(call: Call, rng: np.random.Generator) -> str:
    for steps, units in ((1, 2), (2, 3), (6, 3), (9, 4)):
        where = f"T = {steps}, H = {units}"
        W = 1.3 * rng.normal(size=(units, units)) / np.sqrt(units)
        a, d = rng.normal(size=(2, steps, units))
        states = _run(W, a, rng.normal(size=units))
        h, slopes = states[:-1], np.cos(states[:-1] @ W.T + a)
        uses = _by_uses(W, a, states[0], d)
        want = np.array([sum(uses[t, t - j] for t in range(j, steps)) for j in range(steps)])
        got = array(call("by_distance", W, slopes, h, d), where, want.shape)
        hint = ""
        if steps > 1 and not differs(got[0], want[0]) and differs(got[1], want[1]):
            hint = (
                "G_0 is right, G_1 is not: after one step back row t meets W, then the slopes of step t − 1."
            )
        elif not differs(got.sum(axis=0), want.sum(axis=0)):
            hint = "The sum is right, but the parts are not sorted by distance."
        mistakes = _mistakes_by_distance(W, slopes, h, d, uses, want)
        compare(got, want, where, mistakes, hint, tolerance=1e-9)
    return "Right for 1, 2, 6 and 9 steps: changing W in one step alone gives the same parts."


def _mistaken_games(parts: np.ndarray, p: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    """Yield what other rules give for each last part, with what is wrong with them."""
    one, sums = p[:, None, None], np.cumsum(parts, axis=0)
    reached = np.cumsum(p[::-1])[::-1][:, None, None]
    until = np.cumsum(p)[:, None, None]
    right = np.cumsum(parts / reached, axis=0)
    yield sums, "far parts are too weak: each must be divided by the probability that it is reached."
    yield (
        np.cumsum(parts / one, axis=0),
        "part j is reached by all games that end at j or later, not only by those that end there.",
    )
    yield sums / reached, "each part is divided by its own probability, not the sum so far by the last one."
    yield sums / one, "each part is divided by its own probability of being reached, not the sum by p[n]."
    yield (
        parts / one,
        "right on average, but all parts before the last are thrown away. They are computed, so use them: "
        "every game that reaches part j counts it with the same weight.",
    )
    yield np.cumsum(parts / (1 - until), axis=0), "a game that ends with part j has reached part j, too."
    yield np.cumsum(parts / until, axis=0), "that divides by the probability that the game is over by then."
    yield np.cumsum(parts * reached, axis=0), "multiplied where a division is wanted."
    yield (
        np.concatenate([np.zeros_like(parts[:1]), right[:-1]]),
        "p[n] is the probability that part n is the last one used. Yours stops before it.",
    )


def _same(draws: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return whether each draw is the value of each ending: (draws, endings)."""
    near = np.isclose(draws[:, None], values[None], rtol=1e-9, atol=1e-9, equal_nan=True)
    return near.all(axis=(2, 3))


@checks.check("roulette")
def _roulette(call: Call, rng: np.random.Generator) -> str:
    count = 300
    rows = ["parts  off, standard errors  spread of a draw"]
    for odds in ([6, 3, 1], [0, 5, 0, 2, 3]):
        p = np.array(odds) * rng.uniform(0.9, 1.1, size=len(odds))
        p /= p.sum()
        parts = rng.normal(size=(len(p), 2, 2)) + 1.0
        where = f"p = {np.round(p, 2).tolist()}"
        calls = [(parts, p, rng) for _ in range(count)]
        calls += [(parts, p, np.random.default_rng(7)) for _ in range(2)]
        draws = np.array([array(one, where, (2, 2)) for one in call.many("roulette", calls)])
        values = np.cumsum(parts / np.cumsum(p[::-1])[::-1][:, None, None], axis=0)
        same, total = _same(draws, values), parts.sum(axis=0)
        if np.all(draws == draws[0]):
            whole = "that is the whole sum, for which every part is computed"
            what = whole if np.allclose(draws[0], total) else "all draws are the same"
            raise AssertionError(f"{where}: {what}. Where do you use rng?")
        if not same.any(axis=1).all():
            for wrong, why in _mistaken_games(parts, p):
                assert not _same(draws, wrong).any(axis=1).all(), f"{where}: {why}"
            assert np.all(np.isfinite(draws)), f"{where}: a draw is not finite: a part with p[j] = 0?"
            off = np.abs(draws.mean(axis=0) - total).max()
            raise AssertionError(
                f"{where}: a draw should be a sum of parts 0 to n, each divided by one number that does not "
                f"depend on the draw. Some of yours are not; their mean is off by {off:.2g}."
            )
        ended = same.argmax(axis=1)
        assert ended[-1] == ended[-2], (
            f"{where}: two equal generators give two results. Take random numbers from `rng` alone."
        )
        share = np.bincount(ended[:count], minlength=len(p)) / count
        # Six standard errors; an ending of probability 0 must not come at all.
        late = np.flatnonzero(np.abs(share - p) > 6 * np.sqrt(p * (1 - p) / count))
        if len(late):
            hazard = p * np.cumprod([1, *(1 - p[:-1])])
            hazard[-1] = 1 - hazard[:-1].sum()
            known = [
                (np.full(len(p), 1 / len(p)), " All endings are equally frequent. Where do you use p?"),
                (np.where(p > 0, 1 / max(1, np.sum(p > 0)), 0), " All endings are equally frequent."),
                (p[::-1], " p is read from behind."),
                (hazard, " p[n] is a share of all games, not of those that have come to part n."),
            ]
            fit = [why for odd, why in known if np.all(np.abs(share - odd) < 0.1)]
            n = late[0]
            raise AssertionError(
                f"{where}: {share[n]:.0%} of the games end with part {n}, it should be {p[n]:.0%}."
                + "".join(fit[:1])
            )
        error = draws[:count].std(axis=0) / np.sqrt(count)
        off = np.max(np.abs(draws[:count].mean(axis=0) - total) / error)
        spread = np.linalg.norm(draws[:count].std(axis=0)) / np.linalg.norm(total)
        rows.append(f"{len(p):5d}  {off:20.1f}  {spread:16.1f}")
    return "\n".join(rows)


def _chunked(
    w: dict[str, np.ndarray], x: np.ndarray, d: np.ndarray, lengths: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the gradients for each length of chunks, (lengths, …): all messages side by side."""
    W, h = w["weight_hh"], np.zeros(len(w["weight_hh"]))
    states = [h]
    for given in x @ w["weight_ih"].T + w["bias_ih"] + w["bias_hh"]:
        states.append(np.tanh(given + W @ states[-1]))
    states = np.array(states)
    message, deltas = np.zeros((len(lengths), len(W))), []
    for t in reversed(range(len(x))):
        delta = (message + d[t]) * (1 - states[t + 1] ** 2)
        deltas.append(delta)
        # The state before a chunk is a constant.
        message = (delta @ W) * (t % lengths != 0)[:, None]
    deltas = np.stack(deltas[::-1], axis=2)  # (lengths, H, T)
    bias = deltas.sum(axis=2)
    return {
        "weight_ih": deltas @ x,
        "weight_hh": deltas @ states[:-1],
        "bias_ih": bias,
        "bias_hh": bias,
    }


def _cosines(grads: np.ndarray) -> np.ndarray:
    """Return the cosines of the angles between each row and the last."""
    return grads @ grads[-1] / np.linalg.norm(grads, axis=1) / np.linalg.norm(grads[-1])


def _angles(grads: np.ndarray) -> np.ndarray:
    """Return the angles between each row and the last, in degrees."""
    return np.degrees(np.arccos(np.clip(_cosines(grads), -1, 1)))


def _shortest(bad: np.ndarray) -> int:
    """Return the place from which on nothing is bad."""
    places = np.flatnonzero(bad)
    return int(places[-1]) + 1 if len(places) else 0


# Rules that are easily taken for the right one, and give the same length for many a network.
USUAL = {
    "below": "That is the first from the short end.",
    "recurrent": "So it is for weight_hh alone: take all four parameters as one vector.",
    "weights": "So it is without the biases: take all four parameters as one vector.",
    "one bias": "So it is with one bias: both have a gradient, the same one, and both count.",
    "largest": "So it is if no parameter by itself may be off by more: take all four as one vector.",
    "mean": "So it is for the mean of four angles: take all four parameters as one vector.",
    "distance": "So it is for the distance of the two vectors. The angle does not look at their lengths.",
}
OTHERS = {
    "cos": "Are your 20 degrees radians? np.cos(20) is the cosine of 20 radians.",
    "radians": "Are your 20 degrees radians?",
    "one late": "Yours is the first that fails, seen from the long end.",
}


def _places(grads: dict[str, np.ndarray]) -> tuple[int, np.ndarray, dict[str, int]]:
    """Return the right place in the list of lengths, the angles, and what other rules give."""
    flat = {name: g.reshape(len(g), -1) for name, g in grads.items()}
    whole = np.concatenate(list(flat.values()), axis=1)
    angles, single = _angles(whole), np.array([_angles(g) for g in flat.values()])
    first = _shortest(angles > 20)

    def part(*names: str) -> int:
        return _shortest(_angles(np.concatenate([flat[name] for name in names], axis=1)) > 20)

    away = np.linalg.norm(whole - whole[-1], axis=1) / np.linalg.norm(whole[-1])
    return (
        first,
        angles,
        {
            "below": int(np.argmax(angles <= 20)),
            "recurrent": part("weight_hh"),
            "weights": part("weight_ih", "weight_hh"),
            "one bias": part("weight_ih", "weight_hh", "bias_ih"),
            "largest": _shortest(single.max(axis=0) > 20),
            "mean": _shortest(single.mean(axis=0) > 20),
            "distance": _shortest(away > np.sin(np.radians(20))),
            "cos": _shortest(_cosines(whole) < np.cos(20)),
            "radians": 0,
            "one late": max(0, first - 1),
        },
    )


STEPS, UNITS = 120, 16
DIVISORS = np.array([1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 30, 40, 60])


def _draw_case(rng: np.random.Generator, orthogonal: bool) -> tuple[Any, ...]:
    """Return weights, x, d_outputs and the allowed lengths."""
    w = RNN.init(2, UNITS, seed=int(rng.integers(100_000))).parameters
    if orthogonal:
        none, Q = np.zeros(UNITS), np.linalg.qr(rng.normal(size=(UNITS, UNITS)))[0]
        w = {"weight_ih": 0.3 * w["weight_ih"], "weight_hh": 0.95 * Q, "bias_ih": none, "bias_hh": none}
    x, d = rng.normal(size=(STEPS, 1, 2)), rng.normal(size=(STEPS, 1, UNITS))
    # Not the same lengths for all: some are left out.
    return w, x, d, np.append(np.sort(rng.choice(DIVISORS, size=11, replace=False)), STEPS)


def _draw_cases(rng: np.random.Generator) -> list[tuple[str, tuple[Any, ...], Any]]:
    """Return so many networks that no usual rule gives the right length for all of them."""
    cases, untold = [], set(USUAL)
    for draw in range(200):
        w, x, d, allowed = inputs = _draw_case(rng, orthogonal=draw % 2 == 1)
        found = first, _, places = _places(_chunked(w, x[:, 0], d[:, 0], allowed))
        tells = {rule for rule in untold if places[rule] != first}
        if draw < 4 or tells:
            cases.append((("default", "0.95 orthogonal")[draw % 2], inputs, found))
            untold -= tells
        if draw >= 3 and not untold:
            break
    return cases


@checks.check("shortest-chunks")
def _shortest_chunks(call: Call, rng: np.random.Generator) -> str:
    cases = _draw_cases(rng)
    answers = call.many("shortest_chunks", [inputs for _, inputs, _ in cases])
    chosen = []
    for network, (answer, (_, (*_, allowed), _)) in enumerate(zip(answers, cases, strict=True), 1):
        got = float(array(answer, f"network {network}", ()))
        known = f"network {network}: {got:g} is none of the allowed lengths, {allowed.tolist()}."
        assert got in allowed, known
        chosen.append(int(np.flatnonzero(allowed == got)[0]))
    rules = [
        why
        for rule, why in {**USUAL, **OTHERS}.items()
        if all(at == places[rule] for at, (_, _, (*_, places)) in zip(chosen, cases, strict=True))
    ]
    rows = ["W                shortest  angle at the next shorter"]
    for network, (at, (name, (*_, allowed), (first, angles, _))) in enumerate(
        zip(chosen, cases, strict=True), 1
    ):
        where = f"network {network} ({name}): for chunks of {allowed[at]} the angle is {angles[at]:.1f}°"
        why = "".join(f" {rule}" for rule in rules[:1])
        assert angles[at] <= 20, f"{where}, more than 20°.{why}"
        assert at >= first, f"{where}, but for a longer allowed length it is more than 20° again.{why}"
        why = why or " Are all four parameters in your angle, and is the limit 20 degrees?"
        assert at == first, f"{where}, yet {allowed[first]} would do.{why}"
        before = f"{angles[first - 1]:.0f}°" if first else "–"
        rows.append(f"{name:15s}  {allowed[at]:8d}  {before:>25s}")
    return "\n".join(rows)
