"""Typical wrong answers to the exercises on the LSTM, and what each of them is told."""

import math
import re

import numpy as np
import pytest

RIGHT = (1 / (1 + math.exp(-2)), 69, math.log(199), 150)
PREDICTIONS = [
    (0, 0.731, "one bias of 1"),
    (0, 2, "The gate is its sigmoid"),
    (0, 0.964, "that is tanh"),
    (1, 50, "do not add up"),
    (1, 68, "a little more than half"),
    (1, 68.97, "a whole number of steps"),
    (1, 100, "the time scale"),
    (2, 5.3, "both round to that"),
    (2, 5.2983, "is 199"),
    (2, 199, "its logarithm"),
    (2, -5.293, "the sign"),
    (3, 126, "subnormal"),
    (3, 149, "not 0 yet"),
    (3, 1075, "float64"),
]


@pytest.mark.parametrize(("which", "wrong", "words"), PREDICTIONS)
def test_a_wrong_prediction_is_explained(which, wrong, words, told_of_number):
    assert re.search(words, told_of_number("lstm", RIGHT, which, wrong))


PASSTHROUGHS = [
    [("c_bar[t] = c_bar[t+1]*d(c[t+1], c[t])", "chain rule")],
    [("c_bar[t] = c_bar[t+1]", "chain rule")],
    [("c_bar[t] = c_bar[t+1]", "hypothesis")],
]


@pytest.mark.parametrize("proof", PASSTHROUGHS)
def test_a_proof_that_forgets_a_path_fails_at_its_first_step(proof, told):
    assert "step 1" in told("lstm", "passthrough", {"passthrough": lambda: proof}).lower()


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def backward(z, p, c, d_h, d_c, later=1, tanh=1, peephole=1, looks=1, old=False, seen="new", slope=1, gate=1):
    """Go back through a step with peepholes; every option forgets one thing."""
    i, f, g = sigmoid(z[0] + p[0] * c), sigmoid(z[1] + p[1] * c), np.tanh(z[2])
    new = f * c + i * g
    o = sigmoid(z[3] + p[2] * (c if old else new))
    squashed = np.tanh(new)
    d_o = d_h * squashed * o * (1 - gate * o)
    total = later * d_c + tanh * d_h * o * (1 - slope * squashed**2) + peephole * d_o * p[2]
    d_i, d_f, d_g = total * g * i * (1 - i), total * c * f * (1 - f), total * i * (1 - g**2)
    d_old = total * f + looks * (d_i * p[0] + d_f * p[1])
    d_p = np.stack([d_i * c, d_f * c, d_o * (new if seen == "new" else c)])
    return np.stack([d_i, d_f, d_g, d_o]), d_p, d_old


PEEPHOLES = [
    ({"peephole": 0}, "a path leads back to c′ through p_o"),
    ({"later": 0}, "what comes from later steps, d_c, is missing"),
    ({"tanh": 0}, "the path from h′ to c′ through tanh is missing"),
    ({"slope": 0}, "the slope of tanh at c′ is missing"),
    ({"looks": 0}, "two paths lead from their pre-activations to c"),
    ({"old": True}, "yours at the old one"),
    ({"old": True, "peephole": 0, "seen": "c"}, "yours at the old one"),
    ({"seen": "c"}, "the gradient of p_o has c′ in it"),
    ({"gate": 0}, "The rows are i, f, g, o, counted from 0"),
]


@pytest.mark.parametrize(("change", "words"), PEEPHOLES)
def test_a_wrong_gradient_through_peepholes_is_explained(change, words, told):
    assert words in told(
        "lstm", "peephole-backward", {"peephole_backward": lambda *inputs: backward(*inputs, **change)}
    )


def test_rows_in_the_order_of_another_library_are_noticed(told):
    def peephole_backward(*inputs):
        d_z, d_p, d_old = backward(*inputs)
        return d_z[[0, 1, 3, 2]], d_p, d_old

    assert "the rows are i, f, g, o" in told(
        "lstm", "peephole-backward", {"peephole_backward": peephole_backward}
    )


LATCH = np.array(
    [[0.0, 20, 0, 0, -10], [0.0, -20, -20, 0, 10], [1.0, 0, 0, 0, 0], [0.0, 0, 0, 0, 10]]
)  # rows i, f, g, o; columns v, w, r, h, bias
TABLES = [
    ({(2, 0): -1}, "a sign in row g is turned"),
    ({(2, 0): 0}, "Does row g look at v"),
    ({(2, 0): 0, (2, 4): 5}, "what row g writes at a write does not follow v"),
    ({(0, 4): -20, (0, 1): 0}, "Is i open at a write"),
    ({(1, 4): 5}, "f is not open enough"),
    ({(0, 4): -2}, "i lets noise in between writes"),
    ({(1, 1): 0}, "the old bit is still there"),
    ({(1, 2): 0}, "Which gate empties the cell"),
    ({(1, 2): -10}, "Which gate empties the cell"),
    ({(0, 4): -5, (0, 1): 10, (3, 4): 5}, "Without the noise it goes well"),
    ({(0, 2): 20, (1, 2): -20}, "Without the noise it goes well"),
    ({(2, 0): 20}, "is g saturated"),
    ({(0, 1): 21}, "20 is allowed"),
]


@pytest.mark.parametrize(("change", "words"), TABLES)
@pytest.mark.parametrize("seed", [7, 8, 9])
def test_a_wrong_table_is_explained(change, words, seed, told):
    table = LATCH.copy()
    for place, weight in change.items():
        table[place] = weight
    assert words in told("lstm", "latch", {"latch": lambda: table}, seed)


def test_the_table_with_its_axes_turned_is_told_its_shape(told):
    assert "it should be (4, 5)" in told("lstm", "latch", {"latch": lambda: LATCH.T})
