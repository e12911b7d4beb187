"""Shattered gradients: the derivative is autograd's, the correlation is numpy's, and as stored."""

import numpy as np
import pytest
import torch

from vglib.base.arrays import random_stream
from vglib.course.reproductions import shattered, store

SMALL = {"width": 30, "points": 40, "lags": 3, "depth": 4}
KINDS = [{name: s[name] for name in ("branch", "norm", "beta")} for s in shattered.REPRODUCTION.settings[:6]]


def by_autograd(settings, seed):
    """df/dx, the statistics of the normalisation held."""
    width, draw = settings["width"], random_stream(seed, "shattered")
    x = torch.linspace(-2, 2, settings["points"], dtype=torch.float64, requires_grad=True)
    into, bias = torch.from_numpy(draw.normal(size=(2, width)))
    h = x[:, None] * into + bias

    def normal(h):
        if not settings["norm"]:
            return h
        held = h.detach()
        return (h - held.mean(dim=0)) / held.std(dim=0, correction=0)

    def linear(h):
        return h @ torch.from_numpy(draw.normal(size=(width, width)) * (2 / width) ** 0.5).T

    branch = settings["branch"]
    for _ in range(settings["depth"] // (branch or 1)):
        if branch is None:
            h = torch.relu(normal(linear(h)))
            continue
        f = h
        for _ in range(branch):
            f = linear(torch.relu(normal(f)))
        h = h + settings["beta"] * f
    f = h @ torch.from_numpy(draw.normal(size=width)) / width**0.5
    return torch.autograd.grad(f.sum(), x)[0].numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_the_derivative_is_autograds(kind):
    settings = SMALL | kind
    x, slopes = shattered.derivative(settings, 5)
    assert (x[0], x[-1]) == (-2.0, 2.0)
    np.testing.assert_allclose(slopes, by_autograd(settings, 5), rtol=1e-9)


def test_autocorrelation():
    series = np.random.default_rng(0).normal(size=5000).cumsum()
    found = shattered.autocorrelation(series, 3)
    assert found[0] == pytest.approx(1.0, rel=1e-12)
    assert found[1] == pytest.approx(np.corrcoef(series[:-1], series[1:])[0, 1], abs=2e-3)
    assert shattered.autocorrelation((-1.0) ** np.arange(100), 1)[1] == pytest.approx(-0.99)
    np.testing.assert_array_equal(shattered.autocorrelation(np.full(10, 0.3), 2), 1.0)


def test_it_is_a_function_of_settings_and_seed():
    settings = SMALL | KINDS[2]
    first = shattered.run(settings, 0)
    np.random.default_rng(0).normal()
    np.testing.assert_array_equal(shattered.run(settings, 0)["correlation"], first["correlation"])
    assert np.mean(np.square(first["derivative"])) == pytest.approx(1.0)
    assert shattered.run(settings, 1)["derivative"] is None
    store.make(settings, 0, first)


@pytest.mark.parametrize("index", range(6))
def test_what_is_stored_is_what_it_computes(index):
    settings = shattered.REPRODUCTION.settings[index]
    stored = store.load("shattered", **settings)[0]
    assert stored["seed"] == 0
    now = shattered.run(settings, 0)
    for name, values in now.items():
        np.testing.assert_allclose(stored["numbers"][name], values, rtol=1e-3, atol=1e-4)


def test_the_criteria():
    """Those of one layer a branch hold in the mean; with two a net of as many layers shatters."""

    def mean(**settings):
        return np.mean([run["numbers"]["correlation"][1] for run in store.load("shattered", **settings)])

    assert mean(branch=None, norm=True, depth=24) < 0.1
    assert mean(branch=1, beta=1.0, depth=50) > 0.4
    assert mean(branch=1, beta=0.1, depth=50) > 0.75
    assert mean(branch=2, beta=1.0, depth=50) < 0.4
