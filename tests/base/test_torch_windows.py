"""Truncation on PyTorch modules against autograd written out, and against the explicit gradients."""

import itertools
import weakref
from collections import namedtuple

import numpy as np
import pytest

from vglib import RNN, bptt, truncation

PAIRS = [(1, 1), (1, 4), (2, 2), (3, 5), (5, 3), (4, 4), (5, 9), (11, 11), (20, 20), (2, 20)]
STEPS = 11


class Reader:
    """A module with a readout, and data for it."""

    def __init__(self, torch, kind="LSTM", batch_first=False, seed=0, steps=STEPS):
        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.body = getattr(torch.nn, kind)(3, 4, batch_first=batch_first)
                self.readout = torch.nn.Linear(4, 1)

            def forward(self, x, state):
                output, state = self.body(x, state)
                return self.readout(output), state

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = Model().double()
            self.x = torch.randn(steps, 2, 3, dtype=torch.float64)
            self.target = torch.randn(steps, 2, 1, dtype=torch.float64)

    def loss(self, output, start, stop):
        return ((output - self.target[start:stop]) ** 2).sum()

    def grads(self):
        return [p.grad.clone() for p in self.model.parameters()]


def detached(state):
    return None if state is None else tuple(s.detach() for s in state)


def reference(torch, reader, k1, k2, optimizer=None):
    """Run each window again, one step at a time, from the state that its start had when it was last run."""
    known, done, result = {0: None}, 0, []
    for stop in sorted({*range(k1, STEPS + 1, k1), STEPS}):
        start, since = max(0, stop - k2), (stop - 1) // k1 * k1
        with torch.no_grad():
            for t in range(done, start):
                known[t + 1] = reader.model(reader.x[t : t + 1], known[t])[1]
        state, loss = detached(known[start]), 0.0
        for t in range(start, stop):
            output, state = reader.model(reader.x[t : t + 1], state)
            known[t + 1] = detached(state)
            if t >= since:
                loss = loss + reader.loss(output, t, t + 1)
        grads = torch.autograd.grad(loss, list(reader.model.parameters()))
        result.append((start, max(start, since), stop, float(loss.detach()), grads, detached(state)))
        done = stop
        if optimizer is not None:
            for parameter, grad in zip(reader.model.parameters(), grads, strict=True):
                parameter.grad = grad
            optimizer.step()
    return result


