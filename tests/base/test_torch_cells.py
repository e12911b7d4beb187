"""LSTM and GRU against `torch.nn` with the same weights: forward, backward, both ways of copying."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import GRU, LSTM, RNN, bptt

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
CELLS = {"LSTM": LSTM, "GRU": GRU}


@pytest.fixture(scope="session", params=CELLS)
def name(request):
    """Each kind of cell, as PyTorch calls it."""
    return request.param


@pytest.fixture
def module(torch):
    """Return a function that makes a `torch.nn` module from a seed of its own."""

    def make(name, *sizes, **options):
        with torch.random.fork_rng():
            torch.manual_seed(sum(sizes))
            return getattr(torch.nn, name)(*sizes, dtype=options.pop("dtype", torch.float64), **options)

    return make


def draw(torch, *shape, dtype="float64"):
    values = np.random.default_rng(list(shape)).normal(size=shape)
    return torch.tensor(values, dtype=getattr(torch, dtype))


def close(actual, expected, tolerance=1e-12):
    """Assert closeness relative to the largest expected number."""
    actual, expected = (np.asarray(a.detach()) for a in (actual, expected))
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.max(np.abs(expected)))


def as_torch(parts):
    """Return a state in the module's own form: a tuple for an LSTM."""
    return tuple(parts) if len(parts) > 1 else parts[0]


def assert_same(torch, module, cell, x, suffix="_l0", tolerance=1e-12):
    """Compare one layer of `module` with `cell`: outputs, final state, all gradients."""
    index, hidden = int("reverse" in suffix), cell.hidden
    layers = (1 + module.bidirectional) * module.num_layers
    start = [draw(torch, layers, x.shape[1], hidden).to(x.dtype).requires_grad_() for _ in cell.blocks]
    leaf = x.clone().requires_grad_()
    outputs, final = module(leaf, as_torch(start))
    final = torch.cat([part[index] for part in (final if isinstance(final, tuple) else (final,))], dim=-1)
    outputs = outputs[..., index * hidden : (index + 1) * hidden]
    d_outputs, d_final = (draw(torch, *a.shape).to(x.dtype) for a in (outputs, final))
    module.zero_grad()
    ((outputs * d_outputs).sum() + (final * d_final).sum()).backward()

    flip = (lambda a: a.flip(0)) if index else (lambda a: a)
    initial = cell.join(**{b: part.detach()[index] for b, part in zip(cell.blocks, start, strict=True)})
    trace = bptt.unroll(cell, flip(x), initial)
    grads = bptt.backprop(trace, flip(d_outputs), d_final)
    close(flip(trace.outputs), outputs, tolerance)
    close(trace.states[-1], final, tolerance)
    close(flip(grads.inputs), leaf.grad, tolerance)
    close(grads.initial, torch.cat([part.grad[index] for part in start], dim=-1), tolerance)
    for weight in NAMES:
        if hasattr(module, weight + suffix):
            close(grads.parameters[weight], getattr(module, weight + suffix).grad, tolerance)


@given(steps=st.integers(1, 40), batch=st.integers(1, 4), inputs=st.integers(1, 5), hidden=st.integers(1, 5))
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-11), ("float32", 2e-5)])
def test_equals_the_fused_layer(torch, name, precision, tolerance, steps, batch, inputs, hidden):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = getattr(torch.nn, name)(inputs, hidden, dtype=getattr(torch, precision))
    cell = CELLS[name].from_torch(layer)
    assert cell.dtype == precision
    x = draw(torch, steps, batch, inputs, dtype=precision)
    assert_same(torch, layer, cell, x, tolerance=tolerance)


def test_to_torch_computes_the_same(torch, name, dtype):
    cell = CELLS[name].init(3, 4, dtype=dtype, seed=5)
    layer = cell.to_torch()
    assert type(layer) is getattr(torch.nn, name)
    for weight in NAMES:
        copied = getattr(layer, weight + "_l0")
        assert copied.requires_grad
        np.testing.assert_array_equal(copied.detach().numpy(), getattr(cell, weight))
    x, tolerance = draw(torch, 6, 2, 3, dtype=dtype), {"float64": 1e-12, "float32": 1e-5}[dtype]
    assert_same(torch, layer, cell.to(xp=torch), x, tolerance=tolerance)


