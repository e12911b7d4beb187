"""Gradients that are added up a few steps at a time."""

import numpy as np
import pytest

from vglib import bptt
from vglib.base import shares


@pytest.mark.parametrize("held", [1, 13, 40])
def test_pieces_add_up(monkeypatch, backend, dtype, kind, problem, held):
    p = problem(backend, kind, dtype, T=7)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    whole = bptt.backprop(trace, p.d_outputs, p.d_final)
    monkeypatch.setattr(shares, "HELD", held)
    pieces = bptt.backprop(trace, p.d_outputs, p.d_final)
    near = {"rtol": 1e-12, "atol": 1e-13} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-6}
    for name, gradient in whole.parameters.items():
        np.testing.assert_allclose(
            backend.numpy(pieces.parameters[name]), backend.numpy(gradient), err_msg=name, **near
        )
    for name in ("inputs", "states", "initial"):
        np.testing.assert_allclose(
            backend.numpy(getattr(pieces, name)), backend.numpy(getattr(whole, name)), err_msg=name, **near
        )


def test_a_long_sequence_goes_in_pieces_and_equals_autograd(monkeypatch, torch):
    from vglib import LSTM

    calls = []
    add = shares.Shares.add
    monkeypatch.setattr(shares.Shares, "add", lambda self, *args: (calls.append(1), add(self, *args)))
    cell = LSTM.init(2, 64, xp=torch)
    x = torch.randn(70, 16, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    module = cell.to_torch()
    outputs, _ = module(x)
    outputs.sum().backward()
    grads = bptt.backprop(bptt.unroll(cell, x), torch.ones(70, 16, 64, dtype=torch.float64))
    assert len(calls) == 2  # 70 steps of 16 · 256 numbers, 64 at a time
    for name, gradient in grads.parameters.items():
        torch.testing.assert_close(gradient, getattr(module, f"{name}_l0").grad)


def test_only_what_is_wanted_is_added_up(backend, problem):
    p = problem(backend)
    trace = bptt.unroll(p.cell, p.x)
    for want, absent in (("parameters", "inputs"), ("inputs", "parameters")):
        grads = bptt.backprop(trace, p.d_outputs, want=want)
        assert getattr(grads, want) is not None
        assert getattr(grads, absent) is None
