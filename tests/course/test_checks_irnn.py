"""The checks of the exercises on identity RNNs: their reference, and what they say to usual mistakes."""

import re

import numpy as np
import pytest

from vglib.course.checks.irnn import _pushed


def sums(x, U):
    h, found = np.zeros(len(U)), []
    for driven in x @ U.T:
        found.append(h + driven)
        h = np.maximum(0, found[-1])
    return np.array(found)


def padded(rows):
    return np.concatenate([rows, np.zeros((1, rows.shape[1]))])


def from_the_end(rows):
    return padded(np.cumsum(rows[::-1], axis=0)[::-1])


def cuts(x, U):
    return np.maximum(0, -sums(x, U))


def is_open(x, U):
    on = np.logical_and.accumulate(sums(x, U)[::-1] > 0)[::-1]
    return np.concatenate([on, np.ones((1, len(U)), bool)])


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999, 1.001, 1.5, 4.0])
def test_a_push_arrives_less_its_toll(share):
    rng = np.random.default_rng(3)
    x, U = rng.normal(size=(12, 3)), rng.normal(size=(4, 3))
    driven, want = x @ U.T, _pushed(x, U)
    states = padded(np.maximum(0, sums(x, U)))
    states = np.concatenate([np.zeros((1, 4)), states[:-1]])
    for t in range(12):
        push = share * want[t] + (share > 1) * 1e-3
        h = states[t] + push
        for given in driven[t:]:
            h = np.maximum(0, h + given)
        np.testing.assert_allclose(h - states[-1], np.maximum(0, push - want[t]), rtol=0, atol=1e-12)


def test_an_open_path_has_no_toll_and_a_shut_one_has():
    rng = np.random.default_rng(4)
    x, U = rng.normal(size=(30, 3)), rng.normal(size=(20, 3))
    np.testing.assert_array_equal(_pushed(x, U) < 1e-12, is_open(x, U))


TOLLS = {
    "gradient": (is_open, "that is the gradient"),
    "shut": (lambda x, U: ~is_open(x, U), "which paths are shut"),
    "inputs alone": (lambda x, U: from_the_end(np.maximum(0, -x @ U.T)), "the input of a step alone"),
    "uncut": (
        lambda x, U: from_the_end(np.maximum(0, -np.cumsum(x @ U.T, axis=0))),
        "your sums go below 0",
    ),
    "largest": (
        lambda x, U: padded(np.maximum.accumulate(cuts(x, U)[::-1])[::-1]),
        "the largest single cut",
    ),
    "counted": (lambda x, U: from_the_end(1.0 * (cuts(x, U) > 0)), "you counted the cuts"),
    "each": (lambda x, U: padded(cuts(x, U)), "the cuts of single steps"),
    "before": (lambda x, U: padded(np.cumsum(cuts(x, U), axis=0)[::-1])[::-1], "added up the cuts before t"),
    "late": (lambda x, U: padded(from_the_end(cuts(x, U))[1:]), "one step late"),
    "empty": (
        lambda x, U: padded(
            -np.array([np.cumsum(x[t:] @ U.T, axis=0).min(axis=0) for t in range(len(x))])
        ).clip(0),
        "with an empty unit",
    ),
    "turned": (lambda x, U: from_the_end(cuts(x, U))[::-1], "the order is turned"),
    "sign": (lambda x, U: -from_the_end(cuts(x, U)), "all is right but the sign"),
    "too short": (lambda x, U: from_the_end(cuts(x, U))[:-1], r"the shape is \(5, 1\)"),
}


@pytest.mark.parametrize("mistake", TOLLS)
def test_mistakes_of_tolls_are_named(mistake, told):
    tolls, words = TOLLS[mistake]
    assert re.search(words, told("irnn", "tolls", {"tolls": tolls}))


def lowest(x, U):
    """Return how far the sums of the inputs have fallen below 0 at most, from each step to the end."""
    total = np.concatenate([np.zeros((1, len(U))), np.cumsum(x @ U.T, axis=0)])
    fallen = -np.minimum.accumulate(total, axis=0)
    return fallen[-1] - fallen


@pytest.mark.parametrize("form", [np.float64, np.float32, np.ndarray.tolist])
def test_tolls_in_another_way_are_right(form, passes):
    def tolls(x, U):
        return form(lowest(x, U))

    for seed in range(20):
        assert passes("irnn", "tolls", {"tolls": tolls}, seed)


def adder(low, high, keep=1.0, readout=(1.0, 1.0), c=None, weight=None, bias=None, memory=0.0):
    W_ih = np.array([[1.0, high - low if weight is None else weight], [0.0, 0.0]])
    W_hh = np.array([[memory, 0.0], [1.0, keep]])
    b = np.array([-high if bias is None else bias, 0.0])
    return W_ih, W_hh, b, np.array(readout), 2 * low if c is None else c


