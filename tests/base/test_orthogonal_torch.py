"""Recurrent weights of PyTorch modules made orthogonal and kept so: against PyTorch's own machinery."""

import copy
import math

import numpy as np
import pytest

from vglib import RNN, NonFiniteError, orthogonality

MAPS = ("exponential", "cayley", "householder")


def draw(*shape, seed=0, scale=1.0):
    return scale * np.random.default_rng([seed, *shape]).normal(size=shape)


def away(W):
    """The largest |σ² − 1|, in NumPy and float64."""
    W = np.asarray(W, dtype=float)
    W = W if W.shape[-2] >= W.shape[-1] else np.swapaxes(W, -1, -2)
    return np.max(np.abs(np.linalg.svd(W, compute_uv=False) ** 2 - 1))


@pytest.fixture
def module(torch):
    """Function that makes a recurrent module without touching the global random state."""

    def make(kind="LSTM", inputs=3, hidden=6, seed=0, **options):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return getattr(torch.nn, kind)(inputs, hidden, **options)

    return make


GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def blocks_of(weight, gates):
    return weight.detach().numpy().reshape(gates, -1, weight.shape[1])


@pytest.mark.parametrize("kind", [*GATES, "RNNCell", "LSTMCell", "GRUCell"])
def test_torchs_own_start_makes_the_stack_orthonormal_and_ours_each_gate(torch, module, kind):
    net, gates = module(kind), GATES[kind.removesuffix("Cell")]
    name = "weight_hh" if kind.endswith("Cell") else "weight_hh_l0"
    weight = getattr(net, name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.nn.init.orthogonal_(weight)
    assert away(weight.detach()) < 1e-5
    if gates > 1:
        assert away(blocks_of(weight, gates)) > 0.5  # the trap
        assert orthogonality.defect(weight.detach(), gates) > 0.5
    assert orthogonality.initialize_(net, gain=2.0) == (name,)
    assert away(blocks_of(weight, gates) / 2) < 2e-6


def test_torchs_own_parametrisation_has_the_same_trap(torch, module):
    net = module("LSTM")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.nn.utils.parametrizations.orthogonal(net, "weight_hh_l0")
    assert away(net.weight_hh_l0.detach()) < 1e-5
    assert away(blocks_of(net.weight_hh_l0, 4)) > 0.5


def test_initialize_reaches_every_layer_direction_and_part(torch, module):
    net = torch.nn.ModuleDict(
        {"a": module("GRU", num_layers=2, bidirectional=True), "b": module("LSTM", proj_size=2)}
    )
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    state = torch.get_rng_state()
    names = orthogonality.initialize_(net, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    layers = [f"a.weight_hh_l{layer}{way}" for layer in (0, 1) for way in ("", "_reverse")]
    assert sorted(names) == sorted([*layers, "b.weight_hh_l0"])
    seen = []
    for name, p in net.named_parameters():
        if name in names:
            assert away(blocks_of(p, 3 if name.startswith("a") else 4)) < 2e-6
            seen.append(p.detach()[:2, :2])
        else:
            assert torch.equal(p, before[name])
    assert len({tuple(s.flatten().tolist()) for s in seen}) == len(names)  # no two start alike
    again = {name: p.detach().clone() for name, p in net.named_parameters()}
    orthogonality.initialize_(net, seed=5)
    assert all(torch.equal(p, again[name]) for name, p in net.named_parameters())


def test_initialize_a_layer_of_ones_own(torch):
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight_hh = torch.nn.Parameter(torch.zeros(10, 5, dtype=torch.float64))

    own = Own()
    orthogonality.initialize_(own)
    assert away(blocks_of(own.weight_hh, 2)) < 1e-13
    orthogonality.initialize_(own, gates=1)
    assert away(own.weight_hh.detach()) < 1e-13


@pytest.mark.parametrize("map", MAPS)
@pytest.mark.parametrize("kind", GATES)
def test_parametrize_keeps_the_start_and_the_forward_pass(torch, module, kind, map):
    net, same = module(kind), module(kind)
    for one in (net, same):
        orthogonality.initialize_(one, seed=1)
    start = net.weight_hh_l0.detach().clone()
    assert orthogonality.parametrize_(net, map=map) is net
    assert (net.weight_hh_l0 - start).abs().max() < 1e-6
    x = torch.tensor(draw(7, 2, 3), dtype=torch.float32)
    torch.testing.assert_close(net(x)[0], same(x)[0], rtol=0, atol=1e-5)
    # The gradient of the free numbers is the weight's, pulled back through the map.
    weight = same.weight_hh_l0
    (g,) = torch.autograd.grad(same(x)[0].square().sum(), weight)
    free = net.parametrizations.weight_hh_l0.original
    (pulled,) = torch.autograd.grad((net.weight_hh_l0 * g).sum(), free)
    (direct,) = torch.autograd.grad(net(x)[0].square().sum(), free)
    assert direct.abs().max() > 1e-3
    torch.testing.assert_close(direct, pulled, rtol=0, atol=2e-4 * float(pulled.abs().max()))
    cell = RNN.from_torch(net) if kind == "RNN" else None
    assert cell is None or away(cell.weight_hh) < 1e-6


def steps(torch, net, count, rate=0.01, seed=0):
    """Train on random sequences, as a reader would; the loss looks at every output."""
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(size=(count, 3, 2, 3)), dtype=torch.float32)
    y = torch.tensor(rng.normal(size=(count, 3, 2, 6)), dtype=torch.float32)
    for i in range(count):
        h = x[i]
        with torch.nn.utils.parametrize.cached():  # a fused layer reads its weight twice
            for layer in net:
                h, _ = layer(h)
        optimiser.zero_grad()
        (h - y[i]).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize("map", MAPS)
def test_float32_stays_orthogonal_over_a_thousand_steps_of_adam(torch, module, map):
    net = torch.nn.ModuleList(module(kind, 3 if kind == "RNN" else 6, seed=i) for i, kind in enumerate(GATES))
    orthogonality.initialize_(net)
    starts = [layer.weight_hh_l0.detach().clone() for layer in net]
    for layer in net:
        orthogonality.parametrize_(layer, map=map)
    steps(torch, net, 1000)
    for layer, start, gates in zip(net, starts, GATES.values(), strict=True):
        weight = layer.weight_hh_l0.detach()
        assert away(blocks_of(weight.double(), gates)) < 1e-6
        assert (weight - start).norm() > 0.5  # and it has moved
        signs = np.linalg.det(blocks_of(weight.double(), gates))
        np.testing.assert_allclose(signs, np.linalg.det(blocks_of(start.double(), gates)), atol=1e-5)


@pytest.mark.parametrize("map", MAPS)
def test_state_dict_assignment_and_removal(torch, module, map):
    net = torch.nn.ModuleList([module("GRU")])
    orthogonality.initialize_(net)
    orthogonality.parametrize_(net[0], map=map)
    steps(torch, net, 5)
    trained = net[0].weight_hh_l0.detach().clone()
    other = torch.nn.ModuleList([module("GRU", seed=9)])
    orthogonality.initialize_(other, seed=9)
    orthogonality.parametrize_(other[0], map=map)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other[0].weight_hh_l0, trained)
    steps(torch, net, 3, seed=1)
    steps(torch, other, 3, seed=1)
    assert torch.equal(other[0].weight_hh_l0, net[0].weight_hh_l0)  # and training goes on alike
    new = torch.tensor(orthogonality.orthogonal((18, 6), gates=3, seed=8, dtype="float32"))
    net[0].weight_hh_l0 = new
    assert (net[0].weight_hh_l0 - new).abs().max() < 1e-6
    x = torch.zeros(4, 1, 3)
    out = net[0](x)[0].detach()
    torch.nn.utils.parametrize.remove_parametrizations(net[0], "weight_hh_l0")
    assert dict(net[0].named_parameters()).keys() == dict(module("GRU").named_parameters()).keys()
    torch.testing.assert_close(net[0](x)[0].detach(), out, rtol=0, atol=1e-6)
    assert away(blocks_of(net[0].weight_hh_l0, 3)) < 2e-6


