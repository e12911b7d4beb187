"""Typical wrong answers to the exercises on truncation, and what each of them is told."""

import re

import numpy as np
import pytest

from vglib import RNN, bptt, truncation
from vglib.course.checks import find
from vglib.course.checks.truncation import OTHERS, USUAL, _chunked, _draw_cases

RIGHT = (2460, 34, 20, 200)
PREDICTIONS = [
    (0, 2500, "cannot go back 50 steps"),
    (0, 1000, "for k2 = k1"),
    (1, 50, "only the last loss"),
    (1, 33, "begins at 470"),
    (1, 4, "beyond the start of its own chunk"),
    (2, 40, "more than once"),
    (2, 0, "too small"),
    (3, 100, "length of a segment"),
    (3, 199, "the one that is both"),
    (3, 10_100, "one a segment"),
]


@pytest.mark.parametrize(("which", "wrong", "words"), PREDICTIONS)
def test_a_wrong_prediction_is_explained(which, wrong, words, told_of_number):
    assert re.search(words, told_of_number("truncation", RIGHT, which, wrong))


def parts_of(W, slopes, h, d, back=None, met=None, used=None, drop=slice(1, None)):
    parts, message, T = [], d, len(h)
    for j in range(T):
        delta = message * (slopes[: T - j] if met is None else met(slopes, j))
        parts.append(delta.T @ (h[: T - j] if used is None else used(h, j)))
        message = (delta @ (W if back is None else back(W)))[drop]
    return np.stack(parts)


def by_use(W, slopes, h, d):
    parts, message = [], np.zeros(len(W))
    for k in reversed(range(len(h))):
        delta = (message + d[k]) * slopes[k]
        parts.append(np.outer(delta, h[k]))
        message = delta @ W
    return np.stack(parts[::-1])


DISTANCES = [
    (lambda *given: np.cumsum(parts_of(*given), axis=0), "sums up to distance j"),
    (lambda *given: parts_of(*given)[::-1], "the order is turned"),
    (by_use, "sorted by the step of the use, k"),
    (lambda *given: by_use(*given)[::-1], "not sorted by distance"),
    (lambda *given: parts_of(*given, met=lambda slopes, j: 1.0), "no slopes"),
    (lambda *given: parts_of(*given, met=lambda slopes, j: slopes[j:]), "of that step, not of t"),
    (lambda *given: parts_of(*given, used=lambda h, j: h[j:]), r"It is h_\{t−j\}"),
    (lambda *given: parts_of(*given, back=np.transpose), "W is transposed on the way back"),
    (lambda *given: parts_of(*given, drop=slice(None, -1)), "the first row, not the last"),
    (lambda *given: -parts_of(*given), "but the sign"),
    (lambda *given: np.swapaxes(parts_of(*given), 1, 2), "transpose of the right answer"),
    (lambda W, slopes, h, d: parts_of(W, 1 - h**2, h, d), "yours at"),
    (lambda W, slopes, h, d: (d * slopes).T @ h, "the shape is"),
]


@pytest.mark.parametrize(("function", "words"), DISTANCES)
def test_wrong_parts_are_explained(function, words, told):
    assert re.search(words, told("truncation", "by-distance", {"by_distance": function}))


def test_the_library_does_not_know_the_activation(told):
    def with_library(W, slopes, h, d):
        none = np.zeros(len(W))
        a = np.arctanh(np.sqrt(np.clip(1 - slopes, 0, 1 - 1e-15)))
        cell = RNN(np.eye(len(W)), W, none, none)
        trace = bptt.Trace(cell, a[:, None], np.concatenate([h, h[-1:]])[:, None], (a[:, None],))
        sums = [
            truncation.backprop(trace, d[:, None], 1, k + 1, want="parameters").parameters["weight_hh"]
            for k in range(len(h))
        ]
        return np.diff([np.zeros_like(W), *sums], axis=0)

    assert "yours at" in told("truncation", "by-distance", {"by_distance": with_library})


def game(weight, n=None, first=0):
    def roulette(parts, p, rng):
        last = (rng.choice(len(p), p=p) if n is None else n(p, rng)) + first
        weights = weight(p)
        return sum((parts[j] * weights[j] for j in range(last + 1)), np.zeros_like(parts[0]))

    return roulette


def reached(p):
    return np.cumsum(p[::-1])[::-1]


def divided(p):
    return 1 / reached(p)


def whole_over(weight):
    def roulette(parts, p, rng):
        n = rng.choice(len(p), p=p)
        return parts[: n + 1].sum(axis=0) / weight(p)[n]

    return roulette


def only_last(parts, p, rng):
    n = rng.choice(len(p), p=p)
    return parts[n] / p[n]


def hazards(p, rng):
    for n in range(len(p) - 1):
        if rng.random() < p[n]:
            return n
    return len(p) - 1


