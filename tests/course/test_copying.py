"""The copy memory task: pure, right in its parts, and learned."""

import math

import numpy as np
import pytest

from vglib.course.reproductions import store

pytest.importorskip("torch")
copying = pytest.importorskip("vglib.course.reproductions.copying")

ARMS = {settings["arm"]: settings for settings in copying.REPRODUCTION.settings}
SMALL = {"wait": 5, "hidden": 8, "batch": 3, "window": 2, "updates": 4}


@pytest.mark.parametrize("arm", ARMS)
def test_it_is_a_function_of_settings_and_seed(arm, torch):
    small = {**ARMS[arm], **SMALL}
    first = copying.run(small, 3)
    state = torch.get_rng_state()
    torch.manual_seed(7)
    assert copying.run(small, 3) == first
    torch.set_rng_state(state)
    assert copying.run(small, 4) != first
    assert [len(first[name]) for name in ("loss", "defect", "carried")] == [2, 3, 3]
    assert first["diverged_at"] is None
    kept = [arm in (*copying.KEPT, "tanh")] * 3
    if arm == "lstm":
        assert first["defect"] == [None] * 3
    else:
        assert [value < 1e-6 for value in first["defect"]] == (
            kept if arm != "free" else [True, False, False]
        )
    store.make(small, 3, first)


def test_arms_with_an_orthogonal_start_start_alike(torch):
    starts = [copying._start({**ARMS[arm], **SMALL}, 0).layer for arm in (*copying.KEPT, "free", "tanh")]
    for layer in starts[1:]:
        assert (layer.weight_hh_l0 - starts[0].weight_hh_l0).abs().max() < 1e-6
    for layer in starts[1:-1]:
        assert torch.equal(layer.weight_ih_l0, starts[0].weight_ih_l0)


def test_modrelu_is_the_identity_without_a_bias_and_cuts_small_states_with_one(torch):
    layer = copying.ModReLU(3, 4)
    x = torch.tensor(np.random.default_rng(0).normal(size=(6, 2, 3)), dtype=torch.float32)
    with torch.no_grad():
        layer.weight_ih_l0.normal_(generator=torch.Generator().manual_seed(0))
        W, V, h = layer.weight_hh_l0.numpy(), layer.weight_ih_l0.numpy(), np.zeros((2, 4))
        for bias in (0.0, -0.3, 0.2):
            layer.bias.fill_(bias)
            states, last = layer(x)
            h = np.zeros((2, 4))
            for t in range(6):
                a = x[t].numpy() @ V.T + h @ W.T
                h = np.where(np.abs(a) + bias > 0, a + np.sign(a) * bias, 0.0)
                np.testing.assert_allclose(states[t].numpy(), h, atol=1e-5)
            np.testing.assert_allclose(last[0].numpy(), h, atol=1e-5)


def test_what_is_carried_is_the_stretch_of_the_jacobian(torch):
    settings = {**ARMS["free"], **SMALL}
    network = copying._start(settings, 0)
    with torch.no_grad():
        network.layer.weight_hh_l0.mul_(1.1)
    measured = copying._probe(network, settings, 0)()  # a linear network: 1.1 for each of five steps
    assert measured == pytest.approx(5 * math.log10(1.1), rel=1e-5)
    with torch.no_grad():
        network.layer.weight_hh_l0.zero_()
    assert copying._probe(network, settings, 0)() is None


def test_an_orthogonal_network_learns_a_short_wait():
    short = {**ARMS["exponential"], "wait": 5, "hidden": 64, "updates": 150, "recurrent": 1e-3}
    assert copying.run(short, 0)["loss"][-1] < 0.5


@pytest.mark.parametrize("arm", ["exponential", "free"])
def test_what_is_stored_is_what_it_computes(arm):
    stored = store.load("copying", **ARMS[arm])[0]
    assert stored["seed"] == 0
    now = copying.run({**ARMS[arm], "updates": 25}, 0)
    # Floats of another machine's kernels: the same to a few digits, no more.
    assert now["loss"] == pytest.approx(stored["numbers"]["loss"][:1], rel=1e-2)
