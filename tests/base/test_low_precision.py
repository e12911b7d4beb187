"""What float32, float16 and bfloat16 still carry, and what they lose."""

import math

import numpy as np
import pytest

from vglib import RNN, bptt, jacobians


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision_log_norms(torch, half):
    kind = getattr(torch, half)
    eps = torch.finfo(kind).eps
    for w in (0.5, 2.0):  # 2⁴⁰⁰: an exponent counted in bfloat16 stays at 256
        cell = RNN.init(1, 1, xp=torch, dtype=half, activation="linear")
        cell = cell.replace(**{n: v * 0 + (w if n == "weight_hh" else 0) for n, v in cell.parameters.items()})
        trace = bptt.unroll(cell, torch.zeros(400, 1, 1, dtype=kind))
        expected = torch.arange(400, -1, -1)[:, None] * math.log(w)
        for ord in jacobians.ORDERS:
            logs = jacobians.log_norms(trace, ord)
            assert logs.dtype == kind
            torch.testing.assert_close(logs.double(), expected.double(), rtol=eps, atol=0)
        assert float(jacobians.log_singular_values(trace)[0, 0]) == pytest.approx(
            float(expected[0, 0]), rel=eps
        )
    # A sum of 256² squares of numbers near 2 is no float16.
    even = RNN.init(1, 256, xp=torch, dtype=half, activation="linear")
    even = even.replace(weight_hh=torch.full((256, 256), 1 / 256, dtype=kind))
    trace = bptt.unroll(even, torch.zeros(10, 1, 1, dtype=kind))
    assert float(jacobians.log_norms(trace)[0, 0]) == pytest.approx(-math.log(256) / 2, rel=eps)
    tanh = bptt.unroll(RNN.init(1, 8, xp=torch, dtype=half), torch.zeros(100, 2, 1, dtype=kind))
    exact = tanh.cell.to(dtype="float64")
    promoted = bptt.Trace(exact, tanh.inputs.double(), tanh.states.double(), (tanh.saved[0].double(),))
    error = (jacobians.log_norms(tanh).double() - jacobians.log_norms(promoted)).abs().max()
    assert error < 4 * eps * jacobians.log_norms(promoted).abs().max()


@pytest.mark.parametrize(("T", "scale", "ord"), [(1000, 0.5, 1), (4000, 0.5, "fro"), (4000, 3.0, "fro")])
def test_float32_keeps_the_log_norms_of_float64(backend, T, scale, ord):
    x = np.random.default_rng(T).normal(size=(backend.length(T), 2, 2))
    trace = bptt.unroll(backend.cell(2, 8, "float32", scale), backend.array(x, "float32"))
    arrays = [backend.array(backend.numpy(a)) for a in (trace.inputs, trace.states, trace.saved[0])]
    promoted = bptt.Trace(trace.cell.to(dtype="float64"), *arrays[:2], (arrays[2],))
    logs, expected = (backend.numpy(jacobians.log_norms(t, ord)) for t in (trace, promoted))
    assert np.max(np.abs(logs - expected)) < 1e-5 * np.ptp(expected)


def test_trap_float32_input_gradients_are_zero_where_log_norms_stay_finite(torch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = torch.nn.RNN(32, 64)
        x = torch.randn(200, 1, 32).requires_grad_()
    out, _ = layer(x)
    out[-1].sum().backward()
    lost = (x.grad == 0).all(dim=-1)[:, 0]
    assert 20 < int(lost.sum()) < 180
    assert not lost[-20:].any()
    trace = bptt.unroll(RNN.from_torch(layer), x.detach())
    d_outputs = torch.zeros(200, 1, 64)
    d_outputs[-1] = 1.0
    assert (bptt.backprop(trace, d_outputs).inputs[:10] == 0).all()  # float32 is float32, whoever computes
    logs = jacobians.log_norms(trace)[:, 0]
    assert logs.isfinite().all()
    assert logs[0] < logs[10] < -80
    exact = bptt.unroll(trace.cell.to(dtype="float64"), trace.inputs.double())
    torch.testing.assert_close(logs.double(), jacobians.log_norms(exact)[:, 0], rtol=1e-4, atol=1e-3)
