"""Backpropagation through time against complex-step derivatives, autograd and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import RNN, NonFiniteError, bptt

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def check_gradients(backend, problem, oracle, dtype):
    """Compare everything that `unroll` and `backprop` return with the oracle."""
    p = problem
    trace = bptt.unroll(p.cell, p.x, p.initial)
    backend.check(trace.states, p.run(), dtype)
    backend.check(trace.outputs, p.run()[1:, :, : p.cell.hidden], dtype)
    assert (trace.steps, trace.batch) == p.plain.x.shape[:2]
    grads = bptt.backprop(trace, p.d_outputs, p.d_final)
    for name in NAMES:
        exact = oracle.complex_step(lambda w, name=name: p.loss(p.run(**{name: w})), p.plain.weights[name])
        backend.check(grads.parameters[name], exact, dtype)
    backend.check(grads.inputs, oracle.complex_step(lambda x: p.loss(p.run(x=x)), p.plain.x), dtype)
    # Every state as a leaf in the middle of the loop: the total derivative.
    total = oracle.complex_step(lambda bump: p.loss(p.run(bump)), np.zeros(tuple(trace.states.shape)))
    backend.check(grads.states, total, dtype)
    backend.check(grads.initial, total[0], dtype)


def test_gradients_equal_complex_step(backend, dtype, kind, problem, oracle):
    check_gradients(backend, problem(backend, kind, dtype), oracle, dtype)


@given(
    T=st.integers(1, 6),
    B=st.integers(1, 3),
    D=st.integers(1, 3),
    H=st.integers(1, 4),
    scale=st.floats(0, 2),
    seed=st.integers(0, 99),
)
def test_gradients_for_any_shape_and_scale(backend, kind, problem, oracle, T, B, D, H, scale, seed):
    check_gradients(backend, problem(backend, kind, "float64", T, B, D, H, scale, seed), oracle, "float64")


def test_total_gradient_equals_autograd_with_every_state_a_leaf(torch, backend, dtype, problem):
    p = problem(backend, "tanh", dtype, T=7, B=3, H=5)
    leaf = {n: torch.tensor(v, requires_grad=True) for n, v in p.plain.weights.items()}
    states, previous = [torch.tensor(p.plain.initial, requires_grad=True)], None
    for x in torch.tensor(p.plain.x):
        previous = states[-1]
        given_side = torch.nn.functional.linear(x, leaf["weight_ih"], leaf["bias_ih"])
        back = torch.nn.functional.linear(previous, leaf["weight_hh"], leaf["bias_hh"])
        states.append(torch.tanh(given_side + back))
        states[-1].retain_grad()
    loss = (torch.stack(states[1:]) * torch.tensor(p.plain.d_outputs)).sum()
    (loss + (states[-1] * torch.tensor(p.plain.d_final)).sum()).backward()
    grads = bptt.backprop(bptt.unroll(p.cell, p.x, p.initial), p.d_outputs, p.d_final)
    backend.check(grads.states, np.stack([state.grad.numpy() for state in states]), dtype)
    for name in NAMES:
        backend.check(grads.parameters[name], leaf[name].grad.numpy(), dtype)


def test_absent_initial_and_final_are_zeros(backend, dtype, kind, problem):
    p = problem(backend, kind, dtype)
    zero = backend.array(np.zeros(p.plain.initial.shape), dtype)
    with_zeros = bptt.backprop(bptt.unroll(p.cell, p.x, zero), p.d_outputs, zero)
    without = bptt.backprop(bptt.unroll(p.cell, p.x), p.d_outputs)
    np.testing.assert_array_equal(backend.numpy(without.states), backend.numpy(with_zeros.states))


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
def test_callable_by_chunk_equals_the_array(backend, dtype, kind, problem, steps):
    p = problem(backend, kind, dtype, T=steps)
    trace = bptt.unroll(p.cell, p.x)
    by_array = bptt.backprop(trace, p.d_outputs, p.d_final)
    by_chunk = bptt.backprop(trace, lambda start, stop: p.d_outputs[start:stop, ...], p.d_final)
    np.testing.assert_array_equal(backend.numpy(by_chunk.states), backend.numpy(by_array.states))
    for name in NAMES:
        np.testing.assert_array_equal(
            backend.numpy(by_chunk.parameters[name]), backend.numpy(by_array.parameters[name])
        )


def test_want_computes_what_is_wanted_and_no_more(backend, problem):
    p = problem(backend)
    trace = bptt.unroll(p.cell, p.x)
    everything = bptt.backprop(trace, p.d_outputs)
    for want in ((), "inputs", ["parameters"], ("states", "inputs"), bptt.WANTS):
        grads = bptt.backprop(trace, p.d_outputs, want=want)
        for name in bptt.WANTS:
            asked = name == want if isinstance(want, str) else name in want
            assert (getattr(grads, name) is not None) == asked
        backend.check(grads.initial, backend.numpy(everything.initial))
    backend.check(bptt.backprop(trace, p.d_outputs, want="inputs").inputs, backend.numpy(everything.inputs))


def test_equal_bias_gradients_are_two_arrays(backend, problem):
    p = problem(backend)
    parameters = bptt.backprop(bptt.unroll(p.cell, p.x), p.d_outputs).parameters
    before = backend.numpy(parameters["bias_hh"]).copy()
    parameters["bias_ih"][0] = 99.0
    np.testing.assert_array_equal(backend.numpy(parameters["bias_hh"]), before)


def test_scalar_linear_cell_in_closed_form(backend, dtype):
    w, T = 0.5, 20
    trace = bptt.unroll(backend.scalar(w, dtype), backend.array(np.ones((T, 1, 1)), dtype))
    backend.check(trace.outputs[:, 0, 0], 2 - 2 * w ** np.arange(1, T + 1), dtype)
    last = backend.array(np.eye(T)[-1][:, None, None], dtype)
    grads = bptt.backprop(trace, last)
    expected = w ** np.arange(T, -1, -1.0)
    np.testing.assert_allclose(backend.numpy(grads.states)[:, 0, 0], expected, rtol=1e-6)
    # d/dw of Σ_k w^k, k = 0 … T−1.
    k = np.arange(1, T)
    backend.check(grads.parameters["weight_hh"], [[np.sum(k * w ** (k - 1.0))]], dtype)


def test_contributions_equal_one_weight_copy_a_step(backend, dtype, kind, problem, oracle):
    p = problem(backend, kind, dtype)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    shares = bptt.contributions(trace, p.d_outputs, p.d_final)
    whole = bptt.backprop(trace, p.d_outputs, p.d_final).parameters
    assert list(shares) == list(whole)
    for name in NAMES:
        exact = oracle.complex_step(lambda w, name=name: p.loss(p.run(**{name: w})), p.per_step(name))
        backend.check(shares[name], exact, dtype)
        backend.check(backend.xp.sum(shares[name], axis=0), backend.numpy(whole[name]), dtype)


@pytest.mark.parametrize("weight", ["weight_hh", "weight_ih"])
def test_influence_equals_each_pair_alone(backend, dtype, kind, problem, oracle, weight):
    p = problem(backend, kind, dtype)
    influence = bptt.influence(bptt.unroll(p.cell, p.x, p.initial), p.d_outputs, weight)
    exact = oracle.complex_step(lambda w: p.losses(p.run(**{weight: w})), p.per_step(weight))
    expected = np.moveaxis(np.sqrt(np.sum(exact**2, axis=(-1, -2))), -1, 1)  # (T, T, B)
    backend.check(influence, expected, dtype)
    assert np.all(backend.numpy(influence)[np.triu_indices(4, 1)] == 0)  # the future
    assert np.all(expected[np.tril_indices(4)] > 0) or kind == "relu"


def test_influence_keeps_small_numbers_that_the_dtype_holds(backend):
    # The square of 2⁻⁹⁹ is no float32: a false vanishing.
    ones = backend.array(np.ones((100, 1, 1)), "float32")
    influence = bptt.influence(bptt.unroll(backend.scalar(0.5, "float32"), ones), ones, "weight_ih")
    np.testing.assert_array_equal(backend.numpy(influence)[-1, :, 0], 0.5 ** np.arange(99.0, -1, -1))
    far = backend.scalar(2.0, "float32").replace(weight_ih=backend.array([[2.0**-100]], "float32"))
    influence = bptt.influence(bptt.unroll(far, ones), ones, "weight_ih")
    np.testing.assert_array_equal(backend.numpy(influence)[-1, :, 0], 2.0 ** np.arange(99.0, -1, -1))


def test_rtrl_equals_complex_step_and_backprop(backend, dtype, kind, problem, oracle):
    p = problem(backend, kind, dtype)
    parameters, final = bptt.rtrl(p.cell, p.x, p.d_outputs, p.initial)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    backend.check(final, backend.numpy(trace.states)[-1], dtype)
    whole = bptt.backprop(trace, p.d_outputs).parameters
    for name in NAMES:
        exact = oracle.complex_step(
            lambda w, name=name: np.sum(p.losses(p.run(**{name: w}))), p.plain.weights[name]
        )
        backend.check(parameters[name], exact, dtype)
        backend.check(parameters[name], backend.numpy(whole[name]), dtype)
    # A callable is asked from the other end.
    chunked, _ = bptt.rtrl(p.cell, p.x, lambda start, stop: p.d_outputs[start:stop, ...], p.initial)
    backend.check(chunked["weight_hh"], backend.numpy(parameters["weight_hh"]), dtype)


# -- overflow ---------------------------------------------------------------------------------------------


def test_overflowing_forward_names_the_first_step(backend, dtype):
    cell = backend.scalar(2.0**100, dtype, activation="relu")
    x = backend.array(np.ones((20, 1, 1)), dtype)
    step = {"float64": 11 + 1, "float32": 2 + 1}[dtype]  # h_t is about 2^(100(t−1))
    for call in (
        lambda: bptt.unroll(cell, x),
        lambda: bptt.rtrl(cell, x, x),
    ):
        with pytest.raises(NonFiniteError, match=f"states is not finite .* first at step {step};") as error:
            call()
        assert error.value.step == step
    states = backend.numpy(bptt.unroll(cell, x, nonfinite="return").states)[:, 0, 0]
    assert np.all(np.isfinite(states[:step]))
    assert np.all(states[step:] == np.inf)


def test_overflowing_backward_names_the_step_where_it_begins(backend, dtype):
    T = 20
    cell = backend.scalar(2.0**100, dtype)
    trace = bptt.unroll(cell, backend.array(np.zeros((T, 1, 1)), dtype))
    ones = backend.array(np.ones((T, 1, 1)), dtype)
    step = T - {"float64": 11, "float32": 2}[dtype]  # ∂L/∂h_t is about 2^(100(T−t))
    calls = {
        "backprop": lambda: bptt.backprop(trace, ones),
        "contributions": lambda: bptt.contributions(trace, ones),
        "influence": lambda: bptt.influence(trace, ones),
    }
    for name, call in calls.items():
        with pytest.raises(
            NonFiniteError, match=r"grads\.states is not finite.*The gradient explodes"
        ) as error:
            call()
        assert error.value.step == step, name
    with pytest.raises(NonFiniteError, match=r"parameters is not finite.*The gradient explodes"):
        bptt.rtrl(cell, trace.inputs, ones)
    states = backend.numpy(bptt.backprop(trace, ones, nonfinite="return").states)[:, 0, 0]
    assert np.all(np.isfinite(states[step + 1 :]))
    assert np.all(states[: step + 1] == np.inf)
    shares = bptt.contributions(trace, ones, nonfinite="return")["bias_ih"]
    assert np.all(backend.numpy(shares)[:step, 0] == np.inf)


# -- the traps of a plain RNN -----------------------------------------------------------------------------


def test_trap_retain_grad_on_the_fused_layer_sees_the_direct_path_alone(torch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer, x = torch.nn.RNN(3, 8, dtype=torch.float64), torch.randn(12, 2, 3, dtype=torch.float64)
    out, _ = layer(x)
    out.retain_grad()
    out[-1].sum().backward()
    assert torch.all(out.grad[:-1] == 0)
    trace = bptt.unroll(RNN.from_torch(layer), x)
    grads = bptt.backprop(trace, out.grad)
    # The true one: start again from h_t as a leaf.
    for t in range(12):
        leaf = trace.states[t].clone().requires_grad_()
        (true,) = torch.autograd.grad(layer(x[t:], leaf[None])[0][-1].sum(), leaf)
        assert torch.all(true != 0)
        torch.testing.assert_close(grads.states[t], true, rtol=1e-10, atol=1e-14)