ADDERS = {
    "of the chapter": (
        lambda low, high: adder(low, high, c=0.0, weight=1.0, bias=-1.0),
        "from −1 to 1, T = 20.*A gate that is off for a negative number loses it",
    ),
    "no shift": (lambda low, high: adder(low, high, c=0.0), "every answer is 2 too large. Which c"),
    "one shift for all": (
        lambda low, high: adder(low, high, c=-2.0),
        "−[234][^:]*: every answer is .* too large",
    ),
    "for −1 to 1": (lambda low, high: adder(-1.0, 1.0), "numbers from −[234].*T = 20"),
    "no gate read out": (
        lambda low, high: adder(low, high, readout=(0.0, 1.0)),
        "the last step marked.*read out the gate",
    ),
    "for all": (lambda low, high: adder(-10.0, 10.0), "to [234].*T = 20.*Numbers without a mark"),
    "a gate too low": (lambda low, high: adder(low, high, bias=-1.0), "right at both limits"),
    "columns": (
        lambda low, high: (adder(low, high)[0][:, ::-1], *adder(low, high)[1:]),
        "Numbers without a mark",
    ),
    "float32": (
        lambda low, high: tuple(np.float32(part) for part in adder(low, high)),
        r"yours \S+\d{6}\. That is almost right",
    ),
    "a leak": (lambda low, high: adder(low, high, keep=0.9), "Does one unit keep all"),
    "a small leak": (lambda low, high: adder(low, high, keep=1 - 1e-11), "T = 2000.*A small leak"),
    "a growth": (lambda low, high: adder(low, high, keep=1e10), "marked were"),
    "five units": (
        lambda low, high: (np.ones((5, 2)), np.eye(5), np.ones(5), np.ones(5), 0.0),
        "one to four",
    ),
    "turned": (
        lambda low, high: (adder(low, high)[0].T[:1], *adder(low, high)[1:]),
        r"W_ih.*\(1, 2\).*\(2, 2\)",
    ),
    "infinite": (lambda low, high: adder(low, high, c=np.inf), "c has an entry that is not finite"),
    "a number": (lambda low, high: 3.0, "five things, W_ih, .*are wanted"),
    "no b": (lambda low, high: adder(low, high)[:4], "five things, W_ih, .*are wanted"),
    "b a number": (
        lambda low, high: (*adder(low, high)[:2], 0.0, *adder(low, high)[3:]),
        r"b has shape \(\)",
    ),
}


@pytest.mark.parametrize("mistake", ADDERS)
def test_mistakes_of_signed_adder_are_named(mistake, told):
    answer, words = ADDERS[mistake]
    assert re.search(words, told("irnn", "signed-adder", {"signed_adder": answer}))


def steep(low, high):
    """A gate that shuts more firmly, a unit that keeps the double, and one that does nothing."""
    steps = 2 * (high - low)
    W_ih = [[1.0, steps], [0.0, 0.0], [0.0, 0.0]]
    W_hh = [[0.0, 0.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    return W_ih, W_hh, [-low - steps, 0.0, 0.0], [1.0, 0.5, 7.0], 2 * low


def of_two_parts(low, high):
    """A gate for positive and one for negative numbers, and two units that keep."""
    W_ih = [[1.0, high], [-1.0, -low], [0.0, 0.0], [0.0, 0.0]]
    W_hh = np.zeros((4, 4))
    W_hh[2, 0] = W_hh[3, 1] = W_hh[2, 2] = W_hh[3, 3] = 1.0
    return W_ih, W_hh, [-high, low, 0.0, 0.0], [1.0, -1.0, 1.0, -1.0], 0.0


@pytest.mark.parametrize("answer", [steep, of_two_parts])
def test_other_adders_are_right(answer, passes):
    for seed in range(5):
        assert passes("irnn", "signed-adder", {"signed_adder": answer}, seed)


RIGHT = (0.99**150, 1, 3 / 8, 1 / 12)


@pytest.mark.parametrize(
    ("which", "wrong", "words"),
    [
        (0, 0.99**149, "150 factors"),
        (0, -0.5, "they do not add up"),
        (1, 10, "no input weight on it"),
        (2, 0.25, "It must only not undo the first"),
        (3, 1 / 6, "knows neither number"),
        (3, 0.2, "too large"),
    ],
)
def test_mistakes_of_predictions_are_named(which, wrong, words, told_of_number):
    assert words in told_of_number("irnn", RIGHT, which, wrong)
