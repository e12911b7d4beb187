"""Depth runs: the nets are what the docstring says, gradients are right, and as stored."""

import math

import numpy as np
import pytest
import torch

from vglib.course.reproductions import depth, store

PLAIN = {"branch": None, "beta": None, "norm": False, "activation": "tanh", "start": "matched"}
BLOCKS = {"branch": 2, "beta": "1/√K", "norm": False, "activation": "relu", "start": "matched"}
SMALL = {**depth.TRAINING, "depth": 4, "epochs": 1}


@pytest.fixture(autouse=True)
def _drawn_alike():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def numpy_of(net):
    """W, b of all layers, block by block."""
    return [
        [(m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in b]
        for b in net.layers
    ]


def test_it_is_a_function_of_settings_and_seed():
    first = depth.run(SMALL | BLOCKS, 3)
    torch.manual_seed(0)
    assert depth.run(SMALL | BLOCKS, 3) == first
    assert depth.run(SMALL | BLOCKS, 4) != first
    assert len(first["loss"]) == 1


@pytest.mark.parametrize("kind", [PLAIN, BLOCKS, BLOCKS | {"branch": 1, "beta": "1", "activation": "tanh"}])
def test_a_net_is_what_is_written_down(kind):
    net = depth.DeepNet(SMALL | kind).double()
    x = np.random.default_rng(0).normal(size=(7, 64))
    phi = np.tanh if kind["activation"] == "tanh" else lambda a: np.maximum(a, 0)
    h = x @ net.stem.weight.detach().numpy().T + net.stem.bias.detach().numpy()
    for block in numpy_of(net):
        (W, b), *second = block
        f = phi(h @ W.T + b)
        for W, b in second:
            f = f @ W.T + b
        beta = {"1": 1.0, "1/√K": len(net.layers) ** -0.5, None: None}[kind["beta"]]
        h = f if beta is None else h + beta * f
    kept = []
    logits = net(torch.from_numpy(x), kept=kept)
    np.testing.assert_allclose(kept[-1].detach().numpy(), h, rtol=1e-12)
    np.testing.assert_allclose(logits.detach().numpy(), net.readout(kept[-1]).detach().numpy())


def test_a_normalised_branch_starts_with_normalisation():
    net = depth.DeepNet(SMALL | BLOCKS | {"norm": True}).double()
    x = np.random.default_rng(0).normal(size=(7, 64)) * 5 + 1
    first, second = numpy_of(net)[0]
    normal = lambda a: (a - a.mean(axis=0)) / np.sqrt(a.var(axis=0) + 1e-5)  # noqa: E731
    h = np.maximum(normal(x), 0) @ first[0].T + first[1]
    h = np.maximum(normal(h), 0) @ second[0].T + second[1]
    np.testing.assert_allclose(net.branch(0, torch.from_numpy(x)).detach().numpy(), h, rtol=1e-10)


def test_starts_keep_the_mean_square():
    wide = SMALL | {"width": 400}
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 400))).float()
    for kind, ratio in ((BLOCKS, 1.0), (BLOCKS | {"branch": 1}, 1.0), (PLAIN | {"activation": "relu"}, 1.0)):
        branch = depth.DeepNet(wide | kind, inputs=400).branch(0, x)
        assert float((branch.detach() ** 2).mean()) == pytest.approx(ratio, rel=0.1), kind
    turned = depth.DeepNet(wide | PLAIN | {"start": "orthogonal"}, inputs=400).layers[0][0].weight
    torch.testing.assert_close(turned @ turned.T, torch.eye(400), atol=1e-5, rtol=0)


def test_the_gradient_is_the_product_of_jacobians():
    net = depth.DeepNet(SMALL | PLAIN)
    x, y = (part[:32] for part in depth._images()[0])
    found = depth.gradients(net, x, y)
    h = (
        x.double().numpy() @ net.stem.weight.detach().double().numpy().T
        + net.stem.bias.detach().double().numpy()
    )
    states, slopes = [h], []
    for ((W, b),) in numpy_of(net):
        states.append(np.tanh(states[-1] @ W.T + b))
        slopes.append(1 - states[-1] ** 2)
    head = [p.detach().double().numpy() for p in net.readout.parameters()]
    z = states[-1] @ head[0].T + head[1]
    p = np.exp(z - z.max(axis=1, keepdims=True))
    message = [(p / p.sum(axis=1, keepdims=True) - np.eye(10)[y.numpy()]) @ head[0] / len(x)]
    weights = []
    for ((W, _),), slope, state in zip(
        reversed(numpy_of(net)), reversed(slopes), reversed(states[:-1]), strict=True
    ):
        delta = message[0] * slope
        weights.insert(0, delta.T @ state)
        message.insert(0, delta @ W)
    size = math.log10(np.linalg.norm(message[0]) / np.linalg.norm(message[-1]))
    assert found["message"] == pytest.approx(size, rel=1e-9)
    ratio = math.log10(np.linalg.norm(weights[0]) / np.linalg.norm(weights[-1]))
    assert found["weights"] == pytest.approx(ratio, rel=1e-9)
    rows = states[-1] / np.linalg.norm(states[-1], axis=1, keepdims=True)
    cosines = rows @ rows.T
    assert found["alike"] == pytest.approx(cosines[~np.eye(32, dtype=bool)].mean(), rel=1e-9)


def test_a_block_taken_out_does_nothing():
    net = depth.DeepNet(SMALL | BLOCKS)
    x = depth._images()[1][0][:5]
    with torch.no_grad():
        without = net(x, without=1)
        for parameter in net.layers[1][1].parameters():
            parameter.zero_()
        torch.testing.assert_close(net(x), without)


def test_divergence_is_recorded():
    result = depth.run(SMALL | BLOCKS | {"beta": "1", "rate": 1e6}, 0)
    assert result["diverged_at"] is not None
    assert result["accuracy"] is None
    assert result["after"] == {}
    store.make(SMALL, 0, result)


@pytest.mark.parametrize("index", range(0, 24, 6))
def test_what_is_stored_is_what_it_computes(index):
    settings = depth.REPRODUCTION.settings[index]
    stored = store.load("depth", **settings)[0]
    assert stored["seed"] == 0
    now = depth.run(settings | {"epochs": 1}, 0)
    assert now["loss"][0] == pytest.approx(stored["numbers"]["loss"][0], rel=1e-2)
    for name in ("message", "weights", "alike"):
        np.testing.assert_allclose(
            now["before"][name], stored["numbers"]["before"][name], rtol=1e-3, atol=1e-4
        )
