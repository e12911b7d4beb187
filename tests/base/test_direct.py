"""The loss's direct derivatives, handed out by step or by chunk."""

import numpy as np
import pytest

from vglib import RNN, NonFiniteError, bptt
from vglib.base.direct import direct_derivatives


@pytest.fixture
def given(problem):
    """Return a function that makes a problem of seven steps."""
    return lambda backend, **options: problem(backend, T=7, **options)


def test_rows_of_an_array(backend, kind, given):
    p = given(backend, kind=kind)
    direct, start = direct_derivatives(p.cell, 7, 2, p.d_outputs, p.d_final)
    assert start is p.d_final
    padded = np.zeros((7, 2, p.cell.size))
    padded[..., :3] = p.plain.d_outputs  # the loss sees h alone
    for t in range(7):
        backend.check(direct(t), padded[t])
    _, start = direct_derivatives(p.cell, 7, 2, p.d_outputs)
    backend.check(start, np.zeros((2, p.cell.size)))


@pytest.mark.parametrize("order", [range(7), range(6, -1, -1), [3, 3, 0, 6, 5, 1]])
def test_rows_of_a_callable_in_any_order(backend, kind, given, order):
    p = given(backend, kind=kind)
    expected, _ = direct_derivatives(p.cell, 7, 2, p.d_outputs)
    direct, _ = direct_derivatives(p.cell, 7, 2, lambda start, stop: p.d_outputs[start:stop, ...])
    for t in order:
        backend.check(direct(t), backend.numpy(expected(t)))


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 17, 100])
def test_a_callable_is_asked_last_chunk_first_without_gap_or_overlap(backend, given, steps):
    cell, asked = given(backend).cell, []

    def chunk(start, stop):
        asked.append((start, stop))
        return backend.array(np.zeros((stop - start, 2, 3)))

    direct, _ = direct_derivatives(cell, steps, 2, chunk)
    for t in reversed(range(steps)):
        direct(t)
    assert [t for start, stop in asked[::-1] for t in range(start, stop)] == list(range(steps))
    assert asked[0][1] == steps
    assert max(stop - start for start, stop in asked) <= round(steps**0.5)


@pytest.mark.parametrize(
    ("chunk", "error", "message"),
    [
        (
            lambda a, b: np.zeros((b - a + 1, 2, 3)),
            ValueError,
            r"d_outputs\(start, stop\) .*stop − start is 4, exp",
        ),
        (lambda a, b: np.zeros((b - a, 2, 4)), ValueError, r"d_outputs\(start, stop\) .*H is 4, expected 3"),
        (lambda a, b: [0.0], TypeError, r"d_outputs\(start, stop\) must be an array .*got list"),
        (
            lambda a, b: np.zeros((b - a, 2, 3), "float32"),
            TypeError,
            r"d_outputs\(start, stop\) is float32 but",
        ),
        (lambda a, b: np.full((b - a, 2, 3), np.nan), NonFiniteError, "d_outputs is not finite .* step 4"),
    ],
)
def test_a_callable_that_returns_something_else(chunk, error, message):
    direct, _ = direct_derivatives(RNN.init(2, 3), 7, 2, chunk)
    with pytest.raises(error, match=message):
        direct(6)


def test_a_loss_of_the_final_state_alone(backend, dtype, kind, problem):
    p = problem(backend, kind, dtype)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    alone = bptt.backprop(trace, d_final=p.d_final)
    zeros = bptt.backprop(trace, 0 * p.d_outputs, p.d_final)
    backend.check(alone.states, backend.numpy(zeros.states), dtype)
    for name, gradient in alone.parameters.items():
        backend.check(gradient, backend.numpy(zeros.parameters[name]), dtype)
    with pytest.raises(
        TypeError, match="d_outputs must be an array or a callable, unless a d_final says all; got None"
    ):
        bptt.backprop(trace)
