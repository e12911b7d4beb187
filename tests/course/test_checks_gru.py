"""Typical wrong answers to the exercises on gated recurrent units, and what each of them is told."""

import math
import re

import numpy as np
import pytest

from vglib import LSTM

RIGHT = (7, 74_496, 1 - 0.999**1000, -math.log(200))
PREDICTIONS = [
    (0, 6, "still more than half"),
    (0, 5, "losses multiply"),
    (0, 6.58, "Steps are whole"),
    (1, 99_328, "an LSTM"),
    (1, 74_112, "two biases"),
    (1, 73_728, "the biases are missing"),
    (1, 24_832, "one block of three"),
    (2, 1000, "cannot exceed 1"),
    (2, 1, "almost"),
    (2, 0.3677, "still missing to 1"),
    (3, 5.3, "the sign"),
    (3, 1 / 201, "that is u itself"),
    (3, 0.005, "that is u itself"),
    (3, 0.995, "that is 1 − u"),
    (3, -200, "a logarithm is missing"),
    (3, -4, "too large"),
]


@pytest.mark.parametrize(("which", "wrong", "words"), PREDICTIONS)
def test_a_wrong_prediction_is_explained(which, wrong, words, told_of_number):
    assert re.search(words, told_of_number("gru", RIGHT, which, wrong))


def backward(change=None):
    """Return the right function with some of its lines replaced."""

    def coupled_backward(U, p, f, g, o, c, d_h, d_c):
        here = {"np": np, "U": U, "p": p, "f": f, "g": g, "o": o, "c": c, "d_h": d_h, "d_c": d_c}
        lines = {
            "new": "f * c + (1 - f) * g",
            "d_new": "d_c + d_h * o",
            "a_f": "d_new * (c - g) * f * (1 - f)",
            "a_g": "d_new * (1 - f) * (1 - g**2)",
            "a_o": "d_h * new * o * (1 - o)",
            "by_h": "U.T @ np.concatenate([a_f, a_g, a_o])",
            "by_c": "d_new * f + p * a_f",
        }
        for name, line in (lines | (change or {})).items():
            here[name] = eval(line, here)
        return here["by_h"], here["by_c"]

    return coupled_backward


@pytest.mark.parametrize("form", [tuple, list, np.stack])
def test_lines_that_are_not_replaced_are_right(form, passes):
    names = {"coupled_backward": lambda *given: form(backward()(*given))}
    assert passes("gru", "coupled-backward", names)


BACKWARDS = [
    ({"a_f": "d_new * c * f * (1 - f)"}, "The second is missing"),
    ({"a_f": "d_new * -g * f * (1 - f)"}, "The first is missing"),
    ({"a_f": "d_new * (c + g) * f * (1 - f)"}, "its slope is −g"),
    ({"a_f": "d_new * (g - c) * f * (1 - f)"}, "the other sign"),
    ({"d_new": "d_c"}, "also heard through"),
    ({"d_new": "d_c + d_h"}, "the factor o is missing"),
    ({"d_new": "d_c + d_h * o * (1 - np.tanh(new)**2)", "a_o": "d_h * np.tanh(new) * o * (1 - o)"}, "LSTM"),
    ({"a_f": "d_new * (c - g)", "a_o": "d_h * new"}, "slope of its sigmoid"),
    ({"a_g": "d_new * (1 - g**2)"}, "multiplied by 1 − f"),
    ({"a_g": "d_new * (1 - f)"}, "candidate's tanh"),
    ({"a_o": "0 * d_h"}, "through the output gate"),
    ({"by_h": "sum(b @ a for b, a in zip(np.split(U, 3), (a_f, a_g, a_o)))"}, "transposed"),
    ({"by_h": "U.T @ np.concatenate([a_f, a_o, a_g])"}, "in the order f, g, o"),
    ({"by_h": "U.T @ np.concatenate([a_g, a_f, a_o])"}, "in the order f, g, o"),
    ({"by_c": "d_new * f"}, "f reads c_t, too: p times"),
    ({"by_c": "d_new * f + a_f"}, "weight p, which is missing"),
    ({"by_c": "d_new * f + p * d_new * (c - g)"}, "slope of its sigmoid"),
    ({"by_c": "p * a_f"}, "the gate alone"),
    ({"by_c": "d_new"}, "total gradient"),
    ({"by_c": "d_new * (1 - f) + p * a_f"}, "not by 1 − f"),
    ({"by_c": "d_c * f"}, "and f reads c_t, too"),
    ({"by_c": "d_new * f + p * (a_f + a_o)"}, "no peephole here"),
    ({"a_o": "d_h * c * o * (1 - o)"}, "the new cell"),
    ({"a_o": "d_new * new * o * (1 - o)"}, "by h_{t+1} alone"),
    ({"by_h": "U.T @ np.concatenate([a_f, a_g, a_o]) + d_h"}, "That would be a GRU"),
]


@pytest.mark.parametrize(("change", "words"), BACKWARDS)
def test_a_wrong_way_back_is_explained(change, words, told):
    assert words in told("gru", "coupled-backward", {"coupled_backward": backward(change)})


def test_two_gradients_in_the_other_order_are_said_to_be_exchanged(told):
    names = {"coupled_backward": lambda *given: backward()(*given)[::-1]}
    assert "exchanged" in told("gru", "coupled-backward", names)


