"""A network that is neither recurrent nor residual: the contract of `Chain` is enough to write one."""

from dataclasses import dataclass

import numpy as np
import pytest

from vglib import bptt, clipping, jacobians
from vglib.base.arrays import Array, check_array, check_finite, device_of
from vglib.base.chain import Chain


@dataclass(frozen=True, eq=False, repr=False)
class Gains(Chain):
    """Layers h_{l+1} = tanh(w_l ⊙ h_l)."""

    weight: Array

    letter = "L"

    @property
    def like(self):
        return self.weight

    @property
    def parameters(self):
        return {"weight": self.weight}

    @property
    def hidden(self):
        return self.weight.shape[1]

    def begin(self, x, initial, nonfinite):
        check_array("x", x, [("B", None), ("S", self.size)], self.like)
        check_finite("x", x, nonfinite, first=None)
        return x, (self.at(t).step for t in range(self.weight.shape[0]))

    def at(self, t):
        return Layer(self.xp, self.weight[t, ...])

    def factors(self, saved):
        return (1 - self.xp.tanh(self.weight[:, None, :] * saved[0]) ** 2,)

    def parameter_gradients(self, trace, deltas):
        return {"weight": self.xp.sum(deltas[0] * trace.saved[0], axis=1)}

    def input_gradients(self, trace, d_start, deltas):
        return self.xp.asarray(d_start, copy=True)


@dataclass
class Layer:
    """One of the layers."""

    xp: object
    weight: Array

    def step(self, h):
        return self.xp.tanh(self.weight * h), (h,)

    def factors(self, saved):
        return (1 - self.xp.tanh(self.weight * saved[0]) ** 2,)

    def backward_step(self, factors, d_state):
        delta = d_state * factors[0]
        return delta * self.weight, delta

    def jacobian(self, factors):
        eye = self.xp.eye(self.weight.shape[0], dtype=self.weight.dtype, device=device_of(self.weight))
        return (factors[0] * self.weight)[..., None] * eye


def test_all_calls_work_on_a_network_that_follows_the_contract(torch, backend):
    draw = np.random.default_rng(0)
    weight, x, d_outputs = (draw.normal(size=shape) for shape in ((4, 3), (2, 3), (4, 2, 3)))
    net = Gains(backend.array(weight))
    trace = bptt.unroll(net, backend.array(x))
    grads = bptt.backprop(trace, backend.array(d_outputs))

    w, h = torch.tensor(weight, requires_grad=True), torch.tensor(x, requires_grad=True)
    states = [h]
    for row in w:
        states.append(torch.tanh(row * states[-1]))
    sum((s * torch.tensor(d)).sum() for s, d in zip(states[1:], d_outputs, strict=True)).backward()
    backend.check(trace.states, np.stack([s.detach().numpy() for s in states]))
    backend.check(grads.parameters["weight"], w.grad.numpy())
    backend.check(grads.inputs, h.grad.numpy())
    assert grads.cells is None

    values = np.stack([s.detach().numpy() for s in states])
    slopes = (1 - values[1:] ** 2) * weight[:, None, :]
    backend.check(jacobians.steps(trace), slopes[..., None] * np.eye(3))
    sizes = np.sort(np.abs(slopes.prod(axis=0)))[:, ::-1]
    backend.check(jacobians.log_singular_values(trace), np.log(sizes))
    backend.check(jacobians.log_norms(trace, 2)[0, ...], np.log(sizes[:, 0]))
    backend.check(list(jacobians.stream(trace))[3], slopes[3][..., None] * np.eye(3))
    moved = net.to(xp=np, dtype="float32").replace(weight=np.ones((4, 3), "float32"))
    assert moved.dtype == "float32"
    with pytest.raises(TypeError, match=r"trace must be of a recurrent cell, .*got one of Gains"):
        clipping.by_step(trace, backend.array(d_outputs), 1.0)


def test_a_new_chain_must_write_down_its_steps():
    class Nothing(Chain):
        pass

    calls = [("begin", 3), ("at", 1), ("factors", 1), ("parameter_gradients", 2), ("input_gradients", 3)]
    for name, count in calls:
        with pytest.raises(NotImplementedError, match=f"Nothing.{name}"):
            getattr(Nothing(), name)(*[None] * count)
    for name in ("like", "parameters", "hidden"):
        with pytest.raises(NotImplementedError, match=f"Nothing.{name}"):
            getattr(Nothing(), name)
