"""Biases of gates: their total, their draws, and modules that cannot be set."""

import math

import numpy as np
import pytest

from vglib import GRU, LSTM, RNN, bptt, gru, lstm

KINDS = {"LSTM": LSTM, "GRU": GRU}
IN_CELL = {
    "forget_bias": (LSTM, lstm.forget_bias, {"value": 1.0}),
    "lstm.chrono": (LSTM, lstm.chrono, {"longest": 50, "seed": 3}),
    "gru.chrono": (GRU, gru.chrono, {"longest": 50, "seed": 3}),
}
IN_PLACE = {
    "forget_bias": ("LSTM", lstm.forget_bias_),
    "lstm.chrono": ("LSTM", lstm.chrono_),
    "gru.chrono": ("GRU", gru.chrono_),
}


@pytest.fixture(params=IN_CELL)
def what(request):
    """Each of the three settings."""
    return request.param


@pytest.fixture
def module(torch):
    """Return a function that makes a `torch.nn` module from a seed of its own."""

    def make(name, *sizes, **options):
        with torch.random.fork_rng():
            torch.manual_seed(sum(sizes))
            return getattr(torch.nn, name)(*sizes, **options)

    return make


def totals(cell, backend=None):
    """Return the sum of both biases, gate by gate, (G, H)."""
    plain = backend.numpy if backend else np.asarray
    ih, hh = plain(cell.bias_ih), plain(cell.bias_hh)
    return (ih + hh).reshape(cell.gates, -1)


# -- the cell --------------------------------------------------------------------------------------------


def test_two_biases_of_one_are_two_and_the_total_is_what_is_asked(backend, dtype):
    cell = backend.cell(2, 3, dtype, kind=LSTM)
    ones = backend.array(np.ones(12), dtype)
    both = cell.replace(bias_ih=ones, bias_hh=ones)
    assert np.all(totals(both, backend)[1] == 2)
    for value in (1.0, 0.0, -2.5, 3):
        for start in (cell, both):
            changed = lstm.forget_bias(start, value)
            assert np.all(totals(changed, backend)[1] == value)
            assert np.all(backend.numpy(changed.bias_hh)[3:6] == 0)
            for name in ("bias_ih", "bias_hh"):
                backend.check(getattr(changed, name), backend.numpy(getattr(changed, name)), dtype)
            kept = [0, 2, 3]
            np.testing.assert_array_equal(totals(changed, backend)[kept], totals(start, backend)[kept])
            assert changed.weight_hh is start.weight_hh
    assert np.all(totals(lstm.forget_bias(cell), backend)[1] == 1)  # the default
    assert np.all(totals(both, backend) == 2)  # a new cell; the old one is as it was


def test_a_forget_bias_of_one_opens_the_gate_to_sigma_of_one(backend):
    cell = lstm.forget_bias(backend.cell(2, 3, kind=LSTM, scale=0.0)).replace(
        weight_ih=backend.array(np.zeros((12, 2)))
    )
    trace = bptt.unroll(cell, backend.array(np.zeros((4, 1, 2))))
    backend.check(lstm.gates(trace)["f"], np.full((4, 1, 3), 1 / (1 + math.exp(-1))))


def test_chrono_draws_from_the_papers_distribution(backend, dtype):
    longest, hidden = 100, 400
    cell = lstm.chrono(backend.cell(2, hidden, dtype, kind=LSTM), longest, seed=1)
    i, f, g, o = totals(cell, backend)
    np.testing.assert_array_equal(i, -f)
    assert np.all(g == 0)
    assert np.all(o == 0)
    assert np.all(backend.numpy(cell.bias_hh) == 0)
    z_cell = gru.chrono(backend.cell(2, hidden, dtype, kind=GRU), longest, seed=1)
    r, z, n = totals(z_cell, backend)
    assert np.all(r == 0)
    assert np.all(n == 0)
    for bias in (f, z):
        lags = np.sort(np.exp(bias))  # U(1, T_max − 1)
        assert 1 - 1e-6 <= lags[0] < 3
        assert longest - 3 < lags[-1] <= longest - 1 + 1e-4
        uniform = 1 + (longest - 2) * (np.arange(hidden) + 0.5) / hidden
        assert np.max(np.abs(lags - uniform)) < 1.63 / hidden**0.5 * (longest - 2)  # Kolmogorov, 1 %
    assert not np.array_equal(f, z)  # a stream of its own


