"""The first reproduction: pure, right in its steps, and as stored."""

import numpy as np
import pytest

from vglib.course.reproductions import recall, store

SETTINGS = {**recall.REPRODUCTION.settings[0], "lag": 4}


def test_it_is_a_function_of_settings_and_seed():
    small = {**SETTINGS, "updates": 20, "window": 10}
    first = recall.run(small, 3)
    np.random.default_rng(0).normal()
    assert recall.run(small, 3) == first
    assert recall.run(small, 4) != first
    assert [len(first[name]) for name in ("accuracy", "log_stretch", "spectral_radius")] == [2, 3, 3]


def test_it_learns_a_short_lag():
    short = {**SETTINGS, "lag": 3, "optimiser": "Adam, rate 0.01", "updates": 200}
    assert recall.run(short, 0)["accuracy"][-1] > 0.95


def test_it_starts_orthogonal():
    start = recall.run({**SETTINGS, "start": "orthogonal", "updates": 0}, 0)
    assert start["spectral_radius"] == pytest.approx([1.0], rel=1e-12)


@pytest.mark.parametrize(("kind", "rate"), recall.OPTIMISERS.values())
def test_it_steps_as_the_sums_say(kind, rate):
    gradients = np.random.default_rng(0).normal(size=(20, 3)) * 1e-6
    weights, optimiser = {"w": np.zeros(3)}, recall._Optimiser(kind, rate)
    for count, g in enumerate(gradients, 1):
        before = weights["w"]
        weights = optimiser.step(weights, {"w": g})
        past, age = gradients[:count], np.arange(count)[::-1]
        mean = np.average(past, axis=0, weights=0.9**age)
        square = np.average(past**2, axis=0, weights=0.999**age)
        expected = g if kind == "sgd" else mean / (np.sqrt(square) + 1e-8)
        np.testing.assert_allclose(before - weights["w"], rate * expected, rtol=1e-9)


def test_it_records_where_it_diverged(monkeypatch):
    class Explodes(recall._Optimiser):
        def step(self, weights, gradients):
            factor = float("inf") if self.count == 6 else 1.0
            return {name: weight * factor for name, weight in super().step(weights, gradients).items()}

    monkeypatch.setattr(recall, "_Optimiser", Explodes)
    result = recall.run({**SETTINGS, "updates": 20, "window": 5}, 0)
    # The seventh step makes weights infinite, which the eighth forward pass finds.
    assert result["diverged_at"] == 8
    assert [len(result[name]) for name in ("accuracy", "log_stretch", "spectral_radius")] == [1, 2, 2]
    store.make(SETTINGS, 0, result)


@pytest.mark.parametrize("index", range(4))
def test_what_is_stored_is_what_recall_computes(index):
    settings = recall.REPRODUCTION.settings[index]
    assert settings["lag"] == 8
    stored = store.load("recall", **settings)[0]
    assert stored["seed"] == 0
    now = recall.run({**settings, "updates": 100}, 0)
    for name, values in now.items():
        if name != "diverged_at":
            np.testing.assert_allclose(
                values, stored["numbers"][name][: len(values)], rtol=1e-4, err_msg=name
            )