def test_an_lstm_with_tied_weights_is_another_cell(told):
    def coupled_backward(U, p, f, g, o, c, d_h, d_c):
        u_f, u_g, u_o = np.split(U, 3)
        a_f, a_g, a_o = np.log(f / (1 - f)), np.arctanh(g), np.log(o / (1 - o))
        none = np.zeros(4 * len(c))
        cell = LSTM(np.zeros((4 * len(c), 1)), np.concatenate([-u_f, u_f, u_g, u_o]), none, none)
        factors = cell.factors((np.concatenate([-a_f, a_f, a_g, a_o]), c))
        d_state, delta, _ = cell.backward_step(factors, np.concatenate([d_h, d_c]))
        d_i, d_f = delta[: len(c)], delta[len(c) : 2 * len(c)]
        return d_state[: len(c)], d_state[len(c) :] + p * (d_f - d_i)

    assert "an LSTM's way out" in told("gru", "coupled-backward", {"coupled_backward": coupled_backward})


def converted(order="run", signs=(-1, -1, -1, -1), rows=True, biases=None, which="u"):
    def to_pytorch(K, R, k, s):
        if biases:
            k, s = biases(k, s)
        made = []
        for blocks, sign in zip((K.T, R.T, k, s), signs, strict=True):
            part = dict(zip("urn", np.split(blocks, 3), strict=True))
            part[which] = sign * part[which]
            made.append(np.concatenate([part[name] for name in order]))
        return made if rows else [made[0].T, made[1].T, *made[2:]]

    return to_pytorch


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_conversion_with_the_right_order_and_signs_is_right(dtype, passes):
    def to_pytorch(*given):
        return [part.astype(dtype) for part in converted("run")(*given)]

    for seed in range(20):
        assert passes("gru", "to-pytorch", {"to_pytorch": to_pytorch}, seed)


def mixed(blocks):
    """Return what looks transposed after `.T`, and is not."""
    return blocks.reshape(blocks.shape[::-1]).T


CONVERSIONS = [
    (converted("urn"), "order u, r, n"),
    (converted("urn", (1, 1, 1, 1)), "order u, r, n"),
    (converted(signs=(1, 1, 1, 1)), "Something has to be negated"),
    (converted(signs=(-1, -1, 1, 1)), "its biases are not"),
    (converted(signs=(1, 1, -1, -1)), "its matrices are not"),
    (converted(signs=(1, -1, 1, -1)), "K and k of u"),
    (converted(signs=(-1, 1, -1, 1)), "R and s of u"),
    (converted(signs=(-1, -1, -1, 1)), "s of u"),
    (converted(signs=(-1, -1, 1, -1)), "k of u"),
    (converted(which="r"), "r was negated"),
    (converted(which="n"), "candidate was negated"),
    (converted(biases=lambda k, s: (s, k)), "exchanged"),
    (converted(biases=lambda k, s: (k + s, 0 * s)), "the second stands inside"),
    (converted(biases=lambda k, s: (0 * k, k + s)), "the first stands outside"),
    (converted(rows=False), "Did you transpose"),
    (converted("nru"), "do not compute the same"),
    (lambda K, R, k, s: [np.full_like(a, np.nan) for a in (K.T, R.T, k, s)], "not finite"),
    (lambda K, R, k, s: (K.reshape(K.shape[::-1]), R.T, k, s), "do not compute the same"),
    (lambda K, R, k, s: converted()(mixed(K), mixed(R), k, s), "mixes up the numbers"),
    (lambda K, R, k, s: {"weight_ih": K.T}, "four arrays, weight_ih, .* are wanted"),
]


@pytest.mark.parametrize(("function", "words"), CONVERSIONS)
def test_a_wrong_conversion_is_explained(function, words, told):
    assert re.search(words, told("gru", "to-pytorch", {"to_pytorch": function}))


def test_biases_may_be_added_where_it_makes_no_difference(passes):
    def to_pytorch(K, R, k, s):
        H = len(R)
        apart = np.concatenate([np.zeros(2 * H), s[2 * H :]])
        return converted()(K, R, k + s - apart, apart)

    for seed in range(20):
        assert passes("gru", "to-pytorch", {"to_pytorch": to_pytorch}, seed)


def test_a_proof_with_both_hypotheses_passes_and_is_told_that_one_is_enough(passes):
    proof = [
        (
            "h_bar[t] = h_bar[t+1]*d(h[t+1], h[t]) + z_bar[t+1]*d(z[t+1], h[t])"
            " + r_bar[t+1]*d(r[t+1], h[t]) + n_bar[t+1]*d(n[t+1], h[t]) + y_bar[t]*d(y[t], h[t])",
            "chain rule",
        ),
        ("z[t+1] = 1", "hypothesis"),
        ("0 = r[t+1]", "hypothesis"),
        ("d(h[t+1], h[t]) = z[t+1]", "differentiate"),
        ("d(y[t], h[t]) = 1", "differentiate"),
        ("d(z[t+1], h[t]) = u_z*z[t+1]*(1 - z[t+1])", "differentiate"),
        ("d(r[t+1], h[t]) = u_r*r[t+1]*(1 - r[t+1])", "differentiate"),
        ("d(n[t+1], h[t]) = (1 - n[t+1]**2)*r[t+1]*u_n", "differentiate"),
        ("h_bar[t] = h_bar[t+1] + y_bar[t]", "substitute"),
    ]
    assert "One of the two hypotheses is enough" in passes("gru", "gru-path", {"gru_path": lambda: proof})