def test_chrono_is_the_same_everywhere_and_changes_with_the_seed(backend):
    for kind, make in ((LSTM, lstm.chrono), (GRU, gru.chrono)):
        plain = totals(make(kind.init(2, 5), 30))
        np.testing.assert_array_equal(totals(make(backend.cell(2, 5, kind=kind), 30), backend), plain)
        assert np.max(np.abs(totals(make(kind.init(2, 5), 30, seed=1)) - plain)) > 0.1
        # Neither what the cell held before nor NumPy's global state matters.
        np.testing.assert_array_equal(totals(make(kind.init(2, 5, seed=9), 30)), plain)


def test_a_unit_with_bias_log_u_keeps_for_about_u_steps():
    for u in (10.0, 100.0):
        kept = (1 / (1 + math.exp(-math.log(u)))) ** u
        assert kept == pytest.approx(math.exp(-1), rel=0.06)


def test_chrono_of_a_lag_of_two_is_zero():
    assert np.all(totals(lstm.chrono(LSTM.init(2, 4), 2)) == 0)


# -- a reader's own module -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["layer", "cell"])
def test_in_place_is_the_same_as_in_the_cell(torch, module, what, form, dtype):
    kind, in_cell, options = IN_CELL[what]
    name, in_place = IN_PLACE[what]
    net = module(name if form == "layer" else f"{name}Cell", 2, 5, dtype=getattr(torch, dtype))
    before, state = kind.from_torch(net), torch.get_rng_state()
    names = in_place(net, **options)
    assert names == (("bias_ih_l0", "bias_hh_l0") if form == "layer" else ("bias_ih", "bias_hh"))
    assert torch.equal(torch.get_rng_state(), state)
    after, expected = kind.from_torch(net), in_cell(before, **options)
    for weight, value in expected.parameters.items():
        assert torch.equal(after.parameters[weight], value), weight
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_every_layer_and_direction(torch, module, what):
    name, in_place = IN_PLACE[what]
    kind, _, options = IN_CELL[what]
    net = module(name, 2, 5, num_layers=2, bidirectional=True)
    weights = [p.clone() for n, p in net.named_parameters() if "weight" in n]
    names = in_place(net, **options)
    endings = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"]
    assert names == tuple(f"bias_{side}{end}" for end in endings for side in ("ih", "hh"))
    set_to = [
        totals(kind.from_torch(net, layer=layer, reverse=reverse))[1]
        for layer in (0, 1)
        for reverse in (False, True)
    ]
    for index, bias in enumerate(set_to):
        if what == "forget_bias":
            assert np.all(bias == 1)
        else:
            assert np.all((bias >= 0) & (bias <= math.log(49) + 1e-6))
            assert not any(np.array_equal(bias, other) for other in set_to[:index])
    for old, new in zip(weights, (p for n, p in net.named_parameters() if "weight" in n), strict=True):
        assert torch.equal(old, new)


def test_a_projected_lstm_can_be_set(module):
    net = module("LSTM", 2, 5, proj_size=3)
    lstm.forget_bias_(net, 2.0)
    assert (net.bias_ih_l0 + net.bias_hh_l0)[5:10].tolist() == [2.0] * 5


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision(torch, module, what, precision):
    kind, in_cell, options = IN_CELL[what]
    name, in_place = IN_PLACE[what]
    half = in_cell(kind.init(2, 3, xp=torch, dtype=precision), **options)
    net = module(name, 2, 3, dtype=getattr(torch, precision))
    in_place(net, **options)
    assert half.dtype == precision
    assert torch.equal((net.bias_ih_l0 + net.bias_hh_l0)[3:6], (half.bias_ih + half.bias_hh)[3:6])