def test_to_torch_copies_from_any_library_and_back(torch, backend, name):
    cell = backend.cell(3, 4, kind=CELLS[name])
    layer = cell.to_torch()
    back = CELLS[name].from_torch(layer)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    for weight in NAMES:
        np.testing.assert_array_equal(back.parameters[weight].numpy(), backend.numpy(cell.parameters[weight]))
        assert np.all(backend.numpy(cell.parameters[weight]) != 0)


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_to_the_one_step_cell_and_back(torch, backend, kind):
    cell = backend.cell(3, 4, kind=kind)
    single = cell.to_torch(one_step=True)
    assert type(single) is getattr(torch.nn, f"{kind.torch_name}Cell")
    back = kind.from_torch(single)
    for weight in NAMES:
        np.testing.assert_array_equal(back.parameters[weight].numpy(), backend.numpy(cell.parameters[weight]))
        assert getattr(single, weight).data_ptr() != back.parameters[weight].data_ptr()


def test_absent_biases_are_zeros(torch, module, name):
    layer = module(name, 3, 4, bias=False)
    cell = CELLS[name].from_torch(layer)
    rows = 4 * cell.gates
    assert cell.bias_ih.tolist() == cell.bias_hh.tolist() == [0.0] * rows
    assert cell.bias_ih.data_ptr() != cell.bias_hh.data_ptr()
    assert_same(torch, layer, cell, draw(torch, 5, 2, 3))


@pytest.mark.parametrize("reverse", [False, True])
def test_each_direction(torch, module, name, reverse):
    layer = module(name, 3, 4, bidirectional=True)
    cell = CELLS[name].from_torch(layer, reverse=reverse)
    assert_same(torch, layer, cell, draw(torch, 5, 2, 3), "_l0_reverse" if reverse else "_l0")


def test_layers_stack(torch, module, name):
    layers, x = module(name, 3, 4, num_layers=3), draw(torch, 5, 2, 3)
    level = x
    for index in range(3):
        level = bptt.unroll(CELLS[name].from_torch(layers, layer=index), level).outputs
    close(level, layers(x)[0])


@pytest.mark.parametrize("bias", [True, False])
def test_the_one_step_cell(torch, module, name, bias):
    single, kind = module(f"{name}Cell", 3, 4, bias=bias), CELLS[name]
    x, parts = draw(torch, 2, 3), {block: draw(torch, i + 1, 2, 4)[-1] for i, block in enumerate(kind.blocks)}
    for chosen in ({}, {"layer": 0}, {"reverse": False}):
        cell = kind.from_torch(single, **chosen)
        expected = single(x, as_torch(list(parts.values())))
        expected = torch.cat(expected, dim=-1) if isinstance(expected, tuple) else expected
        close(bptt.unroll(cell, x[None], cell.join(**parts)).states[1], expected)


def test_sharing_weights_is_avoided(torch, module, name):
    layer = module(name, 3, 4)
    cell = CELLS[name].from_torch(layer)
    before = {weight: value.clone() for weight, value in cell.parameters.items()}
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    layer(draw(torch, 5, 2, 3))[0].sum().backward()
    optimizer.step()
    for weight in NAMES:
        assert not torch.equal(getattr(layer, weight + "_l0"), before[weight])
        assert torch.equal(getattr(cell, weight), before[weight])
        assert not getattr(cell, weight).requires_grad


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_follows_double(torch, name, precision):
    cell = CELLS[name].init(3, 16, xp=torch, dtype=precision)
    x, d_outputs = draw(torch, 20, 2, 3, dtype=precision), draw(torch, 20, 2, 16, dtype=precision)
    grads = bptt.backprop(bptt.unroll(cell, x), d_outputs)
    exact = bptt.backprop(bptt.unroll(cell.to(dtype="float64"), x.double()), d_outputs.double())
    tolerance = {"float16": 1e-2, "bfloat16": 8e-2}[precision]
    pairs = {field: (getattr(grads, field), getattr(exact, field)) for field in ("inputs", "states", "cells")}
    pairs |= {weight: (grads.parameters[weight], exact.parameters[weight]) for weight in NAMES}
    for field, (got, expected) in pairs.items():
        if field == "cells" and name == "GRU":
            assert got is None
            continue
        assert got.dtype == getattr(torch, precision)
        close(got.double(), expected, tolerance)


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
        (
            {"bidirectional": True},
            {},
            ValueError,
            "reverse: the module is bidirectional; say which direction",
        ),
        ({}, {"reverse": True}, ValueError, "reverse=True: the module is not bidirectional"),
        ({}, {"reverse": 2}, TypeError, "reverse must be True, False or None; got 2"),
    ],
)
def test_forms_that_need_a_word(module, name, options, chosen, error, message):
    with pytest.raises(error, match=message):
        CELLS[name].from_torch(module(name, 3, 4, **options), **chosen)