OWN = np.random.default_rng(5)
GAMES = [
    (game(np.ones_like), "far parts are too weak"),
    (game(lambda p: 1 / p), "not only by those that end there"),
    (whole_over(reached), "not the sum so far"),
    (whole_over(lambda p: p), r"not the sum by p\[n\]"),
    (only_last, "thrown away"),
    (game(lambda p: 1 / (1 - np.cumsum(p))), "has reached part j, too"),
    (game(lambda p: 1 / np.cumsum(p)), "is over by then"),
    (game(reached), "multiplied where a division"),
    (game(divided, first=-1), "is the last one used"),
    (game(divided, lambda p, rng: rng.integers(len(p))), "Where do you use p"),
    (game(divided, hazards), "not of those that have come to part n"),
    (game(divided, lambda p, rng: rng.choice(len(p), p=p[::-1])), "read from behind"),
    (game(divided, lambda p, rng: OWN.choice(len(p), p=p)), "from `rng` alone"),
    (game(divided, lambda p, rng: 1), "all draws are the same"),
    (game(divided, lambda p, rng: rng.integers(2)), "of the games end with part 1, it should be"),
    (lambda parts, p, rng: parts.sum(axis=0), "the whole sum"),
    (lambda parts, p, rng: 0.5 * parts.sum(axis=0), "all draws are the same"),
    (lambda parts, p, rng: rng.random() * parts.sum(axis=0), "does not depend on the draw"),
    (lambda parts, p, rng: parts, "the shape is"),
]


@pytest.mark.parametrize(("function", "words"), GAMES)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_a_wrong_game_is_explained(function, words, told):
    assert re.search(words, told("truncation", "roulette", {"roulette": function}))


def test_a_decision_after_each_part_is_a_right_answer_too(passes):
    def roulette(parts, p, rng):
        total, left = parts[0], 1.0
        for j in range(1, len(p)):
            if rng.random() * left < p[j - 1]:
                break
            left -= p[j - 1]
            total = total + parts[j] / left
        return total

    for seed in range(20):
        assert passes("truncation", "roulette", {"roulette": roulette}, seed)


COS = np.cos(np.radians(20))


def chunks(limit=COS, names=("weight_ih", "weight_hh", "bias_ih", "bias_hh"), late=0):
    def shortest_chunks(weights, x, d_outputs, allowed):
        trace = bptt.unroll(RNN(**weights), x)
        found = [truncation.backprop(trace, d_outputs, int(k), want="parameters").parameters for k in allowed]
        flat = [np.concatenate([g[name].ravel() for name in names]) for g in found]
        cosines = [g @ flat[-1] / np.linalg.norm(g) / np.linalg.norm(flat[-1]) for g in flat]
        best = len(allowed) - 1
        while best > 0 and cosines[best - 1] >= limit:
            best -= 1
        return int(allowed[min(best + late, len(allowed) - 1)])

    return shortest_chunks


CHUNKS = [
    (chunks(np.cos(20)), "radians"),
    (chunks(names=("weight_hh",)), "for weight_hh alone"),
    (chunks(late=-1), "first that fails"),
    (chunks(late=1), "would do"),
    (chunks(0.99), "would do"),
    (lambda weights, x, d, allowed: 7, "none of the allowed"),
    (lambda weights, x, d, allowed: allowed[-1], "would do"),
    (lambda weights, x, d, allowed: allowed[0], "more than 20°"),
    (lambda weights, x, d, allowed: allowed, "shape"),
]


@pytest.mark.parametrize(("function", "words"), CHUNKS)
def test_a_wrong_length_is_explained(function, words, told):
    assert re.search(words, told("truncation", "shortest-chunks", {"shortest_chunks": function}))


@pytest.mark.parametrize("rule", [*USUAL, *OTHERS])
def test_another_rule_for_the_length_never_passes_and_is_known(rule, told):
    """Whatever is drawn, some network tells it apart."""
    checks, said = find("truncation"), []
    for seed in range(10):
        cases = _draw_cases(checks.rng("shortest-chunks", seed))
        lengths = iter([inputs[3][places[rule]] for _, inputs, (_, _, places) in cases])
        names = {"shortest_chunks": lambda *inputs, lengths=lengths: next(lengths)}
        said.append(told("truncation", "shortest-chunks", names, seed))
    assert {**USUAL, **OTHERS}[rule] in " ".join(said)


def test_the_reference_for_chunks_agrees_with_autograd():
    import torch

    rng = np.random.default_rng(3)
    w = {name: np.asarray(value) for name, value in RNN.init(2, 5, seed=1).parameters.items()}
    x, d = rng.normal(size=(12, 2)), rng.normal(size=(12, 5))
    lengths = np.array([1, 3, 4, 12])
    got = _chunked(w, x, d, lengths)
    for place, k in enumerate(lengths):
        leaf = {name: torch.tensor(value, requires_grad=True) for name, value in w.items()}
        state, loss = torch.zeros(5, dtype=torch.float64), 0.0
        for t in range(12):
            state = state.detach() if t % k == 0 else state
            given = torch.tensor(x[t]) @ leaf["weight_ih"].T + leaf["bias_ih"] + leaf["bias_hh"]
            state = torch.tanh(given + state @ leaf["weight_hh"].T)
            loss = loss + (torch.tensor(d[t]) * state).sum()
        for name, want in zip(leaf, torch.autograd.grad(loss, list(leaf.values())), strict=True):
            np.testing.assert_allclose(got[name][place], want.numpy(), rtol=1e-10, atol=1e-12)