def test_training_goes_on_after_it(torch, module):
    net = module("LSTM", 2, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    lstm.chrono_(net, 20)
    before = net.bias_ih_l0.clone()
    net(torch.ones(5, 1, 2))[0].sum().backward()
    optimizer.step()
    assert not torch.equal(net.bias_ih_l0, before)


# -- bad input -------------------------------------------------------------------------------------------


def test_other_cells_are_refused(what):
    kind, in_cell, options = IN_CELL[what]
    other = {LSTM: GRU, GRU: LSTM}[kind]
    for bad in (other.init(2, 3), RNN.init(2, 3), None, "LSTM"):
        with pytest.raises(
            TypeError, match=f"cell must be a vglib {kind.__name__}; got .*{type(bad).__name__}$"
        ):
            in_cell(bad, **options)


def test_a_module_is_no_cell_and_a_cell_no_module(module, what):
    kind, in_cell, options = IN_CELL[what]
    name, in_place = IN_PLACE[what]
    message = rf"got torch\.nn\.modules\.rnn\.{name}; {name}\.from_torch copies .* ends in an underscore"
    with pytest.raises(TypeError, match=message):
        in_cell(module(name, 2, 3), **options)
    with pytest.raises(TypeError, match=rf"got vglib\.{name.lower()}\.{name}$"):
        in_place(kind.init(2, 3), **options)


def test_other_modules_are_refused(torch, module, what):
    name, in_place = IN_PLACE[what]
    other = {"LSTM": "GRU", "GRU": "LSTM"}[name]
    for bad in (module(other, 2, 3), module("RNN", 2, 3), torch.nn.Sequential(module(name, 2, 3)), None):
        with pytest.raises(
            TypeError, match=rf"must be a torch\.nn\.{name} or .*; got .*{type(bad).__name__}"
        ):
            in_place(bad, **IN_CELL[what][2])


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (math.nan, ValueError, "value must be finite; got nan"),
        (-math.inf, ValueError, "value must be finite; got -inf"),
        ("1", TypeError, "value must be a number; got '1'"),
        (10**400, ValueError, "value must be finite; got 1000"),
        (1e300, ValueError, "a bias of 1e.300 in size is no finite float32"),
        (True, TypeError, "value must be a number; got True"),
        ([1.0], TypeError, r"value must be a number; got \[1\.0\]"),
    ],
)
def test_bad_values(module, value, error, message):
    net = module("LSTM", 2, 3)
    before = net.bias_ih_l0.clone()
    with pytest.raises(error, match=message):
        lstm.forget_bias(LSTM.init(2, 3, dtype="float32"), value)
    with pytest.raises(error, match=message):
        lstm.forget_bias_(net, value)
    assert net.bias_ih_l0.tolist() == before.tolist()


@pytest.mark.parametrize("topic", [lstm, gru])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"longest": 1}, ValueError, "longest must be at least 2; got 1"),
        ({"longest": -5}, ValueError, "longest must be at least 2; got -5"),
        ({"longest": 10**400}, ValueError, "longest must be finite and at least 2"),
        ({"longest": 10.0}, TypeError, "longest must be an integer; got 10.0"),
        ({"longest": True}, TypeError, "longest must be an integer; got True"),
        ({"longest": None}, TypeError, "longest must be an integer; got None"),
        ({"longest": 9, "seed": -1}, ValueError, "seed must be at least 0; got -1"),
        ({"longest": 9, "seed": 0.5}, TypeError, "seed must be an integer; got 0.5"),
    ],
)
def test_bad_lags_and_seeds(module, topic, options, error, message):
    name = topic.__name__.rsplit(".", 1)[-1].upper()
    with pytest.raises(error, match=message):
        topic.chrono(KINDS[name].init(2, 3), **options)
    with pytest.raises(error, match=message):
        topic.chrono_(module(name, 2, 3), **options)


def test_modules_that_cannot_be_set_are_left_as_they_are(torch, module, what):
    name, in_place = IN_PLACE[what]
    options = IN_CELL[what][2]
    for form in (name, f"{name}Cell"):
        with pytest.raises(ValueError, match=f"bias=False, so that no gate .*make the {name} with bias=True"):
            in_place(module(form, 2, 3, bias=False), **options)
    with pytest.raises(ValueError, match="bias_ih_l0 is on the device 'meta'"):
        in_place(module(name, 2, 3, device="meta"), **options)
    net = module(name, 2, 3, num_layers=2)
    before = net.bias_ih_l0.clone()
    torch.nn.utils.parametrize.register_parametrization(net, "bias_hh_l1", torch.nn.Identity())
    with pytest.raises(ValueError, match="bias_hh_l1 is computed by a parametrisation"):
        in_place(net, **options)
    assert torch.equal(net.bias_ih_l0, before)


def test_a_bias_beyond_half_precision_is_refused(torch, module):
    net = module("LSTM", 2, 3, num_layers=2, dtype=torch.float16)
    before = net.bias_ih_l0.clone()
    for value in (1e5, -1e5):
        with pytest.raises(ValueError, match=r"a bias of 100000 in size is no finite float16"):
            lstm.forget_bias_(net, value)
        with pytest.raises(ValueError, match=r"a bias of 100000 in size is no finite float16"):
            lstm.forget_bias(LSTM.init(2, 3, xp=torch, dtype="float16"), value)
    assert torch.equal(net.bias_ih_l0, before)
    lstm.forget_bias_(net, 65504.0)  # the largest
    assert torch.all(net.bias_ih_l1[3:6] == 65504)


def test_one_parameter_under_two_names_is_refused(torch, module, what):
    name, in_place = IN_PLACE[what]
    net = module(name, 2, 3)
    net.bias_hh_l0 = net.bias_ih_l0  # setting the one to 0 would undo the other
    before = net.bias_ih_l0.clone()
    with pytest.raises(ValueError, match="one parameter under two names"):
        in_place(net, **IN_CELL[what][2])
    assert torch.equal(net.bias_ih_l0, before)
