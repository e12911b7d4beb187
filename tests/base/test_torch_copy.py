"""Copies to and from `torch.nn`, and what `torch.nn` computes, as the oracle of forward and backward."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import RNN, bptt

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@pytest.fixture
def module(torch):
    """Return a function that makes a `torch.nn.RNN` from a seed of its own."""

    def make(*sizes, kind="RNN", **options):
        with torch.random.fork_rng():
            torch.manual_seed(sum(sizes))
            return getattr(torch.nn, kind)(*sizes, dtype=options.pop("dtype", torch.float64), **options)

    return make


def close(actual, expected, tolerance=1e-12):
    """Assert closeness relative to the largest expected number."""
    actual, expected = (np.asarray(a.detach()) for a in (actual, expected))
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.max(np.abs(expected)))


def draw(torch, *shape, dtype="float64"):
    values = np.random.default_rng(list(shape)).normal(size=shape)
    return torch.tensor(values, dtype=getattr(torch, dtype))


def assert_same(torch, module, suffix, cell, x, state, take, tolerance=1e-12):
    """Compare one layer of `module` with `cell`, forward and all gradients; `take` gives its outputs."""
    leaf, start = x.clone().requires_grad_(), state.clone().requires_grad_()
    outputs, final = module(leaf, start)
    d_outputs, d_final = (
        draw(torch, *take(outputs).shape).to(x.dtype),
        draw(torch, *state.shape[1:]).to(x.dtype),
    )
    index = int("reverse" in suffix)
    module.zero_grad()
    ((take(outputs) * d_outputs).sum() + (final[index] * d_final).sum()).backward()

    flip = (lambda a: a.flip(0)) if "reverse" in suffix else (lambda a: a)
    trace = bptt.unroll(cell, flip(x), state[index])
    grads = bptt.backprop(trace, flip(d_outputs), d_final)
    close(flip(trace.outputs), take(outputs), tolerance)
    close(trace.states[-1], final[index], tolerance)
    close(flip(grads.inputs), leaf.grad, tolerance)
    close(grads.initial, start.grad[index], tolerance)
    for name in NAMES:
        weight = getattr(module, name + suffix, None)
        if weight is not None:
            close(grads.parameters[name], weight.grad, tolerance)


@given(steps=st.integers(1, 40), batch=st.integers(1, 4), inputs=st.integers(1, 5), hidden=st.integers(1, 5))
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_equals_nn_rnn(torch, nonlinearity, precision, tolerance, steps, batch, inputs, hidden):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = torch.nn.RNN(inputs, hidden, nonlinearity=nonlinearity, dtype=getattr(torch, precision))
    cell = RNN.from_torch(layer)
    assert (cell.activation, cell.dtype) == (nonlinearity, precision)
    x, state = (
        draw(torch, steps, batch, inputs, dtype=precision),
        draw(torch, 1, batch, hidden, dtype=precision),
    )
    assert_same(torch, layer, "_l0", cell, x, state, lambda outputs: outputs, tolerance)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_to_torch_computes_the_same(torch, nonlinearity, dtype):
    cell = RNN.init(3, 4, activation=nonlinearity, dtype=dtype, seed=5)
    layer = cell.to_torch()
    assert isinstance(layer, torch.nn.RNN)
    assert layer.nonlinearity == nonlinearity
    for name in NAMES:
        copied = getattr(layer, name + "_l0")
        assert copied.requires_grad
        np.testing.assert_array_equal(copied.detach().numpy(), getattr(cell, name))
    x, state = draw(torch, 6, 2, 3, dtype=dtype), draw(torch, 1, 2, 4, dtype=dtype)
    tolerance = {"float64": 1e-12, "float32": 1e-5}[dtype]
    assert_same(torch, layer, "_l0", cell.to(xp=torch), x, state, lambda outputs: outputs, tolerance)


def test_to_torch_copies_from_any_library(torch, backend):
    cell = backend.cell(3, 4)
    layer = cell.to_torch()
    before = backend.numpy(cell.weight_hh).copy()
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    np.testing.assert_array_equal(backend.numpy(cell.weight_hh), before)


def test_bias_false_becomes_zeros(torch, module):
    layer = module(3, 4, bias=False)
    cell = RNN.from_torch(layer)
    assert cell.bias_ih is not cell.bias_hh
    for bias in (cell.bias_ih, cell.bias_hh):
        assert bias.tolist() == [0.0] * 4
        assert bias.dtype == torch.float64
    assert cell.bias_ih.data_ptr() != cell.bias_hh.data_ptr()
    x, state = draw(torch, 5, 2, 3), draw(torch, 1, 2, 4)
    assert_same(torch, layer, "_l0", cell, x, state, lambda outputs: outputs)


@pytest.mark.parametrize("reverse", [False, True])
def test_bidirectional_reads_one_direction(torch, module, reverse):
    layer = module(3, 4, bidirectional=True)
    x, state = draw(torch, 5, 2, 3), draw(torch, 2, 2, 4)
    suffix = "_l0_reverse" if reverse else "_l0"
    cell = RNN.from_torch(layer, reverse=reverse)
    assert_same(torch, layer, suffix, cell, x, state, lambda out: out[..., 4:] if reverse else out[..., :4])


def test_several_layers_stack(torch, module):
    layers = module(3, 4, num_layers=3)
    x = draw(torch, 5, 2, 3)
    expected, _ = layers(x)
    level = x
    for index in range(3):
        cell = RNN.from_torch(layers, layer=index)
        assert cell.inputs == (4 if index else 3)
        level = bptt.unroll(cell, level).outputs
    close(level, expected)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_rnn_cell(torch, module, nonlinearity, bias):
    single = module(3, 4, kind="RNNCell", nonlinearity=nonlinearity, bias=bias)
    x, state = draw(torch, 1, 2, 3), draw(torch, 2, 4)
    for chosen in ({}, {"layer": 0}):
        cell = RNN.from_torch(single, **chosen)
        assert cell.activation == nonlinearity
        close(bptt.unroll(cell, x, state).outputs[0], single(x[0], state))


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_follows_double(torch, precision):
    cell = RNN.init(3, 16, xp=torch, dtype=precision)
    x, d_outputs = draw(torch, 20, 2, 3, dtype=precision), draw(torch, 20, 2, 16, dtype=precision)
    grads = bptt.backprop(bptt.unroll(cell, x), d_outputs)
    exact = bptt.backprop(bptt.unroll(cell.to(dtype="float64"), x.double()), d_outputs.double())
    tolerance = {"float16": 5e-3, "bfloat16": 4e-2}[precision]
    for name in ("inputs", "states", "initial"):
        assert getattr(grads, name).dtype == getattr(torch, precision)
        close(getattr(grads, name).double(), getattr(exact, name), tolerance)
    for name in NAMES:
        assert grads.parameters[name].dtype == getattr(torch, precision)
        close(grads.parameters[name].double(), exact.parameters[name], tolerance)


def test_sharing_weights_the_copied_cell_is_unchanged_after_optimizer_step(torch, module):
    layer = module(3, 4)
    cell = RNN.from_torch(layer)
    before = {name: weight.clone() for name, weight in cell.parameters.items()}
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    layer(draw(torch, 5, 2, 3))[0].sum().backward()
    optimizer.step()
    for name in NAMES:
        assert not torch.equal(getattr(layer, name + "_l0"), before[name])
        assert torch.equal(getattr(cell, name), before[name])
        assert not getattr(cell, name).requires_grad


@pytest.mark.parametrize(
    ("options", "chosen", "error", "message"),
    [
        (
            {"batch_first": True},
            {},
            ValueError,
            r"batch_first=True: vglib is time first.*x\.transpose\(0, 1\)",
        ),
        ({"num_layers": 2}, {}, ValueError, "layer: the module has 2 layers; say which, 0 to 1"),
        ({"num_layers": 2}, {"layer": 2}, ValueError, "layer must be 0 to 1; got 2"),
        ({"num_layers": 2}, {"layer": -1}, ValueError, "layer must be at least 0; got -1"),
        ({"num_layers": 2}, {"layer": True}, TypeError, "layer must be an integer; got True"),
        ({"num_layers": 2}, {"layer": 1.0}, TypeError, "layer must be an integer; got 1.0"),
        ({"num_layers": 2}, {"layer": "1"}, TypeError, "layer must be an integer; got '1'"),
        ({}, {"reverse": True}, ValueError, "reverse=True: the module is not bidirectional"),
        (
            {"kind": "RNNCell"},
            {"layer": 1},
            ValueError,
            "RNNCell has one layer and one direction; got 1, None",
        ),
        ({"kind": "RNNCell"}, {"reverse": True}, ValueError, "one layer and one direction; got None, True"),
        (
            {"bidirectional": True},
            {},
            ValueError,
            "reverse: the module is bidirectional; say which direction",
        ),
        ({}, {"reverse": "yes"}, TypeError, "reverse must be True, False or None; got 'yes'"),
        (
            {"kind": "LSTM"},
            {},
            TypeError,
            r"module must be a torch\.nn\.RNN or torch\.nn\.RNNCell; got .*\.LSTM$",
        ),
        ({"kind": "Linear"}, {}, TypeError, r"module must be a torch\.nn\.RNN.*; got .*\.Linear$"),
    ],
)
def test_from_torch_refuses(module, options, chosen, error, message):
    with pytest.raises(error, match=message):
        RNN.from_torch(module(3, 4, **options), **chosen)


@pytest.mark.parametrize("thing", [None, "RNN", 3, {}])
def test_from_torch_refuses_what_is_no_module(torch, thing):
    with pytest.raises(TypeError, match=rf"module must be a torch\.nn\.RNN.*; got {type(thing).__name__}"):
        RNN.from_torch(thing)


@pytest.mark.parametrize("name", ["sigmoid", "linear"])
def test_to_torch_refuses_activations_it_lacks(name):
    with pytest.raises(ValueError, match=f"activation: .* has tanh and relu only; this cell has '{name}'"):
        RNN.init(2, 3, activation=name).to_torch()