def test_projected_states_are_refused(module):
    with pytest.raises(ValueError, match="proj_size=2: projected states are not supported; use proj_size=0"):
        LSTM.from_torch(module("LSTM", 3, 4, proj_size=2))


def test_the_one_step_cell_has_one_layer_and_direction(module, name):
    for chosen in ({"layer": 1}, {"reverse": True}):
        with pytest.raises(ValueError, match=f"{name}Cell has one layer and one direction"):
            CELLS[name].from_torch(module(f"{name}Cell", 3, 4), **chosen)


def test_other_modules_are_refused(module, name):
    other = {"LSTM": "GRU", "GRU": "LSTM"}[name]
    for bad in (module(other, 3, 4), module("RNN", 3, 4), module("Linear", 3, 4), None):
        with pytest.raises(
            TypeError, match=rf"must be a torch\.nn\.{name} or .*; got .*{type(bad).__name__}$"
        ):
            CELLS[name].from_torch(bad)


def test_a_namesake_is_refused_by_its_full_name(torch):
    for bad, place in (
        (torch.ao.nn.quantizable.LSTM(2, 3), r"torch\.ao\."),
        (LSTM.init(2, 3), r"vglib\.lstm"),
    ):
        with pytest.raises(TypeError, match=rf"or torch\.nn\.LSTMCell; got {place}.*LSTM$"):
            LSTM.from_torch(bad)


def test_weights_that_hold_no_numbers_are_refused(module, name):
    for form in (name, f"{name}Cell"):
        with pytest.raises(ValueError, match=r"weight_ih.* is on the device 'meta' and holds no numbers"):
            CELLS[name].from_torch(module(form, 3, 4, device="meta"))


@pytest.mark.parametrize("form", ["layer", "cell"])
def test_a_subclass_that_computes_something_else_is_refused(torch, name, form):
    base = getattr(torch.nn, name if form == "layer" else f"{name}Cell")

    class Same(base):
        pass

    class Normed(base):
        def forward(self, x, state=None):
            return super().forward(torch.nn.functional.layer_norm(x, x.shape[-1:]), state)

    with pytest.raises(ValueError, match=rf"Normed has a forward of its own.*into a torch\.nn\.{name}"):
        CELLS[name].from_torch(Normed(3, 4))
    assert CELLS[name].from_torch(Same(3, 4)).hidden == 4


def test_a_parametrisation_gives_what_it_computes(torch, module, name):
    layer = module(name, 3, 4)
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    with torch.no_grad():
        layer.parametrizations.weight_hh_l0.original0.mul_(2.0)
    x = draw(torch, 5, 2, 3)
    close(bptt.unroll(CELLS[name].from_torch(layer), x).outputs, layer(x)[0])


def test_a_weight_that_a_hook_computes_may_be_an_old_one(torch, module, name):
    from torch.nn.utils import prune

    layer = module(name, 3, 4)
    with pytest.warns(FutureWarning, match="weight_norm"):
        torch.nn.utils.weight_norm(layer, "weight_hh_l0")
    pruned = prune.l1_unstructured(module(name, 3, 4), "bias_ih_l0", 2)
    for bad, weight in ((layer, "weight_hh_l0"), (pruned, "bias_ih_l0")):
        with pytest.raises(ValueError, match=rf"{weight} is computed by a hook .*remove that first"):
            CELLS[name].from_torch(bad)
    prune.remove(pruned, "bias_ih_l0")
    assert (CELLS[name].from_torch(pruned).bias_ih == 0).sum() == 2


@pytest.mark.parametrize(("given", "rows"), [((5, 4), "G"), ((4, 4), "G"), ((12, 4), "G"), ((16, 4), "G")])
def test_weights_of_another_number_of_gates(name, given, rows):
    kind, biases = CELLS[name], np.zeros(given[0])
    weights = {"weight_ih": np.zeros((given[0], 2)), "bias_ih": biases, "bias_hh": biases}
    if given[0] == kind.gates * 4:
        assert kind(weight_hh=np.zeros(given), **weights).hidden == 4
        return
    with pytest.raises(
        ValueError, match=rf"\(G·H, H\) with G={kind.gates} for {name}; got \({given[0]}, 4\)"
    ):
        kind(weight_hh=np.zeros(given), **weights)