def test_other_starts_become_the_nearest_orthogonal_matrix(torch, module):
    net = module("LSTM")
    start = net.weight_hh_l0.detach().clone().double()
    orthogonality.parametrize_(net)
    for block, got in zip(start.view(4, 6, 6), net.weight_hh_l0.detach().view(4, 6, 6), strict=True):
        u, _, vh = torch.linalg.svd(block)
        assert (got - u @ vh).abs().max() < 1e-5


def test_layers_directions_autocast_and_cached(torch, module):
    net = module("GRU", num_layers=2, bidirectional=True)
    orthogonality.initialize_(net)
    for name in [name for name, _ in net.named_parameters() if name.startswith("weight_hh")]:
        orthogonality.parametrize_(net, name, map="cayley")
    x = torch.zeros(3, 1, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weight = net.weight_hh_l1_reverse
    assert weight.dtype == torch.float32
    assert away(blocks_of(weight, 3)) < 2e-6
    with torch.nn.utils.parametrize.cached():
        assert net.weight_hh_l0 is net.weight_hh_l0
        net(x)[0].sum().backward()
    assert "map='cayley', gates=3" in repr(net)


# -- bad input --------------------------------------------------------------------------------------------


def test_modules_that_do_not_fit(torch, module):
    init, keep = orthogonality.initialize_, orthogonality.parametrize_
    lstm, linear = module("LSTM"), torch.nn.Linear(3, 3)
    done = keep(module("RNN"))
    broken = module("RNN")
    broken.weight_hh_l0.data[0, 0] = math.inf
    cases = [
        (lambda: init(np.eye(2)), TypeError, "module must be a torch.nn.Module; got ndarray"),
        (lambda: keep(None), TypeError, "module must be a torch.nn.Module; got NoneType"),
        (lambda: init(linear), ValueError, "module must have a recurrent weight.*; Linear has none"),
        (lambda: init(lstm, gates=5), ValueError, "gates=5 does not divide the 24 rows of weight_hh_l0"),
        (lambda: init(lstm, gates=1.0), TypeError, "gates must be an integer; got 1.0"),
        (lambda: init(lstm, seed=None), TypeError, "seed must be an integer; got None"),
        (lambda: init(lstm, gain=math.inf), ValueError, "gain must be finite and at least 0; got inf"),
        (lambda: init(done), ValueError, "weight_hh_l0 is computed by a parametrisation, .*before"),
        (lambda: keep(done), ValueError, "'weight_hh_l0' is parametrised already; .*remove_parametrizations"),
        (
            lambda: keep(lstm, "weight_hh"),
            ValueError,
            "name must be one of the module's own weights, weight_ih_l0",
        ),
        (
            lambda: keep(torch.nn.Sequential(module("LSTM"))),
            ValueError,
            r"module must be the layer that holds weight_hh_l0, such as module.get_submodule\('0'\); got Seq",
        ),
        (
            lambda: keep(torch.nn.Sequential(linear)),
            ValueError,
            "own weights, of which there are none; got 'weight_hh_l0'",
        ),
        (lambda: keep(lstm, 3), TypeError, "name must be the name of a weight; got 3"),
        (lambda: keep(lstm, map="expm"), ValueError, "map must be one of 'exponential', .*; got 'expm'"),
        (
            lambda: keep(lstm, "weight_ih_l0"),
            ValueError,
            r"must have shape \(G·H, H\) with G=4.*; got \(24, 3\)",
        ),
        (
            lambda: keep(lstm, "bias_ih_l0"),
            ValueError,
            r"bias_ih_l0 must be a matrix \(G·H, H\); got shape \(24,\)",
        ),
        (lambda: keep(lstm, gates=2), ValueError, r"must have shape \(G·H, H\) with G=2"),
        (lambda: keep(module("LSTM", proj_size=2)), ValueError, r"square for each gate; got \(24, 2\)"),
        (lambda: keep(broken), NonFiniteError, "weight_hh_l0 is not finite"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()
    assert isinstance(broken.weight_hh_l0, torch.nn.Parameter)  # a refusal leaves the module as it was
    both = torch.nn.ModuleList([module("LSTM"), module("GRU")])
    before = both[0].weight_hh_l0.detach().clone()
    with pytest.raises(ValueError, match="gates=4 does not divide the 18 rows"):
        init(both, gates=4)
    assert torch.equal(both[0].weight_hh_l0, before)


def test_weights_without_numbers_of_their_own_are_refused_before_any_is_set(torch, module):
    def own(weight):
        part = torch.nn.Module()
        part.weight_hh = weight
        return part

    with pytest.warns(FutureWarning, match="weight_norm"):
        normed = torch.nn.utils.weight_norm(module("LSTM"), "weight_hh_l0")
    cases = [
        (module("GRU", device="meta"), ValueError, "weight_hh_l0 is on the device 'meta'"),
        (own(torch.nn.UninitializedParameter()), ValueError, "weight_hh has no size yet"),
        (normed, ValueError, "weight_hh_l0 is computed by a parametrisation"),
        (
            own(torch.nn.Parameter(torch.zeros(2, 2, dtype=torch.complex64))),
            TypeError,
            "1.weight_hh's dtype must be one of .*; got complex64",
        ),
    ]
    for part, error, message in cases:
        both = torch.nn.ModuleList([module("LSTM"), part])
        before = both[0].weight_hh_l0.detach().clone()
        with pytest.raises(error, match=message):
            orthogonality.initialize_(both)
        assert torch.equal(both[0].weight_hh_l0, before)
    with pytest.raises(ValueError, match="weight_hh_l0 is on the device 'meta'"):
        orthogonality.parametrize_(module("GRU", device="meta"))


def test_a_shared_weight_is_set_once_and_stays_shared(torch, module):
    both = torch.nn.ModuleList([module("LSTM"), module("LSTM", seed=1)])
    both[1].weight_hh_l0 = both[0].weight_hh_l0
    assert orthogonality.initialize_(both) == ("0.weight_hh_l0",)
    alone = torch.nn.ModuleList([module("LSTM")])
    orthogonality.initialize_(alone)
    assert both[1].weight_hh_l0 is both[0].weight_hh_l0
    assert torch.equal(both[0].weight_hh_l0, alone[0].weight_hh_l0)


@pytest.mark.parametrize("map", MAPS)
def test_transforms_of_functions_go_through(torch, module, map):
    net = module("RNNCell")
    orthogonality.initialize_(net)
    orthogonality.parametrize_(net, "weight_hh", map)
    x, h = torch.ones(2, 3), torch.ones(2, 6, requires_grad=True)
    held = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    plain = {name: value.detach() for name, value in held.items()}

    def total(parameters):
        return torch.func.functional_call(net, parameters, (x, h.detach())).sum()

    found = torch.func.grad(total)(plain)["parametrizations.weight_hh.original"]
    expected = torch.autograd.grad(net(x, h).sum(), net.parametrizations.weight_hh.original)[0]
    torch.testing.assert_close(found, expected)
    jacobian = torch.func.jacrev(lambda h: torch.func.functional_call(net, plain, (x, h)))(h.detach())
    rows = torch.autograd.functional.jacobian(lambda h: net(x, h), h)
    torch.testing.assert_close(jacobian, rows)


def test_a_copy_after_a_pass_without_gradients(torch, module):
    net = module("LSTM")
    orthogonality.parametrize_(net)
    x = torch.ones(3, 1, 3)
    out = net(x)[0]
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(net)
    with torch.no_grad():
        net(x)
    twin = copy.deepcopy(net)
    assert torch.equal(twin(x)[0], out)
    with torch.no_grad():
        twin.parametrizations.weight_hh_l0.original.add_(1.0)
    assert torch.equal(net(x)[0], out)
    assert not torch.equal(twin(x)[0], out)


def test_numbers_that_are_not_finite_reach_the_forward_pass_as_such(torch, module):
    net = orthogonality.parametrize_(module("RNN"))
    with torch.no_grad():
        net.parametrizations.weight_hh_l0.original[1, 0] = math.nan
    assert bool(net.weight_hh_l0.isnan().any())