@pytest.mark.parametrize(("k1", "k2"), PAIRS)
@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_updates_equal_autograd_step_by_step(torch, k1, k2, rate):
    a, b = Reader(torch), Reader(torch)
    expected = reference(torch, a, k1, k2, torch.optim.SGD(a.model.parameters(), rate))
    optimizer = torch.optim.SGD(b.model.parameters(), rate)
    seen = []
    for update in truncation.updates(b.model, b.x, b.loss, k1, k2):
        w = update.window
        seen.append((w.start, w.first, w.stop, float(update.loss), b.grads(), update.state))
        optimizer.step()
    for one, other in zip(seen, expected, strict=True):
        assert one[:3] == other[:3]
        assert one[3] == pytest.approx(other[3], rel=1e-12)
        torch.testing.assert_close(one[4], list(other[4]), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(one[5], other[5], rtol=1e-10, atol=1e-12)
        assert not one[5][0].requires_grad


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_batch_first_and_callable_are_the_same(torch, kind):
    plain, turned = Reader(torch, kind), Reader(torch, kind, batch_first=True)

    def loss(output, start, stop):
        return plain.loss(output.transpose(0, 1), start, stop)

    first = [plain.grads() for _ in truncation.updates(plain.model, plain.x, plain.loss, 3, 5)]
    x = plain.x.transpose(0, 1)
    for model, given, loss_fn, options in (
        (turned, x, loss, {"batch_first": True}),
        (turned, lambda a, b: x[:, a:b], loss, {"batch_first": True, "steps": STEPS}),
        (plain, lambda a, b: plain.x[a:b], plain.loss, {"steps": STEPS}),
    ):
        updates = truncation.updates(model.model, given, loss_fn, 3, 5, **options)
        torch.testing.assert_close([model.grads() for _ in updates], first, rtol=1e-12, atol=1e-13)


def test_the_usual_recipe_stops_once_the_optimiser_steps(torch):
    reader = Reader(torch)
    optimizer = torch.optim.SGD(reader.model.parameters(), 0.1)
    k1, k2, states = 2, 4, [(None, None)]

    def train():
        for t in range(STEPS):
            state = detached(states[-1][1])
            if state is not None:
                state = tuple(s.requires_grad_() for s in state)
            output, new = reader.model(reader.x[t : t + 1], state)
            states.append((state, new))
            if (t + 1) % k1 == 0:
                optimizer.zero_grad()
                reader.loss(output, t, t + 1).backward(retain_graph=True)
                for back in range(1, k2):
                    if states[-back][0] is None:
                        break
                    grads = [s.grad for s in states[-back][0]]
                    torch.autograd.backward(states[-back - 1][1], grads, retain_graph=True)
                optimizer.step()

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        train()
    trained = torch.optim.SGD(reader.model.parameters(), 0.1)
    for _ in truncation.updates(reader.model, reader.x, reader.loss, k1, k2):
        trained.step()


def test_old_gradients_are_dropped_and_none_goes_into_the_first_state(torch):
    reader = Reader(torch)
    start = tuple(torch.ones(1, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for parameter in reader.model.parameters():
        parameter.grad = torch.full_like(parameter, 1e9)
    next(truncation.updates(reader.model, reader.x, reader.loss, STEPS, state=start))
    reader_loss = reader.loss(reader.model(reader.x, start)[0], 0, STEPS)
    expected = torch.autograd.grad(reader_loss, list(reader.model.parameters()))
    torch.testing.assert_close(reader.grads(), list(expected), rtol=1e-12, atol=1e-13)
    assert start[0].grad is None


@pytest.mark.parametrize("pack", ["dict", "list", "named"])
def test_nested_states(torch, pack):
    State = namedtuple("State", "inner steps")
    plain = Reader(torch)

    class Packed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = plain.model

        def forward(self, x, state):
            inner, steps = (None, torch.zeros(())) if state is None else unpack(state)
            output, inner = self.inside(x, inner)
            return output, wrap(inner, steps + len(x))

    def wrap(inner, steps):
        made = {
            "dict": {"inner": inner, "steps": steps},
            "list": [list(inner), steps],
            "named": State(inner, steps),
        }
        return made[pack]

    def unpack(state):
        inner, steps = state.values() if pack == "dict" else state
        return tuple(inner), steps

    expected = [plain.grads() for _ in truncation.updates(plain.model, plain.x, plain.loss, 2, 5)]
    seen = []
    for update in truncation.updates(Packed(), plain.x, plain.loss, 2, 5):
        seen.append(plain.grads())
        assert type(update.state) is type(wrap((), torch.zeros(())))
        inner, steps = unpack(update.state)
        assert not inner[0].requires_grad
        assert steps == update.window.stop
    torch.testing.assert_close(seen, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("way", ["updates", "randomized"])
def test_memory_is_flat_in_time(torch, way):
    reader = Reader(torch, "RNN")
    held = {"now": 0, "most": 0}

    def packed(tensor):
        held["now"] += tensor.numel()
        held["most"] = max(held["most"], held["now"])
        return Held(tensor)

    class Held:
        def __init__(self, tensor):
            self.tensor = tensor

        def __del__(self):
            held["now"] -= self.tensor.numel()

    def most(steps):
        held.update(now=0, most=0)
        chunk = torch.ones(steps, 2, 3, dtype=torch.float64)

        def loss(output, start, stop):
            return (output**2).sum()

        if way == "updates":
            made = truncation.updates(reader.model, lambda a, b: chunk[a:b], loss, 5, 15, steps=steps)
        else:
            made = truncation.randomized_updates(reader.model, chunk, loss, 6, block=3)
        with torch.autograd.graph.saved_tensors_hooks(packed, lambda h: h.tensor):
            longest = max(update.window.steps for update in made)
        return held["most"] / longest

    # What graphs keep goes with the longest window, and a window that is over keeps nothing.
    assert most(450) == pytest.approx(most(45), rel=0.3)


@pytest.mark.parametrize("k2", [3, 5])
def test_what_a_caller_does_to_an_update_changes_nothing(torch, k2):
    reader = Reader(torch)

    def losses(spoil):
        seen = []
        for update in truncation.updates(reader.model, reader.x, reader.loss, 3, k2, steps=STEPS):
            seen.append(float(update.loss))
            assert update.loss.shape == ()
            if spoil:
                for part in (*update.state, update.loss):
                    part.fill_(7.0)
        return seen

    assert losses(spoil=True) == losses(spoil=False)


@pytest.mark.parametrize("way", ["updates", "randomized"])
def test_outputs_are_gone_before_the_next_window(torch, way):
    reader, seen, alive = Reader(torch), [], []

    def loss(output, start, stop):
        seen.append(weakref.ref(output if output._base is None else output._base))
        return reader.loss(output, start, stop).reshape(1)

    class Watched(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = reader.model

        def forward(self, x, state):
            alive.append(any(one() is not None for one in seen))
            return self.inside(x, state)

    if way == "updates":
        made = truncation.updates(Watched(), reader.x, loss, 3)
    else:
        made = truncation.randomized_updates(Watched(), reader.x, loss, 3)
    for update in made:
        assert update.loss.shape == ()
    assert len(seen) > 2
    assert not any(alive)


def test_a_readout_outside_of_the_model_keeps_its_gradients(torch):
    """As the docstring warns: what only the loss knows is not the model's to clear."""
    body, readout = torch.nn.LSTM(3, 4), torch.nn.Linear(4, 1)
    seen = [
        float(readout.bias.grad)
        for _ in truncation.updates(body, torch.zeros(8, 2, 3), lambda o, a, b: readout(o).sum(), 4)
    ]
    assert seen == [8.0, 16.0]


@pytest.mark.parametrize("kind", ["tanh", "relu"])
@pytest.mark.parametrize(("length", "power", "block"), [(3, None, 1), (5, None, 2), (4, 3.0, 1), (7, 4.0, 3)])
def test_random_updates_are_the_explicit_ones(torch, kind, length, power, block):
    cell = RNN.init(3, 4, xp=torch, activation=kind)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        x, d = (torch.randn(40, 2, n, dtype=torch.float64) for n in (3, 4))
    module = cell.to_torch()

    def loss(output, start, stop):
        return (output * d[start:stop]).sum()

    total = {name: torch.zeros_like(w) for name, w in cell.parameters.items()}
    ends = []
    for update in truncation.randomized_updates(module, x, loss, length, 5, power, block):
        ends.append((update.window.start, update.window.first, update.window.stop))
        for name in total:
            total[name] += getattr(module, f"{name}_l0").grad
    carry = truncation.random_carry(40, length, 5, power, block)
    cuts = [0, *np.flatnonzero(carry == 0), 40]
    assert ends == [(a, a, b) for a, b in itertools.pairwise(cuts)]
    expected = truncation.randomized(bptt.unroll(cell, x), d, carry).parameters
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-12)


def test_random_updates_train(torch):
    reader = Reader(torch)
    optimizer = torch.optim.SGD(reader.model.parameters(), 0.05)
    for _ in truncation.randomized_updates(reader.model, reader.x, reader.loss, 3):
        optimizer.step()
    assert all(torch.isfinite(p).all() for p in reader.model.parameters())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": lambda x, state: (x, state)}, TypeError, "model must be a torch.nn.Module; got function"),
        ({"x": [1.0]}, TypeError, "x must be a tensor or a callable .*got list"),
        ({"x": "empty"}, ValueError, r"x must have at least 2 axes and a step or more; got \(0, 2, 3\)"),
        ({"x": lambda a, b: None}, ValueError, "steps must be given when x is a callable"),
        ({"steps": 5}, ValueError, "steps is for a callable x; x has T=11, steps is 5"),
        ({"loss": None}, TypeError, "loss_fn must be a callable .*got NoneType"),
        ({"loss": lambda o, a, b: o.detach().sum()}, ValueError, "loss_fn.*a gradient can flow from"),
        (
            {"loss": lambda o, a, b: o},
            TypeError,
            r"loss_fn\(.*must return a tensor with one number; got \(3, 2, 1\)",
        ),
        ({"loss": lambda o, a, b: 1.0}, TypeError, "must return a tensor with one number; got float"),
        ({"model": "linear"}, TypeError, r"model\(x, state\) must return \(output, state\); got Tensor"),
        ({"state": "zeros"}, TypeError, "state must be a tensor, None, or tuples.*got str"),
        ({"k1": 0}, ValueError, "k1 must be at least 1; got 0"),
        ({"k2": 1.5}, TypeError, "k2 must be an integer; got 1.5"),
    ],
)
def test_bad_input(torch, change, error, message):
    reader = Reader(torch)

    class Linear(torch.nn.Linear):
        def forward(self, x, state):
            return super().forward(x)

    given = {"model": reader.model, "x": reader.x, "loss": reader.loss, "k1": 3, "k2": None, "state": None}
    given |= {"steps": None, **change}
    given["model"] = Linear(3, 1).double() if given["model"] == "linear" else given["model"]
    given["x"] = reader.x[:0] if isinstance(given["x"], str) else given["x"]
    k1, k2, state, steps = (given[name] for name in ("k1", "k2", "state", "steps"))
    with pytest.raises(error, match=message):
        next(truncation.updates(given["model"], given["x"], given["loss"], k1, k2, state, steps=steps))
    if "k1" not in change and "k2" not in change:
        made = (given["model"], given["x"], given["loss"])
        with pytest.raises(error, match=message.replace(r"\(3, 2, 1\)", "")):
            next(truncation.randomized_updates(*made, 6, block=3, state=state, steps=steps))
    with pytest.raises(ValueError, match="length must be finite and above 3"):
        truncation.randomized_updates(reader.model, reader.x, reader.loss, 3, block=3)
